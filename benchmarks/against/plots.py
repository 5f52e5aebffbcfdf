"""The curves of a run as SVG, small enough to keep beside the README."""

from __future__ import annotations

import os
from collections import defaultdict

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from .rivals import BY_NAME, OURS
from .table import Cell

CURVES = {
    "save of an existing session": ("save", "bytes of JSON"),
    "append of a turn": ("append", "messages before"),
    "last 20": ("last", "messages in the session"),
    "page of 50": ("page", "sessions in the store"),
}


def draw(cells: list[Cell], directory: str, conditions: dict[str, object]) -> None:
    """One file for each workload that has a curve: microseconds over size, both logarithmic."""
    os.makedirs(directory, exist_ok=True)
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vaultsession", "font.size": 9})
    for beginning, (name, across) in CURVES.items():
        lines = _lines([cell for cell in cells if cell.workload.startswith(beginning)])
        if lines:
            _figure(lines, beginning, across, os.path.join(directory, f"{name}.svg"), conditions)


def _lines(cells: list[Cell]) -> dict[str, list[tuple[float, float]]]:
    lines = defaultdict(list)
    for cell in cells:
        if cell.median is not None and cell.at is not None:
            lines[cell.rival].append((cell.at, cell.median))
    # The legend in the order in which the curves end.
    return dict(sorted(lines.items(), key=lambda line: (-line[1][-1][0], -line[1][-1][1])))


def _figure(
    lines: dict[str, list[tuple[float, float]]], title: str, across: str, path: str, conditions: dict[str, object]
) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.5))
    colours = [*plt.get_cmap("tab20").colors, *plt.get_cmap("tab20b").colors[::4]]
    for number, (name, points) in enumerate(lines.items()):
        entry, ours = BY_NAME[name], name == OURS
        axes.plot(
            *zip(*points, strict=True),
            label=name,
            color="black" if ours else colours[number % len(colours)],
            linewidth=3 if ours else 1.2,
            linestyle="-" if entry.durable else ":",
            marker="o" if entry.encrypted else ".",
            markersize=4,
            zorder=3 if ours else 2,
        )
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel="microseconds, median", title=title)
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=7)
    told = ", ".join(f"{name} {value}" for name, value in conditions.items())
    figure.text(0.01, 0.01, f"dotted: not durable; large points: encrypted\n{told}", fontsize=6)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
