"""Work over many items side by side: in order, bounded, and ended by what raises."""

from __future__ import annotations

import threading
from contextlib import closing
from itertools import count
from types import SimpleNamespace

import pytest

from vaultsession.util import parallel
from vaultsession.util.parallel import AHEAD, THREADS, parallel_map


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("size", [0, 1, AHEAD - 1, AHEAD, 5 * AHEAD])
def test_what_comes_of_the_items_comes_in_their_order(size: int, *, overlap: bool) -> None:
    assert list(parallel_map(str, range(size), overlap=overlap)) == [str(n) for n in range(size)]


def test_as_many_wait_at_once_as_there_are_threads() -> None:
    together = threading.Barrier(THREADS)
    with closing(parallel_map(lambda _: together.wait(60), range(THREADS), overlap=True)) as found:
        assert sorted(found) == list(range(THREADS))


def test_no_more_are_begun_than_may_be_ahead_of_whoever_asks() -> None:
    taken: list[int] = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    with closing(parallel_map(str, items(), overlap=True)) as found:
        assert next(found) == "0"
        assert len(taken) == AHEAD
        assert next(found) == "1"
        assert len(taken) == AHEAD + 1


@pytest.mark.parametrize("overlap", [False, True])
def test_what_raises_ends_it_and_what_was_not_begun_is_left(*, overlap: bool) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 5:
            raise OSError("the disk is gone")
        done.append(number)
        return number

    found = parallel_map(work, range(1000), overlap=overlap)
    with pytest.raises(OSError, match="the disk is gone"):
        list(found)
    assert set(range(5)) <= set(done)
    assert len(done) <= 5 + AHEAD


def test_no_thread_is_left_behind_by_one_who_stops_asking() -> None:
    def batch_threads() -> int:
        return sum(thread.name.startswith("vaultsession-batch") for thread in threading.enumerate())

    before = batch_threads()
    with closing(parallel_map(str, range(1000), overlap=True)) as found:
        next(found)
    assert batch_threads() == before


@pytest.mark.parametrize(("took", "others"), [(1.3, 0), (1.5, 10)])
def test_work_that_hardly_waits_is_done_in_place(monkeypatch: pytest.MonkeyPatch, took: float, others: int) -> None:
    """The second item tells, where each takes so many times of what it takes of the processor."""
    clock = SimpleNamespace(perf_counter=count(0, took).__next__, thread_time=count().__next__)
    monkeypatch.setattr(parallel, "time", clock)
    threads = list(parallel_map(lambda _: threading.current_thread(), range(12), overlap=True, at_once=False))
    assert [thread is threading.current_thread() for thread in threads] == [True] * (12 - others) + [False] * others
