"""A turn of a conversation, as far as it is the same for both kinds: its habits, what is seen, written, taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from ..errors import InvalidDocument, InvalidSetting, VaultError
from ..format import ids
from ..format.payload import Json
from ..util.clock import SystemClock
from .session import Session, SessionInfo
from .steps import INTERRUPTED, MessageAssembler, answers_a_tool, concerns_a_tool, text_of

OnFailure = Literal["keep", "whole", "drop"]

MAX_ITERATIONS = 10
"""Calls of the agent in one turn, where nobody says otherwise."""


class ConversationOptions(TypedDict, total=False):
    """How a conversation goes: what each means, ``Conversation`` tells."""

    system: str | None
    window: int | None
    max_iterations: int
    on_failure: OnFailure
    lease: bool
    lease_timeout: float | None


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """What the agent said in one turn, as it was written. ``done`` is False where ``max_iterations`` ended the turn."""

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
    """One turn: what the agent sees, and what has been written since it began."""

    def __init__(self, asked: Sequence[Json], info: SessionInfo, seen: list[Json], bound: int) -> None:
        self.info = info
        self.gathered = MessageAssembler()
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
        said, self._done = self.gathered.ended(), self.gathered.done
        self.gathered = MessageAssembler(told=self.gathered.told)
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
        """What came of it."""
        return Reply(tuple(self._written[self._asked :]), self.info, self._done)


class _ConversationBase:
    """What both kinds of conversation share: the id of their session, and how they go."""

    def __init__(self, id: str | None, given: Mapping[str, Any]) -> None:
        self.session_id: str = ids.parse(ids.new(SystemClock().now()) if id is None else id)
        self.unsaved: list[Json] = []
        habits = {name: value for name, value in given.items() if name in ConversationOptions.__annotations__}
        self._facts = {name: value for name, value in given.items() if name not in habits}
        system = habits.get("system")
        self._system: list[Json] = [] if system is None else [{"role": "system", "content": system}]
        self._window: int | None = habits.get("window")
        self._on_failure: OnFailure = habits.get("on_failure", "keep")
        self._lease: bool = habits.get("lease", False)
        self._lease_timeout: float | None = habits.get("lease_timeout")
        self._max_iterations = bounded(habits.get("max_iterations", MAX_ITERATIONS))
        if self._window is not None and (type(self._window) is not int or self._window < 1):
            raise InvalidSetting(f"window is at least 1, or None for the whole history, not {self._window!r:.40}")
        if self._on_failure not in ("keep", "whole", "drop"):
            raise InvalidSetting(f"on_failure is 'keep', 'whole' or 'drop', not {self._on_failure!r:.40}")

    def _begun(self, asked: Sequence[Json], info: SessionInfo, history: list[Json], bound: int | None) -> Turn:
        """A turn whose agent sees a history: the system prompt first, no mark of ours, no tool's answer by itself."""
        self.unsaved = []
        start = 0
        while self._window is not None and start < len(history) and answers_a_tool(history[start]):
            start += 1
        seen = [*self._system, *map(_unmarked, history[start:])]
        return Turn(asked, info, seen, self._max_iterations if bound is None else bound)

    def _refused(self, said: list[Json], error: VaultError) -> None:
        self.unsaved = said
        error.add_note("What the agent said was not written: the conversation holds it as .unsaved")


def message_of(said: str | Json) -> Json:
    """What somebody says, as a message: a text is the user's. ``InvalidDocument`` for what is neither."""
    if isinstance(said, str):
        return {"role": "user", "content": said}
    if type(said) is not dict:
        raise InvalidDocument(f"a message is a text or a JSON object, not {type(said).__name__}", path="messages")
    return said


def bounded(max_iterations: int) -> int:
    """How often the agent may be called in a turn; ``InvalidSetting`` for what is no such number."""
    if type(max_iterations) is not int or max_iterations < 1:
        raise InvalidSetting(f"max_iterations is at least 1, not {max_iterations!r:.40}")
    return max_iterations


def is_answered(newest: Sequence[Json]) -> bool:
    """Whether a history that ends so has nothing that the agent has yet to answer."""
    return not newest or not (newest[-1].get("role") == "user" or concerns_a_tool(newest[-1]))


def refuse(agent: Callable[..., object], *, because: bool) -> None:
    """``TypeError`` for what is no agent of a blocking conversation."""
    if not callable(agent):
        raise TypeError(f"an agent is a callable from messages to what it says, not {type(agent).__name__}")
    if because:
        raise TypeError("the agent is asynchronous: ask an AsyncSessionStore for the conversation")


def _unmarked(message: Json) -> Json:
    if message.get(INTERRUPTED) is not True:
        return message
    return {name: value for name, value in message.items() if name != INTERRUPTED}
