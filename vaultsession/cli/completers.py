"""Completing ids: those of the newest sessions, from a vault that opens at once and without a question.

A completed id is put on a command line, where a shell reads it again, and an id may be chosen by anyone: only those
that mean nothing to a shell are offered.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import VaultError
from .vault_options import VaultOptions

if TYPE_CHECKING:
    from ..vault import Vault
    from ..vault.key_sources import KeySource
    from ..vault.secret import Secret

_NEWEST = 1000
"""Sessions that are looked through."""
_MOST = 100
"""Ids that are offered."""
_PLAIN = re.compile(r"[A-Za-z0-9_.@%+,/][A-Za-z0-9_.@%+,/:=-]*")


def complete_id(context: typer.Context, incomplete: str) -> list[str]:
    """Ids that begin so. Whatever goes wrong, there are none."""
    logging.getLogger("vaultsession").setLevel(logging.CRITICAL)
    outer = context.parent.params if context.parent is not None else {}
    given = {name: context.params.get(name) or outer.get(name) for name in ("vault", "key_file")}
    found = []
    with contextlib.suppress(Exception):
        for name in _ids(VaultOptions(**given)):
            if name.startswith(incomplete) and _PLAIN.fullmatch(name):
                found.append(name)
            if len(found) == _MOST:
                break
    return found


def _ids(where: VaultOptions) -> Iterator[str]:
    """Of the newest sessions; the vault is read, and never changed."""
    from ..admin.doctor.readonly import opened_read_only  # noqa: PLC0415 - as above
    from ..format.sealed import Query  # noqa: PLC0415 - as above
    from ..util.clock import SystemClock  # noqa: PLC0415 - with the next: what --help does without

    directory = where.directory()
    with opened_read_only(directory.path, _secrets(where, directory)) as opened:
        query = Query(alive_at=SystemClock().now(), limit=_NEWEST)
        for row in opened.backend.scan(query):
            yield opened.reader.rows.open(row)[1].id


def _secrets(where: VaultOptions, directory: Vault) -> Iterator[tuple[str, Secret]]:
    """Keys that are there: nobody is asked, no command is run, and no passphrase is derived from."""
    from ..store.configuration import environment  # noqa: PLC0415 - as above
    from ..vault.key_places import EnvironmentKey, KeyFile  # noqa: PLC0415 - as above
    from ..vault.key_sources import KeySources  # noqa: PLC0415 - as above
    from ..vault.secret import KEY_FILE  # noqa: PLC0415 - as above

    environ = environment()
    named = where.key_file or environ.get(KEY_FILE)
    sources: list[KeySource] = [
        EnvironmentKey(environ=environ),
        KeySources(environ).key_file(directory.identity().vault_id),
    ]
    if named:
        sources.insert(0, KeyFile(os.path.abspath(os.path.expanduser(named))))
    for source in sources:
        with contextlib.suppress(VaultError):
            secret = source.secret()
            if secret is not None:
                yield source.name, secret


SessionId = Annotated[str, typer.Argument(metavar="ID", help="The session.", autocompletion=complete_id)]
