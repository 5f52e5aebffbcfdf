"""Transcripts of the Claude Agent SDK in a vault: its conformance suite, races, and agents that are killed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from frameworks import require

from vaultsession import (
    AsyncSessionStore,
    Conflict,
    Damaged,
    InvalidDocument,
    InvalidSessionId,
    RawKey,
    SessionStore,
    WrongKey,
    open_store,
)
from vaultsession.testing import ManualClock

require("claude_agent_sdk")
import anyio.lowlevel  # noqa: E402 - behind the test that it is there
import anyio.to_thread  # noqa: E402 - behind the test that it is there
from claude_agent_sdk import (  # noqa: E402 - as above
    ClaudeAgentOptions,
    InMemorySessionStore,
    ResultMessage,
    fold_session_summary,
    get_session_messages_from_store,
    list_sessions_from_store,
    project_key_for_directory,
    query,
)
from claude_agent_sdk.testing import run_session_store_conformance  # noqa: E402 - as above

from vaultsession.integrations.claude_agent import VaultSessionStore  # noqa: E402 - as above

KEY = RawKey(bytes(range(200, 232)))
MAIN = {"project_key": "p", "session_id": "s"}
SUB = {**MAIN, "subpath": "subagents/agent-1"}


def entry(name: str, text: str = "hello", **more: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "uuid": name,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "message": {"role": "user", "content": text},
        **more,
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=KEY, durability="os", lossless=True) as opened:
        yield opened


@pytest.fixture
def transcripts(store: SessionStore) -> VaultSessionStore:
    return VaultSessionStore(store)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("place", ["memory", "files"])
def test_it_conforms(loop: str, place: str, tmp_path: Path) -> None:
    vaults = iter(range(100))

    def make() -> VaultSessionStore:
        where = "memory://" if place == "memory" else tmp_path / f"vault-{next(vaults)}"
        return VaultSessionStore.from_url(where, durability="os", **({} if place == "memory" else {"key": KEY}))

    anyio.run(run_session_store_conformance, make, backend=loop)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_program_leaves_what_it_leaves_in_memory(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    ours, theirs = (
        VaultSessionStore.from_url("memory://", cache_bytes=chance.choice([0, 1 << 20])),
        InMemorySessionStore(),
    )
    keys = [
        {"project_key": project, "session_id": name, **subpath}
        for project in ("p", "p ", "q%2F")
        for name in ("a", "ä b", "%")  # theirs has no slashes in a session id
        for subpath in ({}, {"subpath": "subagents/x"}, {"subpath": "y/z"})
    ]

    async def shown(store: Any) -> Any:
        return {
            "loaded": [await store.load(key) for key in keys],
            "listed": [
                sorted(each["session_id"] for each in await store.list_sessions(key["project_key"])) for key in keys
            ],
            "subkeys": [sorted(await store.list_subkeys(key)) for key in keys],
            "summaries": [
                sorted(
                    (json.dumps([each["session_id"], each["data"]]))
                    for each in await store.list_session_summaries(key["project_key"])
                )
                for key in keys
            ],
        }

    async def program() -> None:
        for number in range(60):
            key = chance.choice(keys)
            if chance.random() < 0.15:
                await ours.delete(key)
                await theirs.delete(key)
            else:
                batch = [entry(f"u{number}-{each}", f"text {number}") for each in range(chance.randrange(3))]
                batch += [{"type": "tag", "tag": chance.choice(["", "red"])}] * chance.randrange(2)
                batch += [{"type": "custom-title", "customTitle": f"t{number}"}] * chance.randrange(2)
                if batch:
                    await ours.append(key, batch)
                    await theirs.append(key, batch)
        assert await shown(ours) == await shown(theirs)

    asyncio.run(program())
    ours.close()


# -- each entry once, and in order -------------------------------------------------------------------------------------


def test_a_batch_that_comes_again_is_there_once(transcripts: VaultSessionStore, store: SessionStore) -> None:
    title = {"type": "custom-title", "customTitle": "first"}
    batch = [entry("a"), title, entry("b"), entry("b", "again")]

    async def use() -> None:
        await transcripts.append(MAIN, batch)
        await transcripts.append(MAIN, [entry("c"), {"type": "custom-title", "customTitle": "second"}])
        before = store.info("claude/p/s").version
        await transcripts.append(MAIN, [batch[0], batch[2]])
        assert store.info("claude/p/s").version == before  # nothing was written
        await VaultSessionStore(store).append(MAIN, [entry("b"), entry("d")])  # which reads what is there first
        await transcripts.append(MAIN, [entry("d")])  # known to the other alone
        loaded = await transcripts.load(MAIN)
        assert loaded is not None
        assert [each.get("uuid") for each in loaded] == ["a", None, "b", "c", None, "d"]
        (summary,) = await transcripts.list_session_summaries("p")
        assert summary["data"]["custom_title"] == "second"

    asyncio.run(use())


def test_entries_without_a_uuid_are_all_kept(transcripts: VaultSessionStore) -> None:
    async def use() -> list[Any] | None:
        for _ in range(3):
            await transcripts.append(
                MAIN, [{"type": "mode"}, {"type": "mode", "uuid": ""}, {"type": "mode", "uuid": 7}]
            )
        return await transcripts.load(MAIN)

    assert len(asyncio.run(use()) or []) == 9


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_calls_at_once_are_written_in_the_order_of_the_calls(loop: str, transcripts: VaultSessionStore) -> None:
    async def use() -> list[Any] | None:
        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(transcripts.append, MAIN, [entry(str(number))])
                await anyio.lowlevel.checkpoint()
        return await transcripts.load(MAIN)

    assert [each["uuid"] for each in anyio.run(use, backend=loop) or []] == [str(number) for number in range(12)]
    assert not transcripts._locks


def test_threads_that_write_the_same_lose_nothing_and_double_nothing(store: SessionStore) -> None:
    stores = [VaultSessionStore(store), VaultSessionStore(store)]

    def work(transcripts: VaultSessionStore) -> None:
        async def write() -> None:
            for number in range(30):
                await transcripts.append(MAIN, [entry(f"u{number}"), entry(f"v{number}")])

        asyncio.run(write())

    threads = [threading.Thread(target=work, args=(stores[number % 2],)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    names = [each["uuid"] for each in store.messages("claude/p/s")]
    assert len(names) == len(set(names)) == 60
    assert set(names) == {f"{kind}{number}" for kind in "uv" for number in range(30)}


def test_a_transcript_that_is_removed_meanwhile_begins_anew(
    transcripts: VaultSessionStore, store: SessionStore
) -> None:
    async def use() -> None:
        await transcripts.append(MAIN, [entry("a")])
        store.delete("claude/p/s")  # as another process does
        await transcripts.append(MAIN, [entry("a")])
        assert await transcripts.load(MAIN) == [entry("a")]
        store.delete("claude/p/s")
        await transcripts.append(MAIN, [entry("b")])
        assert await transcripts.load(MAIN) == [entry("b")]

    asyncio.run(use())


def test_a_transcript_that_another_began_meanwhile_is_gone_on_with(
    transcripts: VaultSessionStore, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = transcripts._read

    def raced(name: str, known: Any) -> Any:
        found = read(name, known)
        monkeypatch.setattr(transcripts, "_read", read)
        asyncio.run(VaultSessionStore(store).append(MAIN, [entry("a"), entry("b")]))
        return found

    monkeypatch.setattr(transcripts, "_read", raced)
    asyncio.run(transcripts.append(MAIN, [entry("b"), entry("c")]))
    assert [each["uuid"] for each in store.messages("claude/p/s")] == ["a", "b", "c"]


def test_another_writer_each_time_ends_in_a_conflict(
    transcripts: VaultSessionStore, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = transcripts._read

    def raced(name: str, known: Any) -> Any:
        found = read(name, known)
        store.append(name, {"type": "mode"})
        return found

    asyncio.run(transcripts.append(MAIN, [entry("a")]))
    transcripts._known.clear()
    monkeypatch.setattr(transcripts, "_read", raced)
    with pytest.raises(Conflict, match="100 times"):
        asyncio.run(transcripts.append(MAIN, [entry("b")]))
    assert "b" not in [each.get("uuid") for each in store.messages("claude/p/s")]


@pytest.mark.parametrize("meanwhile", ["append", "save", "remake", "pop"])
def test_what_another_wrote_while_it_was_read_is_known(
    meanwhile: str, transcripts: VaultSessionStore, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read of the newest entries begins too late where others came between it and the look at their number."""
    other, name = VaultSessionStore(store), "claude/p/s"
    asyncio.run(transcripts.append(MAIN, [entry("a"), entry("b")]))
    asyncio.run(other.append(MAIN, [entry("c")]))
    snapshot = store.snapshot

    def raced(id: str, *, last: int = 0) -> Any:
        monkeypatch.setattr(store, "snapshot", snapshot)
        if meanwhile == "pop":
            store.pop(id, 2)
        elif meanwhile == "save":
            with store.edit(id) as session:
                session.messages.insert(0, entry("x"))
        elif meanwhile == "remake":
            store.delete(id)
            asyncio.run(VaultSessionStore(store).append(MAIN, [entry(each) for each in "wxyzab"]))
        asyncio.run(VaultSessionStore(store).append(MAIN, [entry("d"), entry("e")]))
        return snapshot(id, last=last)

    monkeypatch.setattr(store, "snapshot", raced)
    asyncio.run(transcripts.append(MAIN, [entry("f")]))
    names = [each["uuid"] for each in store.messages(name)]
    assert transcripts._known.get(name).uuids >= set(names)
    asyncio.run(transcripts.append(MAIN, [entry(each) for each in names]))
    assert [each["uuid"] for each in store.messages(name)] == names


def test_of_a_transcript_that_only_grew_what_is_new_is_read(
    transcripts: VaultSessionStore, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    snapshot = store.snapshot
    monkeypatch.setattr(store, "snapshot", lambda name, *, last=0: asked.append(last) or snapshot(name, last=last))
    asyncio.run(transcripts.append(MAIN, [entry(str(number)) for number in range(50)]))
    asyncio.run(VaultSessionStore(store).append(MAIN, [entry("a"), entry("b")]))
    asked.clear()
    asyncio.run(transcripts.append(MAIN, [entry("b"), entry("c")]))
    assert asked == [2]
    assert len(store.messages("claude/p/s")) == 53


def test_a_write_that_was_started_is_finished_though_its_task_is_cancelled(
    transcripts: VaultSessionStore, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()
    create = store.create

    def slow(*arguments: Any, **fields: Any) -> Any:
        started.set()
        go_on.wait(5)
        return create(*arguments, **fields)

    monkeypatch.setattr(store, "create", slow)

    async def use() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(transcripts.append, MAIN, [entry("a")])
            await anyio.to_thread.run_sync(started.wait, 5)
            group.cancel_scope.cancel()
            go_on.set()

    asyncio.run(use())
    assert store.messages("claude/p/s") == [entry("a")]


def test_the_summary_and_its_entries_are_one_record(transcripts: VaultSessionStore, store: SessionStore) -> None:
    asyncio.run(transcripts.append(MAIN, [entry("a")]))
    before = store.stats()
    writes = before["verbs"].get("append", {}).get("calls", 0)
    asyncio.run(transcripts.append(MAIN, [entry("b"), {"type": "summary", "summary": "about b"}]))
    assert store.stats()["verbs"]["append"]["calls"] == writes + 1
    session = store.load("claude/p/s")
    assert session.state["summary"] == fold_session_summary(None, MAIN, session.messages)["data"]


# -- values and keys ---------------------------------------------------------------------------------------------------

HOSTILE: list[Any] = [
    {"type": "user", "message": {"role": "user", "content": "half a pair \ud83d"}, "uuid": "h"},
    {"type": "x", "score": 2**70},
    {"type": "x", "score": float("inf")},
    {"type": "x", "deep": json.loads("[" * 400 + "]" * 400)},
    {"$lossless": ["x"]},
    {"type": "summary", "summary": "a summary \udc00"},
]


@pytest.mark.parametrize("item", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_entry_comes_back_as_from_memory(item: Any, transcripts: VaultSessionStore) -> None:
    async def kept(store: Any) -> Any:
        await store.append(MAIN, [item])
        await store.append(MAIN, [entry("a"), item])
        summaries = await store.list_session_summaries("p")
        return [each for each in await store.load(MAIN) if each.get("uuid") != "h"], summaries[0]["data"]

    assert asyncio.run(kept(transcripts)) == asyncio.run(kept(InMemorySessionStore()))


def test_what_json_cannot_say_is_refused_and_nothing_is_written(transcripts: VaultSessionStore) -> None:
    with pytest.raises(InvalidDocument, match=r"messages\[1\]\.x"):
        asyncio.run(transcripts.append(MAIN, [entry("a"), {"type": "x", "x": object()}]))
    assert asyncio.run(transcripts.load(MAIN)) is None


def test_keys_of_any_length_and_script_are_apart(transcripts: VaultSessionStore) -> None:
    names = ["a", "a/b", "a%2Fb", "../..", "用户-😀", "x" * 2000, "x" * 2001, "ß" * 1000]
    keys = [{"project_key": project, "session_id": name} for project in names for name in names[-3:]]
    keys += [{"project_key": "p", "session_id": name} for name in names]
    keys += [{"project_key": "p", "session_id": "a", "subpath": name} for name in names]

    async def use() -> None:
        for number, key in enumerate(keys):
            await transcripts.append(key, [entry(str(number))])
        for number, key in enumerate(keys):
            assert await transcripts.load(key) == [entry(str(number))]
        assert {each["session_id"] for each in await transcripts.list_sessions("p")} == set(names)
        assert {each["session_id"] for each in await transcripts.list_sessions("x" * 2000)} == set(names[-3:])
        assert {each["session_id"] for each in await transcripts.list_session_summaries("x" * 2001)} == set(names[-3:])
        assert set(await transcripts.list_subkeys({"project_key": "p", "session_id": "a"})) == set(names)
        await transcripts.delete({"project_key": "p", "session_id": "a"})
        assert await transcripts.list_subkeys({"project_key": "p", "session_id": "a"}) == []
        assert await transcripts.load({"project_key": "p", "session_id": "a", "subpath": "x" * 2001}) is None

    asyncio.run(use())


@pytest.mark.parametrize("key", [{**MAIN, "subpath": ""}, {**MAIN, "session_id": "\ud800"}])
def test_what_is_no_key_is_refused(key: dict[str, str], transcripts: VaultSessionStore) -> None:
    with pytest.raises(InvalidSessionId):
        asyncio.run(transcripts.append(key, [entry("a")]))


def test_owners_and_labels_are_those_that_are_given(store: SessionStore) -> None:
    transcripts = VaultSessionStore.from_store(store, user_id="alice", labels={"team": "red"}, ttl="90d")
    asyncio.run(transcripts.append(MAIN, [entry("a")]))
    (info,) = store.list(user_id="alice", labels={"team": "red"})
    assert info.expires_at is not None
    assert [each["session_id"] for each in asyncio.run(transcripts.list_sessions("p"))] == ["s"]


def test_entries_are_copies(transcripts: VaultSessionStore) -> None:
    async def use() -> list[Any] | None:
        await transcripts.append(MAIN, [entry("a")])
        (await transcripts.load(MAIN) or [{}])[0]["type"] = "changed"
        return await transcripts.load(MAIN)

    assert asyncio.run(use()) == [entry("a")]


# -- where things go wrong ---------------------------------------------------------------------------------------------


def damage(vault: Path, name: str) -> None:
    (path,) = (each for each in (vault / "sessions").rglob(f"*{name}*") if each.is_file())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damage_is_raised_and_left_out_of_listings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(tmp_path / "vault", key=KEY) as store:
        for name in ("first", "second"):
            asyncio.run(VaultSessionStore(store).append({**MAIN, "session_id": name}, [entry("a")]))
    damage(tmp_path / "vault", "first")
    transcripts = VaultSessionStore.from_url(tmp_path / "vault", key=KEY)

    async def use() -> None:
        with pytest.raises(Damaged):
            await transcripts.load({**MAIN, "session_id": "first"})
        with pytest.raises(Damaged):
            await transcripts.append({**MAIN, "session_id": "first"}, [entry("b")])
        with caplog.at_level(logging.WARNING, "vaultsession"):
            assert [each["session_id"] for each in await transcripts.list_session_summaries("p")] == ["second"]
        assert "claude/p/first" in caplog.text

    asyncio.run(use())
    transcripts.close()


def test_a_wrong_key_is_raised_before_an_agent_runs(tmp_path: Path) -> None:
    VaultSessionStore.from_url(tmp_path / "vault", key=KEY).close()
    with pytest.raises(WrongKey):
        VaultSessionStore.from_url(tmp_path / "vault", key=RawKey(bytes(range(32))))


def test_an_expired_transcript_is_none_and_begins_anew() -> None:
    clock = ManualClock()
    transcripts = VaultSessionStore(open_store("memory://", clock=clock), ttl="1h")

    async def use() -> None:
        await transcripts.append(MAIN, [entry("a")])
        clock.advance("1h")
        assert await transcripts.load(MAIN) is None
        assert await transcripts.list_sessions("p") == []
        assert await transcripts.list_session_summaries("p") == []
        await transcripts.append(MAIN, [entry("a"), entry("b")])
        assert await transcripts.load(MAIN) == [entry("a"), entry("b")]

    asyncio.run(use())


def test_a_closed_store_takes_no_calls(tmp_path: Path) -> None:
    transcripts = VaultSessionStore.from_url(tmp_path / "vault", key=KEY)
    transcripts.close()
    transcripts.close()

    async def use(call: Callable[[], Any]) -> None:
        with pytest.raises(RuntimeError, match="closed"):
            await call()

    for call in (
        lambda: transcripts.append(MAIN, [entry("a")]),
        lambda: transcripts.load(MAIN),
        lambda: transcripts.list_sessions("p"),
        lambda: transcripts.delete(MAIN),
    ):
        asyncio.run(use(call))


def test_a_store_for_asyncio_serves_as_well() -> None:
    async def use() -> list[Any] | None:
        async with AsyncSessionStore(open_store("memory://")) as store:
            await VaultSessionStore(store).append(MAIN, [entry("a")])
            return await VaultSessionStore(store).load(MAIN)

    assert asyncio.run(use()) == [entry("a")]


# -- an agent at work --------------------------------------------------------------------------------------------------

PROGRAM_OF_CLI = """
    #!{python}
    # Stands in for the CLI: mirrors each turn as the real one does, and says how many lines it resumed from.
    import json, os, signal, sys, time, uuid

    if "-v" in sys.argv or "--version" in sys.argv:
        print("2.1.999 (Claude Code)")
        sys.exit(0)

    def emit(value):
        print(json.dumps(value), flush=True)

    path = os.path.join(os.environ["CLAUDE_CONFIG_DIR"], "projects", os.environ["PROJECT"], os.environ["SESSION"])
    sub = os.path.join(path, "subagents", "agent-1.jsonl")
    path += ".jsonl"
    resumed = sum(1 for _ in open(path)) if os.path.exists(path) else 0

    def mirror(where, role, text):
        emit({{"type": "transcript_mirror", "filePath": where, "entries": [
            {{"type": role, "uuid": str(uuid.uuid4()), "timestamp": "2026-01-01T00:00:00.000Z",
              "sessionId": os.environ["SESSION"], "parentUuid": None,
              "message": {{"role": role, "content": text}}}}]}})

    for line in sys.stdin:
        message = json.loads(line or "{{}}")
        if message.get("type") == "control_request":
            emit({{"type": "control_response", "response": {{
                "subtype": "success", "request_id": message["request_id"], "response": {{}}}}}})
        elif message.get("type") == "user":
            text = message["message"]["content"]
            mirror(path, "user", text)
            mirror(sub, "user", "sub " + text)
            if text == "die":
                time.sleep(0.5)
                os.kill(os.getppid(), signal.SIGKILL)
                sys.exit(0)
            mirror(path, "assistant", "re " + text)
            emit({{"type": "result", "subtype": "success", "duration_ms": 1, "duration_api_ms": 1, "is_error": False,
                  "num_turns": 1, "session_id": os.environ["SESSION"], "result": str(resumed)}})
"""

PROGRAM_OF_AGENT = """
import sys, json
import anyio
sys.path.insert(0, sys.argv[1])
from test_claude_agent import KEY, ask
from vaultsession.integrations.claude_agent import VaultSessionStore

async def main():
    transcripts = VaultSessionStore.from_url(sys.argv[2] + "/vault", key=KEY)
    for text in sys.argv[5:]:
        await ask(transcripts, sys.argv[2], sys.argv[3], text)
    transcripts.close()

anyio.run(main, backend=sys.argv[4])
"""


async def ask(
    transcripts: VaultSessionStore, place: str, session: str, text: str, *, resume: bool = False
) -> str | None:
    """The result of a turn of an agent: how many lines the CLI resumed from."""
    cli = Path(place) / "cli.py"
    if not cli.exists():
        cli.write_text(textwrap.dedent(PROGRAM_OF_CLI).lstrip().format(python=sys.executable))
        cli.chmod(0o755)
    options = ClaudeAgentOptions(
        cli_path=str(cli),
        cwd=place,
        session_store=transcripts,  # type: ignore[arg-type]  # it has the methods
        session_store_flush="eager",
        resume=session if resume else None,
        env={
            "CLAUDE_CONFIG_DIR": f"{place}/config",
            "PROJECT": project_key_for_directory(place),
            "SESSION": session,
        },
    )
    found = None
    with anyio.fail_after(60):
        async for message in query(prompt=text, options=options):
            found = message.result if isinstance(message, ResultMessage) else found
    return found


def started(place: Path, session: str, loop: str, *texts: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    here = str(Path(__file__).parent)
    arguments = [sys.executable, "-c", PROGRAM_OF_AGENT, here, str(place), session, loop, *texts]
    return subprocess.Popen(arguments, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_an_agent_that_was_killed_in_the_middle_of_a_turn_goes_on(loop: str, tmp_path: Path) -> None:
    session = str(uuid.uuid4())
    assert started(tmp_path, session, loop, "hello", "die").wait(timeout=120) == -signal.SIGKILL
    transcripts = VaultSessionStore.from_url(tmp_path / "vault", key=KEY)
    key = {"project_key": project_key_for_directory(str(tmp_path)), "session_id": session}

    async def go_on() -> None:
        said = [each["message"]["content"] for each in await transcripts.load(key) or []]
        assert said == ["hello", "re hello", "die"]
        assert await transcripts.list_subkeys(key) == ["subagents/agent-1"]
        assert await ask(transcripts, str(tmp_path), session, "again", resume=True) == "3"
        said = [each["message"]["content"] for each in await transcripts.load(key) or []]
        assert said == ["hello", "re hello", "die", "again", "re again"]
        (listed,) = await list_sessions_from_store(transcripts, directory=str(tmp_path))  # type: ignore[arg-type]
        assert listed.first_prompt == "hello"
        shown = await get_session_messages_from_store(transcripts, session, directory=str(tmp_path))  # type: ignore[arg-type]
        assert shown

    anyio.run(go_on, backend=loop)
    transcripts.close()


@pytest.mark.slow
def test_two_processes_at_once_lose_no_entry(tmp_path: Path) -> None:
    session = str(uuid.uuid4())
    open_store(tmp_path / "vault", key=KEY).close()
    running = [
        started(tmp_path, session, loop, *(f"{loop} {number}" for number in range(5))) for loop in ("asyncio", "trio")
    ]
    assert [each.wait(timeout=240) for each in running] == [0, 0]
    transcripts = VaultSessionStore.from_url(tmp_path / "vault", key=KEY)
    key = {"project_key": project_key_for_directory(str(tmp_path)), "session_id": session}
    said = [each["message"]["content"] for each in asyncio.run(transcripts.load(key)) or []]
    asked = [f"{loop} {number}" for loop in ("asyncio", "trio") for number in range(5)]
    assert sorted(said) == sorted([*asked, *(f"re {text}" for text in asked)])
    (summary,) = asyncio.run(transcripts.list_session_summaries(key["project_key"]))
    assert summary["data"]["first_prompt"] in asked
    transcripts.close()
