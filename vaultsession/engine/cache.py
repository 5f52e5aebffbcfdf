"""The cache in front of a backend: documents valid exactly while the backend's version is the cached one.

Another process may have written; a backend knows an unchanged version from one ``stat``. Nothing here trusts a clock.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from ..backends.protocol import Backend
from ..errors import Damaged
from ..format import document, payload
from ..format.head import Head
from ..format.payload import Json
from ..format.sealed import Current, IndexRow, ReadRange
from ..util.lru import LRU
from ..util.named_tuple import NamedTuple
from .reader import OVERHEAD, Document, OpenHead, Reader, Tail

T = TypeVar("T")
Point = TypeVar("Point", Document, Tail)

_ENDINGS = 8
"""The part of the capacity that ends of documents may take: of those that no caller loads as a whole.

As much, too, may the histories take that ``max_messages`` bounds, and that are appended to; and the names by which
messages are told apart.
"""

_SMALL = 256 * 1024
"""Bytes of JSON up to which a document that a snapshot is taken of is kept as a whole."""

_NAME = 80
"""Bytes that a name takes in memory beside its letters."""

_LONGEST = 64
"""Bodies of an end that is kept: the newest messages are what is asked for again."""


class History(NamedTuple):
    """The messages of a document, unparsed."""

    version: bytes
    messages: Sequence[bytes]
    weight: int


class Names:
    """What a field of the messages of a document says, for messages that are there once. Grows with the document."""

    __slots__ = ("document", "field", "found", "weight")

    def __init__(self, field: str, document: bytes, found: set[str]) -> None:
        self.field = field
        self.document = document
        self.found = found
        self.weight = OVERHEAD


class SessionCache:
    """Reads through a cache of documents. Safe from any thread."""

    def __init__(self, backend: Backend, reading: Reader, capacity: int) -> None:
        self._backend = backend
        self._reader = reading
        weigh = operator.attrgetter("weight")
        part = capacity // _ENDINGS
        self.documents: LRU[str, Document] = LRU(capacity=capacity - 3 * part, weigh=weigh)
        self.endings: LRU[str, Tail] = LRU(capacity=part, weigh=weigh)
        self.histories: LRU[str, History] = LRU(capacity=part, weigh=weigh)
        self._names: LRU[str, Names] = LRU(capacity=part, weigh=weigh)
        self._caches: tuple[LRU[str, Any], ...] = (self.documents, self.endings, self.histories, self._names)
        self.hits = 0
        self.misses = 0

    def loaded(self, key: str) -> Document | None:
        """The newest document, or None where there is none: from the cache, extended, or read anew."""
        known = self.documents.get(key)
        if known is not None and self._backend.is_newest(key, known.witness):
            self.hits += 1
            return known
        self.misses += 1
        loaded = self.read(key, self._reader.load if known is None else partial(self._reader.load, known=known))
        if loaded is None:
            self.forget(key)
        else:
            self.documents.keep(key, loaded)
        return loaded

    def current(self, key: str) -> Document | None:
        """The cached document if it is the newest; None says only that it must be read."""
        known = self.documents.get(key)
        if known is None or not self._backend.is_newest(key, known.witness):
            return None
        self.hits += 1
        return known

    def page(self, key: str, *, wanted: int, offset: int | None) -> tuple[Head, bytes, list[bytes]] | None:
        """The head, the version of the document, and a page of the history, unparsed; None where there is no session.

        From the cached document where that is the newest, else from a cached end of it that reaches far enough, else
        from the tail of the container.
        """
        known = self._current(self.documents, key) or self._current(self.endings, key)
        if known is not None:
            first, end = document.page(known.head.messages, wanted, offset)
            found = document.tail(reversed(known.bodies), end - first, skip=known.head.messages - end)
            if len(found) == end - first:
                self.hits += 1
                return known.head, known.head.document or known.version, found
        self.misses += 1
        read = self.read(key, partial(self._reader.tail, wanted=wanted, offset=offset))
        if read is None:
            return None
        ending, found = read
        self._keep_ending(key, ending)
        return ending.head, ending.head.document or ending.version, found

    def snapshot(self, key: str, *, wanted: int) -> tuple[Head, bytes, Json, list[bytes]] | None:
        """The head, the version of the document, its state and its newest messages, unparsed; None for no session.

        What is small is kept as a whole; of what is large only what is asked for is read.
        """
        known = self.current(key)
        if known is None:
            row = self._backend.head(key)
            if row is None:
                self.forget(key)
                return None
            if self._reader.opened(row).head.raw <= _SMALL:
                known = self.loaded(key)
        if known is not None:
            found = document.tail(reversed(known.bodies), min(wanted, known.head.messages))
            return known.head, known.document, document.state_of(known.bodies), found
        self.misses += 1
        read = self.read(key, partial(self._reader.snapshot, wanted=wanted))
        if read is None:
            return None
        ending, found, firsts = read
        if ending.bodies:
            self._keep_ending(key, ending)
        head = ending.head
        return head, head.document or ending.version, document.state_of_firsts(firsts), found

    def history(self, row: IndexRow, count: int) -> Sequence[bytes]:
        """The ``count`` messages of the document of a critical section, unparsed."""
        kept, known = self.histories.get(row.key), self.documents.get(row.key)
        if kept is not None and kept.version == row.version:
            return kept.messages
        if known is not None and known.version == row.version:
            return self._keep_history(row.key, row.version, document.tail(reversed(known.bodies), count))
        read = self._reader.tail(row.key, self.fetch(row.key), wanted=count)
        return () if read is None else self._keep_history(row.key, read[0].version, read[1])

    def names(self, opened: OpenHead, field: str) -> Names:
        """What the field says in the document of a critical section: remembered, or read from all of it."""
        key, kept = opened.row.key, self._names.get(opened.row.key)
        if kept is not None and (kept.document, kept.field) == (opened.document, field):
            return kept
        known = self.documents.get(key)
        if known is None or known.version != opened.row.version:
            known = self._reader.load(key, self.fetch(key), known)
        if known is None:
            return Names(field, opened.document, set())
        kept = Names(field, known.document, set())
        self._grow(key, kept, document.parse(known.bodies)[1])
        return kept

    def follow_names(self, kept: Names, messages: Sequence[Json], opened: OpenHead) -> None:
        """Remember those of messages that this process has written behind that document, which is now another."""
        kept.document = opened.document
        self._grow(opened.row.key, kept, messages)

    def _grow(self, key: str, kept: Names, messages: Sequence[Json]) -> None:
        self._names.forget(key)  # what it weighs is to be what it weighed when it was kept
        added = document.names_in(messages, kept.field)
        kept.found |= added
        kept.weight += sum(map(len, added)) + _NAME * len(added)
        self._names.keep(key, kept)

    def newest(self, row: IndexRow, wanted: int) -> tuple[list[bytes], int]:
        """The newest messages of a critical section, unparsed, and from how many bodies they were read."""
        ending = self.endings.get(row.key)
        if ending is not None and ending.version == row.version:
            left = reversed(ending.bodies)
            found = document.tail(left, wanted)
            if len(found) == wanted:
                return found, len(ending.bodies) - operator.length_hint(left)
        read = self._reader.tail(row.key, self.fetch(row.key), wanted=wanted)
        if read is None:
            return [], 0
        ending, found = read
        self._keep_ending(row.key, ending)
        return found, len(ending.bodies)

    def forget(self, key: str) -> None:
        """Keep nothing of a session."""
        for each in self._caches:
            if each.peek(key) is not None:
                each.forget(key)

    def stats(self) -> dict[str, int]:
        """Documents, bytes, and how often what was asked for was here."""
        return {
            "cache_sessions": len(self.documents),
            "cache_bytes": sum(each.weight for each in self._caches),
            "cache_hits": self.hits,
            "cache_misses": self.misses,
        }

    def clear(self) -> None:
        """Keep nothing."""
        for each in self._caches:
            each.clear()

    def read(self, key: str, reader: Callable[[str, ReadRange], T]) -> T:
        """What the reader makes of the container; damage is believed only when no writer was half-way."""
        try:
            return reader(key, partial(self._backend.read, key))
        except Damaged:
            return reader(key, partial(self._backend.read, key, settled=True))

    def fetch(self, key: str) -> ReadRange:
        """The container's bytes, without a lock. Inside a critical section these are the newest."""
        return partial(self._backend.read, key)

    def keep(self, row: IndexRow, opened: OpenHead, bodies: tuple[bytes, ...]) -> Document:
        """The document that this process has just written whole; it is kept."""
        written = Document(
            key=row.key,
            header=opened.cipher.header,
            witness=row.witness,
            size=row.size,
            head=opened.head,
            document=opened.document,
            bodies=bodies,
            weight=sum(map(len, bodies)) + OVERHEAD,
        )
        self.documents.keep(row.key, written)
        return written

    def advance(
        self, known: Document | None, before: Current, opened: OpenHead, body: bytes | None, trim: int = 0
    ) -> None:
        """Follow one more record of this process, whose body is given: only if it chained to the cached version.

        ``trim``: how many of the oldest messages it drops.
        """
        after = opened.row
        kept = self.histories.peek(after.key)
        if kept is not None and isinstance(before, IndexRow) and kept.version == before.version and body is not None:
            self._keep_history(after.key, after.version, [*kept.messages, *payload.split(body)[1:]][trim:])
        if not isinstance(before, IndexRow) or after.generation != before.generation or after.seq == before.seq:
            return
        ending = self.endings.peek(after.key)
        if ending is not None and ending.version == before.version:
            bodies = ending.bodies if body is None else (*ending.bodies, body)
            weight = ending.weight + len(body or b"")
            self._keep_ending(after.key, Tail(after.version, opened.head, bodies, weight))
        if known is None or known.witness.version != before.version:
            return
        self.documents.keep(
            after.key,
            Document(
                key=known.key,
                header=known.header,
                witness=after.witness,
                size=after.size,
                head=opened.head,
                document=opened.document,
                bodies=known.bodies if body is None else (*known.bodies, body),
                weight=known.weight + len(body or b""),
            ),
        )

    def _keep_history(self, key: str, version: bytes, messages: Sequence[bytes]) -> Sequence[bytes]:
        self.histories.keep(key, History(version, messages, sum(map(len, messages)) + OVERHEAD))
        return messages

    def _current(self, cache: LRU[str, Point], key: str) -> Point | None:
        known = cache.get(key)
        if known is None:
            return None
        row = self._backend.head(key)
        return known if row is not None and row.version == known.version else None

    def _keep_ending(self, key: str, ending: Tail) -> None:
        dropped = ending.bodies[:-_LONGEST]
        if dropped:
            weight = ending.weight - sum(map(len, dropped))
            ending = ending._replace(bodies=ending.bodies[-_LONGEST:], weight=weight)
        self.endings.keep(key, ending)
