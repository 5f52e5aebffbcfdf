"""Clock: the only reader of wall time, injected once.

Times inside the package are integers, microseconds since 1970-01-01 UTC; datetimes exist only at the public face.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from reprlib import repr as shortened
from typing import Protocol

from ..errors import InvalidSetting

Duration = float | str | timedelta
"""Seconds, a timedelta, or a text such as "90s", "30m", "24h", "7d", "2w"."""

_UNITS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_LONGEST = 1000 * 366 * _UNITS["d"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """A source of the time. Called from any thread."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The wall clock of this machine. Safe from any thread."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000


def to_datetime(moment: int) -> datetime:
    """Microseconds since 1970 as an aware UTC datetime, exactly."""
    return _EPOCH + timedelta(microseconds=moment)


def to_micros(moment: datetime) -> int:
    """An aware datetime as microseconds since 1970; a naive one is a ``ValueError``."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime names no moment: give it a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)


_MILLISECONDS = 100_000_000_000
"""Numbers from here on count milliseconds: seconds reach it in the year 5138."""


def parse_moment(value: object) -> int | None:
    """A time that others wrote, in microseconds since 1970; None for what is none.

    ISO 8601 (UTC where it names no zone), seconds or milliseconds.
    """
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return to_micros(time if time.tzinfo else time.replace(tzinfo=UTC))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return round(value * (1_000 if abs(value) >= _MILLISECONDS else 1_000_000))
    except (ValueError, OverflowError):
        pass
    return None


def to_duration(value: Duration, name: str = "") -> int:
    """A duration in microseconds; ``InvalidSetting`` unless it is at least one and below a thousand years.

    ``name`` is what the error calls it.
    """
    micros: float = 0
    if isinstance(value, timedelta):
        micros = value // timedelta(microseconds=1)
    elif isinstance(value, str):
        text = value.strip().lower()  # without a pattern, which each process would compile for its first store
        number = text.rstrip("".join(_UNITS))
        whole, point, part = number.rstrip().partition(".")
        unit = _UNITS.get(text[len(number) :] or "s")
        if unit and whole.isdecimal() and part.isdecimal() is bool(point):
            micros = float(number) * unit
    elif isinstance(value, int | float) and not isinstance(value, bool):
        micros = value * 1_000_000
    if not 1 <= micros <= _LONGEST:  # also refuses NaN
        raise InvalidSetting(
            f"{name}{': ' if name else ''}{shortened(value)} is no duration: "
            f"give seconds, a timedelta, or a text such as '30m', '24h', '7d'"
        )
    return round(micros)
