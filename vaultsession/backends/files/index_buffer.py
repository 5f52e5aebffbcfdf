"""What the index is to learn and was not told yet, by session: so it is bounded by the sessions, not by the writes."""

from __future__ import annotations

import threading

from ...format.sealed import Witness
from .index_schema import IndexEntry


class IndexBuffer:
    """Notes that wait, and those that a transaction is writing just now. Safe from any thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, IndexEntry] = {}
        self._flying: dict[str, IndexEntry] = {}
        self._mutex = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._flying)

    def add(self, locator: str, entry: IndexEntry) -> None:
        """Note an entry behind what was noted of the session."""
        with self._mutex:
            before = self._waiting.get(locator)
            self._waiting[locator] = entry if before is None else _later(before, entry)

    def about(self, locator: str) -> IndexEntry | None:
        """All that was noted of a session and is not known to be written."""
        with self._mutex:
            waiting, flying = self._waiting.get(locator), self._flying.get(locator)
        if waiting is None or flying is None:
            return waiting or flying
        return _later(flying, waiting)

    def take(self) -> dict[str, IndexEntry]:
        """Everything, to be written: ``landed`` or ``put_back`` comes next."""
        with self._mutex:
            self._flying, self._waiting = self._waiting, {}
            return self._flying

    def landed(self) -> None:
        """What was taken is written."""
        self._flying = {}

    def put_back(self) -> None:
        """What was taken is not written."""
        with self._mutex:
            for locator, entry in self._flying.items():
                since = self._waiting.get(locator)
                self._waiting[locator] = entry if since is None else _later(entry, since)
            self._flying = {}


def newest_witness(one: Witness | None, other: Witness | None) -> Witness | None:
    """The later of two, where None is none."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def _later(before: IndexEntry, after: IndexEntry) -> IndexEntry:
    """Two notes about one session as one."""
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
    return IndexEntry(row, tombstone, witness)
