"""The tables beside the bare primitives, from the rows of a run: no figure of them is written by hand.

``benchmarks/README.md`` has all of them, the README five.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path

from ..harness import Row, told
from ..place import Place, duration, thousands

PLACE = Place("benchmarks.own")
HERE = Path(__file__).parents[1] / "README.md"
FRONT = Path(__file__).parents[2] / "README.md"

LINES = {
    "durable create of 20 KB / floor": "durable create of 20 KB",
    "durable save of an existing 20 KB session / floor": "durable save of an existing 20 KB session",
    "durable save of 2 MB with a message more / floor, all of it": (
        "durable save of 2 MB, one message more (the bare primitives write all of it)"
    ),
    "durable append of a turn, 10 messages before / floor": "durable append of a turn (1.5 KB), 10 messages before",
    "durable append of a turn, 100000 messages before / floor": "the same, 100 000 messages before",
    "first append of a fresh process, 100000 messages / bare": "first append of a fresh process",
    "warm load of 20 KB, everything parsed / loads + stat": "warm load of 20 KB, everything parsed",
    "warm load of 2 MB until touched": "warm load of 2 MB until touched",
    "cold load of 20 KB / read, AES-GCM, zstd, orjson": "cold load of 20 KB",
    "last 20 of the longest history, cold / of 100": "last 20 of the longest history, cold; beside it, of 100",
    "a page of 50 of a user, 100000 sessions": "a page of 50 of a user among 100 000 sessions",
    "open and close a vault of 100000 sessions": "open and close a vault of 100 000 sessions",
    "  operations per second": "four processes, 80 % loads and 20 % appends over 1 000 sessions",
    "four processes on 4 hot sessions: appends / bare floor": "four processes appending to 4 sessions",
}
"""Rows of the report, and what they are called there."""

FIVE = {
    "durable save of an existing 20 KB session / floor": "durable save of an existing session, 20 KB",
    "durable append of a turn, 100000 messages before / floor": "durable append of a turn, 100 000 messages before",
    "warm load of 20 KB, everything parsed / loads + stat": "warm load, 20 KB, everything parsed",
    "cold load of 20 KB / read, AES-GCM, zstd, orjson": "cold load, 20 KB",
    "a page of 50 of a user, 100000 sessions": "a page of 50 of a user among 100 000 sessions",
}
"""The rows that the README has."""

_MICROSECONDS = {"us": 1, "ms": 1000, "s": 1_000_000}


def load(path: Path) -> tuple[dict[str, object], list[Row]]:
    """Conditions and rows of a run."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["conditions"], [Row(**row) for row in found["rows"]]


def write(conditions: dict[str, object], rows: list[Row]) -> None:
    """Write both tables anew."""
    PLACE.write(HERE, text(conditions, rows))
    PLACE.write(FRONT, text(conditions, rows, FIVE))


def text(conditions: dict[str, object], rows: list[Row], lines_of: Mapping[str, str] = LINES) -> str:
    """The table and its conditions, in Markdown. What a quick run does not measure is left out."""
    by_name = {row.what: row for row in rows}
    lines = ["| | vaultsession | bare primitives | ratio |", "|---|---|---|---|"]
    lines += [f"| {called} | {_cells(by_name[what])} |" for what, called in lines_of.items() if what in by_name]
    return "\n".join(lines) + "\n\n" + textwrap.fill(f"Medians; {told(conditions)}.", 120) + "\n"


def _cells(row: Row) -> str:
    if row.ours is not None and row.floor is not None:
        return f"{duration(row.ours)} | {duration(row.floor)} | {row.value:.2f}"
    ours, against, floor = row.detail.partition(" against ")
    if against:
        return f"{ours} | {floor} | {row.value:.2f}"
    if row.unit in _MICROSECONDS:
        return f"{duration(row.value * _MICROSECONDS[row.unit])} | | "
    return f"{thousands(row.value)}/s | | " if row.unit == "/s" else f" | | {row.value:.2f}"
