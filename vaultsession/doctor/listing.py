"""The index held against the files: rows without a file, files without a row, rows that name another version."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..backend import Backend
from ..backends.files.layout import Layout, key_in
from ..disk import READ, Disk, opened
from ..envelope import v1
from ..errors import BackendUnavailable, Damaged
from ..reading import Reading
from ..sealed import Query, SealedHead
from .findings import Finding, error, warning

_REINDEX = "vaultsession reindex"
_BATCHES = 4
_BATCH_SECONDS = 0.05
"""What a living writer may take to list what it wrote, and a few of those: a drift that stays is one."""


class _Drift(NamedTuple):
    lost: frozenset[str]
    unlisted: frozenset[str]
    behind: frozenset[str]

    def __and__(self, other: _Drift) -> _Drift:
        return _Drift(*(mine & theirs for mine, theirs in zip(self, other, strict=True)))


def index(disk: Disk, layout: Layout, backend: Backend, reading: Reading) -> Iterator[Finding]:
    """Drift that stays, and rows that nobody with the vault's keys has written."""
    if not os.path.lexists(layout.index):
        yield warning(
            "index-missing", "there is no index: the next opening derives it, and freshness is unproved", fix=_REINDEX
        )
        return
    try:
        rows = _rows(backend)
        drift = _drift(disk, layout, rows)
        if any(drift):
            time.sleep(_BATCHES * _BATCH_SECONDS)
            rows = _rows(backend)
            drift = drift & _drift(disk, layout, rows)
    except BackendUnavailable as problem:
        yield warning("index-damaged", f"the index cannot be read: {problem}", fix=_REINDEX)
        return
    for key in sorted(drift.lost):
        yield error("session-lost", "it is listed, and its file is gone: restore it from a backup", key, _REINDEX)
    for key in sorted(drift.unlisted):
        yield warning("unlisted", "it has a file, and is not listed", key, _REINDEX)
    for key in sorted(drift.behind):
        yield warning("row-behind", "its row names another version than its file has", key, _REINDEX)
    for key in sorted(rows):
        try:
            reading.rows.open(rows[key])
        except Damaged:
            yield error("row-forged", "its row was not written with the keys of this vault", key, _REINDEX)


def _rows(backend: Backend) -> dict[str, SealedHead]:
    return {row.key: row for row in backend.scan(Query())}


def _drift(disk: Disk, layout: Layout, rows: Mapping[str, SealedHead]) -> _Drift:
    keys = {key for key in map(key_in, disk.listdir(layout.sessions)) if key is not None}
    behind = {key for key in keys & rows.keys() if _newest(disk, layout.session(key)) != rows[key].version}
    return _Drift(frozenset(rows.keys() - keys), frozenset(keys - rows.keys()), frozenset(behind))


def _newest(disk: Disk, path: str) -> bytes:
    """The version that the end of the file claims."""
    try:
        with opened(disk, path, READ) as fd:
            size = disk.fstat(fd).st_size
            return disk.pread(fd, v1.TAG_SIZE, max(0, size - v1.LINK_AND_FOOTER))
    except OSError:
        return b""
