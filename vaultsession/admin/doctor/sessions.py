"""Which sessions of a vault directory a checkup looks at."""

from __future__ import annotations

import contextlib
import os

from ...backends.files.layout import key_in
from ...backends.protocol import Backend
from ...engine.reader import Reader
from ...errors import BackendUnavailable
from ...format import ids
from ...format.sealed import Query


def known_keys(backend: Backend, sessions: str) -> list[str]:
    """Every key that is listed or has a file, sorted. Where there is no index, those that have a file."""
    found: set[str] = set()
    with contextlib.suppress(BackendUnavailable):
        found.update(row.key for row in backend.scan(Query()))
    found.update(key for key in map(key_in, os.listdir(sessions)) if key is not None)
    return sorted(found)


def key_of(reader: Reader, id: str) -> str:
    """The key of an id. ``InvalidSessionId``."""
    return ids.key(reader.keyring.naming_key, ids.parse(id), readable=reader.keyring.readable_names)
