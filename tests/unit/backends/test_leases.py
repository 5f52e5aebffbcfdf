"""Turn leases: one holder at a time, over stores and threads; the session need not exist."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from vaultsession import BackendUnavailable, LeaseTimeout, SessionStore
from vaultsession.backends import leases


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


# -- in turn -----------------------------------------------------------------------------------------------------------


class OneAmongMany:
    """A lease that somebody gives back and takes again, at each of its looks, as often as nobody is the next."""

    def __init__(self) -> None:
        self.next: object | None = None
        self.refused = 0

    def turn(self) -> Any:
        me = object()

        def become_next() -> bool:
            self.next = self.next or me
            return self.next is me

        def stand_back() -> None:
            assert self.next is me
            self.next = None

        def take() -> bool:
            if self.next is me:  # the one who takes it again and again stood back
                return True
            self.refused += 1
            return False

        return leases.LeaseAttempt(lambda: True, take, become_next, stand_back)


def test_who_waits_is_not_starved_by_one_that_takes_it_again_and_again() -> None:
    place = OneAmongMany()
    leases.take_in_turn(place.turn(), timeout=0)
    assert (place.refused, place.next) == (1, None)


def test_a_waiter_that_was_stopped_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waited for a lease got SIGSTOP. It is the next for ever, and the lease is free."""
    monkeypatch.setattr(leases, "OVERTAKING", 0.02)
    begun = time.monotonic()
    turn = leases.LeaseAttempt(lambda: False, lambda: True, lambda: False, lambda: pytest.fail("it never was the next"))
    leases.take_in_turn(turn, timeout=None)
    assert time.monotonic() - begun > 0.02


def test_a_lease_that_was_waited_for_goes_to_the_waiter(store: SessionStore) -> None:
    """A loop of turns on one session let no other thread in before it had ended."""
    waiting, done = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        with store.lease("a", timeout=60):
            done.set()

    thread = threading.Thread(target=wait)
    turns = 0
    with store.lease("a"):
        thread.start()
        waiting.wait()
        time.sleep(0.02)
    while not done.is_set():
        with store.lease("a", timeout=60):
            turns += 1
            time.sleep(0.001)
    thread.join()
    assert turns < 20


def test_of_those_that_wait_in_a_process_the_first_comes_first() -> None:
    place = leases.LocalLeases()
    order: list[int] = []

    def wait(number: int) -> None:
        with place.lease("a", 60):
            order.append(number)

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
    with place.lease("a", None):
        for number, thread in enumerate(threads):
            thread.start()
            while len(place._waiting["a"]) == number:
                time.sleep(0.0001)
        with pytest.raises(LeaseTimeout), place.lease("a", 0.001):
            pytest.fail("two held it at once")
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]
    assert place._waiting == {}


def test_who_gave_up_as_the_lease_came_hands_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    place = leases.LocalLeases()
    with place.lease("a", None):
        pass

    class Late:
        """A lock that is let go just after its patience has ended."""

        def __init__(self) -> None:
            self.acquired = 0

        def acquire(self, *, timeout: float = -1) -> bool:
            self.acquired += 1
            if self.acquired > 1:
                held.__exit__(None, None, None)
            return self.acquired == 1

        def release(self) -> None:
            pass

    held = place.lease("a", None)
    held.__enter__()
    monkeypatch.setattr(leases.threading, "Lock", Late)
    with pytest.raises(LeaseTimeout), place.lease("a", 0.001):
        pytest.fail("it was too late")
    monkeypatch.undo()
    with place.lease("a", 0):
        pass


@pytest.mark.parametrize("plant", ["link", "hard link", "FIFO", "directory"])
def test_what_was_planted_in_the_place_of_a_lease_is_refused(open_files: Any, tmp_path: Path, plant: str) -> None:
    store = open_files()
    with store.lease("a"):
        pass
    lease = next((tmp_path / "vault" / "locks").glob("lease-*"))
    outside = tmp_path / "outside"
    outside.write_bytes(b"theirs")
    for name in (lease, lease.with_name(lease.name + "-next")):
        name.unlink(missing_ok=True)
        if plant == "link":
            name.symlink_to(outside)
        elif plant == "hard link":
            os.link(outside, name)
        elif plant == "FIFO":
            os.mkfifo(name)
        else:
            name.mkdir()
        with pytest.raises(BackendUnavailable, match=name.name), store.lease("a", timeout=0.05):
            pytest.fail("a lock of others was taken")
        if plant == "directory":
            name.rmdir()
        else:
            name.unlink()
    assert outside.read_bytes() == b"theirs"
    with store.lease("a", timeout=0):
        pass


def test_a_lease_beyond_a_link_in_the_place_of_locks_is_refused(open_files: Any, tmp_path: Path) -> None:
    store = open_files()
    (tmp_path / "vault" / "locks").rename(tmp_path / "elsewhere")
    (tmp_path / "vault" / "locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendUnavailable, match="a link or a file"), store.lease("a", timeout=0):
        pytest.fail("a lock beyond a link was taken")
    assert not list((tmp_path / "elsewhere").glob("lease-*"))
