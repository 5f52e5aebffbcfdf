"""What an agent says: text, a message, several of them, a ``Step``, or a stream of these; assembled into messages.

An agent is any callable from the messages so far, oldest first, to one of::

    "text"                       a message of the assistant, the last word of the turn
    {"role": …, "content": …}    a message of any shape
    [message or text, …]         several
    Step(messages, done=False)   any of these, and whether the turn ends with it
    an iterator of these         a stream: texts that follow each other are pieces of one message

The turn ends with what the agent says, unless its last message asks for a tool or brings a tool's result
(``tool_calls`` or the role ``tool``; a content block ``tool_use`` or ``tool_result``; an item ``function_call`` or
``function_call_output``): then the agent is called again, and sees it. A ``Step`` decides it explicitly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidDocument
from ..format.payload import Json
from ..format.tool_calls import blocks, involves_tool

INTERRUPTED = "interrupted"
"""Marks text whose stream broke off: ``{"role": "assistant", "content": …, "interrupted": true}``."""

ASSISTANT = "assistant"
_TEXT_BLOCKS = frozenset({"text", "output_text"})


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """What an agent says in one call, and whether the turn ends with it. ``messages``: text, a message, or several.

    >>> from vaultsession import Step, open_store
    >>> def agent(messages):
    ...     return Step("Looking …", done=False) if messages[-1]["role"] == "user" else "It is 42."
    >>> with open_store("memory://") as store:
    ...     [message["content"] for message in store.conversation(agent=agent).send("What is it?").messages]
    ['Looking …', 'It is 42.']
    """

    messages: str | Json | Sequence[str | Json] = ()
    done: bool = True

    def __repr__(self) -> str:
        return f"<Step, {'done' if self.done else 'goes on'}>"


Said = str | Json | Step | Sequence[str | Json]
Agent = Callable[[list[Json]], Said | Iterator[Said]]
"""From the messages so far to what the agent says. The list is the agent's to change."""
_Given = Said | Iterator[Said] | AsyncIterator[Said]
AsyncAgent = Callable[[list[Json]], _Given | Awaitable[_Given]]


class MessageAssembler:
    """What one call of an agent says, as messages. ``has_text``: whether the turn has shown a text before."""

    def __init__(self, *, has_text: bool = False) -> None:
        self.messages: list[Json] = []
        self.has_text = has_text
        self._text: list[str] = []
        self._done: bool | None = None

    def add(self, said: object) -> str:
        """One more thing that the agent said; what people read of it. ``InvalidDocument`` for anything else."""
        if isinstance(said, Step):
            read = self.add(said.messages)
            self._done = said.done
            return read
        if isinstance(said, str):
            read = self._piece(said)
        elif isinstance(said, dict):
            read = self._message(said)
        elif isinstance(said, list | tuple):
            read = "".join(map(self._whole, said))
        else:
            raise InvalidDocument(
                f"an agent says text, a message, a list of them, a Step, or a stream of these, not {_kind(said)}",
                path="messages",
            )
        self._done = None
        return read

    def complete(self) -> list[Json]:
        """The messages of a call that came to its end."""
        self._end_text()
        return self.messages

    def interrupted(self, *, partial: bool) -> list[Json]:
        """The messages of a call that broke off: the whole ones, and with ``partial`` the text that was cut, marked."""
        if partial and self._text:
            return [*self.messages, {"role": ASSISTANT, "content": "".join(self._text), INTERRUPTED: True}]
        return self.messages

    @property
    def done(self) -> bool:
        """Whether the turn ends with what was said."""
        if self._done is not None:
            return self._done
        return not (self.messages and involves_tool(self.messages[-1]))

    def _piece(self, text: str) -> str:
        if not text:
            return ""
        read = text if self._text else self._set_apart(text)
        self._text.append(text)
        return read

    def _message(self, message: Json) -> str:
        self._end_text()
        self.messages.append(message)
        return self._set_apart(text_of(message))

    def _whole(self, said: object) -> str:
        self._end_text()
        if isinstance(said, str):
            read = self._piece(said)
            self._end_text()
            return read
        if isinstance(said, dict):
            return self._message(said)
        raise InvalidDocument(
            f"a list that an agent gives holds texts and messages, not {_kind(said)}", path="messages"
        )

    def _set_apart(self, text: str) -> str:
        """The text of a message as it begins, behind an empty line where people have read another before."""
        if not text:
            return ""
        first, self.has_text = not self.has_text, True
        return text if first else f"\n\n{text}"

    def _end_text(self) -> None:
        if self._text:
            self.messages.append({"role": ASSISTANT, "content": "".join(self._text)})
            self._text = []


def text_of(message: Mapping[str, Any]) -> str:
    """What people read of a message of the assistant: its text, or its blocks of text; empty for every other."""
    if message.get("role", ASSISTANT) != ASSISTANT:
        return ""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(
        block["text"]
        for block in blocks(message)
        if block.get("type") in _TEXT_BLOCKS and isinstance(block.get("text"), str)
    )


def _kind(value: object) -> str:
    return type(value).__name__
