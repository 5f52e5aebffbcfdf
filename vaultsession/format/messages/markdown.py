"""A conversation as one Markdown document: what is said as it stands, all else marked as what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from .parts import Citation, Event, Json, Media, Message, Other, Part, Text, Thinking, ToolCall, ToolResult, text_of
from .plain import facts_of, words
from .records import understand

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&])")


def document(title: str, facts: Mapping[str, str], messages: Iterable[Json]) -> Iterator[str]:
    """The document, a block at a time. ``facts`` stand in a table below the title."""
    yield f"# {plain(title)}\n"
    if facts:
        yield "| | |\n|---|---|\n" + "".join(f"| {plain(name)} | {plain(value)} |\n" for name, value in facts.items())
    for number, record in enumerate(messages):
        yield from _message(understand(record), str(number))


def plain(text: str) -> str:
    """A text that means nothing in Markdown, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any within."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}\n"


def _message(message: Message, name: str) -> Iterator[str]:
    moment = "" if message.at is None else f" · {message.at:%Y-%m-%d %H:%M} UTC"
    yield f"\n## {name} · {plain(message.role)}{moment}\n"
    for part in message.parts:
        yield f"\n{_part(part)}"
    for number, reply in enumerate(message.replies, 1):
        yield from _message(reply, f"{name}.{number}")


def _part(part: Part) -> str:
    match part:
        case Text(text):
            return f"{text}\n"
        case Thinking(text):
            return "".join(f"> {line}\n" for line in (text or "*thought, sealed by its provider*").split("\n"))
        case ToolCall(name, arguments):
            shown = fenced(text_of(arguments), "" if isinstance(arguments, str) else "json")
            return f"→ **{plain(name)}**\n\n{shown}"
        case ToolResult(parts, _, _, is_error):
            shown = "".join(fenced(each.text) if isinstance(each, Text) else _part(each) for each in parts)
            return f"{'✗ **error**' if is_error else '←'}\n\n{shown}"
        case Citation(title, url):
            return (
                f"↗ [{plain(title)}](<{url}>)\n"
                if url and url.startswith(("https:", "http:"))
                else f"↗ {plain(title)}\n"
            )
    return _aside(part)


def _aside(part: Media | Event | Other) -> str:
    if isinstance(part, Media):
        return f"*{plain(facts_of(part))}*\n"
    return f"*{plain(words(part))}*\n" if isinstance(part, Event) else fenced(text_of(part.value), "json")
