"""A transcript: messages as people read them on a terminal, each under its number, who speaks, and when.

Lines are written as they are made, so that the first of many messages is there at once. A run of an agent's own notes
is one line.
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from ..format.messages import understand
from ..format.messages.parts import Citation, Event, Media, Message, Other, Part, Thinking, ToolCall, ToolResult
from ..format.messages.parts import Text as Said
from ..format.messages.plain import is_note, tally, words
from . import output

ROLES = {"user": "cyan", "assistant": "green", "system": "magenta", "tool": "yellow"}
_OTHER_ROLE = "blue"
_STYLES: dict[type[Part], str] = {
    Said: "",
    Thinking: "dim italic",
    ToolCall: "cyan",
    ToolResult: "",
    Media: "magenta",
    Citation: "dim",
    Event: "dim",
    Other: "dim",
}
_LONGEST_NOTE = 200


def write(messages: Iterable[Any], first: int | None = None) -> None:
    """Messages, an empty line behind each; ``first`` is the number of the first, None shows no numbers."""
    page = _Page(output.data())
    for lines in _blocks(page, messages, first):
        for line in lines:
            sys.stdout.write(line + "\n")
        sys.stdout.write("\n")


def speaking(role: str) -> str:
    """The style of the line above what somebody says."""
    return f"bold {ROLES.get(role, _OTHER_ROLE)}"


class _Page:
    """A terminal of some width, and its colours."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = max(console.width, output.NARROWEST)
        self._codes: dict[str, tuple[str, str]] = {}

    def painted(self, text: str, style: str) -> str:
        """The text in a style, as far as the terminal has it."""
        if not style or not text:
            return text
        if style not in self._codes:
            console = self._console
            mark, shown = "\0", Style.parse(style)
            shown = shown.without_color if console.no_color else shown
            system = console._color_system if console.is_terminal else None  # noqa: SLF001 - there is no public name
            before, _, behind = shown.render(mark, color_system=system).partition(mark)
            self._codes[style] = before, behind
        before, behind = self._codes[style]
        return f"{before}{text}{behind}"

    def wrapped(self, text: str, indent: int, style: str) -> Iterator[str]:
        """The lines of a text, none wider than the terminal."""
        margin, room = " " * indent, max(self._width - indent, 10)
        for raw in text.split("\n"):
            line = output.escaped(raw.expandtabs(4)).rstrip()
            if (len(line) if line.isascii() else cell_len(line)) <= room:
                rows = [line]
            elif line.isascii():
                rows = textwrap.wrap(line, room, break_on_hyphens=False) or [""]
            else:
                rows = [row.plain.rstrip() for row in Text(line).wrap(self._console, room)]
            for row in rows:
                yield f"{margin}{self.painted(row, style)}".rstrip(" ")


def _blocks(page: _Page, messages: Iterable[Any], first: int | None) -> Iterator[list[str]]:
    notes: Counter[str] = Counter()
    for number, record in enumerate(messages, first or 0):
        message = understand(record)
        if is_note(message) and not any(part.text for part in message.parts if isinstance(part, Event)):
            notes.update(part.name for part in message.parts if isinstance(part, Event))
            continue
        if notes:
            yield _noted(page, notes)
            notes.clear()
        yield list(_message(page, message, None if first is None else number, 0))
    if notes:
        yield _noted(page, notes)


def _noted(page: _Page, notes: Counter[str]) -> list[str]:
    """A run of notes in one line: how many, and of what."""
    return list(page.wrapped(f"· {output.counted(notes.total(), 'note')} of the agent: {tally(notes)}", 0, "dim"))


def _message(page: _Page, message: Message, number: int | None, indent: int) -> Iterator[str]:
    if not is_note(message):
        facts = [] if number is None else [str(number)]
        facts += [] if message.at is None else [f"{message.at.astimezone():%Y-%m-%d %H:%M}"]
        role = page.painted(output.escaped(message.role), speaking(message.role))
        yield f"{' ' * indent}{role}{page.painted('  ' + '  '.join(facts), 'dim') if facts else ''}"
        indent += 2
    for part in message.parts:
        style = "red" if isinstance(part, ToolResult) and part.is_error else _STYLES[type(part)]
        shown = words(part)
        if isinstance(part, Event):
            shown = textwrap.shorten(shown, _LONGEST_NOTE, placeholder=" …")
        if shown:
            yield from page.wrapped(shown, indent, style)
    for reply in message.replies:
        yield from _message(page, reply, None, indent + 2)
