"""No figure of the comparison in the README is written by hand: its table and its plots come from the committed results.

All of them are made anew with ``python -m benchmarks.against --draw benchmarks/results/against.json --readme README.md
--plots benchmarks/plots``, in an environment with the extra "bench".
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.against import readme
from benchmarks.against.results import Results

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "against.json"
README = REPOSITORY / "README.md"


def between_marks(text: str) -> str:
    return text.partition(readme.BEGIN + "\n")[2].partition(readme.END)[0]


def test_the_table_is_what_the_results_give() -> None:
    assert between_marks(README.read_text(encoding="utf-8")) == readme.text(Results.load(RESULTS))


def test_the_plots_were_drawn_from_the_results() -> None:
    digest = Results.load(RESULTS).digest
    shown = re.findall(r"\]\((benchmarks/plots/[^)]+)\)", README.read_text(encoding="utf-8"))
    assert len(shown) == 2
    drawn = [path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "benchmarks" / "plots").glob("*.svg"))]
    assert len(drawn) >= 2
    assert all((REPOSITORY / path).is_file() for path in shown)
    assert all(f"drawn from results {digest}" in text for text in drawn)


def test_a_figure_that_was_changed_by_hand_is_found() -> None:
    text = README.read_text(encoding="utf-8")
    forged = re.sub(r"(\*\*vaultsession\*\* \| yes \| )[\d.]+", r"\g<1>1.00", text)
    assert forged != text
    assert between_marks(forged) != readme.text(Results.load(RESULTS))
