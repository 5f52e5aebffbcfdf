"""Conversations of Pydantic AI in a vault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from adapter_lab import KEY, KILLED, OTHER_KEY, damage, run_program, start_program, vault, wait_for
from frameworks import require

from vaultsession import Damaged, SessionStore, WrongKey, open_store
from vaultsession.testing.clock import ManualClock

require("pydantic_ai")

from pydantic_ai import Agent  # noqa: E402
from pydantic_ai.conversation import Conversation  # noqa: E402
from pydantic_ai.conversation_store import ConversationConflict, InMemoryConversationStore  # noqa: E402
from pydantic_ai.models.test import TestModel  # noqa: E402

from vaultsession.integrations.pydantic_ai import VaultConversationStore  # noqa: E402
from vaultsession.testing import ConversationStoreContract  # noqa: E402
from vaultsession.testing.conversation_store import said, texts  # noqa: E402

TestModel.__test__ = False  # type: ignore[attr-defined]


class TestOurs(ConversationStoreContract):
    @pytest.fixture
    def open_conversations(self) -> Iterator[Callable[[], Any]]:
        with open_store("memory://") as store:
            yield lambda: VaultConversationStore(store)


class TestOnFiles(ConversationStoreContract):
    @pytest.fixture
    def open_conversations(self, tmp_path: Path) -> Callable[[], Any]:
        return lambda: VaultConversationStore.from_url(tmp_path / "vault", key=KEY, durability="os")


class TestTheirs(ConversationStoreContract):
    @pytest.fixture
    def open_conversations(self) -> Callable[[], Any]:
        store = InMemoryConversationStore()
        return lambda: store


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with open_store("memory://", lossless=True) as opened:
        yield opened


def agent(text: str = "yes") -> Agent[None, str]:
    return Agent(TestModel(custom_output_text=text))


async def turn(conversations: VaultConversationStore, name: str, prompt: str, answer: str = "yes") -> None:
    conversation = await conversations.load(name) or Conversation(conversation_id=name)
    await conversations.save(await agent(answer).run(prompt, conversation=conversation))


def test_an_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    async def first() -> None:
        fields = {"user_id": "ann", "labels": {"team": "red"}}
        async with VaultConversationStore.from_url(tmp_path / "vault", key=KEY, fields=fields) as conversations:  # type: ignore[arg-type]
            await turn(conversations, "c", "I am Ann", "Hello Ann.")

    asyncio.run(first())
    with vault(tmp_path) as store:
        asyncio.run(turn(VaultConversationStore.from_store(store), "c", "Who am I?", "Ann."))
        (info,) = store.list(user_id="ann", labels={"framework": "pydantic-ai", "team": "red"})
        assert (info.id, info.message_count) == ("c", 4)
        loaded = asyncio.run(VaultConversationStore(store).load("c"))
        assert texts(loaded) == ["I am Ann", "Hello Ann.", "Who am I?", "Ann."]
        assert loaded.usage.requests == 2


def test_a_turn_costs_one_small_record(store: SessionStore) -> None:
    async def main() -> list[int]:
        conversations, sizes = VaultConversationStore(store), []
        for _ in range(30):
            before = store.info("c").size if store.exists("c") else 0
            await turn(conversations, "c", "x" * 1000)
            sizes.append(store.info("c").size - before)
        return sizes

    sizes = asyncio.run(main())
    assert max(sizes[20:]) < 4000


@pytest.mark.parametrize("text", ["\ud800 lone", "\0", "\u202e", "a" * 300_000])
def test_hostile_text_comes_back(store: SessionStore, text: str) -> None:
    async def main() -> list[str]:
        await VaultConversationStore(store).save(Conversation(conversation_id="c", messages=said(text)))
        return texts(await VaultConversationStore(store).load("c"))

    assert asyncio.run(main()) == [text]


def test_a_save_that_another_store_crosses_is_a_conflict(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one writes between the look at the revision and the write."""
    ours, other = VaultConversationStore(store), VaultConversationStore(store)

    async def main() -> None:
        await ours.save(Conversation(conversation_id="c", messages=said("1")))
        mine, theirs = await ours.load("c"), await other.load("c")
        assert mine
        assert theirs
        mine.messages += said("mine")
        theirs.messages += said("theirs")
        shared = ours._shared

        async def meanwhile(*args: Any) -> Any:
            monkeypatch.undo()
            await other.save(theirs)
            return await shared(*args)

        monkeypatch.setattr(ours, "_shared", meanwhile)
        with pytest.raises(ConversationConflict):
            await ours.save(mine)
        assert texts(await ours.load("c")) == ["1", "theirs"]

    asyncio.run(main())


def test_a_save_that_crosses_a_delete_is_not_deleted(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other = VaultConversationStore(store), VaultConversationStore(store)

    async def main() -> None:
        await ours.save(Conversation(conversation_id="c", messages=said("1")))
        record = await ours.read_record("c")
        theirs = await other.load("c")
        assert theirs
        theirs.messages += said("theirs")
        delete = ours._handle.aio.delete

        async def late(*args: Any, **options: Any) -> Any:
            monkeypatch.undo()
            await other.save(theirs)
            return await delete(*args, **options)

        monkeypatch.setattr(ours._handle.aio, "delete", late)
        with pytest.raises(ConversationConflict):
            await ours.delete_record("c", expected_revision=record.revision)
        assert texts(await other.load("c")) == ["1", "theirs"]

    asyncio.run(main())


def test_what_the_vault_alone_changed_is_no_conflict(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = VaultConversationStore(store)

    async def main() -> None:
        await ours.save(Conversation(conversation_id="c", messages=said("1")))
        mine = await ours.load("c")
        assert mine
        mine.messages += said("2")
        shared = ours._shared

        async def meanwhile(*args: Any) -> Any:
            monkeypatch.undo()
            store.update("c", {"note": "of an operator"})
            return await shared(*args)

        monkeypatch.setattr(ours, "_shared", meanwhile)
        await ours.save(mine)
        assert texts(await ours.load("c")) == ["1", "2"]
        assert store.load("c").state["note"] == "of an operator"

    asyncio.run(main())


def test_what_has_expired_is_absent() -> None:
    clock = ManualClock()
    with open_store("memory://", clock=clock) as store:
        conversations = VaultConversationStore(store, ttl="1h")

        async def main() -> None:
            await turn(conversations, "c", "before")
            clock.advance(3601)
            assert await conversations.load("c") is None
            assert await conversations.list_conversations() == []
            await turn(conversations, "c", "after")
            assert texts(await conversations.load("c")) == ["after", "yes"]

        asyncio.run(main())


def test_a_session_that_is_something_else_is_neither_shown_nor_replaced(store: SessionStore) -> None:
    store.create("c", state={"mine": 1}, labels={"framework": "pydantic-ai"})

    async def main() -> None:
        conversations = VaultConversationStore(store)
        assert await conversations.load("c") is None
        assert await conversations.list_conversations() == []
        with pytest.raises(ConversationConflict):
            await turn(conversations, "c", "hello")

    asyncio.run(main())
    assert store.load("c").state == {"mine": 1}


def test_a_wrong_key_is_raised_at_once(tmp_path: Path) -> None:
    vault(tmp_path).close()
    with pytest.raises(WrongKey):
        VaultConversationStore.from_url(tmp_path / "vault", key=OTHER_KEY)


def test_a_damaged_conversation_is_raised_and_in_a_listing_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with vault(tmp_path) as store:
        asyncio.run(turn(VaultConversationStore(store), "broken", "hello"))
    damage(tmp_path)
    with vault(tmp_path) as store:
        conversations = VaultConversationStore(store)

        async def main() -> None:
            await turn(conversations, "whole", "hello")
            with pytest.raises(Damaged):
                await conversations.load("broken")
            with pytest.raises(Damaged):
                await turn(conversations, "broken", "hello")
            assert [each.conversation_id for each in await conversations.list_conversations()] == ["whole"]
            with pytest.raises(LookupError):
                await conversations.read_entry("nowhere")

        asyncio.run(main())
    assert "not listed: broken" in caplog.text


PROGRAM = """
import asyncio, os
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from vaultsession.integrations.pydantic_ai import VaultConversationStore

async def main(name):
    store = VaultConversationStore.from_url(PATH)
    def answer(messages, info):
        if name == "killed":
            os._exit(9)
        return ModelResponse(parts=[TextPart("yes")])

    agent = Agent(FunctionModel(answer))

    done = 0
    while done < 10:
        conversation = await store.load("c") or Conversation(conversation_id="c")
        result = await agent.run(f"{name} {done}", conversation=conversation)
        try:
            await store.save(result)
        except ConversationConflict:
            continue
        done += 1
    await store.aclose()

asyncio.run(main(ARGUMENTS[0]))
"""


@pytest.mark.slow
def test_killed_within_a_turn_and_resumed(tmp_path: Path) -> None:
    with vault(tmp_path) as store:
        asyncio.run(turn(VaultConversationStore(store), "c", "before"))
    assert run_program(tmp_path, PROGRAM, "killed") == KILLED
    with vault(tmp_path) as store:
        conversations = VaultConversationStore(store)
        assert texts(asyncio.run(conversations.load("c"))) == ["before", "yes"]
        asyncio.run(turn(conversations, "c", "after"))
        assert texts(asyncio.run(conversations.load("c"))) == ["before", "yes", "after", "yes"]


@pytest.mark.slow
def test_two_processes_lose_no_turn(tmp_path: Path) -> None:
    vault(tmp_path).close()
    assert wait_for([start_program(tmp_path, PROGRAM, name) for name in ("left", "right")]) == [0, 0]
    with vault(tmp_path) as store:
        found = texts(asyncio.run(VaultConversationStore(store).load("c")))
        assert sorted(text for text in found if text != "yes") == sorted(
            f"{name} {number}" for name in ("left", "right") for number in range(10)
        )
        assert len(found) == 40
