"""The parts of a message, and the small readings that all shapes share."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from ...util.clock import parse_moment, to_datetime
from ...util.named_tuple import NamedTuple

Json: TypeAlias = Any


class Text(NamedTuple):
    """What is said: Markdown, as a rule."""

    text: str


class Thinking(NamedTuple):
    """What the model thought. Empty where its provider sealed it."""

    text: str


class ToolCall(NamedTuple):
    """A tool that is called. ``arguments`` are an object as a rule; text where they were not JSON."""

    name: str
    arguments: Json
    id: str | None = None


class Media(NamedTuple):
    """An image or a file. ``type`` is its media type, ``size`` its bytes where they are known.

    ``data`` is base64, ``url`` says where it lies elsewhere: one of them, or neither.
    """

    type: str
    name: str | None = None
    size: int | None = None
    data: str | None = None
    url: str | None = None


class Citation(NamedTuple):
    """What an answer refers to."""

    title: str
    url: str | None = None


class Event(NamedTuple):
    """What an agent notes about its own work: a hook, a snapshot, a count of tokens. Nobody said it."""

    name: str
    text: str = ""


class Other(NamedTuple):
    """What is not known, as it stood there."""

    value: Json


class ToolResult(NamedTuple):
    """What a tool answered to the call of that id. ``is_error`` None: nothing is said of it."""

    parts: tuple[Text | Media | Citation | Other, ...]
    call: str | None = None
    name: str | None = None
    is_error: bool | None = None


Part: TypeAlias = Text | Thinking | ToolCall | ToolResult | Media | Citation | Event | Other


class Message(NamedTuple):
    """One message. ``role`` is "user", "assistant", "system", "tool" or "event", or a word of the one who wrote it."""

    role: str
    parts: tuple[Part, ...]
    at: datetime | None = None
    replies: tuple[Message, ...] = ()
    """Where messages stand as trees: the answers to this one."""


_ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "model": "assistant",
    "gemini": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "developer": "system",
    "function": "tool",
    "function_call": "assistant",
    "observation": "tool",
    "toolResult": "tool",
}

_TIMES = ("timestamp", "created_at", "createdAt", "created", "create_time", "time", "ts")


def role_of(word: object) -> str:
    """The role by the word that a shape has for it."""
    return _ROLES.get(word, word) if isinstance(word, str) else "event"


def moment_of(record: Mapping[str, Json]) -> datetime | None:
    """When, where the record says so in a way that can be read."""
    for name in _TIMES:
        moment = parse_moment(record.get(name))
        if moment is not None:
            with contextlib.suppress(ValueError, OverflowError, OSError):
                return to_datetime(moment)
    return None


def arguments_of(value: Json) -> Json:
    """The arguments of a call, which some shapes give as text that is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def text_of(value: Json) -> str:
    """A value in words: text as it is, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=repr)


def each_of(value: Json) -> list[Json]:
    """The elements of a list; none where it is no list."""
    return value if isinstance(value, list) else []


def mappings(value: Json) -> Iterator[Mapping[str, Json]]:
    """Those elements of a list that are objects."""
    return (each for each in each_of(value) if isinstance(each, Mapping))


def word(value: Json) -> str | None:
    """The value where it is a text with something in it."""
    return value if isinstance(value, str) and value else None


def base64_size(data: str) -> int:
    """The bytes of which this is the base64, without decoding it."""
    return max(0, len(data) * 3 // 4 - data[-2:].count("="))
