"""ManualClock: a clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from ..util.clock import Duration, to_duration, to_micros

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When a ManualClock begins, unless a test says otherwise."""


class ManualClock:
    """A ``Clock`` for tests: ``open_store(…, clock=ManualClock())``. Safe from any thread.

    ``start`` is an aware datetime, or microseconds since 1970-01-01 UTC.
    """

    def __init__(self, start: datetime | int = START) -> None:
        self._now = start if isinstance(start, int) else to_micros(start)
        self._lock = threading.Lock()

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return self._now

    def advance(self, duration: Duration) -> int:
        """Let time pass: seconds, a timedelta, or a text such as "30m". Returns what ``now`` says then."""
        with self._lock:
            self._now += 0 if duration == 0 else to_duration(duration)
            return self._now

    def set(self, moment: datetime | int) -> None:
        """Set the clock, also back, as an administrator might."""
        with self._lock:
            self._now = moment if isinstance(moment, int) else to_micros(moment)
