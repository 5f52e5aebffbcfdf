"""Work over many items side by side: in order, bounded, and ended by what raises."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from vaultsession.util.parallel import AHEAD, THREADS, parallel_map


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("count", [0, 1, AHEAD - 1, AHEAD, 5 * AHEAD])
def test_what_comes_of_the_items_comes_in_their_order(count: int, *, overlap: bool) -> None:
    assert list(parallel_map(str, range(count), overlap=overlap)) == [str(n) for n in range(count)]


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
