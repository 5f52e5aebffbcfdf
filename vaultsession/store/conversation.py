"""Conversation: a session that an agent answers, turn by turn. What an agent is, and what ends a turn, ``steps`` tells.

A turn is the user's message, then what the agent says, over as many calls as it needs and at most ``max_iterations``::

    the user's message is written      before the agent is called: no failure of the agent loses it
    the agent is called                with the system prompt, the newest of the history, and the turn so far
    what it said is written            when the call has ended, in one append, streams too
    … again, until the turn ends

What stays when the agent raises, a stream breaks, a task is cancelled or Ctrl-C comes, ``on_failure`` says::

                the user's message, and what was said       of the call that broke off
                in the calls that ended
    "keep"      stays                                       all of it; text that was cut is marked as interrupted
    "whole"     stays                                       its whole messages, and no text that was cut
    "drop"      taken back, unless others wrote behind it   nothing

A process that is killed leaves the user's message and the calls that ended, whatever ``on_failure`` says. ``answer()``
then lets the agent go on from there, and nothing need be said twice.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from typing import Any, Protocol, Unpack

from ..errors import SessionExists, SessionNotFound, VaultError
from ..format.payload import Json
from .fields import SessionFields, refuse_unknown
from .session import Session, SessionInfo
from .steps import Agent, AsyncAgent, Step
from .turns import ConversationOptions, Reply, Turn, _ConversationBase, bounded, is_answered, message_of, refuse

OnText = Callable[[str], object]


class ConversationFields(SessionFields, ConversationOptions, total=False):
    """How a conversation goes, and the facts of its session where that is new."""


class Verbs(Protocol):
    """What a conversation needs of a store."""

    @property
    def create(self) -> Callable[..., Session[Any]]:
        """See ``SessionStore.create``."""
        ...

    def append(self, id: str, *messages: Json) -> SessionInfo:
        """See ``SessionStore.append``."""
        ...

    def messages(self, id: str, *, last: int | None = None) -> list[Json]:
        """See ``SessionStore.messages``."""
        ...

    def load(self, id: str) -> Session[Any]:
        """See ``SessionStore.load``."""
        ...

    def update(self, id: str, changes: Callable[[Session[Any]], object]) -> SessionInfo:
        """See ``SessionStore.update``."""
        ...

    def clear(self, id: str) -> SessionInfo:
        """See ``SessionStore.clear``."""
        ...

    def lease(self, id: str, timeout: float | None = None) -> contextlib.AbstractContextManager[None]:
        """See ``SessionStore.lease``."""
        ...


class AsyncVerbs(Protocol):
    """The same, awaited."""

    @property
    def create(self) -> Callable[..., Awaitable[Session[Any]]]:
        """See ``SessionStore.create``."""
        ...

    async def append(self, id: str, *messages: Json) -> SessionInfo:
        """See ``SessionStore.append``."""
        ...

    async def messages(self, id: str, *, last: int | None = None) -> list[Json]:
        """See ``SessionStore.messages``."""
        ...

    async def load(self, id: str) -> Session[Any]:
        """See ``SessionStore.load``."""
        ...

    async def update(self, id: str, changes: Callable[[Session[Any]], object]) -> SessionInfo:
        """See ``SessionStore.update``."""
        ...

    async def clear(self, id: str) -> SessionInfo:
        """See ``SessionStore.clear``."""
        ...

    def lease(self, id: str, timeout: float | None = None) -> contextlib.AbstractAsyncContextManager[None]:
        """See ``SessionStore.lease``."""
        ...


class Conversation(_ConversationBase):
    """A session that an agent answers. Made by ``SessionStore.conversation``; it belongs to one thread at a time.

    The session is made by the first message, with the facts that were given, where there is none or it has expired.
    ``system`` goes before what the agent sees and is not written. ``window``: how many of the newest messages the agent
    sees as a turn begins, the user's counted; None for all. ``lease``: hold the session's turn from before the user's
    message to the end of the reply, so that several processes answer one after another; ``LeaseTimeout`` after
    ``lease_timeout`` seconds, and nothing was written then. ``session_id`` is the id, and ``unsaved`` what the agent
    said last and the store refused.
    """

    def __init__(
        self, store: Verbs, id: str | None = None, *, agent: Agent, **given: Unpack[ConversationFields]
    ) -> None:
        refuse(agent, because=inspect.iscoroutinefunction(agent) or inspect.isasyncgenfunction(agent))
        refuse_unknown(given, ConversationFields)
        super().__init__(id, given)
        self._store = store
        self._agent = agent

    def send(self, message: str | Json, *, max_iterations: int | None = None, on_text: OnText | None = None) -> Reply:
        """Say something, and have it answered. A text is a message of the user; a message is taken as it is.

        ``on_text`` is told the assistant's text as it comes, messages set apart by an empty line; if it raises, the
        stream breaks. What the agent raises is raised here, after ``on_failure`` was followed.
        """
        asked = message_of(message)
        bound = None if max_iterations is None else bounded(max_iterations)
        with self._turn():
            info = self._said(asked)
            return self._answered(self._begun([asked], info, self._seen(), bound), on_text)

    def answer(self, *, max_iterations: int | None = None, on_text: OnText | None = None) -> Reply:
        """Have answered what is there, with nothing said before: after a failure, or to go on. ``SessionNotFound``."""
        bound = None if max_iterations is None else bounded(max_iterations)
        with self._turn():
            info = self._store.load(self.session_id).info()
            return self._answered(self._begun([], info, self._seen(), bound), on_text)

    def is_answered(self) -> bool:
        """Whether the agent has nothing to answer: False where the history ends with a user or with a tool."""
        return is_answered(self.history(last=1))

    def history(self, last: int | None = None) -> list[Json]:
        """The messages, oldest first, or the ``last`` ones; none where there is no session yet."""
        try:
            return self._store.messages(self.session_id, last=last)
        except SessionNotFound:
            return []

    def message_count(self) -> int:
        """Messages in the history; 0 where there is no session yet."""
        try:
            return self._store.load(self.session_id).message_count
        except SessionNotFound:
            return 0

    def clear(self) -> None:
        """Empty the history and keep the session."""
        with self._turn(), contextlib.suppress(SessionNotFound):
            self._store.clear(self.session_id)

    def _turn(self) -> contextlib.AbstractContextManager[None]:
        if self._lease:
            return self._store.lease(self.session_id, self._lease_timeout)
        return contextlib.nullcontext()

    def _said(self, asked: Json) -> SessionInfo:
        """The user's message, written: the session is made for it where there is none."""
        with contextlib.suppress(SessionNotFound):
            return self._store.append(self.session_id, asked)
        try:
            return self._store.create(self.session_id, messages=[asked], **self._facts).info()
        except SessionExists:  # made by someone else in this moment
            return self._store.append(self.session_id, asked)

    def _seen(self) -> list[Json]:
        return self._store.messages(self.session_id, last=self._window)

    def _answered(self, turn: Turn, on_text: OnText | None) -> Reply:
        try:
            while turn.goes_on():
                self._listen(turn, on_text)
                self._keep(turn, turn.end())
        except BaseException as error:
            self._follow(turn, error)
            raise
        return turn.reply()

    def _listen(self, turn: Turn, on_text: OnText | None) -> None:
        given: object = self._agent(turn.begin())
        refuse_awaitable(given)
        with contextlib.ExitStack() as ending:
            if callable(close := getattr(given, "close", None)):
                ending.callback(close)  # a stream that is not heard to its end is told so
            for said in pieces(given):
                text = turn.gathered.take(said)
                if text and on_text is not None:
                    on_text(text)

    def _keep(self, turn: Turn, said: list[Json]) -> None:
        if not said:
            return
        try:
            turn.info = self._store.append(self.session_id, *said)
        except VaultError as error:
            self._refused(said, error)
            raise

    def _follow(self, turn: Turn, error: BaseException) -> None:
        """Leave what ``on_failure`` wants left. What goes wrong here is a note to the failure itself."""
        try:
            if self._on_failure == "drop":
                self._store.update(self.session_id, turn.take_back)
            elif left := turn.gathered.broken(partial=self._on_failure == "keep"):
                self._store.append(self.session_id, *left)
        except VaultError as second:
            error.add_note(f"on_failure={self._on_failure!r} could not be followed: {second}")


class AsyncConversation(_ConversationBase):
    """A ``Conversation`` that is awaited. Made by ``AsyncSessionStore.conversation``; it belongs to one task at a time.

    The agent is a coroutine function, an asynchronous generator function, or a plain callable, which runs on the loop.
    A cancelled turn is one that fails: what ``on_failure`` wants kept is written before the task ends.
    """

    def __init__(
        self, store: AsyncVerbs, id: str | None = None, *, agent: AsyncAgent, **given: Unpack[ConversationFields]
    ) -> None:
        refuse(agent, because=False)
        refuse_unknown(given, ConversationFields)
        super().__init__(id, given)
        self._store = store
        self._agent = agent

    async def send(
        self, message: str | Json, *, max_iterations: int | None = None, on_text: OnText | None = None
    ) -> Reply:
        """See ``Conversation.send``. What ``on_text`` returns is awaited where it can be."""
        asked = message_of(message)
        bound = None if max_iterations is None else bounded(max_iterations)
        async with self._turn():
            info = await self._said(asked)
            return await self._answered(self._begun([asked], info, await self._seen(), bound), on_text)

    async def answer(self, *, max_iterations: int | None = None, on_text: OnText | None = None) -> Reply:
        """See ``Conversation.answer``."""
        bound = None if max_iterations is None else bounded(max_iterations)
        async with self._turn():
            info = (await self._store.load(self.session_id)).info()
            return await self._answered(self._begun([], info, await self._seen(), bound), on_text)

    async def is_answered(self) -> bool:
        """See ``Conversation.is_answered``."""
        return is_answered(await self.history(last=1))

    async def history(self, last: int | None = None) -> list[Json]:
        """See ``Conversation.history``."""
        try:
            return await self._store.messages(self.session_id, last=last)
        except SessionNotFound:
            return []

    async def message_count(self) -> int:
        """See ``Conversation.message_count``."""
        try:
            return (await self._store.load(self.session_id)).message_count
        except SessionNotFound:
            return 0

    async def clear(self) -> None:
        """See ``Conversation.clear``."""
        async with self._turn():
            with contextlib.suppress(SessionNotFound):
                await self._store.clear(self.session_id)

    def _turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        if self._lease:
            return self._store.lease(self.session_id, self._lease_timeout)
        return contextlib.nullcontext()

    async def _said(self, asked: Json) -> SessionInfo:
        with contextlib.suppress(SessionNotFound):
            return await self._store.append(self.session_id, asked)
        try:
            return (await self._store.create(self.session_id, messages=[asked], **self._facts)).info()
        except SessionExists:  # made by someone else in this moment
            return await self._store.append(self.session_id, asked)

    async def _seen(self) -> list[Json]:
        return await self._store.messages(self.session_id, last=self._window)

    async def _answered(self, turn: Turn, on_text: OnText | None) -> Reply:
        try:
            while turn.goes_on():
                await self._listen(turn, on_text)
                await self._keep(turn, turn.end())
        except BaseException as error:
            await self._follow(turn, error)
            raise
        return turn.reply()

    async def _listen(self, turn: Turn, on_text: OnText | None) -> None:
        given: object = self._agent(turn.begin())
        if inspect.isawaitable(given):
            given = await given
        async with contextlib.AsyncExitStack() as ending:
            if callable(close := getattr(given, "aclose", None)):
                ending.push_async_callback(close)
            elif callable(close := getattr(given, "close", None)):
                ending.callback(close)
            coming = _as_they_come(given)
            ending.push_async_callback(coming.aclose)
            async for said in coming:
                text = turn.gathered.take(said)
                if text and on_text is not None and inspect.isawaitable(told := on_text(text)):
                    await told

    async def _keep(self, turn: Turn, said: list[Json]) -> None:
        if not said:
            return
        try:
            turn.info = await self._store.append(self.session_id, *said)
        except VaultError as error:
            self._refused(said, error)
            raise

    async def _follow(self, turn: Turn, error: BaseException) -> None:
        try:
            if self._on_failure == "drop":
                await self._store.update(self.session_id, turn.take_back)
            elif left := turn.gathered.broken(partial=self._on_failure == "keep"):
                await self._store.append(self.session_id, *left)
        except VaultError as second:
            error.add_note(f"on_failure={self._on_failure!r} could not be followed: {second}")


def refuse_awaitable(given: object) -> None:
    """``TypeError`` for what only an asynchronous conversation can hear."""
    if inspect.isawaitable(given) or isinstance(given, AsyncIterable):
        if inspect.iscoroutine(given):
            given.close()  # it is never awaited, and need not complain
        raise TypeError("the agent is asynchronous: ask an AsyncSessionStore for the conversation")


def pieces(given: object) -> Iterator[object]:
    """What an agent gave, piece by piece: a stream as it comes, anything else at once."""
    if isinstance(given, str | dict | list | tuple | Step) or not isinstance(given, Iterable):
        return iter((given,))
    return iter(given)


async def _as_they_come(given: object) -> AsyncGenerator[object, None]:
    if isinstance(given, AsyncIterable):
        async for said in given:
            yield said
    else:
        for said in pieces(given):
            yield said
