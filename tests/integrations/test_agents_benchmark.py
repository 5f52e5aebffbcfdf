"""The benchmark of adapters measures like with like: every store keeps what it is given, and the table has a row for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from frameworks import require

from benchmarks.agents import table as measuring
from benchmarks.agents.table import measure, table

SIZES = (10, 60)
NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks/agents/frameworks").glob("[a-z]*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_store_keeps_what_it_is_given(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "SIZES", SIZES)
    found = require(f"benchmarks.agents.frameworks.{name}")
    rows = measure(found.FRAMEWORK, found.STORES, str(tmp_path), rounds=1)
    assert [row.store for row in rows] == [store.name for store in found.STORES]
    assert found.STORES[0].is_ours
    assert all(min(row.turn[size], row.load[size]) > 0 for row in rows for size in SIZES)
    lines = table(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert lines[2].startswith(f"| **{found.FRAMEWORK}: Vault")
