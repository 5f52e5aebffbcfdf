"""A record into a store: with its past, once, and whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vaultsession import SessionStore, open_store
from vaultsession.admin.importers import ImportedSession, Placed, place
from vaultsession.errors import InvalidDocument, InvalidSessionId
from vaultsession.testing.clock import ManualClock
from vaultsession.util.clock import to_datetime, to_micros

HELLO = [{"role": "user", "content": "hello"}]
PAST = to_micros(datetime(2020, 5, 6, tzinfo=UTC))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> SessionStore:
    return open_store("memory://", clock=clock)


def test_a_session_keeps_its_past(store: SessionStore) -> None:
    record = ImportedSession("a", "x", HELLO, {"n": 1}, created=PAST, updated=PAST + 5, user_id="alice", title="T")
    assert place(store, record) is Placed.IMPORTED
    session = store.load("a")
    assert (session.messages, session.state, session.user_id, session.title) == (HELLO, {"n": 1}, "alice", "T")
    assert (to_micros(session.created_at), to_micros(session.updated_at)) == (PAST, PAST + 5)


def test_times_that_contradict_each_other_are_brought_in_order(store: SessionStore) -> None:
    place(store, ImportedSession("a", "x", created=PAST + 9, updated=PAST))
    assert store.load("a").created_at == store.load("a").updated_at == to_datetime(PAST)


def test_an_imported_session_lists_where_its_past_puts_it(store: SessionStore) -> None:
    store.create("now")
    place(store, ImportedSession("old", "x", updated=PAST))
    assert [info.id for info in store.list()] == ["now", "old"]


def test_a_session_that_is_there_is_left_as_it_is(store: SessionStore) -> None:
    store.create("a", messages=HELLO)
    assert place(store, ImportedSession("a", "x")) is Placed.PRESENT
    assert store.load("a").messages == HELLO
    assert place(store, ImportedSession("a", "x", state={"n": 2}), replace=True) is Placed.REPLACED
    assert (store.load("a").messages, store.load("a").state) == ([], {"n": 2})


def test_a_session_expires_when_it_would_have(store: SessionStore, clock: ManualClock) -> None:
    expires = clock.now() + 60_000_000
    place(store, ImportedSession("a", "x", expires=expires, ttl=3600.0, sliding=False))
    session = store.load("a")
    assert session.expires_at == to_datetime(expires)
    assert session.ttl == timedelta(hours=1)


def test_a_session_whose_time_has_run_out_is_refused(store: SessionStore, clock: ManualClock) -> None:
    with pytest.raises(InvalidDocument, match="expires_at has passed"):
        place(store, ImportedSession("a", "x", expires=clock.now()))
    assert not store.exists("a")


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_a_store_cannot_give_back_is_refused_before_anything_is_written(
    store: SessionStore, *, dry_run: bool
) -> None:
    with pytest.raises(InvalidDocument, match=r"messages\[0\]"):
        place(store, ImportedSession("a", "x", [{"n": 1 << 70}]), dry_run=dry_run)
    with pytest.raises(InvalidSessionId):
        place(store, ImportedSession("\ud800", "x"), dry_run=dry_run)
    assert store.count() == 0


def test_a_dry_run_tells_and_changes_nothing(store: SessionStore) -> None:
    store.create("there")
    assert place(store, ImportedSession("new", "x"), dry_run=True) is Placed.IMPORTED
    assert place(store, ImportedSession("there", "x"), dry_run=True) is Placed.PRESENT
    assert place(store, ImportedSession("there", "x"), dry_run=True, replace=True) is Placed.REPLACED
    assert [info.id for info in store.list()] == ["there"]


@pytest.mark.parametrize("name", ["created_at", "updated_at", "expires_at"])
def test_a_past_is_told_in_aware_datetimes(store: SessionStore, name: str) -> None:
    for wrong in (datetime(2020, 1, 1), 5, "2020-01-01", datetime(1960, 1, 1, tzinfo=UTC)):  # noqa: DTZ001 - is refused
        with pytest.raises(InvalidDocument, match=name) as told:
            store.create("a", **{name: wrong})  # type: ignore[arg-type]  # is refused
        assert told.value.path == name


def test_no_session_was_changed_before_it_was_created(store: SessionStore) -> None:
    later = to_datetime(PAST + 1)
    with pytest.raises(InvalidDocument, match="before created_at"):
        store.create("a", created_at=later, updated_at=to_datetime(PAST))
