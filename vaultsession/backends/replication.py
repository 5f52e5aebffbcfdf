"""Replication: one session of a backend brought to what another has, sealed bytes only. Neither side holds a key.

The source decides. Where its container has only grown since, its new records travel; else the whole container does; a
removal travels as the tombstone that proves it. What is newer at the target, or is there alone, is reported and left.

A source may lie: somebody without a key put a tombstone or a container there. So a caller with the keys gives
``accept``, which proves each change before it destroys or replaces anything. A target that lies spoils its own copy.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Protocol

from ..errors import BackendUnavailable, Unreadable
from ..format import record
from ..format.ids import is_key, locator_of
from ..format.sealed import (
    Commit,
    Container,
    Current,
    Decision,
    Delete,
    IndexRow,
    Keep,
    LostRow,
    Query,
    Tombstone,
    Update,
    Write,
)
from ..util.named_tuple import NamedTuple
from .protocol import Backend

_TRIES = 3
"""How often a row and its bytes are looked for without keeping writers out."""


_BETWEEN = 256
"""Rows, while two listings are compared."""


class Outcome(StrEnum):
    """What became of one session of the target."""

    CURRENT = "current"
    APPENDED = "appended"
    REPLACED = "replaced"
    REMOVED = "removed"
    AHEAD = "ahead"
    """The target has a newer one: left as it is."""
    EXTRA = "extra"
    """Only the target has it, and no tombstone of the source names it: left as it is."""
    UNPROVED = "unproved"
    """What the source has does not prove itself: the target's is left as it is."""
    SETTLED = "settled"
    """Both went on by themselves: the caller's ``settle`` decided."""


class Gap(StrEnum):
    """How a session of the target differs from the source's."""

    MISSING = "missing"
    BEHIND = "behind"
    REMOVED = "removed"
    """The source has its tombstone; the target has the session."""
    AHEAD = "ahead"
    EXTRA = "extra"
    UNREADABLE = "unreadable"
    """It cannot be looked at, at one side: ``follow`` says why."""


class SessionGap(NamedTuple):
    """One session that is not the same on both sides."""

    key: str
    gap: Gap


class Source(Protocol):
    """What a session is followed from: see ``Backend``. ``commit`` is asked for a look within the critical section."""

    def head(self, key: str) -> IndexRow | None: ...

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None: ...

    def commit(self, key: str, update: Update) -> Commit: ...


Settle = Callable[[IndexRow | Tombstone], Write | Delete | None]
"""What follows the target's newest, which is no beginning of what the source has; None leaves it as it is."""

Accept = Callable[[Current, Write | Delete], bool]
"""Whether a change may follow what the target has: asked of a caller with the keys, who can prove it."""


def follow(source: Source, target: Backend, key: str, *, anew: bool = False, accept: Accept | None = None) -> Outcome:
    """``replicate``: what became of the session."""
    outcome: Outcome = replicate(source, target, key, anew=anew, accept=accept).note
    return outcome


def replicate(
    source: Source,
    target: Backend,
    key: str,
    *,
    anew: bool = False,
    accept: Accept | None = None,
    settle: Settle | None = None,
) -> Commit:
    """Bring one session of ``target`` to what ``source`` has, in one commit; ``anew`` sends it whole in any case.

    Its ``note`` is the ``Outcome``. ``accept`` gets what the target has and what shall follow it; where it says no, the
    target's is left, ``UNPROVED``. With ``settle`` the target is no mere copy: where it went on by itself, that decides
    what follows.

    The source is read within the target's critical section: of two that follow at once, neither can put the older state
    behind the newer. Costs the memory of what is sent, at most one container. Errors of both sides pass through;
    ``Unreadable`` from a source whose session is damaged, which leaves the target's copy as it was.
    """

    def update(theirs: Current) -> Decision:
        is_lost = isinstance(theirs, LostRow)  # its container is gone: nothing can be put behind it
        if settle is not None and theirs is not None and not _is_beginning(theirs, source, key):
            settled = settle(theirs)
            return Keep(Outcome.SETTLED) if settled is None else settled._replace(note=Outcome.SETTLED)
        outcome, change = _step(source, key, theirs, anew=anew or is_lost)
        if theirs is None and change is None and accept is not None:
            grave = newest_of(source, key)  # what cannot be read at the target may lie there all the same
            change = Delete(grave._replace(key=key)) if isinstance(grave, Tombstone) else None
        if change is not None and accept is not None and not accept(theirs, change):
            return Keep(Outcome.UNPROVED)
        return Keep(outcome) if change is None else change._replace(note=outcome)

    return target.commit(key, update)


def newest_of(backend: Source, key: str) -> Current:
    """What a backend knows of a key, its tombstone included. Changes nothing."""
    return backend.head(key) or backend.commit(key, lambda _: None).after


def has_vanished(backend: Source, key: str) -> bool:
    """Whether a backend knows nothing of a key, not even what cannot be read."""
    try:
        return newest_of(backend, key) is None
    except Unreadable:
        return False


def aligned(source: Backend, target: Backend) -> Iterator[tuple[IndexRow | None, IndexRow | None]]:
    """Both listings side by side, oldest first: two rows that speak of the same bytes, or one that stands alone.

    Pages come as the backends give them, so that memory does not grow with the number of sessions.
    """
    ours = ((row.place, 0, row) for row in _rows(source))
    theirs = ((row.place, 1, row) for row in _rows(target))
    waiting: IndexRow | None = None  # a row of the source, until it is known whether the target has the same
    for _, side, row in heapq.merge(ours, theirs, key=lambda each: each[:2]):
        if side == 0:
            if waiting is not None:
                yield waiting, None
            waiting = row
        elif waiting is not None and is_same(row, waiting):
            yield waiting, row
            waiting = None
        else:
            yield None, row
    if waiting is not None:
        yield waiting, None


def differing(source: Backend, target: Backend, *, between: Callable[[], object] | None = None) -> Iterator[SessionGap]:
    """Every session that is not the same on both sides, as of some moment while the iteration goes on.

    One that changes meanwhile may be reported twice. What stands in both listings costs nothing more; what does not
    costs one look at the other side. ``between`` is called every now and then: a place to rest, or to leave.
    """
    for number, (ours, theirs) in enumerate(aligned(source, target)):
        if between is not None and number % _BETWEEN == 0:
            between()
        if theirs is None and ours is not None:
            yield from _gap_of(ours, target)
        elif ours is None and theirs is not None:
            yield from _gap_beyond(theirs, source)


def is_same(one: IndexRow, other: IndexRow) -> bool:
    """Whether two rows speak of the same bytes."""
    same = (one.witness, one.size, one.torn) == (other.witness, other.size, other.torn)
    return same and locator_of(one.key) == locator_of(other.key)


def _rows(backend: Backend) -> Iterator[IndexRow]:
    """Its listing, oldest first; without what no key is, since keys become paths."""
    return (row for row in backend.scan(Query(newest_first=False)) if is_key(row.key))


def _gap_of(row: IndexRow, target: Backend) -> Iterator[SessionGap]:
    """What a row of the source lacks at the target. A target that is ahead is reported from its own row."""
    try:
        there = target.head(row.key)
    except Unreadable:
        yield SessionGap(row.key, Gap.UNREADABLE)
        return
    if there is None:
        yield SessionGap(row.key, Gap.MISSING)
    elif not _is_newer(there, row) and not is_same(there, row._replace(torn=False)):
        yield SessionGap(row.key, Gap.BEHIND)


def _gap_beyond(row: IndexRow, source: Source) -> Iterator[SessionGap]:
    """Why the source has no such row: it has none at all, or another, reported from its own row unless older."""
    try:
        ours = newest_of(source, row.key)
    except Unreadable:
        yield SessionGap(row.key, Gap.UNREADABLE)
        return
    if ours is None:
        yield SessionGap(row.key, Gap.EXTRA)
    elif isinstance(ours, Tombstone):
        yield SessionGap(row.key, Gap.AHEAD if row.generation > ours.generation else Gap.REMOVED)
    elif _is_newer(row, ours):
        yield SessionGap(row.key, Gap.AHEAD)


def _is_newer(one: IndexRow, other: IndexRow) -> bool:
    return (one.generation, one.seq) > (other.generation, other.seq)


def _step(source: Source, key: str, theirs: Current, *, anew: bool) -> tuple[Outcome, Write | Delete | None]:
    """What shall follow the target's newest. Row and bytes are of one moment, or are looked for again."""
    for _ in range(_TRIES):
        ours = newest_of(source, key)
        if not isinstance(ours, IndexRow):
            return _without(ours, theirs)
        if (outcome := _as_it_is(ours, theirs, anew=anew)) is not None:
            return outcome, None
        if not anew and (shared := _shared(ours, theirs)):
            step = _grown(ours, source.read(key, shared - record.LINK_AND_FOOTER), theirs)
            if step is not None:
                return step
        step = _whole(ours, source.read(key))
        if step is not None:
            return step
    return _step_alone(source, key, theirs)


def _step_alone(source: Source, key: str, theirs: Current) -> tuple[Outcome, Write | Delete | None]:
    """The same where it changes faster than it can be read: within the source's critical section, and whole."""
    commit = source.commit(key, lambda _: Keep(source.read(key)))
    ours, container = commit.after, commit.note
    if not isinstance(ours, IndexRow):
        return _without(ours, theirs)
    step = _whole(ours, container)
    if step is None:
        raise BackendUnavailable(f"the row of {key} and its container do not belong together: it was not copied")
    return step


def _as_it_is(ours: IndexRow, theirs: Current, *, anew: bool) -> Outcome | None:
    """Why the target's is left as it is; None where it is not."""
    if isinstance(theirs, Tombstone):
        return Outcome.AHEAD if theirs.generation >= ours.generation else None
    if theirs is None:
        return None
    if _is_newer(theirs, ours):
        return Outcome.AHEAD
    return None if anew or not is_same(theirs, ours._replace(torn=False)) else Outcome.CURRENT


def _without(ours: Tombstone | None, theirs: Current) -> tuple[Outcome, Delete | None]:
    """Where the source has no session: what its tombstone names is removed, and nothing else.

    A tombstone that was signed anew, under another key, takes the place of the one before.
    """
    if isinstance(ours, Tombstone) and isinstance(theirs, Tombstone) and ours[1:] != theirs[1:]:
        return Outcome.CURRENT, Delete(ours._replace(key=theirs.key)) if ours.generation == theirs.generation else None
    if not isinstance(theirs, IndexRow):
        return Outcome.CURRENT, None
    if ours is None:
        return Outcome.EXTRA, None
    if theirs.generation > ours.generation:
        return Outcome.AHEAD, None
    return Outcome.REMOVED, Delete(ours)


def _is_beginning(theirs: IndexRow | Tombstone, source: Source, key: str) -> bool:
    """Whether the source has all records of the target's container, in front of its own newest or as that."""
    if not isinstance(theirs, IndexRow):
        return False
    container = source.read(key, theirs.size - record.LINK_AND_FOOTER)
    return container is not None and record.version_at(container, theirs.size) == theirs.version


def _shared(ours: IndexRow, theirs: Current) -> int:
    """Up to where the target's container may be the beginning of ours, by its row; 0 if it cannot be."""
    if (
        isinstance(theirs, IndexRow)
        and not theirs.torn
        and theirs.generation == ours.generation
        and theirs.seq < ours.seq
        and record.HEADER_SIZE + record.SMALLEST_RECORD <= theirs.size < ours.size
    ):
        return theirs.size
    return 0


def _grown(ours: IndexRow, container: Container | None, theirs: Current) -> tuple[Outcome, Write] | None:
    """The records behind the target's newest; None where ours does not follow from it, or changed meanwhile."""
    if container is None or not isinstance(theirs, IndexRow):
        return None
    if (
        record.version_at(container, theirs.size) != theirs.version
        or container.size < ours.size
        or record.version_at(container, ours.size) != ours.version
    ):
        return None
    data = container.data[theirs.size - container.offset : ours.size - container.offset]
    return Outcome.APPENDED, Write(ours._replace(torn=False), theirs.size, data)


def _whole(ours: IndexRow, container: Container | None) -> tuple[Outcome, Write] | None:
    """The container up to what our row speaks of; None if it changed meanwhile.

    Bytes behind that are a record that is being written, or torn: they are never copied. And what the source has
    replaced may be what was to be erased: it is, at the target too.
    """
    if container is None or container.size < ours.size or record.version_at(container, ours.size) != ours.version:
        return None
    data = container.header + container.data[: ours.size - record.HEADER_SIZE]
    return Outcome.REPLACED, Write(ours._replace(torn=False), 0, data, erase=True)
