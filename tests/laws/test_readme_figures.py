"""No figure of speed in the README is written by hand: its tables and its plots come from the committed results.

They are made anew with ``python -m benchmarks.own --rows benchmarks/results/own.json --readme README.md`` and, in an
environment with the extra "bench", ``python -m benchmarks.against --draw benchmarks/results/against.json --readme
README.md --plots benchmarks/plots``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.against import readme as against
from benchmarks.against.results import Results
from benchmarks.own import readme as own
from benchmarks.place import Place

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results"
README = REPOSITORY / "README.md"

TABLES = {
    "against": (against.PLACE, lambda: against.text(Results.load(RESULTS / "against.json"))),
    "own": (own.PLACE, lambda: own.text(*own.load(RESULTS / "own.json"))),
}


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> tuple[Place, str]:
    place, text = TABLES[request.param]
    return place, text()


def test_the_table_is_what_the_results_give(table: tuple[Place, str]) -> None:
    place, text = table
    assert place.read(README) == text


def test_the_plots_were_drawn_from_the_results() -> None:
    digest = Results.load(RESULTS / "against.json").digest
    shown = re.findall(r"\]\((benchmarks/plots/[^)]+)\)", README.read_text(encoding="utf-8"))
    assert len(shown) == 2
    drawn = [path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "benchmarks" / "plots").glob("*.svg"))]
    assert len(drawn) >= 2
    assert all((REPOSITORY / path).is_file() for path in shown)
    assert all(f"drawn from results {digest}" in text for text in drawn)


def test_a_figure_that_was_changed_by_hand_is_found(table: tuple[Place, str], tmp_path: Path) -> None:
    place, text = table
    forged = re.sub(r"\d\.\d", "1.23", text, count=1)
    assert forged != text
    copy = tmp_path / "README.md"
    copy.write_text(README.read_text(encoding="utf-8").replace(text, forged), encoding="utf-8")
    assert place.read(copy) == forged
