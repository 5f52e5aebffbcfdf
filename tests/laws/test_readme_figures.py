"""No figure of speed in a document is written by hand: tables and plots come from the committed results.

They are made anew with ``python -m benchmarks.own --rows benchmarks/results/own.json --readme`` and, in an environment
with the extra "bench", ``python -m benchmarks.against --draw benchmarks/results/against.json --readme --plots
benchmarks/plots``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import BENCHMARKS, README, REPOSITORY

from benchmarks.against import readme as against
from benchmarks.against.results import Results
from benchmarks.own import readme as own
from benchmarks.place import Place

RESULTS = REPOSITORY / "benchmarks" / "results"

TABLES = {
    "against": (against.PLACE, BENCHMARKS, lambda: against.text(Results.load(RESULTS / "against.json"))),
    "own": (own.PLACE, BENCHMARKS, lambda: own.text(*own.load(RESULTS / "own.json"))),
    "five": (own.PLACE, README, lambda: own.text(*own.load(RESULTS / "own.json"), own.FIVE)),
}


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> tuple[Place, Path, str]:
    place, document, text = TABLES[request.param]
    return place, document, text()


def test_the_table_is_what_the_results_give(table: tuple[Place, Path, str]) -> None:
    place, document, text = table
    assert place.read(document) == text


def test_the_readme_keeps_five_rows() -> None:
    rows = [line for line in own.PLACE.read(README).splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(own.FIVE) == 6


def test_the_commands_write_the_documents_that_are_looked_at() -> None:
    assert (against.HERE, own.HERE, own.FRONT) == (BENCHMARKS, BENCHMARKS, README)


def test_the_plots_were_drawn_from_the_results() -> None:
    digest = Results.load(RESULTS / "against.json").digest
    shown = re.findall(r"\]\((plots/[^)]+)\)", BENCHMARKS.read_text(encoding="utf-8"))
    assert len(shown) == 2
    drawn = [path.read_text(encoding="utf-8") for path in sorted(BENCHMARKS.parent.glob("plots/*.svg"))]
    assert len(drawn) >= 2
    assert all((BENCHMARKS.parent / path).is_file() for path in shown)
    assert all(f"drawn from results {digest}" in text for text in drawn)


def test_a_figure_that_was_changed_by_hand_is_found(table: tuple[Place, Path, str], tmp_path: Path) -> None:
    place, document, text = table
    forged = re.sub(r"\d\.\d", "1.23", text, count=1)
    assert forged != text
    copy = tmp_path / "README.md"
    copy.write_text(document.read_text(encoding="utf-8").replace(text, forged), encoding="utf-8")
    assert place.read(copy) == forged
