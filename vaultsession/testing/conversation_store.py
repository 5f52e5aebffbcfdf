"""ConversationStoreContract: what every ``ConversationStore`` of Pydantic AI is held to, whoever wrote it.

::

    class TestMyStore(ConversationStoreContract):
        @pytest.fixture
        def open_conversations(self, tmp_path):
            return lambda: MyStore(tmp_path / "conversations.db")

The fixture gives a function that opens a store on the same conversations each time it is called, within the event loop
of a test. A store that has ``aclose`` is closed with it. One that lives in one object gives that object each time.
"""

# ruff: noqa: S101, D102, ANN401 - these are tests, whose names say what they promise of any store

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationEntry, ConversationRecord
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

Opening = Callable[[], Any]

IDS = ("a", "a/b", "../../x", "%2F", "名前🙂", " ", "\0", "x" * 5000, "x" * 4999 + "/")


def said(*texts: str) -> list[Any]:
    """Messages of a history: a person and a model in turn."""
    return [
        ModelResponse(parts=[TextPart(text)]) if number % 2 else ModelRequest(parts=[UserPromptPart(text)])
        for number, text in enumerate(texts)
    ]


def texts(conversation: Any) -> list[str]:
    """What was said in it."""
    return [part.content for message in conversation.messages for part in message.parts]


@asynccontextmanager
async def opened(open_conversations: Opening) -> AsyncIterator[Any]:
    """A store, closed where it can be."""
    store = open_conversations()
    try:
        yield store
    finally:
        if hasattr(store, "aclose"):
            await store.aclose()


@pytest.mark.anyio
class ConversationStoreContract:
    """Subclass it, and give it the fixture ``open_conversations``. Each method is one promise."""

    @pytest.fixture
    def open_conversations(self) -> Opening:
        """A function that opens a store."""
        raise NotImplementedError("give this class a fixture named open_conversations")

    @pytest.fixture
    def anyio_backend(self) -> str:
        """What the coroutines run on."""
        return "asyncio"

    @pytest.fixture
    async def store(self, open_conversations: Opening) -> AsyncIterator[Any]:
        """A store, closed at the end of the test."""
        async with opened(open_conversations) as store:
            yield store

    @staticmethod
    async def saved(store: Any, name: str, *history: str, scope: str | None = None) -> Any:
        """A conversation that was saved."""
        conversation = Conversation(conversation_id=name, messages=said(*history))
        await store.save(conversation, scope=scope)
        return conversation

    # -- saving and loading --------------------------------------------------------------------------------------------

    async def test_what_was_never_saved_is_absent(self, store: Any) -> None:
        assert await store.load("nobody") is None
        assert await store.load_entries("nobody") is None
        assert await store.read_record("nobody") is None
        assert await store.list_conversations() == []
        await store.delete("nobody")

    @pytest.mark.parametrize("name", IDS, ids=range(len(IDS)))
    async def test_a_conversation_comes_back_whatever_its_id(self, store: Any, name: str) -> None:
        conversation = await self.saved(store, name, "hello", "hey")
        loaded = await store.load(name)
        assert loaded.messages == conversation.messages
        assert (loaded.conversation_id, loaded.revision) == (name, conversation.revision)
        assert [record.conversation_id for record in await store.list_conversations()] == [name]

    async def test_ids_that_resemble_each_other_are_two(self, store: Any) -> None:
        for name in IDS:
            await self.saved(store, name, name[:5])
        for name in IDS:
            assert texts(await store.load(name)) == [name[:5]]

    async def test_values_of_every_kind_come_back(self, store: Any) -> None:
        messages = [
            ModelRequest(
                parts=[UserPromptPart(["look", BinaryContent(data=b"\xff\0\x89PNG", media_type="application/pdf")])]
            ),
            ModelResponse(
                parts=[
                    ThinkingPart("hm\0 \u202e🙂", signature="s"),
                    ToolCallPart("tool", {"deep": [[[{"n": 1 << 53, "x": None, "f": 0.1}]]]}, "call-1"),
                ],
                model_name="m",
                provider_details={"k": ["v"]},
            ),
            ModelRequest(parts=[ToolReturnPart("tool", {"rows": [1, 2.5, "</script>"]}, "call-1")], metadata={"a": 1}),
        ]
        await store.save(Conversation(conversation_id="a", messages=copy.deepcopy(messages)))
        assert (await store.load("a")).messages == messages

    async def test_a_save_stores_the_new_messages_alone_and_tells_their_entries(self, store: Any) -> None:
        conversation = Conversation(conversation_id="a", messages=said("1", "2"))
        first = await store.save(conversation)
        conversation.messages += said("3")
        second = await store.save(conversation)
        assert [len(first), len(second), len(await store.save(conversation))] == [2, 1, 0]
        entries = await store.load_entries("a")
        assert [entry.id for entry in entries] == [entry.id for entry in (*first, *second)]
        assert [entry.parent_id for entry in entries] == [None, first[0].id, first[1].id]
        assert (await store.read_entry(first[1].id)).message == conversation.messages[1]

    async def test_a_record_carries_what_messages_do_not(self, store: Any) -> None:
        call = ToolCallPart("pay", {"sum": 5}, "call-1")
        conversation = Conversation(
            conversation_id="a",
            messages=said("1"),
            usage=RunUsage(requests=3, input_tokens=7, details={"cached": 2}),
            deferred_tool_requests=DeferredToolRequests(approvals=[call]),
        )
        await store.save(conversation)
        loaded = await store.load("a")
        assert loaded.usage == conversation.usage
        assert loaded.deferred_tool_requests == conversation.deferred_tool_requests
        loaded.deferred_tool_requests = None
        await store.save(loaded)
        assert (await store.load("a")).deferred_tool_requests is None

    async def test_a_conversation_without_messages_is_there(self, store: Any) -> None:
        await self.saved(store, "a")
        assert (await store.load("a")).messages == []
        assert await store.load_entries("a") == []

    async def test_the_last_messages_are_loaded_and_a_save_goes_on_with_all(self, store: Any) -> None:
        await self.saved(store, "a", *"123456")
        for limit in (0, 1, 3, 6, 99):
            assert texts(await store.load("a", limit=limit)) == list("123456")[6 - min(limit, 6) :]
        window = await store.load("a", limit=2)
        window.messages += said("7")
        await store.save(window)
        assert texts(await store.load("a")) == list("1234567")
        with pytest.raises(UserError):
            await store.load("a", limit=-1)

    async def test_what_is_given_and_got_are_copies(self, store: Any) -> None:
        conversation = await self.saved(store, "a", "1", "2")
        conversation.messages[0].parts[0].content = "changed"
        loaded = await store.load("a")
        loaded.messages[1].parts[0].content = "changed"
        (record,) = await store.list_conversations()
        record.branches.append("changed")
        assert texts(await store.load("a")) == ["1", "2"]
        assert (await store.read_record("a")).branches == []

    async def test_it_is_there_when_it_is_opened_again(self, open_conversations: Opening) -> None:
        async with opened(open_conversations) as store:
            await self.saved(store, "a", "1", "2")
        async with opened(open_conversations) as store:
            loaded = await store.load("a")
            loaded.messages += said("3")
            await store.save(loaded)
            fork = await store.fork("a", at=1)
            assert texts(await store.load(fork.conversation_id)) == ["1"]
        async with opened(open_conversations) as store:
            assert texts(await store.load("a")) == ["1", "2", "3"]
            entries = await store.load_entries("a")
            assert (await store.read_entry(entries[0].id)).message == entries[0].message

    async def test_an_entry_is_found_by_its_id_alone(self, open_conversations: Opening) -> None:
        kept: list[Any] = []
        async with opened(open_conversations) as store:
            for name in "abc":
                kept.extend(await store.save(Conversation(conversation_id=name, messages=said(name, name * 2))))
        async with opened(open_conversations) as store:
            for entry in kept:
                assert await store.read_entry(entry.id) == entry
            with pytest.raises(LookupError):
                await store.read_entry("nobody's")

    # -- several writers -----------------------------------------------------------------------------------------------

    async def test_a_copy_that_is_out_of_date_is_not_saved(self, store: Any) -> None:
        await self.saved(store, "a", "1", "2")
        left, right = await store.load("a"), await store.load("a")
        left.messages += said("left")
        right.messages += said("right")
        await store.save(left)
        with pytest.raises(ConversationConflict):
            await store.save(right)
        assert texts(await store.load("a")) == ["1", "2", "left"]

    async def test_a_new_conversation_does_not_replace_one_that_is_there(self, store: Any) -> None:
        await self.saved(store, "a", "1")
        with pytest.raises(ConversationConflict):
            await self.saved(store, "a", "2")
        assert texts(await store.load("a")) == ["1"]

    async def test_of_writers_at_once_one_wins(self, store: Any) -> None:
        await self.saved(store, "a", "1", "2")

        async def attempt(name: str) -> bool:
            loaded = await store.load("a")
            await asyncio.sleep(0)
            loaded.messages += said(name)
            try:
                await store.save(loaded)
            except ConversationConflict:
                return False
            return True

        won = await asyncio.gather(*(attempt(f"try {number}") for number in range(8)))
        found = texts(await store.load("a"))
        assert sum(won) == len(found) - 2 >= 1

    async def test_of_creators_at_once_one_wins(self, store: Any) -> None:
        done = await asyncio.gather(
            *(self.saved(store, "a", str(number)) for number in range(8)), return_exceptions=True
        )
        assert sum(not isinstance(each, ConversationConflict) for each in done) == 1

    async def test_a_copy_of_what_was_deleted_is_not_saved(self, store: Any) -> None:
        conversation = await self.saved(store, "a", "1")
        await store.delete("a")
        with pytest.raises(ConversationConflict):
            await store.save(conversation)
        await self.saved(store, "a", "new")
        with pytest.raises(ConversationConflict):
            await store.save(conversation)
        assert texts(await store.load("a")) == ["new"]

    async def test_a_conflict_leaves_nothing_behind(self, store: Any) -> None:
        await self.saved(store, "a", "1")
        record = await store.read_record("a")
        entry = ConversationEntry(parent_id=record.head_id, message=said("2")[0])
        with pytest.raises(ConversationConflict):
            await store.write_record(record, new_entries=[entry], expected_revision="another")
        with pytest.raises(LookupError):
            await store.read_entry(entry.id)
        with pytest.raises(ConversationConflict):
            await store.delete_record("a", expected_revision="another")
        assert texts(await store.load("a")) == ["1"]

    async def test_a_head_that_is_nowhere_is_a_conflict(self, store: Any) -> None:
        for expected in (None, (await self.saved(store, "b", "1")).revision):
            name = "a" if expected is None else "b"
            record = ConversationRecord(conversation_id=name, head_id="nowhere")
            with pytest.raises(ConversationConflict):
                await store.write_record(record, expected_revision=expected)
        assert await store.load("a") is None

    # -- scopes, listings, deleting ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("scope", ["ann", "", "a/b%", "s" * 5000], ids=["name", "empty", "signs", "long"])
    async def test_a_scope_hides_what_is_of_others(self, store: Any, scope: str) -> None:
        conversation = await self.saved(store, "a", "1", scope=scope)
        await self.saved(store, "b", "2", scope="bob")
        await self.saved(store, "c", "3")
        assert texts(await store.load("a", scope=scope)) == ["1"]
        assert await store.load("a", scope="bob") is None
        assert await store.load("c", scope=scope) is None
        assert [each.conversation_id for each in await store.list_conversations(scope=scope)] == ["a"]
        with pytest.raises(ConversationConflict):
            await store.save(conversation, scope="bob")
        await store.save(conversation)
        assert (await store.read_record("a")).scope == scope
        await store.delete("a", scope="bob")
        assert await store.load("a") is not None
        await store.delete("a", scope=scope)
        assert await store.load("a") is None

    async def test_a_listing_begins_with_what_was_saved_last(self, store: Any) -> None:
        first = await self.saved(store, "a", "1")
        await self.saved(store, "b", "2")
        await store.save(first)
        assert [each.conversation_id for each in await store.list_conversations()] == ["a", "b"]
        assert [each.conversation_id for each in await store.list_conversations(limit=1)] == ["a"]
        assert await store.list_conversations(limit=0) == []
        with pytest.raises(UserError):
            await store.list_conversations(limit=-1)

    # -- branches and forks --------------------------------------------------------------------------------------------

    async def test_a_rewritten_history_leaves_a_branch(self, store: Any) -> None:
        await self.saved(store, "a", "1", "2", "3")
        left = (await store.load_entries("a"))[-1].id
        loaded = await store.load("a")
        await store.save(Conversation(conversation_id="a", messages=said("1", "other"), revision=loaded.revision))
        assert texts(await store.load("a")) == ["1", "other"]
        assert (await store.read_record("a")).branches == [left]
        revision = (await store.load("a")).revision
        back = await store.branch("a", from_entry=left, expected_revision=revision)
        assert texts(back) == texts(await store.load("a")) == ["1", "2", "3"]

    async def test_a_branch_goes_on_from_an_earlier_message(self, store: Any) -> None:
        conversation = await self.saved(store, "a", *"1234")
        with pytest.raises(ConversationConflict):
            await store.branch("a", at=1, expected_revision="another")
        branched = await store.branch("a", at=2, expected_revision=conversation.revision)
        branched.messages += said("new")
        await store.save(branched)
        assert texts(await store.load("a")) == ["1", "2", "new"]
        with pytest.raises(ConversationConflict):
            await store.save(conversation)

    async def test_a_fork_shares_entries_and_goes_its_own_way(self, store: Any) -> None:
        original = await self.saved(store, "a", *"1234", scope="ann")
        fork = await store.fork("a", at=2, new_conversation_id="b")
        fork.messages += said("new")
        await store.save(fork)
        original.messages += said("5")
        await store.save(original)
        assert texts(await store.load("b", scope="ann")) == ["1", "2", "new"]
        assert texts(await store.load("a")) == list("12345")
        ours, theirs = await store.load_entries("b"), await store.load_entries("a")
        assert [each.id for each in ours[:2]] == [each.id for each in theirs[:2]]
        record = await store.read_record("b")
        assert (record.forked_from, record.forked_at) == ("a", theirs[1].id)
        again = await store.fork("b", new_conversation_id="c")
        assert texts(await store.load("c")) == texts(again) == ["1", "2", "new"]
        with pytest.raises(ConversationConflict):
            await store.fork("a", new_conversation_id="b")
        none = await store.fork("a", at=0)
        assert (await store.load(none.conversation_id)).messages == []

    @pytest.mark.parametrize("gone", ["a", "b"])
    async def test_of_a_fork_and_its_origin_either_outlives_the_other(self, store: Any, gone: str) -> None:
        await self.saved(store, "a", *"123")
        await store.fork("a", new_conversation_id="b")
        await store.delete(gone)
        (left,) = {"a", "b"} - {gone}
        assert texts(await store.load(left)) == list("123")
        entries: Sequence[Any] = await store.load_entries(left)
        assert (await store.read_entry(entries[1].id)).message == entries[1].message
        again = await store.fork(left, at=2)
        assert texts(await store.load(again.conversation_id)) == ["1", "2"]

    async def test_a_fork_from_a_branch_that_was_left(self, store: Any) -> None:
        conversation = await self.saved(store, "a", *"123")
        left = (await store.load_entries("a"))[-1].id
        await store.branch("a", at=1, expected_revision=conversation.revision)
        fork = await store.fork("a", from_entry=left)
        assert texts(await store.load(fork.conversation_id)) == list("123")
        with pytest.raises(UserError):
            await store.fork("a", from_entry="nowhere")
