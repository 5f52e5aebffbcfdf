"""Whether a history has only grown since it was read: whoever has read it then reads on behind that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vaultsession import SessionInfo, SessionStore, open_store
from vaultsession.testing.clock import ManualClock

HISTORY = [{"role": "user", "content": f"{number}"} for number in range(5)]
MORE = {"role": "assistant", "content": "more"}


def appended(store: SessionStore) -> None:
    store.append("a", MORE, state={"x": 1})


def updated(store: SessionStore) -> None:
    store.update("a", {"x": 1}, unset=["y"])


def touched(store: SessionStore) -> None:
    store.touch("a", 600)


def saved_longer(store: SessionStore) -> None:
    with store.edit("a") as session:
        session.messages.append(MORE)
        session.title = "longer"


def popped_nothing(store: SessionStore) -> None:
    store.pop("a", 0)
    store.replace_last("a", 0, MORE)


def appended_often(store: SessionStore) -> None:
    for _ in range(600):
        store.append("a", MORE)


def popped(store: SessionStore) -> None:
    store.pop("a")
    store.append("a", MORE)


def replaced_last(store: SessionStore) -> None:
    store.replace_last("a", 1, MORE, MORE)


def cleared(store: SessionStore) -> None:
    store.clear("a")
    store.append("a", *HISTORY[1:], MORE, MORE)


def saved_otherwise(store: SessionStore) -> None:
    with store.edit("a") as session:
        session.messages[2] = MORE
        session.messages.append(MORE)


def saved_shorter(store: SessionStore) -> None:
    with store.edit("a") as session:
        session.messages.pop()
    store.append("a", MORE)


def saved_over_another(store: SessionStore) -> None:
    session = store.load("a")
    store.append("a", MORE)
    session.messages.extend([MORE, MORE])
    store.save(session, overwrite=True)


def put(store: SessionStore) -> None:
    store.save("a", messages=[*HISTORY[1:], MORE, MORE])


def dropped_the_oldest(store: SessionStore) -> None:
    with store.edit("a") as session:
        session.max_messages = 5
    store.append("a", MORE)


def made_anew(store: SessionStore) -> None:
    store.delete("a")
    store.create("a", messages=[*HISTORY[1:], MORE, MORE])


def saved_when_it_was_gone(store: SessionStore) -> None:
    session = store.load("a")
    store.delete("a")
    session.messages[0] = MORE
    store.save(session, overwrite=True)


def imported(store: SessionStore) -> None:
    store.import_([*store.export(["a"])], existing="replace")


def imported_when_it_was_gone(store: SessionStore) -> None:
    lines = [*store.export(["a"])]
    store.delete("a")
    store.import_(lines)


GREW: list[Callable[[SessionStore], None]] = [
    appended,
    updated,
    touched,
    saved_longer,
    popped_nothing,
    pytest.param(appended_often, marks=pytest.mark.slow),  # type: ignore[list-item]
]
REWROTE = [
    popped,
    replaced_last,
    cleared,
    saved_otherwise,
    saved_shorter,
    saved_over_another,
    put,
    dropped_the_oldest,
    made_anew,
    saved_when_it_was_gone,
    imported,
    imported_when_it_was_gone,
]
SIZES = {"small": 1, "large": 8_000}


@pytest.fixture(params=SIZES)
def read(request: pytest.FixtureRequest, store: SessionStore) -> SessionInfo:
    """The session as it was read; a large one is saved as what differs."""
    long = "x" * SIZES[request.param]
    return store.create("a", state={"y": 1}, messages=[{**each, "more": long} for each in HISTORY]).info()


@pytest.mark.parametrize("change", GREW)
def test_what_only_adds_is_no_rewriting(store: SessionStore, read: SessionInfo, change: Any) -> None:
    change(store)
    info = store.info("a")
    assert info.rewrites == read.rewrites == 0
    assert info.only_grew_since(read)
    assert info.only_grew_since(info)
    if info.message_count > read.message_count:
        assert not read.only_grew_since(info)


@pytest.mark.parametrize("change", REWROTE)
def test_what_does_more_is_one(store: SessionStore, read: SessionInfo, change: Any, clock: ManualClock) -> None:
    change(store)
    info = store.info("a")
    assert info.rewrites > read.rewrites
    assert not info.only_grew_since(read)
    store.update("a", {"z": 1})
    assert store.info("a").only_grew_since(info)
    assert store.list()[0].rewrites == info.rewrites == store.load("a").info().rewrites


def test_a_clear_of_nothing_and_a_copy_begin_at_none(store: SessionStore) -> None:
    store.create("a", messages=HISTORY)
    store.pop("a")
    assert store.copy("a", "b").info().rewrites == 0
    store.create("c")
    store.clear("c")
    assert store.info("c").rewrites == 0
    assert not store.info("c").only_grew_since(store.info("b"))


@pytest.mark.slow
def test_it_is_kept_when_keys_are_rotated_and_the_index_is_lost(store: SessionStore) -> None:
    store.create("a", messages=HISTORY)
    store.pop("a")
    before = store.info("a")
    store.rotate_key()
    store.reindex()
    assert store.info("a").rewrites == before.rewrites == 1
    assert store.info("a").only_grew_since(before)


def test_a_life_that_expired_is_another(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", messages=HISTORY, ttl=60)
    read = store.info("a")
    clock.advance(61)
    store.append("a", *HISTORY, MORE, create=True)
    assert not store.info("a").only_grew_since(read)
    assert store.info("a").rewrites > 0


def test_the_highest_generation_leaves_it_room_to_grow() -> None:
    with open_store("memory://", clock=ManualClock(2**62 + 5)) as store:
        store.import_([b'{"vaultsession":1,"id":"a","messages":[{}]}'])
        store.pop("a")
        assert store.info("a").rewrites == 2**62 + 1


def test_no_life_has_the_count_of_an_earlier_one(store: SessionStore) -> None:
    """An import in the place of a session, whose count has grown by more than containers were made since."""
    store.create("a", messages=HISTORY)
    met: list[tuple[SessionInfo, list[Any]]] = []
    for number in range(12):
        exported = list(store.export())
        store.import_(exported, existing="replace")
        for _ in range(number % 4):
            store.replace_last("a", 2, MORE, {"role": "user", "content": f"{number}"})
        page = store.messages("a", last=100)
        for info, messages in met:
            assert not page.info.only_grew_since(info) or page[: len(messages)] == messages
        met.append((page.info, [*page]))
    counts = [info.rewrites for info, _ in met]
    assert sorted(set(counts)) == counts
