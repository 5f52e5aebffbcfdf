"""A turn of a conversation: what the agent sees, what is written or taken back, and the reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any

from ..errors import InvalidDocument, InvalidSetting
from ..format import document
from ..format.payload import Json
from ..format.tool_calls import accepted, involves_tool
from .session import Session, SessionInfo
from .steps import INTERRUPTED, MessageAssembler, text_of


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """What the agent said in one turn, as it was written. ``done`` is False where ``max_iterations`` ended the turn.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     reply = store.conversation("alice", agent=lambda messages: "Hello.").send("hi")
    >>> reply.text, reply.messages, reply.session.message_count
    ('Hello.', ({'role': 'assistant', 'content': 'Hello.'},), 2)
    """

    messages: tuple[Json, ...]
    session: SessionInfo
    done: bool = True

    @property
    def text(self) -> str:
        """The text of the last message that has one; empty where none has."""
        return next(filter(None, map(text_of, reversed(self.messages))), "")

    def __repr__(self) -> str:
        return f"<Reply in {self.session.id!r}, {len(self.messages)} messages{'' if self.done else ', not done'}>"


class Turn:
    """One turn: what the agent sees, and what was written since it began. ``call`` assembles what the agent says."""

    def __init__(self, asked: Sequence[Json], info: SessionInfo, seen: list[Json], bound: int) -> None:
        self.info = info
        self.call = MessageAssembler()
        self._asked = len(asked)
        self._written = list(asked)
        self._seen = seen
        self._left = bound
        self._done = False

    def goes_on(self) -> bool:
        """Whether the agent is to be called again."""
        return not self._done and self._left > 0

    def begin(self) -> list[Json]:
        """What the agent is given in its next call."""
        self._left -= 1
        return list(self._seen)

    def end(self) -> list[Json]:
        """What the agent said in the call that has ended, to be written."""
        said, self._done = self.call.complete(), self.call.done
        self.call = MessageAssembler(has_text=self.call.has_text)
        self._written += said
        self._seen += said
        return said

    def take_back(self, draft: Session[Any]) -> None:
        """Remove from the end of a history what this turn wrote, as far as it stands there."""
        for count in range(len(self._written), 0, -1):
            if draft.messages[-count:] == self._written[:count]:
                del draft.messages[-count:]
                return

    def reply(self) -> Reply:
        """What the agent said in it."""
        return Reply(tuple(self._written[self._asked :]), self.info, self._done)


def message_of(said: str | Json) -> Json:
    """What the user says, as a message: a text is the user's. ``InvalidDocument`` for what is neither."""
    if isinstance(said, str):
        return {"role": "user", "content": said}
    if type(said) is not dict:
        raise InvalidDocument(f"a message is a text or a JSON object, not {type(said).__name__}", path="messages")
    return said


def checked_iterations(number: int) -> int:
    """How often the agent may be called in a turn; ``InvalidSetting`` for what is no such number."""
    if type(number) is not int or number < 1:
        raise InvalidSetting(f"max_iterations is at least 1, not {shortened(number)}")
    return number


def visible(history: Sequence[Json], *, again: bool, most: int | None = None) -> list[Json]:
    """A history as the agent sees it, or the newest ``most`` of it: as model APIs accept it, and without our mark.

    ``again``: it is to be answered as it stands. An answer that was interrupted at its end is then left out.
    """
    end = len(history)
    while again and end and history[end - 1].get(INTERRUPTED) is True:
        end -= 1
    return [
        {name: value for name, value in message.items() if name != INTERRUPTED}
        if message.get(INTERRUPTED) is True
        else message
        for message in accepted(document.trim(history[:end], most))
    ]


def is_answered(newest: Sequence[Json]) -> bool:
    """Whether a history that ends so has nothing that the agent has yet to answer."""
    if not newest:
        return True
    last = newest[-1]
    return not (last.get("role") == "user" or last.get(INTERRUPTED) is True or involves_tool(last))
