"""ReplicationQueue: the sessions that the follower may not have as they are now. Bounded.

A key stands in it once, however often its session changed: what travels is the difference to the newest. Where there
are more keys than it may hold, it holds none of them and says that everything is to be compared.
"""

from __future__ import annotations

import threading
import time

from ...util.latch import Latch

MOST_KEYS = 50_000
"""About 10 MB."""


class ReplicationQueue:
    """Safe from any thread; one thread takes. Times are those of the monotonic clock."""

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._taken: tuple[str, float] | None = None
        self._everything: float | None = None
        self.filled = Latch()
        self.marked = 0.0
        """When a key was last marked."""

    def __len__(self) -> int:
        return len(self._since) + (self._taken is not None)

    @property
    def everything(self) -> bool:
        """Whether a comparison of everything is asked for and has not begun."""
        return self._everything is not None

    @property
    def oldest(self) -> float | None:
        """Since when something waits."""
        with self._lock:
            waiting = [
                self._everything,
                self._taken[1] if self._taken else None,
                next(iter(self._since.values()), None),
            ]
        return min((each for each in waiting if each is not None), default=None)

    def mark(self, key: str) -> None:
        """A session has changed."""
        with self._lock:
            self.marked = now = time.monotonic()
            self._since.setdefault(key, now)
            if len(self._since) > self._most:
                self._everything = min(self._everything or now, next(iter(self._since.values())))
                self._since.clear()
        if not self.filled.is_set():
            self.filled.set()

    def mark_everything(self) -> None:
        """What has changed is not known: all is to be compared."""
        with self._lock:
            self._everything = self._everything or time.monotonic()
        self.filled.set()

    def begin_comparing(self) -> bool:
        """Whether everything is to be compared. What changes from now on is marked again."""
        with self._lock:
            asked, self._everything = self._everything is not None, None
            return asked

    def take(self) -> str | None:
        """The key that waits longest; it is either ``done`` or ``put_back``."""
        with self._lock:
            key = next(iter(self._since), None)
            if key is None:
                self.filled.clear()
            else:
                self._taken = key, self._since.pop(key)
            return key

    def done(self) -> None:
        """The follower has what was taken, or never will."""
        with self._lock:
            self._taken = None

    def put_back(self) -> None:
        """The follower could not be given what was taken: it waits longest."""
        with self._lock:
            if self._taken is not None:
                key, since = self._taken
                self._taken = None
                self._since.pop(key, None)
                self._since = {key: since, **self._since}
