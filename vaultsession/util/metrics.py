"""Measuring: how long each verb takes, cheap enough to be always on (0.3 µs a call).

Kept are the durations of the last calls of each verb, so percentiles are exact, and describe the present.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from typing import Protocol

RECENT = 1024
"""Calls of a verb whose durations are kept."""

_PERCENTILES = (50, 90, 99)


class Latency:
    """The durations of one kind of call, in nanoseconds. Safe from any thread.

    No lock is taken: ``calls`` is a statistic, and could miss one where an interpreter without a GIL lets two threads
    count at once.
    """

    __slots__ = ("calls", "errors", "recent")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.recent: deque[int] = deque(maxlen=RECENT)

    def note(self, nanoseconds: int) -> None:
        """One more call."""
        self.calls += 1
        self.recent.append(nanoseconds)

    def summary(self) -> dict[str, float]:
        """``calls`` and ``errors`` of all; ``p50_ms``, ``p90_ms``, ``p99_ms`` and ``max_ms`` of the last 1024."""
        durations = sorted(self.recent.copy())
        told: dict[str, float] = {"calls": self.calls, "errors": self.errors}
        for percent in _PERCENTILES:
            place = -(-len(durations) * percent // 100) - 1
            told[f"p{percent}_ms"] = durations[place] / 1e6 if durations else 0.0
        told["max_ms"] = durations[-1] / 1e6 if durations else 0.0
        return told


class Tracing(Protocol):
    """A tracer that sees each call as a span."""

    def span(self, verb: str, id: str | None) -> AbstractContextManager[None]:
        """Around one call of a verb, on a session where it is on one."""
        ...


class Metrics:
    """What is seen of the verbs of one store. Safe from any thread."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        self.tracing = tracing
        self._latencies: dict[str, Latency] = {}
        self.known = self._latencies.get

    def latency(self, verb: str) -> Latency:
        return self._latencies.setdefault(verb, Latency())

    def summary(self) -> dict[str, dict[str, float]]:
        """Of each verb that was called, by name."""
        return {verb: self._latencies[verb].summary() for verb in sorted(self._latencies.copy())}
