"""Remembered: the sealed containers of recently used sessions, kept so that they can go on without their server."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict

from ...errors import Unreadable
from ...format import record
from ...format.sealed import Container

_Age = tuple[int, int]

SESSIONS = 1024
CAPACITY = 64 << 20
"""Sessions and bytes of containers: as many are remembered, and as many may wait."""


class ContainerCache:
    """Containers by key, bounded by count and bytes; the least recently used go first. Safe from any thread.

    An older state never takes the place of a newer one: of one generation the longer container is the newer.
    """

    def __init__(self, *, sessions: int, capacity: int) -> None:
        self.capacity = capacity
        self._most = sessions
        self._size = 0
        self._copies: OrderedDict[str, bytearray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._copies)

    def keys(self) -> list[str]:
        """Least recently used first."""
        with self._lock:
            return list(self._copies)

    def of(self, key: str) -> bytes | None:
        """The whole container as it was last met here."""
        with self._lock:
            copy = self._used(key)
            return None if copy is None else bytes(copy)

    def use(self, key: str) -> None:
        """It is among the most recently used now."""
        with self._lock:
            self._used(key)

    def keep(self, key: str, data: bytes) -> None:
        """A whole container, unless a newer one is known. What no container is, or is too large, is not kept."""
        with contextlib.suppress(Unreadable), self._lock:
            copy = self._used(key)
            if copy is not None and _age(copy) > _age(data):
                return
            self._drop(key)
            if len(data) <= self.capacity:
                self._copies[key] = bytearray(data)
                self._size += len(data)
                self._shrink()

    def extend(self, key: str, end: int, version: bytes, data: bytes) -> bool:
        """Put a record behind the one of that version that ends there; False where another state is known, or none."""
        with self._lock:
            copy = self._used(key)
            if copy is None or len(copy) != end or version_at(copy, end) != version:
                return False
            self._grow(copy, data)
            return True

    def follow(self, key: str, container: Container) -> bool:
        """Learn from bytes that were read; False where more of them are needed."""
        with self._lock:
            copy = self._used(key)
            if copy is None or copy[: record.HEADER_SIZE] != container.header:
                return False
            known = len(copy)
            at = known - record.LINK_AND_FOOTER - container.offset
            if at < 0 or container.size < known or container.data[at : at + record.LINK_AND_FOOTER] != _end(copy):
                return False
            self._grow(copy, container.data[known - container.offset :])
            return True

    def forget(self, key: str) -> None:
        """It is not there any more."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._copies.clear()
            self._size = 0

    def _used(self, key: str) -> bytearray | None:
        copy = self._copies.get(key)
        if copy is not None:
            self._copies.move_to_end(key)
        return copy

    def _grow(self, copy: bytearray, data: bytes) -> None:
        copy += data
        self._size += len(data)
        self._shrink()

    def _shrink(self) -> None:
        while self._size > self.capacity or len(self._copies) > self._most:
            self._size -= len(self._copies.popitem(last=False)[1])

    def _drop(self, key: str) -> None:
        self._size -= len(self._copies.pop(key, b""))


def version_at(data: bytes | bytearray, end: int) -> bytes:
    """The version of the record that ends there, as those bytes claim it."""
    at = end - record.LINK_AND_FOOTER
    return bytes(data[at : at + record.TAG_SIZE]) if at >= record.HEADER_SIZE else b""


def part(data: bytes, start: int) -> Container:
    """Those bytes, as a backend gives them from ``start`` on (negative: so many last ones)."""
    size = len(data)
    offset = min(size, max(record.HEADER_SIZE, size + start if start < 0 else start))
    return Container(data[: record.HEADER_SIZE], offset, data[offset:])


def _end(copy: bytearray) -> bytes:
    return bytes(copy[-record.LINK_AND_FOOTER :])


def _age(data: bytes | bytearray) -> _Age:
    return record.parse_header(bytes(data[: record.HEADER_SIZE])).generation, len(data)
