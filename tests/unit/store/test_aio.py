"""AsyncSessionStore: every verb awaited, a warm load on the loop itself, and cancellation that settles."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vaultsession import (
    AsyncSessionStore,
    Conflict,
    InvalidDocument,
    InvalidSessionId,
    InvalidSetting,
    LeaseTimeout,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    SessionStore,
)
from vaultsession.testing.clock import ManualClock

Test = Callable[[AsyncSessionStore], Coroutine[Any, Any, None]]


@pytest.fixture
def run(store: SessionStore) -> Callable[[Test], None]:
    """Runs a coroutine with an asynchronous store, and closes it."""

    def running(test: Test) -> None:
        async def around() -> None:
            async with AsyncSessionStore(store) as awaited:
                await test(awaited)

        asyncio.run(around())

    return running


def test_every_verb_can_be_awaited(run: Any, clock: ManualClock) -> None:
    async def test(store: AsyncSessionStore) -> None:
        made = await store.create("a", state={"x": 1}, messages=[{"n": 0}], user_id="alice", ttl="1h")
        assert made.state == {"x": 1}
        await store.append("a", {"n": 1}, {"n": 2})
        assert await store.messages("a", last=2) == [{"n": 1}, {"n": 2}]
        assert await store.messages("a", offset=1, limit=1) == [{"n": 1}]
        assert await store.pop("a") == [{"n": 2}]
        await store.update("a", {"y": 2})
        await store.update("a", lambda draft: draft.state.update(z=3))
        async with store.edit("a") as draft:
            draft.state["w"] = 4
        session = await store.load("a")
        assert session.state == {"x": 1, "y": 2, "z": 3, "w": 4}
        session.title = "T"
        assert await store.save(session) is session
        await store.save("b", state={}, labels={"k": "v"})
        assert [info.id for info in await store.list(labels={"k": "v"})] == ["b"]
        assert [info.id for info in await store.list(order="oldest", limit=1, user_id="alice")] == ["a"]
        assert await store.count() == 2
        assert await store.exists("a")
        assert (await store.touch("a", "2h")).expires_at is not None
        assert (await store.clear("a")).message_count == 0
        assert await store.get("nobody", 5) == 5
        assert await store.delete("b") is True
        async with store.lease("a", timeout=0):
            pass
        clock.advance("2h")
        assert (await store.rotate_key()).left == ()
        assert len(await store.prune_keys()) == len(await store.key_usage()) == 1
        with pytest.raises(InvalidSetting):
            await store.destroy_tenant("acme")
        assert await store.sweep(dry_run=True) == await store.sweep() == 1
        await store.reindex()
        assert (await store.stats())["sessions"] == 0
        assert (await store.health())["ok"]
        await store.start_sweeper("1h")

    run(test)


def test_a_store_may_have_both_kinds_of_callers(store: SessionStore) -> None:
    async def test() -> None:
        awaited = AsyncSessionStore(store)
        made = store.append("a", {"n": 0}, create=True)
        info = await awaited.append("a", {"n": 1}, if_version=made.version)
        assert store.info("a") == info
        assert store.messages("a") == await awaited.messages("a") == [{"n": 0}, {"n": 1}]
        with store.lease("a"), pytest.raises(LeaseTimeout):
            async with awaited.lease("a", 0.001):
                pass
        await awaited.close()

    asyncio.run(test())
    with pytest.raises(RuntimeError, match="closed"):
        store.exists("a")


def test_errors_are_those_of_the_blocking_store(run: Any, clock: ManualClock) -> None:
    async def test(store: AsyncSessionStore) -> None:
        session = await store.create("a", ttl="1h")
        await store.update("a", {"x": 1})
        attempts = [
            (SessionExists, store.create("a")),
            (Conflict, store.save(session)),
            (InvalidDocument, store.append("a", {"x": {1}})),
            (InvalidSessionId, store.load("")),
            (SessionNotFound, store.load("b")),
        ]
        for error, attempt in attempts:
            with pytest.raises(error):
                await attempt
        clock.advance("1h")
        with pytest.raises(SessionExpired):
            await store.load("a")

    run(test)


def test_an_edit_that_raises_saves_nothing_and_one_that_is_late_conflicts(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        version = (await store.create("a")).version
        with pytest.raises(KeyError):  # noqa: PT012 - the block is what raises
            async with store.edit("a") as draft:
                draft.state["x"] = 1
                raise KeyError
        assert (await store.load("a")).version == version
        with pytest.raises(Conflict):  # noqa: PT012 - the exit is what raises
            async with store.edit("a") as draft:
                draft.state["x"] = 1
                await store.append("a", {})
        assert (await store.load("a")).state == {}

    run(test)


def test_a_warm_load_does_not_leave_the_loop(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create("a", state={"x": 1})
    threads = []
    load, warm = store.load, store.load_if_warm

    def cold_load(id: str) -> Any:
        threads.append(threading.current_thread())
        return load(id)

    def warm_load(id: str) -> Any:
        threads.append(threading.current_thread())
        return warm(id)

    monkeypatch.setattr(store, "load", cold_load)
    monkeypatch.setattr(store, "load_if_warm", warm_load)

    async def test() -> None:
        async with AsyncSessionStore(store) as awaited:
            assert (await awaited.load("a")).state == {"x": 1}
            assert threads == [threading.current_thread()]
            with pytest.raises(SessionNotFound):
                await awaited.load("b")
            assert threads[2] is not threading.current_thread()

    asyncio.run(test())


def test_many_tasks_share_a_store(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        await store.create("a", state={"n": 0})

        async def work(number: int) -> None:
            await store.append("a", {"n": number})
            await store.update("a", lambda draft: draft.state.update(n=draft.state["n"] + 1))

        await asyncio.gather(*(work(number) for number in range(30)))
        session = await store.load("a")
        assert session.state == {"n": 30}
        assert sorted(message["n"] for message in session.messages) == list(range(30))

    run(test)


class Gate:
    """Holds a verb of a store until it is opened, and signals when it has been reached."""

    def __init__(self, store: SessionStore, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened, self.finished = threading.Event(), threading.Event(), threading.Event()
        original = getattr(store, verb)

        def held(*args: Any, **kwargs: Any) -> Any:
            self.reached.set()
            if not self.opened.wait(60):
                raise TimeoutError
            try:
                return original(*args, **kwargs)
            finally:
                self.finished.set()

        monkeypatch.setattr(store, verb, held)

    async def until_reached(self) -> None:
        while not self.reached.is_set():  # noqa: ASYNC110 - set by a thread, not by the loop
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("cancels", [1, 3])
def test_a_write_that_was_started_settles_before_its_cancellation_is_told(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch, cancels: int
) -> None:
    store.create("a")
    gate = Gate(store, "append", monkeypatch)

    async def test() -> None:
        async with AsyncSessionStore(store) as awaited:
            task = asyncio.create_task(awaited.append("a", {"n": 1}))
            await gate.until_reached()
            for _ in range(cancels):
                task.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert not task.done()
            gate.opened.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert gate.finished.is_set()
            assert await awaited.messages("a") == [{"n": 1}]

    asyncio.run(test())


def test_a_write_that_fails_after_its_task_was_cancelled_tells_only_of_the_cancellation(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(store, "append", monkeypatch)

    async def test() -> None:
        async with AsyncSessionStore(store) as awaited:
            task = asyncio.create_task(awaited.append("nobody", {"n": 1}))
            await gate.until_reached()
            task.cancel()
            gate.opened.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(test())


def test_a_timeout_waits_for_the_write_under_way(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.create("a")
    gate = Gate(store, "save", monkeypatch)

    async def test() -> None:
        async with AsyncSessionStore(store) as awaited:
            session = await awaited.load("a")
            session.state["x"] = 1

            async def open_later() -> None:
                await gate.until_reached()
                await asyncio.sleep(0.02)
                gate.opened.set()

            opening = asyncio.create_task(open_later())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await awaited.save(session)
            assert gate.finished.is_set()
            await opening
            assert (await awaited.load("a")).state == {"x": 1}

    asyncio.run(test())


def test_a_lease_excludes_and_is_let_go(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        async with store.lease("a"):
            with pytest.raises(LeaseTimeout):
                async with store.lease("a", timeout=0):
                    pytest.fail("two held it at once")
        async with store.lease("a", timeout=0):
            pass

    run(test)


def test_tasks_wait_for_a_lease_without_blocking_the_verbs(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        holders = most = 0

        async def turn() -> None:
            nonlocal holders, most
            async with store.lease("a"):
                holders += 1
                most = max(most, holders)
                await store.append("a", {}, create=True)
                holders -= 1

        await asyncio.gather(*(turn() for _ in range(12)))
        assert most == 1
        assert (await store.load("a")).message_count == 12

    run(test)


def test_whoever_stops_waiting_for_a_lease_does_not_keep_it(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        async with store.lease("a"):
            waiting = asyncio.create_task(store.lease("a").__aenter__())
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with store.lease("a", timeout=30):
            pass

    run(test)


@pytest.mark.slow
def test_whoever_stops_waiting_leaves_no_thread_that_waits_on(store: SessionStore) -> None:
    async def test() -> None:
        waiting = asyncio.create_task(AsyncSessionStore(store).lease("a").__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with store.lease("a"):  # for longer than the loop lives
        asyncio.run(test())
        for thread in threading.enumerate():
            if thread.name.startswith("vaultsession-lease"):
                thread.join(60)
                assert not thread.is_alive()
    with store.lease("a", timeout=0):
        pass


def test_a_cancelled_holder_lets_go(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        held = asyncio.Event()

        async def hold() -> None:
            async with store.lease("a"):
                held.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await held.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with store.lease("a", timeout=30):
            pass

    run(test)


def test_a_closed_store_refuses_and_closes_again(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        await store.create("a")
        await store.load("a")
        await store.close()
        await store.close()
        with pytest.raises(RuntimeError):
            await store.load("a")
        with pytest.raises(RuntimeError):
            await store.append("a", {})
        with pytest.raises(RuntimeError):
            async with store.lease("a"):
                pytest.fail("a closed store gave a lease")

    run(test)


def test_no_thread_is_left_behind(store: SessionStore) -> None:
    before = set(threading.enumerate())

    async def test() -> None:
        async with AsyncSessionStore(store) as awaited:
            await asyncio.gather(*(awaited.append("a", {}, create=True) for _ in range(20)))
            async with awaited.lease("a"):
                pass

    asyncio.run(test())
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()


def test_an_opening_that_is_cancelled_closes_what_it_opened(open_one: Any) -> None:
    reached, go = threading.Event(), threading.Event()
    opened: list[SessionStore] = []

    def opening() -> SessionStore:
        reached.set()
        go.wait(60)
        opened.append(open_one())
        return opened[0]

    async def test() -> None:
        task = asyncio.create_task(AsyncSessionStore.opened(opening))
        while not reached.is_set():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(test())
    with pytest.raises(RuntimeError):
        opened[0].count()


# -- many sessions -----------------------------------------------------------------------------------------------------


def test_matches_and_lines_come_as_asynchronous_iterators(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        await store.save_many({"id": f"s{n}", "messages": [{"content": f"word {n}"}]} for n in range(5))
        found = [match.id async for match in store.search("word", limit=3)]
        assert len(found) == 3
        lines = [line async for line in store.export()]
        assert len(lines) == 5
        assert await store.delete_many([f"s{n}" for n in range(5)]) == 5
        assert (await store.import_(lines)).made == 5
        assert list(await store.load_many(["s1", "absent"])) == ["s1"]
        assert (await store.copy("s1", "s9", until=0)).messages == []
        assert (await store.verify()).ok

    run(test)


def test_a_search_that_is_broken_off_is_closed(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        await store.save_many({"id": f"s{n}", "messages": [{"content": "word"}]} for n in range(5))
        matches = store.search("word")
        async for _ in matches:
            break
        await matches.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert [match async for match in matches] == []
        with pytest.raises(InvalidSetting):
            store.search("")

    run(test)


def test_other_tasks_go_on_while_a_search_looks(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(store: AsyncSessionStore) -> None:
        await store.create("a", messages=[{"content": "word"}])
        looking, go_on = threading.Event(), threading.Event()

        def progress(done: int) -> None:
            del done
            looking.set()
            go_on.wait(60)

        async def search() -> int:
            return len([match async for match in store.search("word", progress=progress)])

        task = asyncio.create_task(search())
        await asyncio.to_thread(looking.wait, 60)
        assert await store.exists("a")
        go_on.set()
        assert await task == 1

    run(test)


def test_an_import_whose_task_is_cancelled_is_settled(run: Any) -> None:
    """The task learns of its cancellation when the session that was under way, and all behind it, are written."""

    async def test(store: AsyncSessionStore) -> None:
        await store.save_many({"id": f"s{n}"} for n in range(3))
        lines = [line async for line in store.export()]
        await store.delete_many(f"s{n}" for n in range(3))
        begun, go_on = threading.Event(), threading.Event()

        def slowly() -> Any:
            for line in lines:
                begun.set()
                go_on.wait(60)
                yield line

        task = asyncio.create_task(store.import_(slowly()))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.count() == 3

    run(test)


def test_a_probe_is_answered_while_every_thread_of_the_store_is_busy(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        await store.create("a")
        go_on = threading.Event()
        waiting = [asyncio.create_task(store.update("a", lambda _: go_on.wait(60))) for _ in range(20)]
        await asyncio.sleep(0)
        assert (await store.health())["ok"] is True
        go_on.set()
        await asyncio.gather(*waiting)

    run(test)


def test_a_function_that_ends_its_iteration_by_mistake_hangs_nobody(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        await store.create("a")
        with pytest.raises(RuntimeError, match="StopIteration") as raised:
            await asyncio.wait_for(store.update("a", lambda _: next(iter(()))), 20)
        assert isinstance(raised.value.__cause__, StopIteration)
        assert (await store.load("a")).state == {}

    run(test)
