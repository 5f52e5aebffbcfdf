"""Small histograms: how many sessions there are of each size and age, as text bars on a terminal."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from ..util.named_tuple import NamedTuple
from .output import data, line, paragraph, size, styled

_KIB = 1024
_HOUR = 3600.0
_DAY = 24 * _HOUR
_LONGEST_BAR = 40


class Scale(NamedTuple):
    """What is counted: the bounds between its classes, ascending, and a name for each class."""

    bounds: tuple[float, ...]
    names: tuple[str, ...]


_BOUNDS = tuple(_KIB * 4**power for power in range(7))
_SPELLED = [size(bound).replace(".0", "") for bound in _BOUNDS]
SIZES = Scale(_BOUNDS, (*(f"< {name}" for name in _SPELLED), f"≥ {_SPELLED[-1]}"))
AGES = Scale(
    (_HOUR, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY), ("< 1 h", "< 1 d", "< 7 d", "< 30 d", "< 365 d", "≥ 365 d")
)


def days(moments: Iterable[datetime], now: datetime, number: int = 14) -> list[Bar]:
    """How many moments are of each of the last days, by the calendar of this machine. Older ones are left out."""
    today = now.astimezone().date()
    counts = Counter((today - moment.astimezone().date()).days for moment in moments)
    shown = [back for back in counts if 0 <= back < number]
    return [
        Bar(f"{today - timedelta(days=back):%a %d %b}", back, back + 1, counts[back])
        for back in range(max(shown, default=-1), -1, -1)
    ]


class Bar(NamedTuple):
    """One class: from a bound on (None: from nothing on), below another (None: without end), and how many."""

    name: str
    least: float | None
    below: float | None
    sessions: int


def counted(scale: Scale, values: Iterable[float]) -> list[Bar]:
    """How many values there are of each class, from the first class that has one to the last."""
    counts = [0] * len(scale.names)
    for value in values:
        counts[bisect_right(scale.bounds, value)] += 1
    edges: Sequence[float | None] = (None, *scale.bounds, None)
    bars = [Bar(name, edges[place], edges[place + 1], counts[place]) for place, name in enumerate(scale.names)]
    used = [place for place, bar in enumerate(bars) if bar.sessions]
    return bars[used[0] : used[-1] + 1] if used else []


def draw(title: str, bars: Sequence[Bar]) -> None:
    """A line for each class, on a terminal of any width."""
    if not bars:
        return
    console = data()
    named, told = max(len(bar.name) for bar in bars), max(len(str(bar.sessions)) for bar in bars)
    room = max(1, min(_LONGEST_BAR, console.width - named - told - 4))
    most = max(bar.sessions for bar in bars)
    block = "█" if "utf" in (sys.stdout.encoding or "").lower() else "#"
    line("")
    paragraph(title, style="bold")
    for bar in bars:
        length = max(1, round(room * bar.sessions / most)) if bar.sessions else 0
        drawn = (block * length, "cyan"), (f"{' ' if length else ''}{bar.sessions}", "")
        console.print(styled((f"{bar.name:>{named}}  ", "dim"), *drawn), soft_wrap=True)
