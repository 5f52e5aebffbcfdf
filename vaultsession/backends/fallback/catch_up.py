"""What shall follow at the server, of a session that went on in memory while the server was away. Pure, and keyless.

Both sides are compared by their chains: what the server has is the beginning of what is here (the rest follows), is
what was known of it when it went away (what is here takes its place), or is something else (both went on: whoever has
the keys puts what is new here behind it). A write whose outcome nobody knew needs no rule of its own: the record is
part of the chain here, and is at the server or is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ...format import record as v1
from ...format.sealed import Container, Current, Delete, IndexRow, ReadRange, Tombstone, Witness, Write
from .container_cache import version_at


class Here(NamedTuple):
    """What memory has of a session at one moment. ``data`` is the whole container; empty where it was removed."""

    row: IndexRow | Tombstone
    data: bytes

    def is_expired(self, now: int) -> bool:
        """Whether it lives no more; what was removed does not expire."""
        return isinstance(self.row, IndexRow) and self.row.expires is not None and self.row.expires <= now


class Parted(NamedTuple):
    """A session that went on in two places.

    ``before`` is its container when both were the same, None where they never were; ``ours`` is the one in memory.
    ``fetch`` gives the container of the server, of which ``theirs`` is the row or the tombstone.
    """

    key: str
    theirs: IndexRow | Tombstone
    fetch: ReadRange
    before: bytes | None
    ours: bytes


Merge = Callable[[Parted], Write | None]
"""Both put together, behind what the server has; None where nothing is new here. If it raises, the session waits on."""


@dataclass(slots=True)
class CatchUp:
    """A session that was written in memory. ``known`` are the states of the server that what is here was made from.

    ``doubt`` is the container behind a write whose outcome nobody knows. ``merged`` are the records that were made of
    both sides, and what was here then: one that is found at the server was written, whatever was said of it.
    """

    before: bytes | None = None
    known: tuple[Witness, ...] = ()
    doubt: bytes | None = None
    merged: list[tuple[IndexRow, Here]] = field(default_factory=list)
    is_parted: bool = False
    size: int = 0
    problem: str | None = None
    due: float = 0.0

    def carried(self, here: Here, newest: Current, *, by_merging: bool) -> None:
        """The server has what was here, as ``newest``; more may have been written here since."""
        self.before = here.data or None
        self.known = (newest.witness,) if isinstance(newest, IndexRow) else ()
        self.doubt = None
        self.merged.clear()
        # From now on the chains differ for good: only documents can be compared.
        self.is_parted = self.is_parted or by_merging


class CatchUpStep(NamedTuple):
    """What shall follow at the server. ``by_merging``: not our own chain. ``kept``: removed here, kept there."""

    result: Write | Delete | None
    by_merging: bool = False
    kept: bool = False


def step(key: str, waiting: CatchUp, here: Here, theirs: Current, fetch: ReadRange, merge: Merge) -> CatchUpStep:
    """What shall follow the server's newest. Called in its critical section, possibly more than once."""
    if isinstance(here.row, Tombstone):
        return _removal(waiting, here.row, theirs)
    if _is_nothing(theirs, waiting, here.row):
        return CatchUpStep(Write(here.row, 0, here.data))
    if not waiting.is_parted and isinstance(theirs, IndexRow):
        if _is_beginning(theirs, here.data, here.row):
            return CatchUpStep(_rest(theirs, here.row, here.data))
        if theirs.witness in waiting.known:
            # What was here before may be what was to be erased.
            return CatchUpStep(Write(here.row, 0, here.data, erase=True))
    return _merged(key, waiting, here, theirs, fetch, merge)


def _removal(waiting: CatchUp, grave: Tombstone, theirs: Current) -> CatchUpStep:
    if not isinstance(theirs, IndexRow):
        return CatchUpStep(None)
    if theirs.witness in waiting.known and theirs.generation <= grave.generation:
        return CatchUpStep(Delete(grave))
    return CatchUpStep(None, kept=True)


def _is_nothing(theirs: Current, waiting: CatchUp, row: IndexRow) -> bool:
    """Whether the server has nothing that counts: nothing at all, or the tombstone of an earlier life."""
    if isinstance(theirs, Tombstone):
        return waiting.before is None and theirs.generation < row.generation
    return theirs is None


def _is_beginning(theirs: IndexRow, data: bytes, row: IndexRow) -> bool:
    """Whether what the server has is the beginning of that container, or all of it."""
    same = theirs.generation == row.generation and theirs.size <= len(data)
    return same and version_at(data, theirs.size) == theirs.version


def _rest(theirs: IndexRow, row: IndexRow, data: bytes) -> Write | None:
    if theirs.torn:
        return Write(row, 0, data)
    return Write(row, theirs.size, data[theirs.size :]) if theirs.size < len(data) else None


def _merged(key: str, waiting: CatchUp, here: Here, theirs: Current, fetch: ReadRange, merge: Merge) -> CatchUpStep:
    if theirs is None:
        raise TypeError("there is nothing to merge with")
    container = fetch(0) if isinstance(theirs, IndexRow) else None
    there = b"" if container is None else container.header + container.data
    before = _common(waiting, here, there)
    for record, then in waiting.merged:
        if theirs.generation == record.generation and version_at(there, record.size) == record.version:
            if then.row == here.row:
                return CatchUpStep(None, by_merging=True)
            before = then.data
    result = merge(Parted(key, theirs, fetch, before, here.data))
    if result is not None:
        waiting.merged.append((result.head, here))
    return CatchUpStep(result, by_merging=True)


def _common(waiting: CatchUp, here: Here, there: bytes) -> bytes | None:
    """The container up to where both sides are the same: where they forked, or else as it was when they parted."""
    if not waiting.is_parted and there:
        for ours in (here.data, waiting.doubt, waiting.before):
            if ours and ours[: v1.HEADER_SIZE] == there[: v1.HEADER_SIZE]:
                return _shared(ours, there)
    return waiting.before


def _shared(ours: bytes, there: bytes) -> bytes | None:
    """The whole records that both begin with; None where there is none."""
    container = Container(there[: v1.HEADER_SIZE], v1.HEADER_SIZE, there[v1.HEADER_SIZE :])
    end = v1.HEADER_SIZE
    for record in v1.records_from(container, v1.HEADER_SIZE):
        if ours[end : record.end] != there[end : record.end]:
            break
        end = record.end
    return there[:end] if end > v1.HEADER_SIZE else None
