"""Expiry: ttl, sliding, touch, and what an expired session is to every verb."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from vaultsession import SessionExpired, SessionNotFound, SessionStore, SweepRefused
from vaultsession.testing.clock import ManualClock

HOUR = timedelta(hours=1)


def test_a_session_is_expired_when_its_time_is_reached(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl="1h")
    clock.advance(HOUR - timedelta(microseconds=1))
    assert store.exists("a")
    store.load("a")
    clock.advance(timedelta(microseconds=1))
    assert not store.exists("a")
    with pytest.raises(SessionExpired, match="'a'"):
        store.load("a")


VERBS: dict[str, Callable[[SessionStore], object]] = {
    "load": lambda store: store.load("a"),
    "messages": lambda store: store.messages("a"),
    "append": lambda store: store.append("a", {"n": 1}),
    "nothing appended": lambda store: store.append("a"),
    "pop": lambda store: store.pop("a"),
    "pop none": lambda store: store.pop("a", 0),
    "clear": lambda store: store.clear("a"),
    "merge": lambda store: store.update("a", {"x": 1}),
    "merge nothing": lambda store: store.update("a", {}),
    "function": lambda store: store.update("a", lambda draft: None),
    "edit": lambda store: store.edit("a").__enter__(),
    "touch": lambda store: store.touch("a"),
    "touch with another ttl": lambda store: store.touch("a", "7d"),
}


@pytest.mark.sampled(13)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("sliding", [True, False])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_an_expired_session_is_absent_because_its_time_ran_out(
    open_one: Any, clock: ManualClock, verb: str, sliding: bool, cache_bytes: int
) -> None:
    store = open_one(cache_bytes=cache_bytes)
    store.create("a", ttl="1h", sliding=sliding, messages=[{}])
    clock.advance("1h")
    with pytest.raises(SessionExpired):
        VERBS[verb](store)
    assert not store.exists("a")
    assert store.sweep() == 1
    with pytest.raises(SessionNotFound) as raised:
        VERBS[verb](store)
    assert raised.type is SessionNotFound


def test_an_expired_session_is_in_no_listing(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl="1h", user_id="alice")
    store.create("b", ttl="2h", user_id="alice")
    clock.advance("1h")
    assert [info.id for info in store.list()] == ["b"]
    assert store.count() == store.count(user_id="alice") == 1
    assert store.get("a", "default") == "default"


def test_deleting_an_expired_session_says_that_there_was_none(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl="1h")
    clock.advance("1h")
    assert store.delete("a") is False
    assert store.sweep() == 0


@pytest.mark.parametrize("swept", [True, False])
def test_create_takes_the_place_of_an_expired_session(store: SessionStore, clock: ManualClock, swept: bool) -> None:
    old = store.create("a", ttl="1h", state={"life": 1}, messages=[{}])
    clock.advance("1h")
    assert store.sweep() == 1 if swept else True
    new = store.create("a", state={"life": 2})
    assert new.created_at - old.created_at == HOUR
    found = store.load("a")
    assert (found.state, found.messages, found.expires_at) == ({"life": 2}, [], None)
    assert store.sweep() == 0


@pytest.mark.parametrize("swept", [True, False])
def test_append_makes_an_expired_session_anew_where_it_may(
    store: SessionStore, clock: ManualClock, swept: bool
) -> None:
    store.create("a", ttl="1h", state={"life": 1}, messages=[{"n": 1}])
    clock.advance("1h")
    assert store.sweep() == 1 if swept else True
    assert store.append("a", {"n": 2}, create=True).message_count == 1
    found = store.load("a")
    assert (found.state, found.messages, found.expires_at) == ({}, [{"n": 2}], None)


def test_a_document_saved_by_id_takes_the_place_of_an_expired_session(store: SessionStore, clock: ManualClock) -> None:
    old = store.create("a", ttl="1h")
    clock.advance("1h")
    new = store.save("a", state={"life": 2}, ttl="1h")
    assert new.created_at - old.created_at == HOUR
    assert store.load("a").state == {"life": 2}


def test_a_loaded_session_that_expired_since_lives_again_once_saved(store: SessionStore, clock: ManualClock) -> None:
    session = store.create("a", ttl="1h", state={"x": 1})
    clock.advance("1h")
    store.save(session)
    assert store.load("a").expires_at == session.expires_at
    assert session.expires_at is not None
    assert session.expires_at - session.created_at == HOUR
    clock.advance("1h")
    store.sweep()
    with pytest.raises(SessionNotFound):
        store.save(session)


def test_a_fixed_life_is_extended_by_nothing_but_a_touch(store: SessionStore, clock: ManualClock) -> None:
    expires = store.create("a", ttl="1h", messages=[{}, {}]).expires_at
    clock.advance("30m")
    store.append("a", {})
    store.update("a", {"x": 1})
    store.pop("a")
    session = store.load("a")
    store.save(session)
    store.clear("a")
    assert store.load("a").expires_at == expires
    info = store.touch("a")
    assert expires is not None
    assert info.expires_at == expires + timedelta(minutes=30)
    assert store.load("a").expires_at == info.expires_at


WRITES: dict[str, Callable[[SessionStore], object]] = {
    "append": lambda store: store.append("a", {}),
    "merge": lambda store: store.update("a", {"x": 1}),
    "function": lambda store: store.update("a", lambda draft: None),
    "pop": lambda store: store.pop("a"),
    "clear": lambda store: store.clear("a"),
    "save": lambda store: store.save(store.load("a")),
    "touch": lambda store: store.touch("a"),
    "load": lambda store: store.load("a"),
    "messages": lambda store: store.messages("a"),
    "the last message": lambda store: store.messages("a", last=1),
}


@pytest.mark.parametrize("verb", WRITES)
def test_a_sliding_life_is_extended_by_use(store: SessionStore, clock: ManualClock, verb: str) -> None:
    store.create("a", ttl="1h", sliding=True, messages=[{}, {}, {}])
    for _ in range(3):
        clock.advance("40m")
        WRITES[verb](store)
    found = store.list()[0]
    assert found.expires_at is not None
    assert found.expires_at - found.created_at == timedelta(minutes=180)


@pytest.mark.parametrize("verb", ["exists", "list", "count", "stats", "health", "sweep"])
def test_looking_from_outside_extends_nothing(store: SessionStore, clock: ManualClock, verb: str) -> None:
    store.create("a", ttl="1h", sliding=True)
    clock.advance("40m")
    assert store.exists("a") if verb == "exists" else getattr(store, verb)() is not None
    clock.advance("20m")
    assert not store.exists("a")


def test_reads_extend_at_most_once_per_twentieth_of_the_ttl(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl="20m", sliding=True)
    before = store.stats()["bytes"]
    for _ in range(59):
        clock.advance("1s")
        store.load("a")
        store.messages("a", last=1)
    assert store.stats()["bytes"] == before
    clock.advance("1s")
    store.load("a")
    after = store.stats()["bytes"]
    assert after > before
    store.load("a")
    assert store.stats()["bytes"] == after


def test_a_read_that_extends_leaves_document_and_times_as_they_are(store: SessionStore, clock: ManualClock) -> None:
    made = store.create("a", ttl="20m", sliding=True)
    clock.advance("10m")
    found = store.load("a")
    assert found.facts() == store.load("a").facts()
    assert (found.version, found.updated_at) == (made.version, made.updated_at)
    assert found.expires_at is not None
    assert made.expires_at is not None
    assert found.expires_at - made.expires_at == timedelta(minutes=10)
    store.save(made)


def test_touch_gives_another_life_span(store: SessionStore, clock: ManualClock) -> None:
    made = store.create("a", ttl="1h", state={"x": 1}, messages=[{}])
    clock.advance("1m")
    info = store.touch("a", "7d")
    assert info.ttl == timedelta(days=7)
    assert info.expires_at == made.created_at + timedelta(days=7, minutes=1)
    assert info.updated_at == made.updated_at
    found = store.load("a")
    assert found.facts() == {**made.facts(), "ttl": 604800.0, "expires_at": info.facts()["expires_at"]}
    assert (found.state, found.messages, found.version) == ({"x": 1}, [{}], made.version)


def test_touch_gives_a_life_span_to_a_session_that_had_none(store: SessionStore, clock: ManualClock) -> None:
    store.create("a")
    assert store.touch("a").expires_at is None
    assert store.touch("a", "1h").ttl == HOUR
    clock.advance("1h")
    assert not store.exists("a")


def test_an_honest_save_keeps_the_life_span_that_a_touch_gave_since(store: SessionStore, clock: ManualClock) -> None:
    session = store.create("a", ttl="1h")
    store.touch("a", "7d")
    clock.advance("1m")
    store.save(session)
    assert session.ttl == store.load("a").ttl == timedelta(days=7)
    assert session.expires_at == store.load("a").expires_at == session.created_at + timedelta(days=7)


@pytest.mark.parametrize("sliding", [True, False])
def test_an_assigned_life_span_begins_at_the_save(store: SessionStore, clock: ManualClock, sliding: bool) -> None:
    session = store.create("a", ttl="1h", sliding=sliding)
    store.touch("a", "7d")
    session.ttl = timedelta(hours=2)
    clock.advance("1m")
    store.save(session)
    found = store.load("a")
    assert (found.ttl, found.expires_at) == (timedelta(hours=2), found.created_at + timedelta(hours=2, minutes=1))
    session.ttl = None
    store.save(session)
    assert (store.load("a").ttl, store.load("a").expires_at) == (None, None)


def test_a_clock_that_was_set_back_reorders_nothing(store: SessionStore, clock: ManualClock) -> None:
    made = store.create("a")
    clock.set(clock.now() - 10**9)
    store.append("a", {"n": 1})
    assert store.load("a").updated_at == made.updated_at
    store.delete("a")
    store.create("a", state={"life": 2})
    assert store.load("a").state == {"life": 2}


# -- sweep -------------------------------------------------------------------------------------------------------------


def test_a_sweep_removes_what_has_expired_and_only_that(store: SessionStore, clock: ManualClock) -> None:
    for number in range(20):
        store.create(f"s{number}", ttl=None if number % 4 == 0 else f"{number}m")
    clock.advance("10m")
    gone = [number for number in range(20) if number % 4 and number <= 10]
    told: list[int] = []
    assert store.sweep(dry_run=True) == len(gone)
    assert store.stats()["sessions"] == 20
    assert store.sweep(progress=told.append) == len(gone)
    assert told[-1] == len(gone)
    assert told == sorted(told)
    assert store.stats()["sessions"] == 20 - len(gone)
    assert {info.id for info in store.list()} == {f"s{number}" for number in range(20) if number not in gone}
    assert store.sweep() == 0


def test_a_session_renewed_meanwhile_survives_a_sweep(
    store: SessionStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create("a", ttl="1h")
    store.create("b", ttl="1h")
    clock.advance("1h")
    rows = list(store._listing.expired())
    assert len(rows) == 2
    store.create("b", state={"life": 2})
    monkeypatch.setattr(store._listing, "expired", lambda: iter(rows))
    assert store.sweep() == 1
    assert store.load("b").state == {"life": 2}
    assert not store.exists("a")


def test_what_a_sweep_removed_is_not_read_from_a_cache(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl="1h")
    store.load("a")
    clock.advance("1h")
    store.sweep()
    clock.set(clock.now() - 1800 * 10**6)
    assert not store.exists("a")
    with pytest.raises(SessionNotFound):
        store.load("a")


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.append("a", {"n": 1}),
        lambda store: store.update("a", {"n": 1}),
        lambda store: store.update("a", lambda session: session.messages.append({"n": 1})),
        lambda store: store.save(store.load("a")),
        lambda store: store.touch("a"),
        lambda store: store.load("a"),
        lambda store: store.messages("a"),
    ],
    ids=["append", "merge", "update", "save", "touch", "load", "messages"],
)
def test_a_clock_that_was_set_back_shortens_no_life(store: SessionStore, clock: ManualClock, use: Any) -> None:
    created = store.create("a", ttl="1h", sliding=True)
    now = clock.now()
    clock.set(now - 30 * 86_400_000_000)  # a machine without a battery wakes up in the past
    use(store)
    assert store.load("a").expires_at == created.expires_at
    clock.set(now + 60_000_000)  # the time server has answered
    assert store.sweep() == 0
    assert store.exists("a")


def test_a_span_that_is_given_may_shorten_a_life(store: SessionStore) -> None:
    before = store.create("a", ttl="1h").expires_at
    after = store.touch("a", "1m").expires_at
    assert before is not None
    assert after is not None
    assert after < before


def test_a_sweep_by_a_clock_far_ahead_removes_nothing(store: SessionStore, clock: ManualClock) -> None:
    """A host came up with the year 2045 on its clock, and its first sweep removed every session with a life span."""
    store.create("a", ttl="30d")
    store.create("b", ttl="400d")
    clock.advance("360d")
    assert store.sweep() == 1
    clock.advance("7000d")
    assert store.sweep(dry_run=True) == 1
    with pytest.raises(SweepRefused, match="nothing was swept"):
        store.sweep()
    assert store.sweep(dry_run=True) == 1
    store.create("c")  # something does happen at that time
    assert store.sweep() == 1
    clock.advance("7000d")
    store.create("d", ttl="1h")
    clock.advance("7000d")
    assert store.sweep(believe_clock=True) == 1
    assert [info.id for info in store.list()] == ["c"]


def test_health_says_that_the_sweeper_does_not_believe_the_clock(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl="30d")
    clock.advance("7000d")
    store.start_sweeper("1ms")
    deadline = time.monotonic() + 30
    while store.health()["ok"]:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert "the clock says" in store.health()["sweeper"]
    clock.set(clock.now() - 7000 * 86_400_000_000)
    while not store.health()["ok"]:
        assert time.monotonic() < deadline
        time.sleep(0.001)
