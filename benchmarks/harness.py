"""Measuring side by side: interleaved rounds, medians, and ratios within one run."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
    ours: float | None = None
    floor: float | None = None
    """What a ratio is of, in microseconds."""

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
        self,
        what: str,
        value: float,
        unit: str,
        bar: float | None = None,
        *,
        at_least: bool = False,
        detail: str = "",
        ours: float | None = None,
        floor: float | None = None,
    ) -> None:
        row = Row(what, value, unit, bar, at_least, detail, ours, floor)
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
        self.add(what, mine / bare, "x", bar, detail=f"{mine:.1f} us against {bare:.1f} us", ours=mine, floor=bare)

    def save(self, path: str, conditions: dict[str, object] | None = None) -> None:
        rows = ",\n".join(json.dumps(asdict(row)) for row in self.rows)
        Path(path).write_text(
            f'{{"conditions": {json.dumps(conditions or {})},\n"rows": [\n{rows}\n]}}\n', encoding="utf-8"
        )

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


def conditions(directory: str, *, quick: bool) -> dict[str, object]:
    """Where and how something was measured; asked at the end, for the load."""
    from vaultsession.util.disk import Disk  # noqa: PLC0415 - stores that are measured before are imported by themselves

    return {
        "system": platform.system() + " " + platform.release(),
        "cores": os.cpu_count(),
        "file system": Disk().filesystem(directory) + _without_journal(directory),
        "python": platform.python_version(),
        "load at the end": round(os.getloadavg()[0], 1),
        "run": "quick" if quick else "full",
        "date": time.strftime("%Y-%m-%d"),
    }


def _without_journal(directory: str) -> str:
    """What makes an ext4 quicker than the usual one: a file that grew is flushed without a commit."""
    device = os.stat(directory).st_dev
    try:
        name = os.path.basename(os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
        if name in os.listdir("/proc/fs/ext4") and not any(
            each.startswith(f"{name}-") for each in os.listdir("/proc/fs/jbd2")
        ):
            return " without a journal"
    except OSError:
        pass  # not on Linux, or on no device: nobody says
    return ""


def told(where: dict[str, Any]) -> str:
    """The conditions of a run, in one line."""
    return (
        f"{where['run']} run of {where['date']}, {where['system']}, {where['cores']} cores, {where['file system']}, "
        f"CPython {where['python']}, load at its end {where['load at the end']}"
    )


def median(times: list[float]) -> float:
    return statistics.median(times)


def percentile(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
