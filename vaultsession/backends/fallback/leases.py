"""FallbackLeases: turn leases that go on within this process while the server that hands them out is away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from ...errors import BackendUnavailable
from ...util.lazy import log
from ..leases import Leases, LocalLeases


class FallbackLeases:
    """The lease of this process first, then the server's. Where that does not answer, threads exclude each other alone.

    Two processes may then answer one session at the same time; what both append is kept.
    """

    def __init__(self, primary: Leases) -> None:
        self._primary = primary
        self._local = LocalLeases()
        self._warned = False

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        deadline = None if timeout is None else time.monotonic() + timeout
        with contextlib.ExitStack() as held:
            held.enter_context(self._local.lease(key, timeout))
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                held.enter_context(self._primary.lease(key, left))
            except BackendUnavailable as error:
                if not self._warned:
                    log.warning("leases exclude the threads of this process alone: %s", error)
                self._warned = True
            else:
                self._warned = False
            yield
