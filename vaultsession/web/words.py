"""Values in words, as the page shows them; nothing that came out of a vault can hide or turn the text around it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from ..util.clock import SystemClock, to_datetime

_UNITS = ((31_557_600, "year"), (2_629_800, "month"), (86_400, "day"), (3_600, "hour"), (60, "minute"))
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Controls, what changes the direction of the text behind it, and halves of characters, which no page can hold."""


def visible(text: str) -> str:
    """The text with a sign in the place of each character that would hide or reverse others."""
    return _HIDDEN.sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", text.replace("\r\n", "\n"))


def now() -> datetime:
    """The time, aware."""
    return to_datetime(SystemClock().now())


def moment(time: datetime) -> str:
    """A moment by the clock of this machine."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def ago(time: datetime) -> str:
    """How long ago that is, or how soon it will be."""
    seconds = (now() - time).total_seconds()
    unit, name = next(((unit, name) for unit, name in _UNITS if abs(seconds) >= unit), (0, ""))
    if not unit:
        return "just now" if seconds >= 0 else "in a moment"
    number = round(abs(seconds) / unit)
    spelled = counted(number, name)
    return f"{spelled} ago" if seconds > 0 else f"in {spelled}"


def span(time: timedelta) -> str:
    """A duration, in the largest unit that it is a whole number of."""
    seconds = time.total_seconds()
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            return counted(int(seconds // unit), name)
    return f"{seconds:g} seconds"


def counted(number: int, noun: str) -> str:
    """``1 message``, ``1 200 messages``: in groups of three, with narrow spaces that do not break."""
    return f"{grouped(number)} {noun}{'' if number == 1 else 's'}"


def grouped(number: int) -> str:
    """The number in groups of three."""
    return f"{number:,}".replace(",", "\u202f")
