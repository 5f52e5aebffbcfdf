"""What every adapter offers: the few things that an assistant asks of its store, in the rival's own best way.

An adapter may use whatever its library documents, opens what it needs once, and keeps it open. What a library cannot do
is None here and shows as a gap in the tables, never as a slow imitation; where it has no single call for a thing that
every assistant does (replace a history, say), the adapter makes the calls that its users would make.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple

Message = dict[str, Any]


class Filling(NamedTuple):
    """One session of a store that is filled before it is measured."""

    id: str
    messages: list[Message]
    user: str = "user"


class Rival:
    """One opened store. ``messages`` are ``{"role", "content"}``, and what ``load`` gives equals what was saved."""

    takes_any_json: ClassVar[bool] = True
    """Whether a message may be any JSON object; else only a role and a text."""

    page: Callable[[str, int], int] | None = None
    """The newest n sessions of a user; how many came."""
    count: Callable[[str], int] | None = None
    """How many sessions a user has."""
    expiring: Callable[[str, list[Message]], None] | None = None
    """Make a session that has expired a moment later."""
    sweep: Callable[[], int] | None = None
    """Remove what has expired; how many."""
    last: Callable[[str, int], list[Message]] | None = None
    """The newest n messages, oldest first, without the cost of the others, where the library can."""

    def create(self, id: str, messages: list[Message]) -> None:
        """A new session."""
        self.save(id, messages)

    def save(self, id: str, messages: list[Message]) -> None:
        """The whole history in the place of the one that is there."""
        raise NotImplementedError

    def load(self, id: str) -> list[Message]:
        """The whole history, parsed."""
        raise NotImplementedError

    def append(self, id: str, messages: list[Message]) -> None:
        """A turn behind the history."""
        raise NotImplementedError

    def fill(self, sessions: Iterable[Filling]) -> None:
        """New sessions, as quickly as may be: never measured."""
        for each in sessions:
            self.create(each.id, each.messages)

    def close(self) -> None:
        """Let go of everything."""


class Loop:
    """One event loop that an adapter of an asynchronous library drives; one thread where the library wants threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._threads = ThreadPoolExecutor(1)
        self._loop.set_default_executor(self._threads)

    def run(self, waiting: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(waiting)

    def close(self) -> None:
        self._threads.shutdown()
        self._loop.close()
