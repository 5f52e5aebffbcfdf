"""``save(…, erase=True)``: what a document no longer holds is not left behind; and ``load_each``, ``closed``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from vaultsession import Conflict, Damaged, PartialFailure, SessionStore, open_store, open_store_async
from vaultsession.testing.clock import ManualClock

HISTORY = [{"role": "user", "content": f"{number} {'x' * 50}"} for number in range(300)]


def records(store: SessionStore) -> int:
    found = store._backend.read(store._key("a"), 0)
    assert found is not None
    return store.verify().records


@pytest.mark.parametrize("whole", [False, True])
def test_nothing_of_what_was_removed_is_left(store: SessionStore, whole: bool) -> None:
    store.create("a", state={"x": 1}, messages=HISTORY)
    for turn in range(3):
        store.append("a", {"content": turn})
    assert records(store) > 1
    size = store.verify().bytes
    version = store.info("a").version
    if whole:
        store.save("a", erase=True, state={"x": 1}, messages=HISTORY[:1])
    else:
        session = store.load("a")
        del session.messages[1:]
        assert store.save(session, erase=True).version == session.version != version
    assert records(store) == 1
    assert store.verify().bytes < size / 3
    assert (store.load("a").messages, store.load("a").state) == (HISTORY[:1], {"x": 1})


def test_a_change_that_is_small_is_written_anew_too(store: SessionStore) -> None:
    session = store.create("a", state={"secret": "y" * 40}, messages=HISTORY)
    del session.state["secret"]
    store.save(session, erase=True)
    assert records(store) == 1
    assert store.info("a").message_count == len(HISTORY)
    session.messages.append(HISTORY[0])
    store.save(session)
    assert records(store) == 2


def test_it_is_compared_and_made_as_without(store: SessionStore, clock: ManualClock) -> None:
    session = store.create("a", messages=HISTORY[:2], ttl=60)
    store.append("a", HISTORY[3])
    with pytest.raises(Conflict):
        store.save(session, erase=True)
    assert store.save(session, overwrite=True, erase=True).message_count == 2
    clock.advance(61)
    assert store.save(session, overwrite=True, erase=True).message_count == 2
    assert store.save("b", erase=True, messages=HISTORY[:1]).message_count == 1
    assert store.load("a").messages == HISTORY[:2]


def test_one_that_is_damaged_does_not_hide_the_others(clock: ManualClock, tmp_path: Path, vault_key: Any) -> None:
    with open_store(tmp_path / "vault", clock=clock, key=vault_key) as store:
        for name in "abc":
            store.create(name, messages=HISTORY[:1])
    broken = next((tmp_path / "vault" / "sessions").glob("b~*.vss"))
    broken.write_bytes(bytes(len(broken.read_bytes())))
    with open_store(tmp_path / "vault", clock=clock, key=vault_key) as store:
        each = store.load_each(["c", "b", "gone", "a"])
        assert (next(each).id, next(each).id) == ("c", "a")
        with pytest.raises(PartialFailure) as caught:
            next(each)
        assert isinstance(caught.value.failures["b"], Damaged)
        assert next(store.load_each(["a", "b"])).id == "a"


def test_sessions_are_read_as_they_are_asked_for(store: SessionStore) -> None:
    store.create("a")
    assert [session.id for session in store.load_each(["gone", "a"])] == ["a"]
    store.close()
    with pytest.raises(RuntimeError, match="the store is closed"):
        store.load_each(["a"])


def test_a_store_says_whether_it_is_closed(store: SessionStore) -> None:
    assert not store.closed
    store.close()
    assert store.closed


def test_the_asynchronous_store_has_them() -> None:
    async def main() -> Any:
        store = await open_store_async("memory://")
        await store.create("a", messages=HISTORY)
        await store.save("a", erase=True, messages=HISTORY[:1])
        found = [session.id async for session in store.load_each(["a", "b"])]
        was = store.closed
        await store.close()
        return found, was, store.closed

    assert asyncio.run(main()) == (["a"], False, True)
