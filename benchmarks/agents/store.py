"""What is measured: a store of a framework, ours or its own, that keeps one history."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from ..sample import Message

T = TypeVar("T")

KEY = bytes(range(200, 232))
SESSION = "user-123"


class History:
    """One opened store and one history in it. A framework's file of this folder makes those of its stores."""

    def turn(self, messages: list[Message]) -> None:
        """Write a turn behind the history."""
        raise NotImplementedError

    def load(self) -> int:
        """Read all of it, parsed; how many items there are."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything."""


class AsyncHistory(History):
    """That of an asynchronous store, in an event loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, waiting: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(waiting)

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class Store(NamedTuple):
    """A way to keep histories. ``open`` gets a directory of its own."""

    name: str
    durable: bool
    encrypts: bool
    open: Callable[[str], History]

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("Vault")


def bytes_in(directory: str) -> int:
    """What lies in a directory, in blocks that are taken."""
    return sum(
        os.stat(os.path.join(path, name)).st_blocks * 512 for path, _, names in os.walk(directory) for name in names
    )
