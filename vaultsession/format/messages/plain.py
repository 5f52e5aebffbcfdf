"""Messages in words: what a part is on a line, a terminal, or in a table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from .parts import Citation, Event, Json, Media, Message, Other, Part, Text, Thinking, ToolCall, ToolResult, text_of

_SHORT = 100
"""Characters of arguments that stand on one line."""

_MOST_NAMES = 3
_KILO = 1000
_UNITS = ("KB", "MB", "GB")


def words(part: Part) -> str:
    """What a part is, in words: nothing of a text, a call or a result is left out; of a picture its kind and size."""
    return _WORDS[type(part)](part)


def said(message: Message) -> str:
    """All of a message in words, its replies included."""
    return "\n".join([*filter(None, map(words, message.parts)), *map(said, message.replies)])


def is_note(message: Message) -> bool:
    """Whether a message is nothing but an agent's own notes."""
    return bool(message.parts) and all(isinstance(part, Event) for part in message.parts)


def tally(names: Counter[str]) -> str:
    """The names that come most often, and how often each; … for others."""
    named = ", ".join(f"{name} {count}" if count > 1 else name for name, count in names.most_common(_MOST_NAMES))
    return f"{named}, …" if len(names) > _MOST_NAMES else named


def facts_of(media: Media) -> str:
    """What is known of a picture or a file without looking into it."""
    return ", ".join(filter(None, (media.name, media.type, size(media.size), media.url)))


def size(count: int | None) -> str:
    """Bytes for people; empty where they are not known."""
    if count is None:
        return ""
    value, unit = float(count), "B"
    for larger in _UNITS:
        if value < _KILO:
            break
        value, unit = value / _KILO, larger
    return f"{value:.0f} {unit}"


def _arguments(value: Json) -> str:
    if value is None or value == {}:
        return "()"
    if not isinstance(value, dict):
        text = text_of(value)
        return f"({text})" if len(text) <= _SHORT and "\n" not in text else f"\n{text}"
    short = ", ".join(f"{name}={json.dumps(each, ensure_ascii=False)}" for name, each in value.items())
    if len(short) <= _SHORT:
        return f"({short})"
    return "".join(f"\n  {name}: {_below(text_of(each))}" for name, each in value.items())


def _below(text: str) -> str:
    return text if "\n" not in text else "\n    " + text.replace("\n", "\n    ")


def _of_result(result: ToolResult) -> str:
    answer = "\n".join(map(words, result.parts))
    return f"{'✗' if result.is_error else '←'} {answer or 'nothing'}"


def _of_citation(citation: Citation) -> str:
    return f"↗ {citation.title}" if citation.url in (None, citation.title) else f"↗ {citation.title} {citation.url}"


_WORDS: dict[type[Part], Callable[[Any], str]] = {
    Text: lambda part: part.text,
    Thinking: lambda part: part.text,
    ToolCall: lambda call: f"→ {call.name}{_arguments(call.arguments)}",
    ToolResult: _of_result,
    Media: lambda media: f"[{facts_of(media)}]",
    Citation: _of_citation,
    Event: lambda event: f"· {event.name}: {event.text}" if event.text else f"· {event.name}",
    Other: lambda other: json.dumps(other.value, ensure_ascii=False, default=repr),
}
