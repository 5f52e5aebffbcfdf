"""Sessions of the OpenAI Agents SDK in a vault: beside its own SQLiteSession, and where things go wrong."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from frameworks import require

from vaultsession import (
    AsyncSessionStore,
    Damaged,
    InvalidDocument,
    InvalidSessionId,
    InvalidSetting,
    LeaseTimeout,
    RawKey,
    SessionStore,
    WrongKey,
    open_store,
)
from vaultsession.admin.importers import ImportedSession, Placed, place, read
from vaultsession.testing import ManualClock

agents = require("agents")
from agents import Agent, Runner, function_tool  # noqa: E402 - behind the test that they are there
from agents.extensions.memory import EncryptedSession  # noqa: E402 - as above
from agents.memory import Session, SessionSettings, SQLiteSession  # noqa: E402 - as above
from agents.testing import ScriptedModel, assistant_message, function_call  # noqa: E402 - as above

from vaultsession.integrations.openai_agents import VaultSession  # noqa: E402 - as above

agents.set_tracing_disabled(disabled=True)

KEY = RawKey(bytes(range(200, 232)))
HI = {"role": "user", "content": "Hi"}


def said(text: str) -> list[Any]:
    return [assistant_message(text)]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=KEY, durability="os", lossless=True) as opened:
        yield opened


@pytest.fixture
def session(store: SessionStore) -> VaultSession:
    return VaultSession("alice", store)


def run_once(agent: Agent, text: str, session: Any) -> Any:
    return asyncio.run(Runner.run(agent, text, session=session))


def run_sync(agent: Agent, text: str, session: Any) -> Any:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return Runner.run_sync(agent, text, session=session)
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def run_streamed(agent: Agent, text: str, session: Any) -> Any:
    async def run() -> Any:
        result = Runner.run_streamed(agent, text, session=session)
        async for _ in result.stream_events():
            pass
        return result

    return asyncio.run(run())


# -- an agent at work --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [run_once, run_sync, run_streamed])
def test_a_run_reads_and_writes_the_same_as_over_sqlite(
    run: Callable[..., Any], store: SessionStore, tmp_path: Path
) -> None:
    histories = []
    for session in (VaultSession("alice", store), SQLiteSession("alice", tmp_path / "theirs.db")):
        model = ScriptedModel(steps=[said("Rome"), said("Italy")])
        agent = Agent(name="guide", model=model)
        assert run(agent, "Which city?", session).final_output == "Rome"
        assert run(agent, "Which country?", session).final_output == "Italy"
        histories.append((model.calls[-1].input, asyncio.run(session.get_items())))
        session.close()
    assert histories[0] == histories[1]
    assert len(histories[0][1]) == 4


def test_a_tool_is_called_and_its_result_kept(session: VaultSession) -> None:
    @function_tool
    def weather(city: str) -> str:
        return f"Sun in {city}"

    call = function_call("weather", {"city": "Rome"}, call_id="c1")
    model = ScriptedModel(steps=[[call], said("Sunny.")])
    run_once(Agent(name="guide", model=model, tools=[weather]), "How is it?", session)
    items = asyncio.run(session.get_items())
    assert [item.get("type", item.get("role")) for item in items] == [
        "user",
        "function_call",
        "function_call_output",
        "message",
    ]
    assert items[2]["output"] == "Sun in Rome"


PROGRAM = """
import asyncio, os, signal, sys
import agents
from agents import Agent, Runner, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call
from vaultsession import RawKey
from vaultsession.integrations.openai_agents import VaultSession

agents.set_tracing_disabled(disabled=True)
what, vault, name = sys.argv[1:]

def said(text):
    return [assistant_message(text)]

@function_tool
def die():
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with VaultSession.from_url("alice", vault, key=RawKey(bytes(range(200, 232)))) as session:
        if what == "die":
            call = function_call("die", {}, call_id="c1")
            model = ScriptedModel(steps=[said("Rome"), [call]])
            agent = Agent(name="guide", model=model, tools=[die])
            await Runner.run(agent, "Which city?", session=session)
            await Runner.run(agent, "And now?", session=session)
        for number in range(20 if what == "talk" else 0):
            async with session.turn():
                model = ScriptedModel(steps=[said(f"{name} {number}")])
                await Runner.run(Agent(name="guide", model=model), f"{name} {number}", session=session)

asyncio.run(main())
"""


def started(what: str, vault: Path, name: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, what, str(vault), name])


@pytest.mark.slow
def test_an_agent_that_was_killed_in_the_middle_of_a_turn_goes_on(tmp_path: Path) -> None:
    assert started("die", tmp_path / "vault").wait(timeout=60) == -signal.SIGKILL
    session = VaultSession.from_url("alice", tmp_path / "vault", key=KEY)
    items = asyncio.run(session.get_items())
    assert [item.get("content") for item in items if item.get("role") == "user"] == ["Which city?", "And now?"]
    assert all(set(item) >= {"role"} or item["type"].startswith("function_call") for item in items)
    model = ScriptedModel(steps=[said("Here again.")])
    run_once(Agent(name="guide", model=model), "Are you there?", session)
    assert asyncio.run(session.get_items())[-1]["content"][0]["text"] == "Here again."
    assert user("Which city?") in model.calls[0].input
    session.close()


@pytest.mark.slow
def test_two_processes_at_once_lose_no_turn(tmp_path: Path) -> None:
    open_store(tmp_path / "vault", key=KEY).close()
    running = [started("talk", tmp_path / "vault", name) for name in ("a", "b")]
    assert [each.wait(timeout=120) for each in running] == [0, 0]
    with open_store(tmp_path / "vault", key=KEY) as store:
        items = store.messages("alice")
    asked = [item["content"] for item in items if item.get("role") == "user"]
    assert sorted(asked) == sorted(f"{name} {number}" for name in "ab" for number in range(20))
    for question, answer in zip(items[::2], items[1::2], strict=True):  # turn by turn: a lease held each of them
        assert answer["content"][0]["text"] == question["content"]


def test_a_turn_is_held_by_one_at_a_time(session: VaultSession, store: SessionStore) -> None:
    async def both() -> None:
        async with session.turn():
            with pytest.raises(LeaseTimeout):
                async with VaultSession("alice", store).turn(timeout=0.01):
                    pass

    asyncio.run(both())


def test_a_write_that_was_started_is_finished_though_its_task_is_cancelled(
    session: VaultSession, store: SessionStore
) -> None:
    async def cancelled() -> None:
        task = asyncio.create_task(session.add_items([HI]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert store.messages("alice") == [HI]


# -- items -------------------------------------------------------------------------------------------------------------

HOSTILE: list[Any] = [
    {"role": "user", "content": "half a pair \ud83d"},
    {"role": "user", "content": 2**70},
    {"role": "user", "content": float("inf")},
    {"role": "user", "content": ("a", "tuple")},
    {"role": "user", "content": "\x00 NUL, \u2028, \U0001d54f, e\u0301, é"},
    {"role": "user", "content": json.loads("[" * 400 + "]" * 400)},
    {"$lossless": ["x"]},
    {1: "one", None: "none"},
    {},
]


@pytest.mark.parametrize("item", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_item_comes_back_as_from_sqlite(item: Any, session: VaultSession, tmp_path: Path) -> None:
    async def kept(each: Any) -> list[Any]:
        await each.add_items([HI, item, HI])
        return [await each.get_items(), await each.get_items(2)]

    theirs = SQLiteSession("alice", tmp_path / "theirs.db")
    assert asyncio.run(kept(session)) == asyncio.run(kept(theirs))
    theirs.close()


def test_what_json_cannot_say_is_refused_and_nothing_is_written(session: VaultSession) -> None:
    with pytest.raises(InvalidDocument, match=r"messages\[1\]\.content"):
        asyncio.run(session.add_items([HI, {"role": "user", "content": object()}]))
    assert asyncio.run(session.get_items()) == []


def test_a_store_that_is_not_lossless_refuses_what_strict_json_does_not_carry() -> None:
    with open_store("memory://") as store:
        session = VaultSession("alice", store)
        with pytest.raises(InvalidDocument, match="content"):
            asyncio.run(session.add_items([HI, user("half a pair \ud83d")]))
        asyncio.run(session.add_items([{"role": "user", "content": ("a", "tuple")}]))
        assert store.messages("alice") == [{"role": "user", "content": ["a", "tuple"]}]


@pytest.mark.parametrize("limit", [None, -1, 0, 1, 3, 10])
@pytest.mark.parametrize("default", [None, 2])
@pytest.mark.parametrize("cache_bytes", [0, 64 << 20])
def test_limits_are_those_of_sqlite(limit: int | None, default: int | None, cache_bytes: int, tmp_path: Path) -> None:
    items = [user(str(number)) for number in range(5)]
    settings = SessionSettings(limit=default)

    async def kept(session: Any) -> list[Any]:
        await session.add_items(items)
        found: list[Any] = await session.get_items(limit)
        session.close()
        return found

    ours = VaultSession.from_url("alice", "memory://", session_settings=settings, cache_bytes=cache_bytes)
    assert asyncio.run(kept(ours)) == asyncio.run(kept(SQLiteSession("alice", session_settings=settings)))


def test_a_long_history_is_read_beside_the_event_loop(store: SessionStore) -> None:
    items = [user(str(number) * 1000) for number in range(300)]
    session = VaultSession("alice", store)
    asyncio.run(session.add_items(items))
    store.load("alice")
    assert asyncio.run(session.get_items()) == items
    assert asyncio.run(session.get_items(3)) == items[-3:]


def test_items_are_copies(session: VaultSession) -> None:
    async def changed() -> list[Any]:
        await session.add_items([HI])
        (await session.get_items())[0]["content"] = "changed"
        return await session.get_items()

    assert asyncio.run(changed()) == [HI]


def test_items_are_popped_and_cleared(session: VaultSession) -> None:
    async def use() -> None:
        assert await session.pop_item() is None
        await session.clear_session()
        await session.add_items([])
        assert not session._handle.store.exists("alice")
        await session.add_items([HI, {"$lossless": ["x"]}])
        assert await session.pop_item() == {"$lossless": ["x"]}
        assert await session.pop_item() == HI
        assert await session.pop_item() is None
        await session.add_items([HI])
        await session.clear_session()
        assert await session.get_items() == []

    asyncio.run(use())


def test_fields_are_those_of_a_session_that_is_made(store: SessionStore) -> None:
    session = VaultSession("alice", store, user_id="u1", labels={"team": "red"}, ttl="1h", title="Trip")
    asyncio.run(session.add_items([HI]))
    (info,) = store.list(user_id="u1", labels={"team": "red"})
    assert (info.id, info.title) == ("alice", "Trip")
    assert info.expires_at is not None


def test_it_is_a_session_of_the_sdk(session: VaultSession) -> None:
    assert isinstance(session, Session)
    assert not hasattr(session, "run_compaction")


# -- where things go wrong ---------------------------------------------------------------------------------------------


def test_an_expired_session_is_empty_and_begins_anew() -> None:
    clock = ManualClock()
    with open_store("memory://", clock=clock) as store:
        session = VaultSession("alice", store, ttl="1h")

        async def use() -> list[Any]:
            await session.add_items([HI])
            clock.advance("1h")
            assert await session.get_items() == []
            assert await session.pop_item() is None
            await session.clear_session()
            await session.add_items([user("again")])
            return await session.get_items()

        assert asyncio.run(use()) == [user("again")]


def test_a_wrong_key_is_raised_before_an_agent_runs(tmp_path: Path) -> None:
    VaultSession.from_url("alice", tmp_path / "vault", key=KEY).close()
    with pytest.raises(WrongKey):
        VaultSession.from_url("alice", tmp_path / "vault", key=RawKey(bytes(range(32))))


def test_a_damaged_session_is_raised_out_of_a_run_and_never_empty(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with open_store(vault, key=KEY) as store:
        store.append("alice", HI, HI, create=True)
    (path,) = (each for each in (vault / "sessions").rglob("*alice*") if each.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    session = VaultSession.from_url("alice", vault, key=KEY)
    model = ScriptedModel(steps=[said("never")])
    with pytest.raises(Damaged):
        asyncio.run(session.get_items())
    with pytest.raises(Damaged):
        run_once(Agent(name="guide", model=model), "Hello?", session)
    assert not model.calls
    session.close()


LONG = "ß" * 600
IDS = ["a/b", "../..", "%", "\x00", "用户-😀", "x" * 1024, "x" * 1025, LONG, "é" * 100_000]


def test_ids_of_any_length_and_script_are_apart(store: SessionStore) -> None:
    sessions = [VaultSession(name, store) for name in IDS]
    for number, each in enumerate(sessions):
        asyncio.run(each.add_items([user(str(number))]))
    assert [asyncio.run(each.get_items()) for each in sessions] == [[user(str(number))] for number in range(len(IDS))]
    assert store.load(sessions[-1]._id).state == {"session_id": IDS[-1]}
    assert "a/b" in {info.id for info in store.list()}


def test_nobody_chooses_the_id_of_a_long_one(store: SessionStore) -> None:
    long = VaultSession(LONG, store)
    assert VaultSession(long._id, store)._id != long._id


@pytest.mark.parametrize("name", ["", "\ud800", 7, None])
def test_what_is_no_id_is_refused_at_once(name: Any, store: SessionStore) -> None:
    with pytest.raises(InvalidSessionId):
        VaultSession(name, store)


def test_a_store_is_one_of_vaultsession() -> None:
    with pytest.raises(InvalidSetting, match="SQLiteSession"):
        VaultSession("alice", SQLiteSession("alice"))  # type: ignore[arg-type]


def test_a_refused_session_closes_the_vault_that_was_opened_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[SessionStore] = []
    monkeypatch.setattr(
        SessionStore, "close", lambda store, close=SessionStore.close: closed.append(store) or close(store)
    )
    with pytest.raises(InvalidSessionId):
        VaultSession.from_url("", tmp_path / "vault", key=KEY)
    assert len(closed) == 1


def test_a_closed_session_takes_no_calls(store: SessionStore) -> None:
    session = VaultSession("alice", store)
    session.close()
    session.close()

    async def use(call: Callable[[], Any]) -> None:
        with pytest.raises(RuntimeError, match="VaultSession is closed"):
            await call()

    for call in (session.get_items, lambda: session.add_items([]), session.pop_item, session.clear_session):
        asyncio.run(use(call))
    assert "closed" in repr(session)
    assert store.count() == 0  # the store of the caller is open


def test_a_vault_that_was_opened_is_closed_with_its_session(tmp_path: Path) -> None:
    async def use() -> SessionStore:
        async with VaultSession.from_url("alice", tmp_path / "vault", key=KEY, fields={"user_id": "u1"}) as session:
            await session.add_items([HI])
            return session._handle.store

    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(use()).count()
    with open_store(tmp_path / "vault", key=KEY) as store:
        assert store.info("alice").user_id == "u1"


def test_a_store_for_asyncio_serves_as_well(tmp_path: Path) -> None:
    async def use() -> list[Any]:
        async with AsyncSessionStore(open_store(tmp_path / "vault", key=KEY)) as store:
            session = VaultSession.from_store("alice", store)
            await session.add_items([HI])
            await session.aclose()
            assert await store.count() == 1
            return await store.messages("alice")

    assert asyncio.run(use()) == [HI]


def test_the_installed_version_is_one_that_was_tried() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sys.modules.pop("vaultsession.integrations.openai_agents")
        require("vaultsession.integrations.openai_agents")


# -- moving in ---------------------------------------------------------------------------------------------------------


def test_sessions_of_sqlite_are_imported_and_gone_on_with(store: SessionStore, tmp_path: Path) -> None:
    path, items = tmp_path / "chats.db", [user("Where to?"), {"role": "assistant", "content": "Rome."}]

    async def before() -> None:
        for name in ("alice", "bob"):
            plain = SQLiteSession(name, path)
            await (plain if name == "alice" else EncryptedSession(name, plain, "the key", ttl=1)).add_items(items)
            plain.close()

    asyncio.run(before())
    found = list(read(str(path), source_key="the key"))
    assert [place(store, each) for each in found if isinstance(each, ImportedSession)] == [Placed.IMPORTED] * 2
    model = ScriptedModel(steps=[said("Tomorrow."), said("Tomorrow.")])
    for name in ("alice", "bob"):
        session = VaultSession(name, store)
        run_once(Agent(name="guide", model=model), "When?", session)
        assert model.calls[-1].input == [*items, user("When?")]


# -- compaction --------------------------------------------------------------------------------------------------------


def snapshot_of(session: VaultSession, limit: int, **more: Any) -> Any:
    return asyncio.run(session._get_compaction_snapshot(limit, **more))


def filled(session: VaultSession, count: int = 6) -> list[Any]:
    items = [user(str(number)) for number in range(count)]
    asyncio.run(session.add_items(items))
    return items


def test_a_suffix_is_replaced_and_the_rest_kept(session: VaultSession, store: SessionStore) -> None:
    items = filled(session)
    snapshot = snapshot_of(session, 4)
    assert (snapshot.items, snapshot.complete) == (items[2:], False)
    assert asyncio.run(snapshot.replace_suffix(2, [{"$lossless": ["x"]}, {"score": 2**70}]))
    assert asyncio.run(session.get_items()) == [*items[:4], {"$lossless": ["x"]}, {"score": 2**70}]
    assert not asyncio.run(snapshot.replace_suffix(2, []))  # it is the newest no more
    assert snapshot_of(session, 100).complete
    assert not asyncio.run(snapshot_of(session, 100).replace_suffix(100, [HI]))


def test_a_suffix_that_changed_meanwhile_is_left(session: VaultSession, store: SessionStore) -> None:
    items = filled(session)
    snapshot = snapshot_of(session, 4)
    store.append("alice", HI)
    assert not asyncio.run(snapshot.replace_suffix(0, [user("summary")]))
    assert asyncio.run(session.get_items()) == [*items, HI]
    store.delete("alice")
    assert not asyncio.run(snapshot.replace_suffix(0, [user("summary")]))
    assert not store.exists("alice")
    assert not asyncio.run(snapshot_of(session, 4).replace_suffix(0, [HI]))


@pytest.mark.parametrize("expired", [0, 1, 3, 9])
def test_an_expired_prefix_goes_in_the_same_write(expired: int, session: VaultSession) -> None:
    items = filled(session)
    snapshot = snapshot_of(session, 3, prune_prefix=lambda item: int(item["content"]) < expired)
    assert asyncio.run(snapshot.replace_suffix(1, [HI, {"score": 2**70}]))
    assert asyncio.run(session.get_items()) == [*items[min(expired, 4) : 4], HI, {"score": 2**70}]


def test_a_history_is_replaced_in_one_write(session: VaultSession, store: SessionStore) -> None:
    assert asyncio.run(session._atomic_replace_items([]))
    assert not store.exists("alice")
    assert asyncio.run(session._atomic_replace_items([HI]))
    filled(session)
    assert asyncio.run(session._atomic_replace_items([HI, {"score": 2**70}]))
    assert asyncio.run(session.get_items()) == [HI, {"score": 2**70}]


def test_a_subclass_with_verbs_of_its_own_is_not_passed_by(store: SessionStore) -> None:
    class Shouting(VaultSession):
        async def get_items(self, limit: int | None = None) -> list[Any]:
            return [{**item, "content": item["content"].upper()} for item in await super().get_items(limit)]

    session = Shouting("alice", store)
    filled(session)
    assert snapshot_of(session, 4) is None
    assert not asyncio.run(session._atomic_replace_items([HI]))
    assert len(asyncio.run(session.get_items())) == 6
