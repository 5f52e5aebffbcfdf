"""Parts of a session in one write or one read: a state that is merged, a snapshot, pages that say what they are of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from vaultsession import (
    Conflict,
    Damaged,
    InvalidDocument,
    InvalidSetting,
    Messages,
    Session,
    SessionExpired,
    SessionNotFound,
    SessionStore,
    TooLarge,
    open_store,
    open_store_async,
)
from vaultsession.format import document, payload
from vaultsession.testing.clock import ManualClock

HISTORY = [{"role": "user", "content": f"{number}"} for number in range(10)]


@dataclass
class Step:
    step: int = 0
    note: str = ""


def test_update_sets_and_unsets_in_one_record(store: SessionStore) -> None:
    store.create("a", state={"x": 1, "y": 2})
    records = store.info("a")._head.records
    info = store.update("a", {"x": 3}, unset=["y", "z"])
    assert store.load("a").state == {"x": 3}
    assert (info.version, info._head.records) == (store.info("a").version, records + 1)
    assert store.update("a", {}, unset="x").version != info.version
    assert store.load("a").state == {}


def test_update_makes_the_session_with_its_fields(store: SessionStore) -> None:
    with pytest.raises(SessionNotFound):
        store.update("a", {"x": 1})
    with pytest.raises(InvalidSetting, match="create=True"):
        store.update("a", {"x": 1}, title="A")
    with pytest.raises(InvalidSetting, match="create=True"):
        store.update("a", lambda session: None, title="A")
    info = store.update("a", {"x": 1}, unset=["y"], create=True, title="A", ttl=60, labels={"k": "v"})
    assert (info.title, info.labels, store.load("a").state) == ("A", {"k": "v"}, {"x": 1})
    assert store.update("a", {"x": 2}, create=True, title="B").title == "A"


def test_update_expects_a_version(store: SessionStore) -> None:
    first = store.create("a", state={"x": 1}).version
    second = store.update("a", {"x": 2}, if_version=first).version
    for change in ({"x": 3}, lambda session: session.state.update(x=3)):
        with pytest.raises(Conflict):
            store.update("a", change, if_version=first)  # type: ignore[arg-type]
    assert store.update("a", lambda session: session.state.update(x=3), if_version=second).version != second
    with pytest.raises(SessionNotFound):
        store.update("b", {"x": 1}, create=True, if_version=first)
    with pytest.raises(SessionNotFound):
        store.update("b", lambda session: None, create=True, if_version=first)


def test_a_function_makes_a_session_too(store: SessionStore, clock: ManualClock) -> None:
    def change(session: Session) -> None:
        session.state["n"] = session.state.get("n", 0) + 1
        session.messages.append(HISTORY[0])
        session.title = "made"

    info = store.update("a", change, create=True, ttl=60, user_id="alice")
    assert (info.title, info.user_id, info.message_count) == ("made", "alice", 1)
    assert store.update("a", change, create=True).version == store.load("a").version
    assert store.load("a").state == {"n": 2}
    clock.advance(61)
    store.update("a", change, create=True)
    assert store.load("a").state == {"n": 1}


def test_a_function_is_applied_again_where_someone_made_the_session_meanwhile(store: SessionStore) -> None:
    def change(session: Session) -> None:
        if not store.exists("a"):
            store.create("a", state={"n": 5})
        session.state["n"] = session.state.get("n", 0) + 1

    store.update("a", change, create=True)
    assert store.load("a").state == {"n": 6}


def test_unset_goes_with_a_mapping(store: SessionStore) -> None:
    store.create("a")
    with pytest.raises(InvalidSetting, match="unset"):
        store.update("a", lambda session: None, unset=["x"])
    with pytest.raises(InvalidDocument, match="unset"):
        store.update("a", {}, unset=[1])  # type: ignore[list-item]
    with pytest.raises(InvalidDocument, match="mapping or a function"):
        store.update("a", 5)  # type: ignore[arg-type]


def test_typed_states_are_merged_unset_and_made(clock: ManualClock) -> None:
    with open_store("memory://", clock=clock, state_type=Step) as typed:
        typed.update("a", {"step": 1}, create=True, title="A")
        typed.update("a", {"note": "x"})
        assert typed.snapshot("a").state == Step(1, "x")
        typed.update("a", {"step": 2}, unset=["note"])
        assert typed.load("a").state == Step(2)
        with pytest.raises(InvalidDocument):
            typed.update("b", {"colour": "red"}, create=True)
        assert not typed.exists("b")


def test_a_page_says_of_which_version_it_is(store: SessionStore) -> None:
    version = store.create("a", messages=HISTORY, ttl=60).version
    page = store.messages("a", offset=8, limit=5)
    assert (page, page.first, page.info) == (HISTORY[8:], 8, store.info("a"))
    assert store.messages("a", last=3).first == 7
    assert store.messages("a").first == 0
    assert store.messages("a", offset=50).first == 10
    store.touch("a", 600)
    assert store.messages("a", last=1).info.version == version
    written = store.append("a", HISTORY[0])
    for found in (store.messages("a", last=2), store.messages("a", offset=0)):
        assert found.info == written
    assert orjson.dumps(store.messages("a", last=1)) == orjson.dumps([HISTORY[0]])


def test_a_page_can_be_assigned(store: SessionStore) -> None:
    store.create("a", messages=HISTORY)
    session = store.create("b")
    session.messages = store.messages("a", last=2)
    session.messages.append(HISTORY[0])
    assert type(session.messages) is list
    assert store.save(session).messages == [*HISTORY[-2:], HISTORY[0]]


def test_a_snapshot_is_the_state_and_the_newest_messages_of_one_version(store: SessionStore) -> None:
    store.create("a", state={"x": 1}, messages=HISTORY)
    store.append("a", HISTORY[0], state={"y": 2})
    state, messages = store.snapshot("a", last=2)
    assert (state, messages) == ({"x": 1, "y": 2}, [HISTORY[-1], HISTORY[0]])
    assert isinstance(messages, Messages)
    assert (messages.first, messages.info) == (9, store.info("a"))
    assert store.snapshot("a").messages == []
    assert store.snapshot("a", last=50).messages == [*HISTORY, HISTORY[0]]
    state["x"] = 5
    assert store.snapshot("a").state == {"x": 1, "y": 2}
    with pytest.raises(InvalidSetting):
        store.snapshot("a", last=-1)


def test_a_snapshot_extends_a_life_and_is_refused_as_a_load_is(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl=60, sliding=True)
    clock.advance(50)
    before = store.info("a").expires_at
    assert store.snapshot("a").messages.info.expires_at > before  # type: ignore[operator]
    clock.advance(61)
    with pytest.raises(SessionExpired):
        store.snapshot("a")
    with pytest.raises(SessionNotFound):
        store.snapshot("b")


def test_the_asynchronous_store_has_them() -> None:
    async def main() -> Any:
        async with await open_store_async("memory://") as store:
            await store.update("a", {"x": 1}, create=True, title="A")
            await store.append("a", *HISTORY)
            return (await store.messages("a", last=1)).first, await store.snapshot("a", last=1)

    assert asyncio.run(main()) == (9, ({"x": 1}, HISTORY[-1:]))


LONG = [{"role": "user", "content": f"{number} " + "abcdefgh" * 250} for number in range(600)]


@pytest.mark.parametrize("settings", [{}, {"compression": "none"}, {"padding": True}], ids=str)
def test_a_snapshot_of_a_long_history_reads_the_state_alone(
    tmp_path: Any, clock: ManualClock, vault_key: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"clock": clock, "key": vault_key, **settings}
    with open_store(tmp_path / "vault", **where) as store:
        store.create("a", state={"x": 1, "y": {"z": "s" * 9000}}, messages=LONG, ttl=60, sliding=True)
        store.append("a", HISTORY[0], state={"w": 2}, unset=["x"])
        store.pop("a", 3)
        store.touch("a")
    with open_store(tmp_path / "vault", **where) as store:
        whole: list[bytes] = []
        body = store._reader.body

        def read(*how: Any) -> bytes:
            found = body(*how)
            whole.extend([found] if len(how) == 2 else [])  # cipher and record: all of it, and not its beginning
            return found

        monkeypatch.setattr(store._reader, "body", read)
        for last in (0, 1, 400, 5000):
            state, messages = store.snapshot("a", last=last)
            assert state == {"y": {"z": "s" * 9000}, "w": 2}
            assert messages == LONG[:598][max(0, 598 - last) :]
            assert messages.info == store.info("a")
            if last == 0:
                assert not whole
            if last == 1:
                assert sum(map(len, whole)) < 600_000
        loaded = store.load("a")
        assert store.snapshot("a", last=2) == (loaded.state, loaded.messages[-2:])
        store.update("a", {"v": 1})
        assert store.snapshot("a").state["v"] == 1


def test_the_beginning_of_a_body_is_what_is_inflated() -> None:
    text = payload.body({"x": "y" * 20_000}, LONG)
    for level in (None, 3):
        codec, data = payload.pack(text, level=level, limit=1 << 30)
        begun = payload.first_of(codec, data, limit=1 << 30)
        assert text.startswith(begun)
        assert document.first_of(begun) == document.first_of(text)
        assert (len(begun) < len(text)) is (level is not None)
    alone = payload.body({"x": [f"{number}" for number in range(20_000)]}, [])
    codec, data = payload.pack(alone, level=3, limit=1 << 30)
    assert payload.first_of(codec, data, limit=1 << 30) == alone
    with pytest.raises(TooLarge):
        payload.first_of(codec, data, limit=1000)
    with pytest.raises(Damaged):
        payload.first_of(codec, data[:-5], limit=1 << 30)
