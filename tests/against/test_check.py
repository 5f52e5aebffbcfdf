"""The check of the ratios to the floor fails for what is too slow, and not for one bad moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import Report
from benchmarks.own import check


class Fixed(check.Pair):
    """Its ratio is the next of those that it was given."""

    def __init__(self, *ratios: float) -> None:
        super().__init__("fixed", lambda: None, lambda: None, limit=2.0)
        object.__setattr__(self, "ratios", iter(ratios))

    def ratio(self, pairs: int) -> float:
        del pairs
        return next(self.ratios)  # type: ignore[attr-defined,no-any-return]  # set above


def test_a_ratio_within_its_limit_is_measured_once() -> None:
    report = Report()
    assert check.judge(report, [Fixed(1.9)])
    assert [row.value for row in report.rows] == [1.9]


def test_a_ratio_over_its_limit_has_a_second_try_which_is_told() -> None:
    report = Report()
    assert check.judge(report, [Fixed(2.5, 1.5)])
    assert [(row.value, row.detail) for row in report.rows] == [(1.5, "second try, after 2.50")]


def test_a_ratio_that_is_over_its_limit_twice_fails_whatever_comes_after_it() -> None:
    assert not check.judge(Report(), [Fixed(2.5, 2.6), Fixed(1.0)])


def test_the_median_of_the_pairs_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy for a while slows both of a pair; a call that was slow once moves nothing."""
    times = {"ours": [2.0, 2.0, 200.0, 99.0, 2.0], "floor": [1.0, 1.0, 100.0, 1.0, 1.0]}
    monkeypatch.setattr(check, "interleaved", lambda *_, **__: times)
    assert check.Pair("w", lambda: None, lambda: None, 3.0).ratio(5) == 2.0


@pytest.mark.slow
def test_all_pairs_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_PAIRS", 2)
    monkeypatch.setattr(check, "_AGAIN", 1)
    report = Report()
    check.run(report, str(tmp_path))
    assert len(report.rows) == 6
    assert all(row.value > 0 and row.bar is not None for row in report.rows)
