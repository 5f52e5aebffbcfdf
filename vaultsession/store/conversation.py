"""Conversation: a session that an agent answers, turn by turn. ``steps`` says what an agent is, and what ends a turn.

A turn is the user's message, then what the agent says, over as many calls as it needs and at most ``max_iterations``::

    the user's message is written      before the agent is called: no failure of the agent loses it
    the agent is called                with the system prompt, the newest of the history, and the turn so far
    what it said is written            when the call has ended, in one append, streams too
    … again, until the turn ends

``on_failure`` says what stays when the agent raises, a stream breaks, a task is cancelled or Ctrl-C comes::

                the user's message, and what was said       of the call that broke off
                in the calls that ended
    "keep"      stays                                       all of it; text that was cut is marked as interrupted
    "whole"     stays                                       its whole messages, and no text that was cut
    "drop"      taken back, unless others wrote behind it   nothing

A process that is killed leaves the user's message and the calls that ended, whatever ``on_failure`` says. ``answer()``
then lets the agent go on from there, without the message being said twice; an answer that was interrupted is given
again. Where the next message is sent instead, the agent sees a result for each call that has none (``tool_calls``).

Decision (2026-11): what a turn does stands once, in coroutines. Those of ``Conversation`` never wait, so that one step
runs them to their end, and Ctrl-C is raised within them as in any function.
"""

from __future__ import annotations

import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from functools import partial
from reprlib import repr as shortened
from typing import Any, TypeVar, Unpack

from ..errors import InvalidSetting, SessionExists, SessionNotFound, VaultError
from ..format import ids
from ..format.payload import Json
from ..util.clock import SystemClock
from .fields import (
    CONVERSATION_DEFAULTS,
    ConversationFields,
    ConversationOptions,
    Defaults,
    OnFailure,
    new_head,
    refuse_unknown,
)
from .session import SessionInfo
from .steps import Agent, AsyncAgent, Step
from .turns import Reply, Turn, checked_iterations, is_answered, message_of, visible
from .verb import checked, kinds_of, refuse_unfit

T = TypeVar("T")
OnText = Callable[[str], object]

_TAKES = kinds_of(ConversationOptions.__annotations__)


class _ConversationBase(ABC):
    """What a conversation does, with a ``SessionStore`` or an ``AsyncSessionStore``."""

    def __init__(
        self,
        store: Any,  # noqa: ANN401 - of either kind
        id: str | None,
        agent: Callable[..., Any],
        fields: Mapping[str, Any],
    ) -> None:
        if not callable(agent):
            raise InvalidSetting(f"agent is a callable from messages to what it says, not {type(agent).__name__}")
        refuse_unknown(fields, ConversationFields)
        refuse_unfit(_TAKES, fields.items())
        now = SystemClock().now()
        self.session_id: str = ids.parse(ids.new(now) if id is None else id)
        self.unsaved: list[Json] = []
        self._store = store
        self._agent = agent
        own: Any = {name: value for name, value in fields.items() if name not in CONVERSATION_DEFAULTS}
        self._fields: Mapping[str, Any] = own
        new_head(self.session_id, own, Defaults(), now)  # refused now, and not when the first message is sent
        options = {**CONVERSATION_DEFAULTS, **fields}
        system = options["system"]
        self._system: list[Json] = [] if system is None else [{"role": "system", "content": system}]
        self._window: int | None = options["window"]
        self._on_failure: OnFailure = options["on_failure"]
        self._max_iterations = checked_iterations(options["max_iterations"])
        if self._window is not None and (type(self._window) is not int or self._window < 1):
            raise InvalidSetting(f"window is at least 1, or None for the whole history, not {shortened(self._window)}")
        if self._on_failure not in ("keep", "whole", "drop"):
            raise InvalidSetting(f"on_failure is 'keep', 'whole' or 'drop', not {shortened(self._on_failure)}")
        timeout = options["lease_timeout"]
        self._lease: Callable[[], Any] = (
            (lambda: store.lease(self.session_id, timeout)) if options["lease"] else contextlib.nullcontext
        )

    @abstractmethod
    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - of any function
        """What a verb of the store, the agent or a listener returns."""

    async def _history(self, last: int | None) -> list[Json]:
        try:
            history: list[Json] = await self._call(self._store.messages, self.session_id, last=last)
        except SessionNotFound:
            return []
        return history

    async def _message_count(self) -> int:
        try:
            return int((await self._call(self._store.load, self.session_id)).message_count)
        except SessionNotFound:
            return 0

    async def _clear(self) -> None:
        with contextlib.suppress(SessionNotFound):
            await self._call(self._store.clear, self.session_id)

    @checked
    def _begun(
        self, said: Sequence[str | Json], max_iterations: int | None, on_text: OnText | None
    ) -> Coroutine[Any, Any, Reply]:
        """A turn that begins with a message, or with the history as it stands.

        What is wrong with the arguments is raised before anything is awaited.
        """
        bound = self._max_iterations if max_iterations is None else checked_iterations(max_iterations)
        return self._turn([*map(message_of, said)], bound, on_text)

    async def _turn(self, asked: Sequence[Json], bound: int, on_text: OnText | None) -> Reply:
        if asked:
            info = await self._write(asked)
        else:
            info = (await self._call(self._store.load, self.session_id)).info()
        seen = await self._seen(again=not asked)
        self.unsaved = []
        turn = Turn(asked, info, [*self._system, *seen], bound)
        try:
            while turn.goes_on():
                await self._listen(turn, on_text)
                await self._append(turn, turn.end())
        except BaseException as error:
            await self._follow(turn, error)
            raise
        return turn.reply()

    async def _seen(self, *, again: bool) -> list[Json]:
        """What the agent sees of the history: of its newest, where the window holds nothing that can be answered."""
        history = await self._call(self._store.messages, self.session_id, last=self._window)
        seen = visible(history, again=again)
        if seen or self._window is None:
            return seen
        history = await self._call(self._store.messages, self.session_id)
        return visible(history, again=again, most=self._window)

    async def _write(self, asked: Sequence[Json]) -> SessionInfo:
        """The user's message: the session is made for it where there is none."""
        append = partial(self._store.append, self.session_id, *asked)
        info: SessionInfo
        with contextlib.suppress(SessionNotFound):
            info = await self._call(append)
            return info
        try:
            info = (await self._call(self._store.create, self.session_id, messages=asked, **self._fields)).info()
        except SessionExists:  # made by another process in this moment
            info = await self._call(append)
        return info

    async def _listen(self, turn: Turn, on_text: OnText | None) -> None:
        """One call of the agent, to the end of its stream, which is closed however the call ends."""
        said = await self._call(self._agent, turn.begin())
        is_async = isinstance(said, AsyncIterable)
        try:
            if is_async:
                async for piece in said:
                    await self._take(turn, piece, on_text)
            else:
                for piece in _pieces(said):
                    await self._take(turn, piece, on_text)
        finally:
            close = (is_async and getattr(said, "aclose", None)) or getattr(said, "close", None)
            if callable(close):
                await self._call(close)

    async def _take(self, turn: Turn, piece: object, on_text: OnText | None) -> None:
        text = turn.call.add(piece)
        if text and on_text is not None:
            await self._call(on_text, text)

    async def _append(self, turn: Turn, said: list[Json]) -> None:
        if not said:
            return
        try:
            turn.info = await self._call(self._store.append, self.session_id, *said)
        except VaultError as error:
            self.unsaved = said
            error.add_note("What the agent said was not written: the conversation holds it as .unsaved")
            raise

    async def _follow(self, turn: Turn, error: BaseException) -> None:
        """Leave what ``on_failure`` wants left. What goes wrong here is a note to the failure itself."""
        try:
            if self._on_failure == "drop":
                await self._call(self._store.update, self.session_id, turn.take_back)
            elif left := turn.call.interrupted(partial=self._on_failure == "keep"):
                await self._call(self._store.append, self.session_id, *left)
        except VaultError as second:
            error.add_note(f"on_failure={self._on_failure!r} could not be followed: {second}")


class Conversation(_ConversationBase):
    """A session that an agent answers. Made by ``SessionStore.conversation``; it belongs to one thread at a time.

    The first message makes the session, with the fields that were given, where there is none or it has expired.

    ================ ======= ==================================================================================
    system           None    text that goes before what the agent sees; it is not written
    window           None    how many of the newest messages the agent sees as a turn begins; None for all. Fewer
                             where a tool's result would stand without its call, more where all would be results
    max_iterations   10      calls of the agent in one turn
    on_failure       "keep"  what stays of a turn that fails: "keep", "whole" or "drop"
    lease            False   hold the session's lease from before the user's message to the end of the reply, so
                             that several processes answer one after another
    lease_timeout    None    seconds to wait for it: ``LeaseTimeout`` then, and nothing was written
    ================ ======= ==================================================================================

    ``session_id`` is the id; ``unsaved`` holds what the agent said last if the store refused it.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     chat = store.conversation("alice", agent=lambda messages: f"You said {messages[-1]['content']}.")
    ...     print(chat.send("hello").text, chat.message_count())
    You said hello. 2
    """

    def __init__(
        self,
        store: Any,  # noqa: ANN401 - a SessionStore, which imports this
        id: str | None = None,
        *,
        agent: Agent,
        **fields: Unpack[ConversationFields],
    ) -> None:
        if inspect.iscoroutinefunction(agent) or inspect.isasyncgenfunction(agent):
            raise _asynchronous()
        super().__init__(store, id, agent, fields)
        self._agent = partial(_blocking, agent)

    def send(self, message: str | Json, *, max_iterations: int | None = None, on_text: OnText | None = None) -> Reply:
        """Say something, and have it answered. A text is a message of the user; a message is taken as it is.

        ``on_text`` is called with the assistant's text as it comes, messages set apart by an empty line; if it raises,
        the stream breaks. What the agent raises is raised here, after ``on_failure`` was followed.
        """
        return self._in_turn(self._begun([message], max_iterations, on_text))

    def answer(self, *, max_iterations: int | None = None, on_text: OnText | None = None) -> Reply:
        """Have the history answered as it stands: after a failure, or to go on. ``SessionNotFound``."""
        return self._in_turn(self._begun((), max_iterations, on_text))

    def is_answered(self) -> bool:
        """Whether the agent has nothing to answer: False behind a user, a tool, or an answer that was interrupted."""
        return is_answered(self.history(last=1))

    def history(self, last: int | None = None) -> list[Json]:
        """The messages, oldest first, or the ``last`` ones; none where there is no session yet."""
        return _run(self._history(last))

    def message_count(self) -> int:
        """Messages in the history; 0 where there is no session yet."""
        return _run(self._message_count())

    def clear(self) -> None:
        """Empty the history and keep the session."""
        self._in_turn(self._clear())

    def _in_turn(self, turn: Coroutine[Any, Any, T]) -> T:
        with contextlib.closing(turn), self._lease():
            return _run(turn)

    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        return function(*args, **kwargs)


class AsyncConversation(_ConversationBase):
    """A ``Conversation`` that is awaited. Made by ``AsyncSessionStore.conversation``; it belongs to one task at a time.

    The agent is a coroutine function, an asynchronous generator function, or a plain callable, which runs on the loop.
    A cancelled turn is one that fails: what ``on_failure`` wants kept is written before the task ends.

    >>> import asyncio
    >>> from vaultsession import open_store_async
    >>> async def agent(messages):
    ...     yield "Hello, "
    ...     yield "Alice."
    >>> async def main():
    ...     async with await open_store_async("memory://") as store:
    ...         print((await store.conversation("alice", agent=agent).send("hello")).text)
    >>> asyncio.run(main())
    Hello, Alice.
    """

    def __init__(
        self,
        store: Any,  # noqa: ANN401 - an AsyncSessionStore, which imports this
        id: str | None = None,
        *,
        agent: AsyncAgent,
        **fields: Unpack[ConversationFields],
    ) -> None:
        super().__init__(store, id, agent, fields)

    async def send(
        self, message: str | Json, *, max_iterations: int | None = None, on_text: OnText | None = None
    ) -> Reply:
        """See ``Conversation.send``. What ``on_text`` returns is awaited where it can be."""
        return await self._in_turn(self._begun([message], max_iterations, on_text))

    async def answer(self, *, max_iterations: int | None = None, on_text: OnText | None = None) -> Reply:
        """See ``Conversation.answer``."""
        return await self._in_turn(self._begun((), max_iterations, on_text))

    async def is_answered(self) -> bool:
        """See ``Conversation.is_answered``."""
        return is_answered(await self.history(last=1))

    async def history(self, last: int | None = None) -> list[Json]:
        """See ``Conversation.history``."""
        return await self._history(last)

    async def message_count(self) -> int:
        """See ``Conversation.message_count``."""
        return await self._message_count()

    async def clear(self) -> None:
        """See ``Conversation.clear``."""
        await self._in_turn(self._clear())

    async def _in_turn(self, turn: Coroutine[Any, Any, T]) -> T:
        with contextlib.closing(turn):
            async with self._lease():
                return await turn

    async def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as above
        returned = function(*args, **kwargs)
        return await returned if inspect.isawaitable(returned) else returned


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the T of the coroutine
    raise RuntimeError("the coroutine of a blocking conversation waited")


def _pieces(said: object) -> Iterator[object]:
    """What an agent said, piece by piece: a stream as it comes, anything else at once."""
    if isinstance(said, str | dict | list | tuple | Step) or not isinstance(said, Iterable):
        return iter((said,))
    return iter(said)


def _blocking(agent: Callable[[list[Json]], object], messages: list[Json]) -> object:
    """What the agent says. ``TypeError`` where that can only be awaited."""
    said = agent(messages)
    if inspect.isawaitable(said) or isinstance(said, AsyncIterable):
        if inspect.iscoroutine(said):
            said.close()  # it is never awaited, and need not complain
        raise _asynchronous()
    return said


def _asynchronous() -> TypeError:
    return TypeError("the agent is asynchronous: ask an AsyncSessionStore for the conversation")
