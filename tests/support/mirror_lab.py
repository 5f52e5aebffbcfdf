"""A follower that can be reached, out of reach, or frozen; and waiting for what a thread does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from vaultsession.backends import MemoryBackend
from vaultsession.backends.mirror import Follower, MirrorBackend, Replicator
from vaultsession.backends.replication import Outcome
from vaultsession.errors import BackendUnavailable
from vaultsession.format.sealed import Commit, Heads, IndexRow, Query, Update
from vaultsession.util.clock import SystemClock


class Shaky(MemoryBackend):
    """A follower as the network makes it. What it holds outlives a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.answers = threading.Event()
        self.answers.set()
        self.commits = self.openings = self.closings = 0
        self.metadata: Callable[[], Outcome] = lambda: Outcome.CURRENT
        self.poisoned: set[str] = set()
        self.error: Exception | None = None

    def commit(self, key: str, update: Update) -> Commit:
        self.reached()
        if key in self.poisoned:
            raise self.error or BackendUnavailable("nobody said why")
        self.commits += 1
        return super().commit(key, update)

    def head(self, key: str) -> IndexRow | None:
        self.reached()
        return super().head(key)

    def scan(self, query: Query) -> Heads:
        self.reached()
        return super().scan(query)

    def reached(self) -> None:
        self.answers.wait()
        if self.down:
            raise BackendUnavailable("shaky://host: connection refused")

    def close(self) -> None:
        self.closings += 1

    def opened(self) -> Follower:
        self.openings += 1
        self.reached()
        return Follower(self, self.metadata)


def mirrored(primary: Any, follower: Shaky, **how: Any) -> MirrorBackend:
    """A mirror that is quick to look and to try again."""
    settings = {"drain": 5.0, "patience": 0.05, "first_comparison": 0.0, **how}
    return MirrorBackend(
        primary, Replicator(primary, follower.opened, where="shaky://host", clock=SystemClock(), **settings)
    )


def eventually(holds: Callable[[], object], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.002)


def contents(backend: Any) -> dict[str, bytes]:
    """Every container that a backend lists, byte by byte, by its locator."""
    found = {}
    for row in backend.scan(Query()):
        container = backend.read(row.key)
        found[row.key[-32:]] = container.header + container.data
    return found


def compare(mirror: Replicator) -> None:
    """Have everything compared, soon and in the background."""
    mirror._queue.mark_everything()


def is_level(mirror: Replicator, seconds: float) -> bool:
    """Whether nothing waits any more, within so many seconds."""
    until = time.monotonic() + seconds
    while (status := mirror.status()).behind or status.comparing:
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
