"""Cache: least recently used, bounded by weight; and Recent: the newest, bounded by their number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Weighted(Protocol):
    """Anything that knows how many bytes it holds."""

    @property
    def weight(self) -> int:
        """Bytes."""
        ...


V = TypeVar("V", bound=Weighted)
K = TypeVar("K")
T = TypeVar("T")


class Cache(Generic[V]):
    """Values by key; the least recently used go when the sum of weights passes ``capacity`` bytes.

    Safe from any thread. A value heavier than the whole capacity is not kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.weight = 0
        self.hits = 0
        self.misses = 0
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> V | None:
        """The value, which is now the most recently used; or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def keep(self, key: str, value: V) -> None:
        """Put the value in place of what was there, and let go of what no longer fits."""
        with self._lock:
            self._drop(key)
            if value.weight > self.capacity:
                return
            self._values[key] = value
            self.weight += value.weight
            while self.weight > self.capacity:
                _, oldest = self._values.popitem(last=False)
                self.weight -= oldest.weight

    def forget(self, key: str) -> None:
        """Let go of the value, if there is one."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._values.clear()
            self.weight = 0

    def _drop(self, key: str) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self.weight -= value.weight


class Recent(Generic[K, T]):
    """A bounded memory of what was derived or opened; the oldest goes first. Safe from any thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, T] = OrderedDict()  # a dict looks for its oldest behind all that were forgotten
        self._lock = threading.RLock()
        self.get = self._values.get

    def __len__(self) -> int:
        return len(self._values)

    def keep(self, name: K, value: T) -> None:
        """Remember it, and forget the oldest beyond the bound."""
        with self._lock:
            self._values[name] = value
            self._values.move_to_end(name)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
