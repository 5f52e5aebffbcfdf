"""Real conversations as the programs keep them that they came from; and files that the real libraries write.

The conversations are found as in ``test_conversations``. The libraries are no dependency of the tests: where they are
installed (``openai-agents``, ``langchain-community``), they write what is imported here, and read back what comes out.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.importers import ImportedSession, Skipped, place, read

WHERE = Path(
    os.environ.get("VAULTSESSION_TEST_CONVERSATIONS")
    or Path(__file__).resolve().parents[3] / "shared" / "data" / "conversations"
)
TRANSCRIPTS = sorted(WHERE.glob("claude-code.*.jsonl.zst"))
MOST = 40
SMALL = 300_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=RawKey.generate(), durability="os") as opened:
        yield opened


def conversations(path: Path) -> Iterator[dict[str, Any]]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=64 << 20)
    with path.open("rb") as file, decompressor.stream_reader(file) as reader:
        rest = b""
        while chunk := reader.read(1 << 20):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from map(json.loads, whole)
        if rest:
            yield json.loads(rest)


def imported(store: SessionStore, source: Path, format: str = "auto") -> list[str]:
    names = []
    for found in read(str(source), format):
        assert not isinstance(found, Skipped), found
        place(store, found)
        names.append(found.id)
    return names


@pytest.mark.skipif(not TRANSCRIPTS, reason=f"no transcripts in {WHERE}: set VAULTSESSION_TEST_CONVERSATIONS")
def test_real_transcripts_are_known_for_what_they_are_and_come_back_equal(store: SessionStore, tmp_path: Path) -> None:
    source, kept = tmp_path / "projects", {}
    for path in TRANSCRIPTS:
        for conversation in conversations(path):
            if len(kept) == MOST:
                break
            if len(str(conversation["messages"])) > SMALL:
                continue
            name = Path(conversation["id"]).stem
            kept[name] = conversation["messages"]
            file = source / f"-home-{len(kept) % 3}" / f"{name}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(json.dumps(event) + "\n" for event in kept[name]), encoding="utf-8")
    assert len(kept) > 10
    assert {type(found) for found in read(str(source))} == {ImportedSession}
    assert sorted(imported(store, source)) == sorted(kept)
    for name, messages in kept.items():
        session = store.load(name)
        assert session.messages == messages
        stamps = [event["timestamp"] for event in messages if "timestamp" in event]
        if stamps:
            assert session.created_at.isoformat()[:19] == min(stamps)[:19]
            assert session.updated_at.isoformat()[:19] == max(stamps)[:19]


@pytest.mark.skipif(not WHERE.is_dir(), reason=f"no conversations in {WHERE}: set VAULTSESSION_TEST_CONVERSATIONS")
def test_real_conversations_of_every_shape_as_lines_and_as_files(store: SessionStore, tmp_path: Path) -> None:
    source, kept = tmp_path / "old", {}
    source.mkdir()
    for path in sorted(WHERE.glob("*.jsonl.zst")):
        for number, conversation in enumerate(conversations(path)):
            if number == 5:
                break
            name = f"{path.stem}-{number}"
            if len(str(conversation["messages"])) > SMALL:
                continue
            kept[name] = conversation["messages"]
            if number % 2:
                (source / f"{name}.json").write_text(json.dumps(conversation["messages"]), encoding="utf-8")
            else:
                with (source / "all.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"id": name, "messages": conversation["messages"]}) + "\n")
    assert sorted(imported(store, source)) == sorted(kept)
    for name, messages in kept.items():
        assert store.load(name).messages == messages


@pytest.mark.skipif(not WHERE.is_dir(), reason=f"no conversations in {WHERE}: set VAULTSESSION_TEST_CONVERSATIONS")
@pytest.mark.parametrize("agent", ["codex", "copilot-cli", "pi-agent", "gemini-cli"])
def test_real_transcripts_of_other_agents_are_a_session_each(store: SessionStore, tmp_path: Path, agent: str) -> None:
    """One event per line, of which none names its session as a message would."""
    source, kept = tmp_path / "old", {}
    source.mkdir()
    for path in WHERE.glob(f"{agent}.*.jsonl.zst"):
        for number, conversation in enumerate(conversations(path)):
            name = f"{agent}-{number}"
            if len(kept) == MOST:
                break
            if len(str(conversation["messages"])) > SMALL:
                continue
            kept[name] = conversation["messages"]
            text = "".join(json.dumps(event) + "\n" for event in kept[name])
            (source / f"{name}.jsonl").write_text(text, encoding="utf-8")
    assert sorted(imported(store, source)) == sorted(kept)
    for name, messages in kept.items():
        assert store.load(name).messages == messages


def test_what_the_agents_sdk_writes_is_imported(store: SessionStore, tmp_path: Path) -> None:
    memory = pytest.importorskip("agents.memory")
    items = {"first": [{"role": "user", "content": "hellö"}], "second": [{"role": "user", "content": "x"}] * 5}

    async def write() -> None:
        for name, content in items.items():
            session = memory.SQLiteSession(name, str(tmp_path / "agents.db"))
            await session.add_items(content)
            session.close()

    asyncio.run(write())
    assert sorted(imported(store, tmp_path / "agents.db")) == sorted(items)
    for name, content in items.items():
        assert store.load(name).messages == content


def test_what_langchain_writes_is_imported_and_can_be_read_back_by_it(store: SessionStore, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, about itself
        histories = pytest.importorskip("langchain_community.chat_message_histories")
        messages = pytest.importorskip("langchain_core.messages")
        history = histories.FileChatMessageHistory(str(tmp_path / "chat.json"))
        call = {"name": "look", "args": {"at": "it"}, "id": "1", "type": "tool_call"}
        written = [messages.HumanMessage("hellö"), messages.AIMessage("", tool_calls=[call])]
        written.append(messages.ToolMessage("seen", tool_call_id="1"))
        history.add_messages(written)
        assert imported(store, tmp_path / "chat.json") == ["chat"]
        assert messages.messages_from_dict(store.load("chat").messages) == written
