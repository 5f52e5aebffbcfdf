"""MirrorSource: the primary as the mirror reads it, with whose fault an error was.

Where a commit to the follower reads the primary, one exception may come from either side; and a session of the primary
that cannot be read is no reason to take the follower for unreachable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...errors import VaultError
from ...format.sealed import Commit, Container, Heads, IndexRow, Query, Update
from ..protocol import Backend

T = TypeVar("T")


class MirrorSource:
    """A source that remembers whether an error was its own. For one thread, which sets ``failed`` back."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.traits = backend.traits
        self.failed = False

    def head(self, key: str) -> IndexRow | None:
        """See ``Backend``, as with all that follow."""
        return self._own(lambda: self._backend.head(key))

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container."""
        return self._own(lambda: self._backend.read(key, start, settled=settled))

    def commit(self, key: str, update: Update) -> Commit:
        """A look within the critical section."""
        return self._own(lambda: self._backend.commit(key, update))

    def scan(self, query: Query) -> Heads:
        """The listing."""
        return self._own(lambda: self._backend.scan(query))

    def _own(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except VaultError:
            self.failed = True
            raise
