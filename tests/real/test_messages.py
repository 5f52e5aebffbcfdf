"""Real conversations of every shape are understood: no part of one is something unknown, and nothing that was said is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from test_conversations import FILES, conversations, needs_conversations

from vaultsession.format.messages import understand
from vaultsession.format.messages.parts import Message, Other, Part, Text, Thinking, ToolCall, ToolResult

LEAST = 20
"""Characters of a text that is looked for among the parts."""


def tree(message: Message) -> Iterator[Message]:
    yield message
    for reply in message.replies:
        yield from tree(reply)


def parts(message: Message) -> Iterator[Part]:
    for each in tree(message):
        for part in each.parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.parts


def said(record: dict[str, Any]) -> Iterator[str]:
    """Texts that must be there: contents that are texts, and blocks that hold one."""
    inner = record.get("message") if isinstance(record.get("message"), dict) else record
    payload = record.get("payload")
    if record.get("type") == "response_item":
        inner = payload
    content = inner.get("content")
    if isinstance(content, str):
        yield content
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict) and isinstance(block.get("text"), str):
            yield block["text"]
    for name in ("value", "text"):
        if isinstance(inner.get(name), str) and inner.get("from") != "function_call":
            yield inner[name]


@needs_conversations
@pytest.mark.parametrize("most", [20, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".jsonl.zst"))
def test_every_shape_is_understood(path: Path, most: int | None) -> None:
    kinds: Counter[str] = Counter()
    roles: Counter[str] = Counter()
    for conversation in islice(conversations([path]), most):
        for record in conversation["messages"]:
            message = understand(record)
            found = list(parts(message))
            assert not any(isinstance(part, Other) for part in found), record
            roles.update(each.role for each in tree(message))
            kinds.update(type(part).__name__ for part in found)
            shown = "\n".join(part.text for part in found if isinstance(part, Text | Thinking) or hasattr(part, "text"))
            for text in said(record):
                assert text in shown or len(text) < LEAST, record
    assert kinds["Text"]
    assert roles["user"]
    assert roles["assistant"]
    if kinds["ToolResult"]:
        assert kinds["ToolCall"]
    assert set(roles) <= {"user", "assistant", "system", "tool", "event"}


def test_a_part_that_is_lost_would_be_found() -> None:
    record = {"role": "user", "content": [{"type": "text", "text": "a text of more than twenty characters"}]}
    assert list(said(record)) == ["a text of more than twenty characters"]
    assert not [part for part in understand(record).parts if isinstance(part, ToolCall)]
