"""The curves and bars of a run as SVG, small enough to keep beside the document.

On a background of their own, so that they read on a white page and on a dark one; names stand at the ends of the lines.
The digest of the results that they were drawn from is in the file.
"""

from __future__ import annotations

import os
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from ..harness import told
from ..place import duration, thousands
from .processes import MIXED
from .readme import STORES
from .results import Results
from .rivals import BY_NAME, FLOOR, OURS

CURVES = {
    "append": ("append of a turn", "Durable append of one turn (1.5 KB)", "messages in the session before"),
    "save": ("save of an existing session", "Durable save of a whole session", "bytes of JSON"),
    "last": ("last 20", "Reading the last 20 messages", "messages in the session"),
    "page": ("page of 50", "A page of 50 sessions of one user", "sessions in the store"),
}
_PAPER, _INK = "#fdfdfc", "#1c1c1c"
_BLUE, _AMBER, _GREY = "#0b57d0", "#b45309", "#6b7280"
_SMALL = 9  # points, which are 12 pixels
_APART = 12.5  # points between the middles of two names


def draw(results: Results, directory: str) -> None:
    """One file for each workload that has a curve, and one for the four processes."""
    os.makedirs(directory, exist_ok=True)
    plt.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "vaultsession", "font.size": _SMALL, "text.color": _INK}
    )
    for name, (beginning, title, across) in CURVES.items():
        if lines := _lines(results, beginning):
            figure, axes = _figure(
                results, title, "blue: vaultsession; amber: encrypts too; grey: plaintext; dashed: bare"
            )
            _curves(axes, lines, across)
            _save(figure, results, directory, name)
    bars = [cell for name in STORES if (cell := results.cell(MIXED, name)) and cell.median is not None]
    if bars:
        title = "Four processes on one store: 80 % loads, 20 % durable appends"
        figure, axes = _figure(results, title, "blue: vaultsession; amber: encrypts too; grey: plaintext")
        _bars(axes, sorted(bars, key=lambda cell: cell.median))
        _save(figure, results, directory, "processes")


def _lines(results: Results, beginning: str) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for cell in results.cells:
        fits = cell.workload.startswith(beginning) and cell.rival in STORES
        if fits and cell.median is not None and cell.at is not None:
            lines.setdefault(cell.rival, []).append((cell.at, cell.median))
    return {name: sorted(points) for name, points in lines.items()}


def _figure(results: Results, title: str, key: str) -> tuple[Any, Any]:
    figure, axes = plt.subplots(figsize=(8.6, 4.9), facecolor=_PAPER)
    axes.set_facecolor(_PAPER)
    figure.subplots_adjust(left=0.09, right=0.80, top=0.91, bottom=0.22)
    figure.text(0.02, 0.95, title, fontsize=12, fontweight="bold")
    figure.text(
        0.02, 0.025, f"{key}\nmedians; {told(results.conditions)}", fontsize=_SMALL, color="#404040", linespacing=1.5
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _curves(axes: Any, lines: dict[str, list[tuple[float, float]]], across: str) -> None:
    for name, points in lines.items():
        ours = name == OURS
        axes.plot(
            *zip(*points, strict=True),
            color=_colour(name),
            linewidth=3.2 if ours else 1.3,
            linestyle=(0, (5, 3)) if name == FLOOR else "-",
            marker="o",
            markersize=6 if ours else 3,
            zorder=4 if ours else 3,
        )
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(sorted({at for points in lines.values() for at, _ in points}))
    axes.set_xlabel(across)
    axes.grid(visible=True, which="major", linewidth=0.4, color="#d6d6d2")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value).replace(".00", "").replace(".0", "")))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))
    axes.minorticks_off()
    # A store that was left out beyond some length ends early: a dotted line leads from there to its name at the right.
    right = max(points[-1][0] for points in lines.values())
    axes.set_xlim(right=right * 1.15)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom * 0.8, top * 1.2)
    axes.figure.canvas.draw()
    height = axes.get_window_extent().height * 72 / axes.figure.dpi
    ends = sorted((_share(axes, points[-1][1]), name) for name, points in lines.items())
    for (_, name), place in zip(ends, _spread([end for end, _ in ends], _APART / height), strict=True):
        at, value = lines[name][-1]
        axes.annotate(
            name,
            xy=(at, value),
            xytext=(1.035, place),
            textcoords="axes fraction",
            va="center",
            color=_colour(name),
            fontweight="bold" if name == OURS else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": _colour(name),
                "linewidth": 0.6,
                "linestyle": "-" if at == right else ":",
                "shrinkA": 1,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )


def _share(axes: Any, value: float) -> float:
    """How far up the axes a value stands."""
    return float(axes.transAxes.inverted().transform(axes.transData.transform((1, value)))[1])


def _spread(places: list[float], apart: float) -> list[float]:
    """The same ascending places, moved as little as may be, so that neighbours are so far apart.

    Neighbours that are too close form a group around the middle of where they want to be; groups that touch join.
    """
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        while len(groups) > 1 and _low(groups[-1], apart) - _high(groups[-2], apart) < apart:
            last = groups.pop()
            groups[-1] += last
    return [_low(group, apart) + number * apart for group in groups for number in range(len(group))]


def _low(group: list[float], apart: float) -> float:
    return sum(group) / len(group) - (len(group) - 1) * apart / 2


def _high(group: list[float], apart: float) -> float:
    return sum(group) / len(group) + (len(group) - 1) * apart / 2


def _bars(axes: Any, cells: list[Any]) -> None:
    names = [cell.rival for cell in cells]
    axes.barh(names, [cell.median for cell in cells], color=[_colour(name) for name in names], height=0.66)
    axes.figure.subplots_adjust(left=0.19, right=0.76)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("operations per second")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))
    axes.grid(visible=True, axis="x", linewidth=0.4, color="#d6d6d2")
    axes.set_axisbelow(True)
    for label in axes.get_yticklabels():
        label.set_color(_colour(label.get_text()))
        label.set_fontweight("bold" if label.get_text() == OURS else "normal")
    for number, cell in enumerate(cells):
        lost = cell.note.split(",")[0]
        loses = not lost.startswith("0 of")
        axes.annotate(
            thousands(cell.median) + (f"; {lost.replace(' lost', ' messages lost')}" if loses else ""),
            (cell.median, number),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color="#b91c1c" if loses else _INK,
        )


def _colour(name: str) -> str:
    return _BLUE if name == OURS else _INK if name == FLOOR else _AMBER if BY_NAME[name].encrypted else _GREY


def _save(figure: Any, results: Results, directory: str, name: str) -> None:
    about = {"Date": None, "Description": f"drawn from results {results.digest}"}
    figure.savefig(os.path.join(directory, f"{name}.svg"), metadata=about, facecolor=_PAPER)
    plt.close(figure)
