"""A cell of the comparison, and the printed table of a workload."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from ..harness import percentile
from .rivals import BY_NAME, OURS


@dataclass(frozen=True)
class Cell:
    """One store in one workload: a median with its spread, from how many samples. ``at`` is its place on a curve."""

    workload: str
    rival: str
    median: float | None
    p10: float | None
    p90: float | None
    p99: float | None
    samples: int
    unit: str
    flushes: float | None = None
    note: str = ""
    at: float | None = None

    @classmethod
    def of(cls, workload: str, rival: str, values: list[float], **more: object) -> Cell:
        """The cell of these values; none of them where there is none."""
        if not values:
            return cls(workload, rival, None, None, None, None, 0, **more)
        spread = [percentile(values, share) for share in (0.1, 0.9, 0.99)]
        return cls(workload, rival, statistics.median(values), *spread, len(values), **more)


def show(workload: str, cells: list[Cell], *, counted: bool) -> None:
    """Print, the best first: times by their median, rates by the highest."""
    measured = [cell for cell in cells if cell.median is not None]
    unit = measured[0].unit if measured else ""
    higher = unit.endswith("/s")
    measured.sort(key=lambda cell: -cell.median if higher else cell.median)
    ours = next((cell.median for cell in measured if cell.rival == OURS), None)
    has_flushes = any(cell.flushes is not None for cell in measured)
    print(f"\n{workload}" + (f" ({unit})" if unit else ""))
    flushes = "flushes" if has_flushes else ""
    print(f"  {'':<22}{'median':>11}{'p10':>11}{'p90':>11}{'p99':>11}{'/ ours':>9}{'n':>6} {flushes:>8}")
    for cell in measured:
        against = f"{cell.median / ours:.2f}" if ours else ""
        beside = "" if not has_flushes else "?" if cell.flushes is None else f"{cell.flushes:.1f}"
        figures = "".join(f"{figure(value):>11}" for value in (cell.median, cell.p10, cell.p90, cell.p99))
        line = f"  {cell.rival:<22}{figures}{against:>9}{cell.samples:>6} {beside:>8}"
        print(f"{line}  {'; '.join(filter(None, (marks(cell.rival), cell.note)))}".rstrip())
    for cell in cells:
        if cell.median is None:
            print(f"  {cell.rival:<22}{'-':>11}  {cell.note}")
    if not counted and has_flushes:
        print("  flushes: not counted")
    print(end="", flush=True)


def figure(value: float | None) -> str:
    """Three digits that say something."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def marks(name: str) -> str:
    """Whether it is durable, and whether it encrypts."""
    entry = BY_NAME.get(name)
    if entry is None:
        return ""
    return ", ".join([*["durable"] * entry.durable, *["encrypted"] * entry.encrypted])
