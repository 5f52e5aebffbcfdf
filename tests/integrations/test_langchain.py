"""Chat histories of LangChain in a vault."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adapter_lab import HOSTILE, KEY, KILLED, LONG, OTHER_KEY, damage, run_program, start_program, vault, wait_for
from frameworks import require

from vaultsession import Damaged, SessionStore, WrongKey, open_store
from vaultsession.admin.importers import ImportedSession, place, read
from vaultsession.testing.clock import ManualClock

require("langchain_core")

from langchain_core.chat_history import InMemoryChatMessageHistory  # noqa: E402
from langchain_core.language_models.fake_chat_models import FakeListChatModel  # noqa: E402
from langchain_core.messages import (  # noqa: E402
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_to_dict,
)
from langchain_core.runnables.history import RunnableWithMessageHistory  # noqa: E402

from vaultsession.integrations.langchain import VaultChatHistory  # noqa: E402


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with open_store("memory://", lossless=True) as opened:
        yield opened


@pytest.fixture(params=["ours", "theirs"])
def history(request: pytest.FixtureRequest, store: SessionStore) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VaultChatHistory("s", store) if request.param == "ours" else InMemoryChatMessageHistory()


def everything() -> list[Any]:
    return [
        SystemMessage("be kind"),
        HumanMessage([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:,"}}], id="1"),
        AIMessage(
            "", tool_calls=[{"name": "t", "args": {"x": [1, {"y": None}]}, "id": "c"}], response_metadata={"m": 1}
        ),
        ToolMessage("42", tool_call_id="c", artifact={"rows": [1.5]}),
        *map(HumanMessage, HOSTILE),
    ]


def test_messages_of_every_kind_come_back(history: Any) -> None:
    assert history.messages == []
    history.add_messages(everything())
    history.add_user_message("hello")
    history.add_ai_message("hey")
    assert history.messages == [*everything(), HumanMessage("hello"), AIMessage("hey")]
    history.clear()
    assert history.messages == []
    history.clear()
    history.add_message(HumanMessage("again"))
    assert history.messages == [HumanMessage("again")]


def test_and_awaited(history: Any) -> None:
    async def main() -> None:
        assert await history.aget_messages() == []
        await history.aadd_messages(everything())
        assert await history.aget_messages() == everything()
        await history.aclear()
        assert await history.aget_messages() == []

    asyncio.run(main())


def test_values_beyond_json_come_back(store: SessionStore) -> None:
    history = VaultChatHistory("s", store)
    history.add_messages([HumanMessage("\ud800", additional_kwargs={"nan": float("inf"), "of": (1, 2)})])
    asyncio.run(history.aadd_messages([HumanMessage("x", additional_kwargs={"of": (1, 2)})]))
    first, second = history.messages
    assert first.content == "\ud800"
    assert first.additional_kwargs == {"nan": float("inf"), "of": [1, 2]}
    assert second.additional_kwargs == {"of": [1, 2]}


@pytest.mark.parametrize("name", ["a", "a/b", "../x", "名", LONG], ids=range(5))
def test_ids_of_any_length_and_script(store: SessionStore, name: str) -> None:
    VaultChatHistory.from_store(name, store, user_id="ann").add_user_message("hello")
    assert VaultChatHistory(name, store).messages == [HumanMessage("hello")]
    assert store.count(user_id="ann", labels={"framework": "langchain"}) == 1


def test_what_has_expired_is_empty_and_begins_anew() -> None:
    clock = ManualClock()
    with open_store("memory://", clock=clock, ttl="1h") as store:
        history = VaultChatHistory("s", store)
        history.add_user_message("before")
        clock.advance(3601)
        assert history.messages == []
        history.clear()
        history.add_user_message("after")
        assert history.messages == [HumanMessage("after")]


def test_a_wrong_key_is_raised_at_once_and_damage_is_no_empty_history(tmp_path: Path) -> None:
    with VaultChatHistory.from_url("s", tmp_path / "vault", key=KEY, durability="os", fields={"ttl": "1d"}) as history:
        history.add_user_message("hello")
    with pytest.raises(WrongKey):
        VaultChatHistory.from_url("s", tmp_path / "vault", key=OTHER_KEY)
    damage(tmp_path)
    with vault(tmp_path) as store, pytest.raises(Damaged):
        VaultChatHistory("s", store).messages  # noqa: B018 - read for what it raises


def test_a_chain_goes_on_where_it_was(store: SessionStore) -> None:
    chain = RunnableWithMessageHistory(
        FakeListChatModel(responses=["Hello Ann.", "Ann."]), lambda session_id: VaultChatHistory(session_id, store)
    )
    for prompt in ("I am Ann", "Who am I?"):
        chain.invoke([HumanMessage(prompt)], config={"configurable": {"session_id": "s"}})
    assert [each.content for each in VaultChatHistory("s", store).messages] == [
        *("I am Ann", "Hello Ann.", "Who am I?", "Ann.")
    ]


def test_what_their_file_holds_is_imported(store: SessionStore, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps(messages_to_dict(everything())), encoding="utf-8")
    for found in read(str(tmp_path)):
        assert isinstance(found, ImportedSession)
        place(store, found)
    history = VaultChatHistory("s", store)
    history.add_user_message("more")
    assert history.messages == [*everything(), HumanMessage("more")]


PROGRAM = """
import os
from langchain_core.messages import AIMessage, HumanMessage
from vaultsession.integrations.langchain import VaultChatHistory

name = ARGUMENTS[0]
history = VaultChatHistory.from_url("s", PATH)
for number in range(10):
    history.add_messages([HumanMessage(f"{name} {number}")])
    if name == "killed":
        os._exit(9)
    history.add_messages([AIMessage(f"yes {name} {number}")])
history.close()
"""


@pytest.mark.slow
def test_killed_within_a_turn_and_two_processes(tmp_path: Path) -> None:
    vault(tmp_path).close()
    assert run_program(tmp_path, PROGRAM, "killed") == KILLED
    assert wait_for([start_program(tmp_path, PROGRAM, name) for name in ("left", "right")]) == [0, 0]
    with vault(tmp_path) as store:
        found = [each.content for each in VaultChatHistory("s", store).messages]
        assert found[0] == "killed 0"
        for name in ("left", "right"):
            own = [text for text in found if name in text]
            assert own == [text for number in range(10) for text in (f"{name} {number}", f"yes {name} {number}")]
