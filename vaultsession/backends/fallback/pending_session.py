"""A session that waits for its server, and what follows at the server once that is back. Pure, and keyless.

Where the server has the beginning of the session, replication sends the rest. Where it has something else,
``PendingSession.settle`` decides: what was known of the server gives way, and what others wrote is merged with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ...format import record
from ...format.sealed import Current, Delete, IndexRow, ReadRange, Tombstone, Witness, Write


class MemorySnapshot(NamedTuple):
    """A session in memory at one moment. ``data`` is the whole container; empty where it was removed."""

    row: IndexRow | Tombstone
    data: bytes

    def is_expired(self, now: int) -> bool:
        """Whether it lives no more; what was removed does not expire."""
        return isinstance(self.row, IndexRow) and self.row.expires is not None and self.row.expires <= now


class Fork(NamedTuple):
    """A session that went on in two places.

    ``base`` is its container when both were the same, None where they never were; ``ours`` is the one in memory.
    ``fetch`` gives the container of the server, of which ``theirs`` is the row or the tombstone.
    """

    key: str
    base: bytes | None
    ours: bytes
    theirs: IndexRow | Tombstone
    fetch: ReadRange


Merge = Callable[[Fork], Write | None]
"""The three-way merge: what follows the server's newest, None where ours adds nothing. If it raises, ours waits on."""


@dataclass(slots=True)
class PendingSession:
    """A session that was written in memory. ``known`` are the states of the server that ours was made from.

    ``base`` is the container that both had last. ``doubt`` is ours up to a write whose outcome is unknown. ``merged``
    are the records that merges made, each with ours of that time: such a record may have been written although its
    answer was lost; the last one was made behind ``theirs``, the server's container. Once a merge was written the two
    chains have ``diverged`` for good: only documents are compared.
    """

    base: bytes | None = None
    known: tuple[Witness, ...] = ()
    doubt: bytes | None = None
    merged: list[tuple[IndexRow, bytes]] = field(default_factory=list)
    theirs: bytes = b""
    diverged: bool = False
    size: int = 0
    problem: str | None = None
    due: float = 0.0

    def settle(
        self, key: str, ours: MemorySnapshot, theirs: IndexRow | Tombstone, fetch: ReadRange, merge: Merge
    ) -> Write | Delete | None:
        """What follows the server's newest, where that is no beginning of ours. May be asked again."""
        self.theirs = b""
        lives = isinstance(theirs, IndexRow)
        is_known = witness_of(theirs) in self.known
        if isinstance(ours.row, Tombstone):
            return Delete(ours.row) if is_known and theirs.generation <= ours.row.generation else None
        is_earlier_life = not lives and self.base is None and theirs.generation < ours.row.generation
        if is_earlier_life or (is_known and not self.diverged):
            # What the server has may be what was to be erased.
            return Write(ours.row, 0, ours.data, erase=True)
        container = fetch(0) if lives else None
        there = b"" if container is None else container.header + container.data
        result = merge(Fork(key, self._base(ours.data, there), ours.data, theirs, fetch))
        self.theirs = there[: theirs.size] if isinstance(theirs, IndexRow) else b""
        if result is not None:
            self.merged.append((result.head, ours.data))
        return result

    def carried(self, ours: MemorySnapshot, newest: Current) -> None:
        """The server has ours, as part of its ``newest``; ours has changed since."""
        self.base = ours.data or None
        self.known = (newest.witness,) if isinstance(newest, IndexRow) else ()
        self.doubt = None
        self.merged.clear()
        self.diverged = self.diverged or (isinstance(newest, IndexRow) and newest.witness != witness_of(ours.row))

    def _base(self, ours: bytes, there: bytes) -> bytes | None:
        """The container up to where both sides were the same last."""
        for row, then in reversed(self.merged):
            if record.version_at(record.part(there), row.size) == row.version:
                return then
        if not self.diverged and there:
            for one in (ours, self.doubt, self.base):
                if one and one[: record.HEADER_SIZE] == there[: record.HEADER_SIZE]:
                    return _shared(one, there)
        return self.base


def witness_of(newest: Current) -> Witness | None:
    """The point that a living session has reached."""
    return newest.witness if isinstance(newest, IndexRow) else None


def _shared(ours: bytes, there: bytes) -> bytes | None:
    """The whole records that both begin with; None where there is none."""
    end = record.HEADER_SIZE
    for each in record.records_from(record.part(there), end):
        if ours[end : each.end] != there[end : each.end]:
            break
        end = each.end
    return there[:end] if end > record.HEADER_SIZE else None
