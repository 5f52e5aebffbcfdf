"""The power is cut again while what the first cut left is mended and written to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from crash_lab import Life
from effort import EFFORT
from test_power_cuts import SCENARIOS

from vaultsession.engine import merge_policy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("late_index")]


@pytest.fixture(autouse=True)
def _early_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_policy, "DEAD_FLOOR", 1500)
    monkeypatch.setattr(merge_policy, "APPENDED_FLOOR", 1200)


def cut_twice(where: Path, first: Life, name: str, *, every: int, bound: int) -> int:
    """Live on in every so many of the states that a first cut leaves, and cut the power again: how often it could be.

    With an effort of 1 one in three of those cuts is looked at, other ones in each run.
    """
    count = 0
    for number, crashed in enumerate(first.crash_states(bound=12)):
        if number % every:
            continue
        allowed, now = first.allowed(crashed)
        shutil.copytree(crashed, where / f"{number}" / "vault")
        second = Life(where / f"{number}", name, now=now)
        assert all(second.history[0][0][name] in [each[name] for each in allowed] for name in allowed[0])
        second.act(
            lambda store: store.append("a", {"text": "after the first cut"}, create=True),
            lambda store: store.count(),
            lambda store: store.append("b", {"text": "after the first cut"}, create=True),
            lambda store: store.delete("a"),
        )
        second.store.close()
        count += second.survive(bound=bound, every=3)
    first.close()
    return count


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_many_second_power_cuts_leave_old_or_new(where: Path, scenario: object) -> None:
    first = Life(where / "first", "")
    scenario(first)  # type: ignore[operator]
    assert cut_twice(where, first, "slow: a second cut", every=61, bound=2 * EFFORT) >= 30
