"""Messages as frameworks keep them, and as their adapters do: LangChain, Pydantic AI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .content import answer_of, media_of, parts_of
from .parts import (
    Json,
    Media,
    Message,
    Other,
    Part,
    Thinking,
    ToolCall,
    arguments_of,
    base64_size,
    mappings,
    moment_of,
    word,
)

Record = Mapping[str, Json]

# -- LangChain: messages_to_dict ---------------------------------------------------------------------------------------

_SPEAKERS = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant", "system": "system", "tool": "tool"}


def is_of_langchain(record: Record) -> bool:
    """Whether a record is ``{"type": "human", "data": {"content": …}}``."""
    data = record.get("data")
    return isinstance(data, Mapping) and "content" in data and record.get("type") in (*_SPEAKERS, "function", "chat")


def langchain(record: Record) -> Message:
    kind, data = str(record["type"]), record["data"]
    if kind in ("tool", "function"):
        failed = data["status"] == "error" if word(data.get("status")) else None
        return Message("tool", (answer_of(data["content"], data.get("tool_call_id"), data.get("name"), failed),))
    calls = (
        ToolCall(word(call.get("name")) or "tool", call.get("args"), word(call.get("id")))
        for call in mappings(data.get("tool_calls"))
    )
    return Message(_SPEAKERS.get(kind, word(data.get("role")) or "user"), (*parts_of(data["content"]), *calls))


# -- Pydantic AI: ModelMessagesTypeAdapter -----------------------------------------------------------------------------


def is_of_pydantic_ai(record: Record) -> bool:
    """Whether a record is a model's request or response, or an entry that holds one."""
    inner = _inner(record)
    return inner.get("kind") in ("request", "response") and isinstance(inner.get("parts"), list)


def pydantic_ai(record: Record) -> Message:
    inner = _inner(record)
    parts: list[Part] = []
    roles = set()
    for each in mappings(inner["parts"]):
        role, found = _of_pydantic_ai(each)
        roles.add(role)
        parts += found
    role = "assistant" if inner["kind"] == "response" else "user" if "user" in roles else min(roles, default="user")
    first = next(mappings(inner["parts"]), {})
    return Message(role, tuple(parts), moment_of(inner) or moment_of(first))


def _inner(record: Record) -> Record:
    inner = record.get("message")
    return inner if isinstance(inner, Mapping) and "parent_id" in record else record


def _of_pydantic_ai(part: Record) -> tuple[str, list[Part]]:
    kind, content = part.get("part_kind"), part.get("content")
    if kind in ("tool-return", "retry-prompt", "builtin-tool-return") and "tool_call_id" in part:
        failed = True if kind == "retry-prompt" else None
        return "tool", [answer_of(content, part.get("tool_call_id"), part.get("tool_name"), failed)]
    if kind in ("tool-call", "builtin-tool-call"):
        name = word(part.get("tool_name")) or "tool"
        return "assistant", [ToolCall(name, arguments_of(part.get("args")), word(part.get("tool_call_id")))]
    if kind == "thinking":
        return "assistant", [Thinking(word(content) or "")]
    if kind in ("user-prompt", "system-prompt", "text", "retry-prompt"):
        items = content if isinstance(content, list) else [content]
        return "system" if kind == "system-prompt" else "user", [found for item in items for found in _prompt(item)]
    return "user", [Other(dict(part))]


def _prompt(item: Json) -> Iterator[Part]:
    kind = item.get("kind") if isinstance(item, Mapping) else None
    if kind == "binary":
        data = word(item.get("data")) or ""
        yield Media(word(item.get("media_type")) or "file", word(item.get("identifier")), base64_size(data), data)
    elif isinstance(kind, str) and kind.endswith("-url"):
        yield media_of(item.get("url"), kind.removesuffix("-url"))
    else:
        yield from parts_of(item)
