"""kill -9 at any moment, with four processes writing to one vault: nothing that was acknowledged is lost."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from effort import EFFORT
from kernel_lab import Ledger, Writer, errors_in, made, opened

pytestmark = pytest.mark.slow

WRITERS = 4
SPELL = 25
"""Kills after which all is looked at, and new sessions are begun."""
FEWEST = 5
"""Verbs that each process has acknowledged when it is killed, so that no run is about nothing on however slow a machine."""


def rampage(vault: Path, kills: int) -> Ledger:
    """Four processes write; again and again one of them is killed and another put in its place."""
    ledger, number = Ledger(), 0
    writers: list[Writer] = []

    def begin() -> Writer:
        nonlocal number
        number += 1
        return Writer(vault, str(number), str(number // SPELL), ledger)

    try:
        writers += [begin() for _ in range(WRITERS)]
        for done in range(1, kills + 1):
            victim = writers.pop(0)
            victim.reach(FEWEST)
            time.sleep(random.uniform(0, 0.03))  # not a bound: it only varies where the kill strikes
            victim.kill()
            writers.append(begin())
            for writer in writers:
                assert writer.hear(), f"writer {writer.number} ended by itself: {writer.end()}"
            if done % SPELL == 0:
                with opened(vault) as store:  # beside writers that are at work
                    assert ledger.lost(store) == []
    finally:
        for writer in writers:
            writer.kill()
    return ledger


def check(vault: Path, ledger: Ledger) -> None:
    with opened(vault) as store:
        assert ledger.lost(store) == []
        store.append("afterwards", {"n": 1}, create=True)
    assert errors_in(vault) == []
    assert [*vault.glob("sessions/.*.tmp"), *vault.glob("sessions/*.new")] == []


@pytest.mark.timeout(1200)
def test_hundreds_of_kills_lose_nothing(tmp_path: Path) -> None:
    vault = made(tmp_path / "vault")
    kills = 75 * EFFORT
    ledger = rampage(vault, kills)
    check(vault, ledger)
    assert ledger.acknowledged >= kills * FEWEST


def test_kills_of_all_at_once_lose_nothing(tmp_path: Path) -> None:
    vault = made(tmp_path / "vault")
    ledger = Ledger()
    for fall in range(6 * EFFORT):
        writers = [Writer(vault, f"{fall}.{each}", str(fall), ledger) for each in range(WRITERS)]
        try:
            for writer in writers:
                writer.reach(3)
            time.sleep(random.uniform(0, 0.05))  # as above
        finally:
            for writer in writers:
                writer.kill()
        with opened(vault) as store:
            assert ledger.lost(store) == []
    check(vault, ledger)


def test_the_ledger_notices_a_loss(tmp_path: Path) -> None:
    """A test of the test: what was never written is missed, each kind of it."""
    vault = made(tmp_path / "vault")
    with opened(vault) as store:
        store.append("hot", {"w": "1", "n": 0}, {"w": "1", "n": 2}, create=True)
        store.save("own", state={"n": 3})
        store.create("risen")
        for lines, missed in (
            (["append hot 0"], "hot: writer 1 reads"),
            (["append other 0"], "other:"),
            (["save own 4"], "own: state 4"),
            (["create gone"], "gone: its creation"),
            (["create risen", "deleting risen", "delete risen"], "risen: its removal"),
        ):
            ledger = Ledger()
            for line in lines:
                ledger.note("1", line)
            assert any(problem.startswith(missed) for problem in ledger.lost(store)), missed
