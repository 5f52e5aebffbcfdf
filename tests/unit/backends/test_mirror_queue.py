"""What still waits for the follower: each key once, the oldest first, and never more than a bound."""

from __future__ import annotations

from vaultsession.backends.mirror.queue import ReplicationQueue


def test_a_key_waits_once_however_often_it_was_marked() -> None:
    backlog = ReplicationQueue()
    for _ in range(1000):
        backlog.mark("a")
    backlog.mark("b")
    assert len(backlog) == 2
    assert backlog.take() == "a"
    backlog.done()
    assert backlog.take() == "b"
    backlog.done()
    assert backlog.take() is None
    assert len(backlog) == 0


def test_what_is_marked_while_it_is_followed_is_followed_again() -> None:
    backlog = ReplicationQueue()
    backlog.mark("a")
    assert backlog.take() == "a"
    backlog.mark("a")
    backlog.done()
    assert backlog.take() == "a"


def test_what_could_not_be_given_waits_longest_again() -> None:
    backlog = ReplicationQueue()
    for key in "abc":
        backlog.mark(key)
    oldest = backlog.oldest
    assert backlog.take() == "a"
    backlog.mark("a")
    assert backlog.oldest == oldest
    backlog.put_back()
    assert len(backlog) == 3
    assert (backlog.take(), backlog.oldest) == ("a", oldest)


def test_more_than_it_may_hold_becomes_a_comparison() -> None:
    backlog = ReplicationQueue(most=10)
    for number in range(11):
        backlog.mark(str(number))
    assert (len(backlog), backlog.everything) == (0, True)
    assert backlog.oldest is not None
    assert backlog.begin_comparing()
    assert not backlog.begin_comparing()
    backlog.mark("late")
    assert backlog.take() == "late"


def test_memory_is_bounded_with_the_follower_gone_for_good() -> None:
    backlog = ReplicationQueue(most=100)
    most = 0
    for number in range(10_000):
        backlog.mark(str(number))
        most = max(most, len(backlog))
    assert most <= 100
    assert backlog.everything


def test_whoever_waits_is_woken_by_a_mark_and_sleeps_when_all_is_taken() -> None:
    backlog = ReplicationQueue()
    assert not backlog.filled.is_set()
    backlog.mark("a")
    assert backlog.filled.is_set()
    backlog.take()
    backlog.done()
    backlog.take()
    assert not backlog.filled.is_set()
    backlog.mark_everything()
    assert backlog.filled.is_set()
