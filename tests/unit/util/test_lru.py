"""The cache holds the most recently used values whose weights fit."""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.util.lru import LRU


class Thing(NamedTuple):
    name: str
    weight: int


def weighed(capacity: int) -> LRU[str, Thing]:
    return LRU(capacity=capacity, weigh=operator.attrgetter("weight"))


def test_the_least_recently_used_goes_first():
    cache = weighed(10)
    for name in "abc":
        cache.keep(name, Thing(name, 3))
    assert cache.get("a") == Thing("a", 3)
    cache.keep("d", Thing("d", 4))
    assert [name for name in "abcd" if cache.get(name)] == ["a", "c", "d"]
    assert (cache.weight, len(cache)) == (10, 3)


def test_a_value_heavier_than_the_cache_is_not_kept_and_hides_no_older_one():
    cache = weighed(10)
    cache.keep("a", Thing("old", 1))
    cache.keep("b", Thing("b", 1))
    cache.keep("a", Thing("new", 11))
    assert cache.get("a") is None
    assert cache.get("b") == Thing("b", 1)
    assert cache.weight == 1


def test_a_capacity_of_nothing_keeps_nothing_that_weighs():
    cache = weighed(0)
    cache.keep("a", Thing("a", 1))
    assert (len(cache), cache.weight) == (0, 0)


def test_clear_and_forget_let_go_of_weight_too():
    cache = weighed(10)
    cache.keep("a", Thing("a", 4))
    cache.keep("b", Thing("b", 4))
    cache.forget("a")
    cache.forget("never there")
    assert cache.weight == 4
    cache.clear()
    assert (len(cache), cache.weight, cache.get("b")) == (0, 0, None)


STEPS = st.lists(st.tuples(st.sampled_from(["keep", "get", "forget"]), st.sampled_from("abcde"), st.integers(0, 12)))


@pytest.mark.slow
@given(STEPS, st.integers(0, 20))
def test_it_agrees_with_a_plain_model(steps, capacity):
    cache = weighed(capacity)
    model: OrderedDict[str, Thing] = OrderedDict()
    for verb, name, weight in steps:
        if verb == "keep":
            cache.keep(name, Thing(name, weight))
            model.pop(name, None)
            if weight <= capacity:
                model[name] = Thing(name, weight)
            while sum(thing.weight for thing in model.values()) > capacity:
                model.popitem(last=False)
        elif verb == "get":
            assert cache.get(name) == model.get(name)
            if name in model:
                model.move_to_end(name)
        else:
            cache.forget(name)
            model.pop(name, None)
        assert cache.weight == sum(thing.weight for thing in model.values()) <= capacity
        assert len(cache) == len(model)


def test_bounded_by_number_what_goes_is_returned():
    cache: LRU[str, int] = LRU(most=2)
    assert cache.keep("a", 1) == cache.keep("b", 2) == cache.keep("a", 3) == []
    assert "b" in cache
    assert cache.keep("c", 4) == [("b", 2)]
    assert cache.get("a") == 3
    assert cache.keep("d", 5) == [("c", 4)]
    assert (cache.evict(), cache.evict(), cache.evict()) == ([("a", 3)], [("d", 5)], [])


def test_by_number_and_weight_what_goes_is_returned():
    cache: LRU[str, int] = LRU(most=3, capacity=10, weigh=int)
    assert [cache.keep(name, 3) for name in "abc"] == [[], [], []]
    assert cache.keep("d", 8) == [("a", 3), ("b", 3), ("c", 3)]
    assert cache.keep("e", 11) == [("e", 11)]
    assert (len(cache), cache.weight) == (1, 8)


def test_threads_leave_the_weight_right():
    cache = weighed(50)

    def work(seed: int) -> None:
        for number in range(2000):
            name = str((seed * 7 + number * 13) % 20)
            cache.keep(name, Thing(name, number % 9))
            cache.get(str(number % 20))
            if number % 5 == 0:
                cache.forget(name)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [thing for number in range(20) if (thing := cache.get(str(number)))]
    assert cache.weight == sum(thing.weight for thing in held) <= 50
    assert len(cache) == len(held)
