"""Sealing: where the commit goes whose seal a thread is in, so that what it reads is read there too."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ..protocol import Backend


class CommitContext(threading.local):
    """Of each thread its own."""

    where: Backend | None = None

    @contextlib.contextmanager
    def at(self, backend: Backend) -> Iterator[None]:
        """While it commits there."""
        outer, self.where = self.where, backend
        try:
            yield
        finally:
            self.where = outer
