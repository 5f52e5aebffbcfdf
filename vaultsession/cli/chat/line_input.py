"""What a person types: lines with editing, history and completion on a terminal; lines of stdin elsewhere."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable

from ...errors import InvalidSetting


class PipedInput:
    """The lines of stdin."""

    def __init__(self) -> None:
        self._number = 0

    def line(self) -> str:
        """The next one, without its end. ``EOFError`` behind the last."""
        data = sys.stdin.buffer.readline()
        if not data:
            raise EOFError
        self._number += 1
        try:
            return data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise InvalidSetting(f"line {self._number} of stdin is not UTF-8") from None

    def remember(self, lines: Iterable[str]) -> None:
        """There are no keys here that bring lines back."""


class TerminalInput:
    """A terminal. What was typed is remembered in memory and in the session, never in a file of its own."""

    def __init__(self, commands: Iterable[str]) -> None:
        from prompt_toolkit import PromptSession  # noqa: PLC0415 - dear, and what is piped does without
        from prompt_toolkit.completion import CompleteEvent, Completer, Completion  # noqa: PLC0415 - with the next: as above
        from prompt_toolkit.document import Document  # noqa: PLC0415

        class CommandNames(Completer):
            def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002 - prompt_toolkit's own
                typed = document.text_before_cursor
                if typed.startswith("/"):
                    yield from (Completion(each, -len(typed)) for each in commands if each.startswith(typed))

        self._new = functools.partial(PromptSession[str], completer=CommandNames(), complete_while_typing=False)
        self._session: PromptSession[str] = self._new()

    def line(self) -> str:
        """The next one. ``EOFError`` for Ctrl-D, ``KeyboardInterrupt`` for Ctrl-C."""
        return self._session.prompt([("bold fg:ansicyan", "> ")])

    def remember(self, lines: Iterable[str]) -> None:
        """Lines that the arrow keys bring back."""
        from prompt_toolkit.history import InMemoryHistory  # noqa: PLC0415 - dear, as the session was

        self._session = self._new(history=InMemoryHistory(list(lines)))


LineInput = PipedInput | TerminalInput
"""Where lines come from."""
