"""The index held against the files: rows without a file, files without a row, rows that name another version."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ...backends.files.layout import FilesLayout, key_in
from ...backends.protocol import Backend
from ...engine.reader import Reader
from ...errors import BackendUnavailable, Damaged
from ...format.sealed import IndexRow, Query
from ...util.disk import Disk
from .findings import Finding, Remedy, error, warning

Current = Callable[[str], bytes | None]
"""The version that the file of a key has now; None where it cannot be read."""

_REINDEX = "vaultsession reindex"
_PATIENCE_SECONDS = 0.2
"""Four times what a living writer may take to list what it wrote: a drift that is still there is one."""


class _Drift(NamedTuple):
    lost: frozenset[str]
    unlisted: frozenset[str]
    behind: frozenset[str]


def index(disk: Disk, layout: FilesLayout, backend: Backend, reader: Reader, newest: Current) -> Iterator[Finding]:
    """Drift that stays, and rows that nobody with the vault's keys has written."""
    if not os.path.lexists(layout.index):
        if any(map(key_in, disk.listdir(layout.sessions))):
            yield warning(
                "index-missing",
                "there is no index; a new one proves nothing of freshness",
                fix=_REINDEX,
                remedy=Remedy.REINDEX,
            )
        return
    try:
        rows = _rows(backend)
        drift = _drift(disk, layout, rows, newest)
        if any(drift):
            time.sleep(_PATIENCE_SECONDS)
            rows = _rows(backend)
            again = _drift(disk, layout, rows, newest)
            drift = _Drift(drift.lost & again.lost, drift.unlisted & again.unlisted, drift.behind & again.behind)
    except BackendUnavailable as problem:
        yield warning("index-damaged", f"the index cannot be read: {problem}", "index.sqlite", _REINDEX, Remedy.REINDEX)
        return
    for key in sorted(drift.lost):
        yield error("session-lost", "it is listed, and its file is gone: restore it from a backup", key)
    for key in sorted(drift.unlisted):
        yield warning("unlisted", "it has a file, and is not listed", key, _REINDEX, Remedy.REINDEX)
    for key in sorted(drift.behind):
        yield warning("row-behind", "its row names another version than its file has", key, _REINDEX, Remedy.REINDEX)
    for key in sorted(rows):
        try:
            reader.rows.open(rows[key])
        except Damaged:
            yield error(
                "row-forged", "its row was not written with the keys of this vault", key, _REINDEX, Remedy.REINDEX
            )


def _rows(backend: Backend) -> dict[str, IndexRow]:
    return {row.key: row for row in backend.scan(Query())}


def _drift(disk: Disk, layout: FilesLayout, rows: Mapping[str, IndexRow], newest: Current) -> _Drift:
    keys = {key for key in map(key_in, disk.listdir(layout.sessions)) if key is not None}
    behind = {key for key in keys & rows.keys() if newest(key) not in (None, rows[key].version)}
    # What cannot be read, or reads as absent, is listed nowhere: that is told about the session itself.
    unlisted = {key for key in keys - rows.keys() if newest(key) is not None}
    return _Drift(frozenset(rows.keys() - keys), frozenset(unlisted), frozenset(behind))
