"""The asynchronous store under trio, and what it runs in its threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaultsession import (
    AsyncSessionStore,
    Conflict,
    LeaseTimeout,
    SessionStore,
    open_store,
    open_store_async,
)

trio = pytest.importorskip("trio", reason="pip install trio")

HELLO = {"role": "user", "content": "hello"}


@pytest.fixture
def plain(tmp_path: Path, vault_key: Any) -> Any:
    with open_store(tmp_path / "vault", key=vault_key, durability="os") as store:
        yield store


def test_verbs_are_awaited(tmp_path: Path, vault_key: Any) -> None:
    async def main() -> None:
        async with await open_store_async(tmp_path / "vault", key=vault_key, durability="os") as store:
            first = await store.append("a", HELLO, create=True)
            with pytest.raises(Conflict):
                await store.append("a", HELLO, if_version="0" * 32)
            assert (await store.load("a")).version == first.version
            async with store.edit("a") as session:
                session.title = "A"
            assert [info.title for info in await store.list()] == ["A"]
            assert [match.id async for match in store.search("hello")] == ["a"]
            assert [session.id async for session in store.load_each(["a"])] == ["a"]
            assert (await store.health())["ok"]
        with pytest.raises(RuntimeError, match="the store is closed"):
            await store.load("b")
        await store.close()

    trio.run(main)


@pytest.mark.parametrize("runner", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_a_function_runs_with_the_store_in_one_of_its_threads(plain: SessionStore, runner: Callable[..., Any]) -> None:
    def turn(store: SessionStore) -> tuple[int, str]:
        store.append("a", HELLO, create=True)
        return store.info("a").message_count, threading.current_thread().name

    async def main() -> None:
        count, thread = await AsyncSessionStore(plain).run(turn)
        assert count == 1
        assert thread.startswith("vaultsession")

    if runner is asyncio.run:
        asyncio.run(main())
    else:
        trio.run(main)


def test_a_write_whose_task_is_cancelled_is_finished(plain: SessionStore) -> None:
    begun, go = threading.Event(), threading.Event()
    ended: list[bool] = []

    def slow(store: SessionStore) -> None:
        begun.set()
        go.wait(30)
        store.append("a", HELLO, create=True)
        ended.append(True)

    async def main() -> None:
        store = AsyncSessionStore(plain)
        async with trio.open_nursery() as nursery:

            async def turn() -> None:
                try:
                    await store.run(slow)
                finally:
                    ended.append(False)

            nursery.start_soon(turn)
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
            go.set()
        assert nursery.cancel_scope.cancelled_caught
        assert ended == [True, False]

    trio.run(main)
    assert plain.messages("a") == [HELLO]


def test_a_lease_is_awaited_and_a_cancelled_waiter_keeps_none(plain: SessionStore) -> None:
    async def main() -> None:
        store = AsyncSessionStore(plain)
        async with store.lease("a"):
            with pytest.raises(LeaseTimeout):
                async with store.lease("a", timeout=0.01):
                    pass
            with trio.move_on_after(0.01) as scope:
                async with store.lease("a"):
                    raise AssertionError
            assert scope.cancelled_caught
        async with store.lease("a", timeout=60):
            pass

    trio.run(main)


def test_a_lease_is_released_when_the_task_that_holds_it_is_cancelled(plain: SessionStore) -> None:
    async def main() -> None:
        store = AsyncSessionStore(plain)
        with trio.CancelScope() as scope:
            async with store.lease("a"):
                scope.cancel()
                await trio.sleep(0)
        async with store.lease("a", timeout=60):
            pass

    trio.run(main)


def test_an_opening_that_is_cancelled_leaves_nothing_open(tmp_path: Path, vault_key: Any) -> None:
    made: list[SessionStore] = []
    begun, go = threading.Event(), threading.Event()

    def opening() -> SessionStore:
        begun.set()
        go.wait(30)
        made.append(open_store(tmp_path / "vault", key=vault_key, durability="os"))
        return made[0]

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(AsyncSessionStore.opened, opening)
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
            go.set()

    trio.run(main)
    assert made[0].closed


def test_an_error_is_raised_where_it_is_awaited(plain: SessionStore) -> None:
    def fail(store: SessionStore) -> None:
        raise KeyError("mine")

    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            await AsyncSessionStore(plain).run(fail)

    trio.run(main)
