"""One write that carries messages, state, the version that it expects and a new session's fields; and what it returns."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sampling import sampled

from vaultsession import (
    Conflict,
    InvalidDocument,
    InvalidSetting,
    SessionExpired,
    SessionNotFound,
    SessionStore,
    open_store,
    open_store_async,
)
from vaultsession.engine import operations
from vaultsession.format import document
from vaultsession.testing.clock import ManualClock

HELLO = {"role": "user", "content": "hello"}
NOTED = {"role": "assistant", "content": "noted"}


PLACES = ["memory", "files", "sqlite", "redis", "mysql", "postgresql"]


@pytest.fixture(params=sampled(PLACES, ["memory", "files"]))
def opening(request: pytest.FixtureRequest, tmp_path: Any, clock: ManualClock, vault_key: Any) -> Iterator[Any]:
    """Opens a store on each kind of place, as often as it is called."""
    opened: list[SessionStore] = []
    if request.param == "redis":
        where = request.getfixturevalue("place").url
    elif request.param in ("mysql", "postgresql"):
        where = request.getfixturevalue({"mysql": "mariadb_server"}.get(request.param, "postgresql_server")).database()
    else:
        where = {"memory": "memory://", "files": tmp_path / "vault"}.get(request.param, f"sqlite:///{tmp_path}/s.db")

    def opening(**settings: Any) -> SessionStore:
        settings = {"clock": clock, **({} if request.param == "memory" else {"key": vault_key}), **settings}
        opened.append(open_store(where, **settings))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


@pytest.fixture
def anywhere(opening: Callable[..., SessionStore]) -> SessionStore:
    return opening()


def test_messages_state_and_fields_are_one_record(anywhere: SessionStore) -> None:
    made = anywhere.append("a", HELLO, state={"n": 1, "m": 2}, create=True, user_id="alice", title="T", ttl="1h")
    assert (made.user_id, made.title, made.message_count) == ("alice", "T", 1)
    assert anywhere.verify().records == 1
    after = anywhere.append("a", NOTED, state={"n": 5}, unset=["m", "never there"], create=True, user_id="nobody")
    assert after.user_id == "alice"  # the fields are those of a session that is made
    assert anywhere.verify().records == 2
    session = anywhere.load("a")
    assert (session.messages, session.state) == ([HELLO, NOTED], {"n": 5})
    assert session.version == after.version != made.version
    assert anywhere.append("a", unset="n").version != after.version
    assert anywhere.load("a").state == {}


def test_a_write_that_expects_another_version_changes_nothing(anywhere: SessionStore) -> None:
    first = anywhere.create("a", state={"n": 1}, messages=[HELLO]).info()
    second = anywhere.append("a", NOTED, state={"n": 2}, if_version=first.version)
    assert second.version != first.version
    for stale in (
        lambda: anywhere.append("a", HELLO, state={"n": 3}, if_version=first.version),
        lambda: anywhere.replace_last("a", 1, HELLO, if_version=first.version),
        lambda: anywhere.append("a", if_version="not a version"),
        lambda: anywhere.delete("a", if_version=first.version),
    ):
        with pytest.raises(Conflict, match="'a'"):
            stale()
    assert anywhere.info("a") == second
    assert anywhere.load("a").state == {"n": 2}
    assert anywhere.append("a", if_version=second.version) == second  # nothing to write
    with pytest.raises(SessionNotFound):
        anywhere.append("b", HELLO, if_version=first.version, create=True)
    assert anywhere.delete("a", if_version=second.version)
    assert not anywhere.delete("a", if_version=second.version)


def test_an_extended_life_is_the_same_version(anywhere: SessionStore, clock: ManualClock) -> None:
    made = anywhere.append("a", HELLO, create=True, ttl="1h", sliding=True)
    clock.advance("10m")
    touched = anywhere.touch("a")
    assert touched.version == made.version == anywhere.load("a").version == anywhere.list()[0].version
    assert touched != made  # its life is another
    assert anywhere.append("a", NOTED, if_version=made.version).message_count == 2


def test_replacing_the_last_is_one_record(anywhere: SessionStore) -> None:
    made = anywhere.create("a", state={"s": 1}, messages=[{"n": n} for n in range(4)]).info()
    info = anywhere.replace_last("a", 2, {"n": "x"}, {"n": "y"}, {"n": "z"}, if_version=made.version)
    assert (info.message_count, anywhere.verify().records) == (5, 2)
    assert anywhere.messages("a") == [{"n": 0}, {"n": 1}, {"n": "x"}, {"n": "y"}, {"n": "z"}]
    assert anywhere.replace_last("a", 9, HELLO).message_count == 1
    assert anywhere.replace_last("a", 0, NOTED).message_count == 2
    assert anywhere.replace_last("a", 1).message_count == 1
    assert anywhere.load("a").messages == [HELLO]
    assert anywhere.load("a").state == {"s": 1}


def test_info_is_what_a_listing_says_at_once(
    anywhere: SessionStore, opening: Callable[..., SessionStore], clock: ManualClock
) -> None:
    anywhere.append("a", HELLO, create=True, ttl="1h", sliding=True, labels={"k": "v"})
    for other in (anywhere, opening()):
        if not other.exists("a"):
            continue  # another store in memory
        info = other.info("a")
        assert info == anywhere.load("a").info() == anywhere.list()[0]
        assert (info.message_count, info.labels) == (1, {"k": "v"})
    expires = anywhere.info("a").expires_at
    clock.advance("30m")
    assert anywhere.info("a").expires_at == expires  # it extends no life
    clock.advance("1h")
    with pytest.raises(SessionExpired):
        anywhere.info("a")
    with pytest.raises(SessionNotFound):
        anywhere.info("b")


def test_of_those_that_expect_the_same_version_one_writes(opening: Callable[..., SessionStore]) -> None:
    store = opening(clock=None)
    store.create("a", state={"n": 0})

    def add() -> None:
        for _ in range(5):
            while True:
                session = store.load("a")
                try:
                    number = session.state["n"] + 1
                    store.append("a", {"n": number}, state={"n": number}, if_version=session.version)
                except Conflict:
                    continue
                break

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session = store.load("a")
    assert session.state == {"n": 15}
    assert session.messages == [{"n": number} for number in range(1, 16)]


def test_it_is_awaited_as_well() -> None:
    async def main() -> None:
        async with await open_store_async("memory://") as store:
            made = await store.append("a", HELLO, state={"n": 1}, create=True, user_id="alice")
            assert await store.info("a") == made
            info = await store.replace_last("a", 1, NOTED, if_version=made.version)
            with pytest.raises(Conflict):
                await store.append("a", if_version=made.version)
            assert await store.delete("a", if_version=info.version)

    asyncio.run(main())


# -- in memory alone ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"user_id": "alice"}, InvalidSetting),
        ({"state": {"x": float("nan")}}, InvalidDocument),
        ({"state": {1: 2}}, InvalidDocument),
        ({"unset": [5]}, InvalidDocument),
        ({"dedupe": ""}, InvalidSetting),
    ],
)
def test_what_cannot_be_written_is_refused(store: SessionStore, wrong: dict[str, Any], error: type[Exception]) -> None:
    before = store.create("a", state={"s": 1}).info()
    with pytest.raises(error):
        store.append("a", HELLO, **wrong)
    assert store.info("a") == before


def test_messages_that_are_there_already_do_not_keep_the_state_from_being_set(store: SessionStore) -> None:
    store.append("a", {"uuid": 1}, state={"n": 1}, create=True, dedupe="uuid")
    info = store.append("a", {"uuid": 1}, {"uuid": 2}, {"uuid": 2}, state={"n": 2}, create=True, dedupe="uuid")
    assert info.message_count == 2
    assert store.append("a", {"uuid": 2}, state={"n": 3}, dedupe="uuid").message_count == 2
    assert store.load("a").state == {"n": 3}


@dataclasses.dataclass
class Trip:
    city: str


def test_a_state_that_does_not_fit_its_type_is_refused() -> None:
    with open_store("memory://", state_type=Trip) as store:
        made = store.append("a", HELLO, state={"city": "Rabat"}, create=True)
        for wrong in ({"state": {"city": 5}}, {"unset": ["city"]}):
            with pytest.raises(InvalidDocument):
                store.append("a", HELLO, **wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidDocument):
            store.append("b", HELLO, create=True)  # a type without a default
        assert store.info("a") == made
        assert store.append("a", state={"city": "Fes"}).version != made.version
        assert store.load("a").state == Trip("Fes")


def test_the_last_message_may_be_replaced_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a stream does; readers of the tail need not walk back over each."""
    monkeypatch.setattr(operations, "NEAR", 4)
    monkeypatch.setattr(operations, "FAR", 8)
    bodies = 0
    body = operations.Reader.body

    def counted(reader: Any, *args: Any) -> bytes:
        nonlocal bodies
        bodies += 1
        return body(reader, *args)

    monkeypatch.setattr(operations.Reader, "body", counted)
    with open_store("memory://", cache_bytes=0, compression="none") as store:
        history = [{"n": n, "text": "x" * 500} for n in range(60)]
        store.create("a", messages=history)
        for number in range(40):
            store.replace_last("a", 1, {"n": number})
        bodies = 0
        assert store.messages("a", last=3) == [*history[-3:-1], {"n": 39}]
        assert bodies <= 8 + 4
        assert store.load("a").messages == [*history[:-1], {"n": 39}]


def test_a_bounded_history_is_cut_by_what_replaces_its_end(store: SessionStore) -> None:
    store.create("a", max_messages=3, messages=[{"n": n} for n in range(3)])
    assert store.append("a", {"n": 3}).message_count == 3
    assert store.replace_last("a", 1, {"n": "x"}, {"n": "y"}).message_count == 3
    assert store.messages("a") == [{"n": 2}, {"n": "x"}, {"n": "y"}]


@pytest.mark.parametrize("others", ["", "append", "pop", "save", "clear", "touch", "trim", "another field"])
def test_messages_that_are_told_apart_cost_what_is_added(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch, others: str
) -> None:
    """The names in a history are read once, and again only after it was changed in another way."""
    parsed = 0
    parse = document.parse

    def counted(bodies: Any) -> Any:
        nonlocal parsed
        parsed += 1
        return parse(bodies)

    most = 4 if others == "trim" else None
    store.create("a", messages=[{"uuid": 0, "id": "x"}], max_messages=most, ttl="1h")
    for number in range(1, 6):
        store.append("a", {"uuid": number - 1}, {"uuid": number}, dedupe="uuid")
    changes: dict[str, Callable[[], object]] = {
        "append": lambda: store.append("a", {"uuid": 6}),
        "pop": lambda: store.pop("a", 1),
        "save": lambda: store.save("a", messages=[{"uuid": 1}]),
        "clear": lambda: store.clear("a"),
        "touch": lambda: store.touch("a"),
        "trim": lambda: store.append("a", {"uuid": 6}, dedupe="uuid"),
        "another field": lambda: store.append("a", {"id": "x"}, dedupe="id"),
    }
    changes.get(others, lambda: None)()
    expected = store.load("a").messages
    there = {message.get("uuid") for message in expected}
    monkeypatch.setattr(document, "parse", counted)
    added = [{"uuid": number} for number in range(8)]
    store.append("a", *added, dedupe="uuid")
    assert parsed == (others not in ("", "touch"))
    fresh = [message for message in added if message["uuid"] not in there]
    assert store.load("a").messages == [*expected, *fresh][-most if most else 0 :]
