"""What crosses the waist: sealed values, and the questions that can be asked about them. No layer below holds a key.

Times are microseconds since 1970-01-01 UTC. Everything here is immutable.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..errors import Damaged
from ..util.named_tuple import NamedTuple
from .ids import LOCATOR, locator_of, parse_locator

VERSION_SIZE = 16
GENERATIONS = 1 << 63
"""Generations are below that, so that every index holds them as they are."""

_COLUMNS = struct.Struct("<QQ16sqqQH")
_NEVER = -1


class Witness(NamedTuple):
    """A point of a session's life: what is flushed is never older than this. Ordered by (generation, seq)."""

    generation: int
    seq: int
    version: bytes


class IndexRow(NamedTuple):
    """One row about one session: what a listing needs, in the clear only as far as a keyless index must compare it.

    ``version`` is the tag of the last record (16 bytes), ``size`` the bytes of the container up to there, ``tags`` the
    keyed digests of owners and labels, ``blob`` the container's header and the complete head, sealed with the columns
    as associated data.
    ``torn`` means that the container cannot be extended (bytes that are no record behind ``size``, or an earlier
    write that failed): the next writer replaces it. It is an observation, not part of the row.
    """

    key: str
    generation: int
    seq: int
    version: bytes
    updated: int
    expires: int | None
    size: int
    tags: tuple[bytes, ...]
    blob: bytes
    torn: bool = False

    @property
    def witness(self) -> Witness:
        """The point of the session's life that this row speaks of."""
        return Witness(self.generation, self.seq, self.version)

    @property
    def place(self) -> tuple[int, str]:
        """Where it stands in a listing: see ``Query.after``."""
        return self.updated, locator_of(self.key)

    def columns(self) -> bytes:
        """What ``columns_of`` makes of the row."""
        return columns_of(*self[:8])


class LostRow(IndexRow):
    """The row of a session that was acknowledged, and whose container is gone.

    An update may delete such a session, or put a whole container in its place; nothing can be put behind it.
    """

    __slots__ = ()


def columns_of(
    key: str,
    generation: int,
    seq: int,
    version: bytes,
    updated: int,
    expires: int | None,
    size: int,
    tags: tuple[bytes, ...],
) -> bytes:
    """The associated data of a row's ``blob``: every column that a keyless index holds, in one injective string.

    Of the key that is the locator: a slug stands in file names alone. ``ValueError`` for columns that no row has, as an
    index that was tampered with may give them.
    """
    for digest in (version, *tags):
        if len(digest) != VERSION_SIZE:
            raise ValueError(f"versions and tags have {VERSION_SIZE} bytes")
    try:
        packed = _COLUMNS.pack(
            generation, seq, version, updated, _NEVER if expires is None else expires, size, len(tags)
        )
    except struct.error as error:
        raise ValueError(str(error)) from None
    return b"".join((packed, *tags, key[LOCATOR].encode()))


def row_of(columns: bytes, blob: bytes) -> IndexRow:
    """The row that ``columns_of`` packed, under its locator. ``ValueError`` for what is none; not proved."""
    try:
        generation, seq, version, updated, expires, size, count = _COLUMNS.unpack_from(columns)
    except struct.error as error:
        raise ValueError(str(error)) from None
    end = _COLUMNS.size + VERSION_SIZE * count
    tags = tuple(columns[at : at + VERSION_SIZE] for at in range(_COLUMNS.size, end, VERSION_SIZE))
    if generation >= GENERATIONS:
        raise ValueError("a generation that none has")
    until = None if expires < 0 else expires
    return IndexRow(parse_locator(columns[end:]), generation, seq, version, updated, until, size, tags, blob)


class Tombstone(NamedTuple):
    """A session of this key was removed at this generation; ``mac`` proves that someone with the keys said so."""

    key: str
    generation: int
    mac: bytes

    def check(self) -> None:
        """``Damaged`` for a generation that none has: no index could hold it, and nobody with the keys wrote it."""
        if not 0 <= self.generation < GENERATIONS:
            raise Damaged(f"the tombstone of {self.key} has a generation that none has; nothing was changed")


class Write(NamedTuple):
    """A head and the sealed bytes that it heads: a whole container (``offset`` 0) or one more record at ``offset``.

    ``flush`` False lets the bytes reach the disk when they will: for what no caller was promised. ``erase`` asks that
    nothing of what was there before stays behind anywhere, quarantine included. ``note`` is handed back in the
    ``Commit``; no backend looks at it. ``instead`` makes a record that says the same behind the newest, where a whole
    container is mere housekeeping: for a medium without room for it.
    """

    head: IndexRow
    offset: int
    data: bytes
    flush: bool = True
    erase: bool = False
    note: Any = None
    instead: Callable[[], Write] | None = None


class Delete(NamedTuple):
    """The tombstone that removes a session. ``flush`` False: it may reappear after a power cut, expired.

    ``shred`` asks that the bytes are overwritten before they go, copies in quarantine included, where that can be done.
    ``note``: as of a ``Write``.
    """

    tombstone: Tombstone
    flush: bool = True
    shred: bool = False
    note: Any = None


def named(change: Write | Delete, key: str) -> Write | Delete:
    """The same change under the key that a backend has for the session. Keys differ in their slugs alone."""
    if isinstance(change, Delete):
        tombstone = change.tombstone
        return change if tombstone.key == key else change._replace(tombstone=tombstone._replace(key=key))
    return change if change.head.key == key else change._replace(head=change.head._replace(key=key))


class Keep(NamedTuple):
    """Nothing changes, and ``note`` says why: None in its place does without a note."""

    note: Any = None


class Container(NamedTuple):
    """Bytes of a container, read through one descriptor: its header, and from ``offset`` to the end of the file.

    ``witness`` and ``tombstone`` are what the index knew *before* the file was read. ``spoiled`` marks a file that an
    earlier writer could neither complete nor replace. ``unproved``: what the witness names was written and not flushed,
    so that it says how far the session came, and not that its bodies are whole.
    """

    header: bytes
    offset: int
    data: bytes
    witness: Witness | None = None
    tombstone: Tombstone | None = None
    spoiled: bool = False
    unproved: bool = False

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.offset + len(self.data)


class Query(NamedTuple):
    """Which heads, in which order. Every tag must match.

    ``alive_at`` keeps those not expired at that time, ``expired_at`` those that are. ``after`` is the
    ``(updated, locator)`` of the last row of the page before; it stays right while sessions change.
    """

    tags: tuple[bytes, ...] = ()
    alive_at: int | None = None
    expired_at: int | None = None
    newest_first: bool = True
    after: tuple[int, str] | None = None
    offset: int = 0
    limit: int | None = None

    def matches(self, row: IndexRow) -> bool:
        """Whether a listing without a cursor holds the row."""
        if any(tag not in row.tags for tag in self.tags):
            return False
        if self.alive_at is not None and row.expires is not None and row.expires <= self.alive_at:
            return False
        return self.expired_at is None or (row.expires is not None and row.expires <= self.expired_at)

    def is_behind_cursor(self, row: IndexRow) -> bool:
        """Whether the row comes after the last one of the page before."""
        if self.after is None:
            return True
        return row.place < self.after if self.newest_first else row.place > self.after


Current = IndexRow | Tombstone | None
"""What a backend knows of a key: living, removed, or nothing."""

Decision = Write | Delete | Keep | None
"""What an update decides to put behind the newest. None and ``Keep`` leave it as it is."""

Update = Callable[[Current], Decision]
"""The compare-and-swap function of a commit: from the newest to what shall follow it.

Called inside the critical section, possibly more than once (an optimistic backend): what it finds out for its caller
goes into the ``note`` of what it returns. What it raises passes through.
"""

DeleteUpdate = Callable[[str, Current], Delete | Keep | None]
"""The same for one of many keys that may be removed. The row of an index that it is given may be forged: open it."""


class Commit(NamedTuple):
    """What a commit did: the newest before and after, the ``change`` between them (None: nothing), and its ``note``."""

    before: Current
    after: Current
    change: Write | Delete | None
    note: Any = None

    @classmethod
    def of(cls, before: Current, change: Decision) -> Commit:
        """A change that was put behind what was newest."""
        if isinstance(change, Write):
            return cls(before, change.head, change, change.note)
        if isinstance(change, Delete):
            return cls(before, change.tombstone, change, change.note)
        return cls(before, before, None, None if change is None else change.note)


ReadRange = Callable[[int], Container | None]
"""Bytes of one container from an offset on; a negative offset counts from the end. None: there is no such container."""


class ReadHead(Protocol):
    """How a keyless backend learns about a container that it finds: a function of the engine, which holds the keys.

    Returns the head of the last authentic record, or None if the container reads as absent (at or below a tombstone).
    ``thorough`` also opens the body of every record that the witness does not vouch for; asked before a record is
    written behind them. Raises ``Unreadable``.
    """

    def __call__(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        """Describe what ``fetch`` gives."""
        ...


Heads = Iterator[IndexRow]
