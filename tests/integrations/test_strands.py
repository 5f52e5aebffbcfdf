"""Strands agents whose sessions are in a vault."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adapter_lab import HOSTILE, KEY, KILLED, LONG, OTHER_KEY, damage, run_program, start_program, vault, wait_for
from frameworks import require

from vaultsession import Damaged, SessionStore, WrongKey, open_store
from vaultsession.admin.importers import ImportedSession, place
from vaultsession.admin.importers import read as read_foreign
from vaultsession.testing.clock import ManualClock

require("strands")

from strands import Agent, tool  # noqa: E402
from strands.session.file_session_manager import FileSessionManager  # noqa: E402
from strands.session.snapshot_session_manager import SnapshotSessionManager  # noqa: E402
from strands.types.exceptions import SessionException, StorageError  # noqa: E402
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType  # noqa: E402
from strands_model import ScriptedModel  # noqa: E402

from vaultsession.integrations.strands import (  # noqa: E402
    VaultSessionManager,
    VaultSessionRepository,
    VaultStorage,
)


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with open_store("memory://") as opened:
        yield opened


@pytest.fixture(params=["ours", "theirs"])
def repository(request: pytest.FixtureRequest, store: SessionStore, tmp_path: Path) -> Any:
    """What is tested on theirs as well is a promise of theirs."""
    if request.param == "ours":
        return VaultSessionRepository(store)
    return FileSessionManager("other", storage_dir=str(tmp_path))


def agent(manager: Any, *answers: Any, **options: Any) -> Agent:
    return Agent(model=ScriptedModel(*answers), session_manager=manager, callback_handler=None, agent_id="a", **options)


def texts(one: Agent) -> list[str]:
    return [block["text"] for message in one.messages for block in message["content"] if "text" in block]


def message(text: str, number: int) -> SessionMessage:
    return SessionMessage.from_message({"role": "user", "content": [{"text": text}]}, number)


def begun(repository: Any, *names: str) -> None:
    repository.create_session(Session("s", SessionType.AGENT))
    for name in names:
        repository.create_agent("s", SessionAgent(name, {}, {}))


# -- a repository, ours and theirs -------------------------------------------------------------------------------------


def test_messages_come_back_in_pages(repository: Any) -> None:
    begun(repository, "a")
    for number in range(5):
        repository.create_message("s", "a", message(str(number), number))

    def page(**options: int) -> list[int]:
        return [each.message_id for each in repository.list_messages("s", "a", **options)]

    assert page() == [0, 1, 2, 3, 4]
    assert page(offset=3) == [3, 4]
    assert page(limit=2, offset=1) == [1, 2]
    assert page(limit=0) == []
    assert page(offset=9) == []


def test_agents_of_one_session_have_their_own_messages(repository: Any) -> None:
    begun(repository, "a", "b")
    repository.create_message("s", "a", message("to a", 0))
    repository.create_message("s", "b", message("to b", 0))
    repository.create_message("s", "a", message("to a again", 1))
    assert [each.message["content"][0]["text"] for each in repository.list_messages("s", "a")] == ["to a", "to a again"]
    assert repository.read_message("s", "b", 0).message["content"][0]["text"] == "to b"
    assert repository.list_messages("s", "a", limit=1, offset=1)[0].message_id == 1
    assert repository.read_message("s", "b", 1) is None


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_message_is_written_anew_wherever_it_stands(repository: Any, number: int) -> None:
    begun(repository, "a", "b")
    for each in range(3):
        repository.create_message("s", "a", message(str(each), each))
        repository.create_message("s", "b", message(f"b{each}", each))
    before = repository.read_message("s", "a", number)
    changed = message("changed", number)
    changed.redact_message = {"role": "user", "content": [{"text": "redacted"}]}
    repository.update_message("s", "a", changed)
    found = repository.list_messages("s", "a")
    assert [each.to_message()["content"][0]["text"] == "redacted" for each in found] == [
        each == number for each in range(3)
    ]
    assert found[number].created_at == before.created_at
    assert [each.message["content"][0]["text"] for each in repository.list_messages("s", "b")] == ["b0", "b1", "b2"]


def test_what_is_unknown(repository: Any) -> None:
    assert repository.read_session("nobody") is None
    begun(repository, "a")
    assert repository.read_agent("s", "b") is None
    assert repository.read_message("s", "a", 0) is None
    assert repository.read_multi_agent("s", "m") is None
    with pytest.raises(SessionException):
        repository.create_session(Session("s", SessionType.AGENT))
    with pytest.raises(SessionException):
        repository.update_agent("s", SessionAgent("b", {}, {}))
    with pytest.raises(SessionException):
        repository.update_message("s", "a", message("x", 7))
    with pytest.raises(SessionException):
        repository.list_messages("s", "b")
    with pytest.raises(SessionException):
        repository.delete_session("nobody")
    with pytest.raises(ValueError, match="must be an integer"):
        repository.read_message("s", "a", "0")


def test_a_session_is_gone_at_once_and_whole(repository: Any) -> None:
    begun(repository, "a")
    repository.create_message("s", "a", message("x", 0))
    repository.delete_session("s")
    assert repository.read_session("s") is None
    assert repository.read_agent("s", "a") is None
    begun(repository, "a")
    assert repository.list_messages("s", "a") == []


class Kind(enum.StrEnum):
    ONE = "one"


def test_values_come_back_as_from_a_file(repository: Any) -> None:
    begun(repository, "a")
    values = {"tuple": (1, 2), "kind": Kind.ONE, "keys": {1: "one"}, "bytes": b"\xff\0", "deep": {"texts": HOSTILE}}
    repository.create_message("s", "a", SessionMessage({"role": "user", "content": [values]}, 0))  # type: ignore[list-item]
    (found,) = repository.list_messages("s", "a")
    assert found.message["content"] == [
        {"tuple": [1, 2], "kind": "one", "keys": {"1": "one"}, "bytes": b"\xff\0", "deep": {"texts": HOSTILE}}
    ]
    repository.update_agent("s", SessionAgent("a", {"kind": Kind.ONE, "of": (1,)}, {}))
    assert repository.read_agent("s", "a").state == {"kind": "one", "of": [1]}


# -- ours alone --------------------------------------------------------------------------------------------------------


def test_an_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    with VaultSessionManager.from_url("user-123", tmp_path / "vault", key=KEY, fields={"user_id": "ann"}) as manager:
        first = agent(manager, "Hello Ann.", state={"step": 1})
        first("I am Ann")
        first.state.set("step", 2)
        manager.sync_agent(first)
    with vault(tmp_path) as store:
        again = agent(VaultSessionManager.from_store("user-123", store), "Ann.")
        assert texts(again) == ["I am Ann", "Hello Ann."]
        assert again.state.get("step") == 2
        again("Who am I?")
        (info,) = store.list(user_id="ann", labels={"framework": "strands"})
        assert (info.id, info.message_count) == ("user-123", 4)
        assert [match.id for match in store.search("who am i", ignore_case=True)] == ["user-123"]


def test_a_turn_costs_one_small_record_each_message(store: SessionStore) -> None:
    manager = VaultSessionManager("s", store)
    one = agent(manager, *["yes" for _ in range(60)])
    for _ in range(30):
        one("x" * 1000)
    before = store.info("s").size
    one("x" * 1000)
    assert store.info("s").size - before < 4000


def test_numbers_that_come_twice_lose_no_message(store: SessionStore) -> None:
    """Of two processes that go on with one session, here two managers."""
    agent(VaultSessionManager("s", store), "one")("begin")
    left = agent(VaultSessionManager("s", store), "left")
    right = agent(VaultSessionManager("s", store), "right")
    left("to the left")
    right("to the right")
    found = texts(agent(VaultSessionManager("s", store)))
    assert found == ["begin", "one", "to the left", "left", "to the right", "right"]


def test_an_update_meets_a_message_that_another_process_wrote(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = VaultSessionRepository(store)
    begun(repository, "a")
    repository.create_message("s", "a", message("old", 0))
    replace = store.replace_last

    def meanwhile(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        repository.create_message("s", "a", message("of another", 1))
        return replace(*args, **options)

    monkeypatch.setattr(store, "replace_last", meanwhile)
    repository.update_message("s", "a", message("new", 0))
    assert [each.message["content"][0]["text"] for each in repository.list_messages("s", "a")] == ["new", "of another"]


def test_what_has_expired_begins_anew() -> None:
    clock = ManualClock()
    with open_store("memory://", clock=clock, ttl="1h") as store:
        manager = VaultSessionManager("s", store)
        one = agent(manager, "yes", "again")
        one("before")
        clock.advance(3601)
        one("after")
        assert [each["message"]["content"][0]["text"] for each in store.messages("s")] == ["after", "again"]
        assert store.load("s").state["session"]["session_id"] == "s"
        clock.advance(3601)
        assert texts(agent(VaultSessionManager("s", store))) == []


def test_a_session_that_is_made_by_another_in_this_moment_is_used(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = store.create

    def late(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        create(*args, **options)
        return store.create(*args, **options)

    monkeypatch.setattr(store, "create", late)
    assert VaultSessionManager("s", store).session.session_id == "s"


@pytest.mark.parametrize("name", [LONG, "a/b", "../x", "名", "%2F"])
def test_ids_of_any_length_and_script(store: SessionStore, name: str) -> None:
    agent(VaultSessionManager(name, store), "yes")("hello")
    again = VaultSessionManager(name, store)
    assert (again.session.session_id, texts(agent(again))) == (name, ["hello", "yes"])


def test_a_wrong_key_is_raised_before_anything_of_strands_runs(tmp_path: Path) -> None:
    vault(tmp_path).close()
    with pytest.raises(WrongKey):
        VaultSessionManager.from_url("s", tmp_path / "vault", key=OTHER_KEY)
    with pytest.raises(WrongKey):
        VaultStorage.from_url(tmp_path / "vault", key=OTHER_KEY)


def test_a_damaged_session_is_raised_and_never_empty(tmp_path: Path) -> None:
    with vault(tmp_path) as store:
        agent(VaultSessionManager("s", store), "yes")("hello")
        asyncio.run(VaultStorage(store).write("k", b"data"))
    damage(tmp_path)
    with vault(tmp_path) as store:
        with pytest.raises(Damaged):
            VaultSessionManager("s", store)
        with pytest.raises(Damaged):
            asyncio.run(VaultStorage(store).read("k"))
        assert store.list()


def test_a_store_of_its_own_is_closed_where_the_session_is_refused(tmp_path: Path) -> None:
    with vault(tmp_path) as store:
        store.create("s", messages=[{"role": "user", "content": "of somebody else"}])
    with pytest.raises(SessionException, match="already exists"):
        VaultSessionManager.from_url("s", tmp_path / "vault", key=KEY)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    manager = VaultSessionManager.from_url("s", tmp_path / "vault", key=KEY)
    one = agent(manager, "yes")
    manager.close()
    with pytest.raises(RuntimeError, match="closed"):
        one("hello")


# -- storage -----------------------------------------------------------------------------------------------------------


def test_bytes_come_back_whatever_they_are(store: SessionStore) -> None:
    async def main() -> None:
        storage = VaultStorage.from_store(store)
        for number, data in enumerate(
            [b"", b"\xff\0", "🙂".encode(), b'{"a": 1}', b"\xed\xa0\x80", bytes(range(256)) * 999]
        ):
            await storage.write(f"k/{number}", data)
            assert await storage.read(f"k/{number}") == data
        await storage.write("k/0", b"again")
        assert await storage.read("/k//0/") == b"again"
        await storage.delete("k/1")
        await storage.delete("k/1")
        assert await storage.read("k/1") is None

    asyncio.run(main())


def test_keys_are_listed_by_any_prefix(store: SessionStore) -> None:
    keys = ["a", "a/b", "a/b/c", "a/bc/d", "ab/c", "b/" + LONG.replace("..", "."), "%/x"]

    async def main() -> None:
        storage = VaultStorage(store)
        for key in keys:
            await storage.write(key, b"x")
        store.create("a/other", title="a/other")
        for prefix in ["", "a", "a/", "a/b", "a/b/", "a/b/c", "ab", "b/名", "%", "nothing/"]:
            assert await storage.list(prefix) == sorted(key for key in keys if key.startswith(prefix)), prefix
        assert await storage.namespace("a").list("b/") == ["b/c"]

    asyncio.run(main())


@pytest.mark.parametrize("key", ["", "/", "a\\b", "../a", "a/..", "a/../b"])
def test_keys_that_strands_refuses_are_refused(store: SessionStore, key: str) -> None:
    with pytest.raises(StorageError):
        asyncio.run(VaultStorage(store).write(key, b"x"))


def test_a_snapshot_is_kept_and_restored(store: SessionStore) -> None:
    def manager() -> SnapshotSessionManager:
        return SnapshotSessionManager("s", storage=VaultStorage(store))

    agent(manager(), "yes")("hello")
    assert texts(agent(manager())) == ["hello", "yes"]


# -- processes ---------------------------------------------------------------------------------------------------------

PROGRAM = """
import os
from strands import Agent, tool
from strands_model import ScriptedModel
from vaultsession.integrations.strands import VaultSessionManager

@tool
def fail() -> str:
    "Ends the process."
    os._exit(9)

manager = VaultSessionManager.from_url("s", PATH)
answers = [("fail", {})] if ARGUMENTS == ["killed"] else [f"{ARGUMENTS[0]} {n}" for n in range(10)]
agent = Agent(model=ScriptedModel(*answers), tools=[fail], session_manager=manager, callback_handler=None, agent_id="a")
for n in range(1 if ARGUMENTS == ["killed"] else 10):
    agent(f"ask {ARGUMENTS[0]} {n}")
"""


@tool
def fail() -> str:
    """Ends the process, where it is called."""
    return "not this time"


@pytest.mark.slow
def test_killed_within_a_turn_and_resumed(tmp_path: Path) -> None:
    assert run_program(tmp_path, PROGRAM, "killed") == KILLED
    with vault(tmp_path) as store:
        one = agent(VaultSessionManager("s", store), "Yes, once more.", tools=[fail])
        assert texts(one) == ["ask killed 0"]
        assert "toolUse" in one.messages[-1]["content"][0]
        one("are you there?")
        again = agent(VaultSessionManager("s", store))
        assert texts(again)[-1] == "Yes, once more."
        called = [
            block["toolUse"]["toolUseId"] for each in again.messages for block in each["content"] if "toolUse" in block
        ]
        answered = [
            block["toolResult"]["toolUseId"]
            for each in again.messages
            for block in each["content"]
            if "toolResult" in block
        ]
        assert called == answered


@pytest.mark.slow
def test_two_processes_lose_no_message(tmp_path: Path) -> None:
    vault(tmp_path).close()
    assert wait_for([start_program(tmp_path, PROGRAM, name) for name in ("left", "right")]) == [0, 0]
    with vault(tmp_path) as store:
        found = [each["message"]["content"][0]["text"] for each in store.messages("s")]
        for name in ("left", "right"):
            own = [text for text in found if name in text]
            assert own == [text for n in range(10) for text in (f"ask {name} {n}", f"{name} {n}")]


# -- moving in ---------------------------------------------------------------------------------------------------------


def test_what_files_hold_goes_on_in_a_vault(store: SessionStore, tmp_path: Path) -> None:
    one = agent(FileSessionManager("s", storage_dir=str(tmp_path)), "Hello Ann.", state={"step": 1})
    one("I am Ann")
    for found in read_foreign(str(tmp_path)):
        assert isinstance(found, ImportedSession)
        place(store, found)
    again = agent(VaultSessionManager("s", store), "Ann.")
    assert (texts(again), again.state.get("step")) == (["I am Ann", "Hello Ann."], 1)
    again("Who am I?")
    assert [each.message_id for each in VaultSessionRepository(store).list_messages("s", "a")] == [0, 1, 2, 3]
