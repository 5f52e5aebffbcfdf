"""Turn leases: one holder at a time, over stores and threads; the session need not exist."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from vaultsession import LeaseTimeout, SessionStore


def test_a_lease_excludes_another_and_is_free_afterwards(store: SessionStore) -> None:
    with store.lease("a"), pytest.raises(LeaseTimeout, match="waited 0 s"), store.lease("a", timeout=0):
        pytest.fail("two held it at once")
    with store.lease("a", timeout=0):
        pass


def test_a_lease_is_not_reentrant_even_within_a_thread(store: SessionStore) -> None:
    with store.lease("a"), pytest.raises(LeaseTimeout), store.lease("a", timeout=0.01):
        pytest.fail("two held it at once")


def test_leases_of_different_sessions_do_not_meet(store: SessionStore) -> None:
    with store.lease("a"), store.lease("b", timeout=0), store.lease("../a", timeout=0):
        pass


def test_a_lease_is_let_go_when_the_block_raises(store: SessionStore) -> None:
    with pytest.raises(KeyError), store.lease("a"):
        raise KeyError
    with store.lease("a", timeout=0):
        pass


def test_a_negative_patience_is_none_at_all(store: SessionStore) -> None:
    with store.lease("a"), pytest.raises(LeaseTimeout), store.lease("a", timeout=-5):
        pytest.fail("two held it at once")


def test_a_lease_timeout_is_a_timeout_error(store: SessionStore) -> None:
    with store.lease("a"), pytest.raises(TimeoutError), store.lease("a", timeout=0):
        pytest.fail("two held it at once")


def test_the_session_may_be_written_by_anyone_meanwhile(store: SessionStore) -> None:
    with store.lease("a"):
        store.create("a")
        store.append("a", {"n": 1})
        store.delete("a")
    assert not store.exists("a")


def test_threads_take_turns(store: SessionStore) -> None:
    holders, most, done = 0, 0, []

    def turn(number: int) -> None:
        nonlocal holders, most
        for _ in range(5):
            with store.lease("a"):
                holders += 1
                most = max(most, holders)
                done.append(number)
                holders -= 1

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert sorted(done) == sorted([*range(4)] * 5)


def test_whoever_waits_gets_it_when_it_is_free(store: SessionStore) -> None:
    held, told = threading.Event(), []

    def wait() -> None:
        held.wait()
        with store.lease("a", timeout=60):
            told.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    with store.lease("a"):
        held.set()
        told.append("first")
    thread.join()
    assert told == ["first", "second"]


def test_two_stores_on_one_vault_exclude_each_other(open_files: Any) -> None:
    one, other = open_files(), open_files()
    with one.lease("a"), pytest.raises(LeaseTimeout), other.lease("a", timeout=0):
        pytest.fail("two held it at once")
    with other.lease("a", timeout=0):
        pass
