"""MirrorSource: the primary as the mirror reads it, with whose fault an error was.

Where a commit to the follower reads the primary, one exception may come from either side; and a session of the primary
that cannot be read is no reason to take the follower for unreachable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ...errors import VaultError
from ..protocol import Backend

P = ParamSpec("P")
T = TypeVar("T")


class MirrorSource:
    """A source that remembers whether an error was its own. For one thread, which sets ``failed`` back."""

    def __init__(self, backend: Backend) -> None:
        self.failed = False
        self.head = self._own(backend.head)
        self.read = self._own(backend.read)
        self.commit = self._own(backend.commit)
        self.scan = self._own(backend.scan)

    def _own(self, verb: Callable[P, T]) -> Callable[P, T]:
        def asked(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return verb(*args, **kwargs)
            except VaultError:
                self.failed = True
                raise

        return asked
