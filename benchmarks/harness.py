"""Measuring side by side: interleaved rounds, medians, and ratios within one run."""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

Call = Callable[[], object]


@dataclass
class Row:
    """One line of the report. Times in microseconds; ``bar`` as the limit of ``value``."""

    what: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool | None:
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass
class Report:
    """Collects rows, prints each as it comes, and keeps them as JSON."""

    rows: list[Row] = field(default_factory=list)

    def add(
        self, what: str, value: float, unit: str, bar: float | None = None, *, at_least: bool = False, detail: str = ""
    ) -> None:
        row = Row(what, value, unit, bar, at_least, detail)
        self.rows.append(row)
        sign = ">=" if at_least else "<="
        limit = "" if bar is None else f"{sign} {bar:g}"
        mark = {None: " ", True: "ok", False: "OVER"}[row.met]
        print(f"{what:<58} {value:>9.2f} {unit:<4} {limit:<9} {mark:<5} {detail}", flush=True)

    def compare(
        self,
        what: str,
        times: dict[str, list[float]],
        bar: float | None = None,
        *,
        ours: str = "ours",
        floor: str = "floor",
    ) -> None:
        """Our median over the floor's."""
        mine, bare = median(times[ours]), median(times[floor])
        self.add(what, mine / bare, "x", bar, detail=f"{mine:.1f} us against {bare:.1f} us")

    def save(self, path: str) -> None:
        Path(path).write_text(json.dumps([asdict(row) for row in self.rows], indent=1) + "\n")

    def closing_line(self) -> str:
        over = [row.what for row in self.rows if row.met is False]
        return f"{len(self.rows)} rows, {len(over)} over their bar" + (f": {'; '.join(over)}" if over else "")


def interleaved(calls: dict[str, Call], rounds: int, *, warm_up: int = 3, each: int = 1) -> dict[str, list[float]]:
    """Microseconds of every call, taken in turns so that noise meets all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds + warm_up):
            for name, call in calls.items():
                began = time.perf_counter_ns()
                for _ in range(each):
                    call()
                took = (time.perf_counter_ns() - began) / 1000 / each
                if number >= warm_up:
                    times[name].append(took)
    finally:
        gc.enable()
    return times


def median(times: list[float]) -> float:
    return statistics.median(times)


def percentile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
