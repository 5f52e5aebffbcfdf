"""The cache in front of a backend: documents valid exactly while the backend's version is the cached one.

Another process may have written; a backend knows an unchanged version from one ``stat``. Nothing here trusts a clock.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

from .backend import Backend
from .cache import Cache
from .errors import Damaged
from .reading import OVERHEAD, Loaded, Opened, Reading
from .sealed import Fetch, Newest, SealedHead

T = TypeVar("T")


class CoherentReading:
    """Reads through a cache of documents. Safe from any thread."""

    def __init__(self, backend: Backend, reading: Reading, capacity: int) -> None:
        self._backend = backend
        self._reading = reading
        self.cache: Cache[Loaded] = Cache(capacity)

    def loaded(self, key: str) -> Loaded | None:
        """The newest document, or None where there is none: from the cache, extended, or read anew."""
        known = self.cache.get(key)
        if known is not None:
            row = self._backend.head(key)
            if row is None:
                self.cache.forget(key)
                return None
            if row.version == known.version:
                self.cache.hits += 1
                return known
        self.cache.misses += 1
        loaded = self.read(key, lambda fetch: self._reading.load(key, fetch, known))
        if loaded is None:
            self.cache.forget(key)
        else:
            self.cache.keep(key, loaded)
        return loaded

    def current(self, key: str) -> Loaded | None:
        """The cached document if it is the newest; None says only that it must be read."""
        known = self.cache.get(key)
        if known is None:
            return None
        row = self._backend.head(key)
        if row is None or row.version != known.version:
            return None
        self.cache.hits += 1
        return known

    def read(self, key: str, reader: Callable[[Fetch], T]) -> T:
        """What the reader makes of the container; damage is believed only when no writer was half-way."""
        try:
            return reader(self.fetch(key))
        except Damaged:
            return reader(functools.partial(self._backend.read, key, settled=True))

    def fetch(self, key: str) -> Fetch:
        """The container's bytes, without a lock. Inside a critical section these are the newest."""
        return functools.partial(self._backend.read, key)

    def keep(self, row: SealedHead, opened: Opened, bodies: tuple[bytes, ...]) -> None:
        """Keep a document that this process has just written whole."""
        self.cache.keep(
            row.key,
            Loaded(
                key=row.key,
                header=opened.cipher.header,
                seq=row.seq,
                version=row.version,
                size=row.size,
                head=opened.head,
                document=opened.document,
                bodies=bodies,
                weight=sum(map(len, bodies)) + OVERHEAD,
            ),
        )

    def advance(self, known: Loaded | None, before: Newest, opened: Opened, body: bytes | None) -> None:
        """Follow one more record of this process, whose body is given: only if it chained to the cached version."""
        if known is None or not isinstance(before, SealedHead) or known.version != before.version:
            return
        after = opened.row
        if after.generation != before.generation or after.seq == before.seq:
            return
        self.cache.keep(
            after.key,
            Loaded(
                key=known.key,
                header=known.header,
                seq=after.seq,
                version=after.version,
                size=after.size,
                head=opened.head,
                document=opened.document,
                bodies=known.bodies if body is None else (*known.bodies, body),
                weight=known.weight + len(body or b""),
            ),
        )
