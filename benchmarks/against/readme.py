"""The table of the comparison in ``benchmarks/README.md``, from a run: no figure of it is written by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

from ..harness import told
from ..place import Place, duration, thousands
from .bench import LEFT_OUT
from .fresh import APPEND as FIRST_APPEND
from .processes import APPENDS, MIXED
from .results import Results
from .rivals import FLOOR, OURS
from .table import Cell

PLACE = Place("benchmarks.against")
HERE = Path(__file__).parents[1] / "README.md"

STORES = (
    OURS,
    FLOOR,
    "sqlite rows",
    "sqlite blobs",
    "sqlcipher rows",
    "sqlcipher blobs",
    "redis, always",
    "openai encrypted",
    "langgraph encrypted",
    "adk sqlite",
    "diskcache, durable",
    "sqlitedict, durable",
)
"""The durable ones, of each library the one that encrypts if there is one."""


def _rate(cell: Cell) -> str:
    """With what was lost of what had been acknowledged, where anything was."""
    lost = cell.note.split(" ")[0]
    return f"{thousands(cell.median or 0)}/s" + (
        "" if lost == "0" else f", {lost} lost" if lost.isdigit() else ", unreadable"
    )


def _time(cell: Cell) -> str:
    return duration(cell.median or 0.0)


def _ratio(cell: Cell) -> str:
    part = cell.note.partition(" in the time")[0]
    return f"{cell.median:.2f}" + (f" ({part})" if part else "")


_COLUMNS: tuple[tuple[str, str, Callable[[Cell], str]], ...] = (
    ("save, 20 KB", "save of an existing session, 20 KB", _time),
    ("append to 10 000 messages", "append of a turn, 10000 messages", _time),
    ("last 20 of them", "last 20 of 10000 messages", _time),
    ("warm load, 20 KB", "warm load, 20 KB", _time),
    ("first append of a process", FIRST_APPEND, _time),
    ("4 processes, mixed", MIXED, _rate),
    ("4 processes, appends", APPENDS, _rate),
    ("disk / JSON, turn by turn", "bytes on disk / JSON, …of 20-200 KB, turn by turn", _ratio),
)


def text(results: Results) -> str:
    """The table and its conditions, in Markdown."""
    stores = [store for store in results.stores if store["name"] in STORES]
    stores.sort(key=lambda store: STORES.index(store["name"]))
    lines = ["| | encrypts | " + " | ".join(title for title, _, _ in _COLUMNS) + " |"]
    lines.append("|---|---|" + "---|" * len(_COLUMNS))
    for store in stores:
        found = [(results.cell(workload, store["name"]), show) for _, workload, show in _COLUMNS]
        cells = [_shown(cell, show) for cell, show in found]
        name = f"**{OURS}**" if store["name"] == OURS else store["name"]
        lines.append(f"| {name} | {'yes' if store['encrypted'] else 'no'} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + _conditions(results, stores)


def _shown(cell: Cell | None, show: Callable[[Cell], str]) -> str:
    if cell is None:
        return "-"
    if cell.median is None:
        return LEFT_OUT if cell.note.startswith(LEFT_OUT) else "failed"
    return show(cell)


def _conditions(results: Results, stores: list[dict]) -> str:
    versions = {store["package"]: store["version"] for store in stores if store["package"]}
    modes: dict[str, list[str]] = {}
    for store in stores:
        for part in store["how"].split("; "):
            modes.setdefault(part, []).append(store["name"].replace(",", ""))
    used = "; ".join(f"{', '.join(names)}: {part}" for part, names in modes.items())
    told_of_all = (
        "Medians, every store in turn, in an order that is drawn anew for each round: "
        f"{told(results.conditions)}. All of these return from a write after its flush. A save replaces a history "
        "whose last message is another one. Bytes on disk: made-up or real conversations of 20 to 200 KB, each record "
        'appended (some in the time that there was). "-": the library has no such operation, or is not made for '
        f'several processes. "{LEFT_OUT}": it would have taken too long, which the run tells. "lost": messages that '
        "were acknowledged and are not there."
    )
    used_as = f"{used}. {', '.join(f'{name} {version}' for name, version in versions.items())}."
    return "\n\n".join(textwrap.fill(part, 120, break_on_hyphens=False) for part in (told_of_all, used_as)) + "\n"
