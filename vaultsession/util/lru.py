"""LRU: values by key, bounded by their number and by their weight; the least recently used go first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class LRU(Generic[K, V]):
    """A bounded mapping. Safe from any thread.

    ``most`` bounds the number of values, ``capacity`` the sum of what ``weigh`` says of each; None is no bound. A value
    heavier than the whole capacity is not kept. ``get`` and ``keep`` are uses, ``peek`` and ``in`` are none.

        >>> ciphers = LRU[str, bytes](most=2)
        >>> [ciphers.keep(name, b"") for name in "abc"]
        [[], [], [('a', b'')]]
    """

    def __init__(
        self, *, most: int | None = None, capacity: int | None = None, weigh: Callable[[V], int] | None = None
    ) -> None:
        self.most = most
        self.capacity = capacity
        self.weight = 0
        self._weigh = weigh
        self._values: OrderedDict[K, V] = OrderedDict()  # a dict looks for its oldest behind all that were forgotten
        self._lock = threading.RLock()
        self.peek = self._values.get
        """The value, or None: where what is looked at is kept anew in a moment, or need not be the last to go."""

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def get(self, key: K) -> V | None:
        """The value, which is now the most recently used; or None."""
        value = self._values.get(key)
        if value is not None:
            try:  # noqa: SIM105 - every load comes by here, and a context manager costs it several times as much
                self._values.move_to_end(key)
            except KeyError:
                pass  # another thread has forgotten it meanwhile
        return value

    def keep(self, key: K, value: V) -> list[tuple[K, V]]:
        """Put the value in place of what was there. Returns what went because it no longer fits, with its keys."""
        gone = []
        with self._lock:
            if self._weigh is not None:
                weight = self._weigh(value)
                if self.capacity is not None and weight > self.capacity:
                    self.forget(key)
                    return [(key, value)]
                before = self._values.get(key)
                self.weight += weight if before is None else weight - self._weigh(before)
            self._values[key] = value
            self._values.move_to_end(key)
            while (self.most is not None and len(self._values) > self.most) or (
                self.capacity is not None and self.weight > self.capacity
            ):
                gone.extend(self.evict())
        return gone

    def evict(self) -> list[tuple[K, V]]:
        """Let go of the least recently used value, if there is one. Returns it with its key."""
        with self._lock:
            if not self._values:
                return []
            key, value = self._values.popitem(last=False)
            self._lighten(value)
            return [(key, value)]

    def forget(self, key: K) -> V | None:
        """Let go of the value, if there is one. Returns it."""
        with self._lock:
            value = self._values.pop(key, None)
            if value is not None:
                self._lighten(value)
            return value

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self.weight = 0

    def _lighten(self, value: V) -> None:
        if self._weigh is not None:
            self.weight -= self._weigh(value)
