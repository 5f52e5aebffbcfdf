"""Entries that wait to be written to the index, one per session: bounded by the sessions, not by the writes."""

from __future__ import annotations

import threading

from .index_schema import IndexEntry, newest_witness


class IndexBuffer:
    """Entries that wait, and those of the transaction that is under way. Safe from any thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, IndexEntry] = {}
        self._taken: dict[str, IndexEntry] = {}
        self._mutex = threading.RLock()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._taken)

    def add(self, locator: str, entry: IndexEntry) -> None:
        """Merge an entry into what waits of the session."""
        with self._mutex:
            before = self._waiting.get(locator)
            self._waiting[locator] = entry if before is None else _merge(before, entry)

    def get(self, locator: str) -> IndexEntry | None:
        """Everything about a session that is not known to be written."""
        with self._mutex:
            waiting, taken = self._waiting.get(locator), self._taken.get(locator)
        return taken if waiting is None else _merge(taken, waiting)

    def take(self) -> dict[str, IndexEntry]:
        """All entries, to be written: ``written`` or ``restore`` comes next."""
        with self._mutex:
            self._taken, self._waiting = self._waiting, {}
            return self._taken

    def written(self) -> None:
        """The entries that were taken are in the index."""
        self._taken = {}

    def restore(self) -> None:
        """The entries that were taken could not be written: they wait again."""
        with self._mutex:
            for locator, entry in self._taken.items():
                since = self._waiting.get(locator)
                self._waiting[locator] = entry if since is None else _merge(entry, since)
            self._taken = {}


def _merge(before: IndexEntry | None, after: IndexEntry) -> IndexEntry:
    """Two entries about one session as one."""
    if before is None:
        return after
    if (  # one flushed write behind another, as nearly all are
        before.tombstone is None
        and after.tombstone is None
        and before.row is not None
        and after.row is not None
        and after.witness is not None
        and before.row[1:3] <= after.row[1:3]
        and (before.witness is None or before.witness <= after.witness)
        and before.boot == after.boot
    ):
        return after
    tombstone = after.tombstone or before.tombstone
    row = after.row
    if row is None or (before.row is not None and before.row[1:3] > row[1:3]):
        row = before.row
    witness = newest_witness(before.witness, after.witness)
    if tombstone is not None:
        if row is not None and row.generation <= tombstone.generation:
            row = None
        if witness is not None and witness.generation <= tombstone.generation:
            witness = None
    return IndexEntry(row, tombstone, witness, boot=after.boot or before.boot)
