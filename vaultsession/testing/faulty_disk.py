"""FaultyDisk: the medium says no at the k-th call."""

from __future__ import annotations

import errno as codes
import os
import threading
from collections.abc import Callable, Collection
from typing import Any

from ..util.disk import Disk

CALLS = (
    *("open", "close", "stat", "look", "fstat", "mkdir", "rmdir", "link", "unlink", "listdir", "names", "rename"),
    *("readlink", "pread", "pwrite", "fchmod", "flock", "fsync", "fdatasync"),
)
"""The calls that are counted, by name."""

ERRNOS = (codes.EIO, codes.ENOSPC, codes.EACCES, codes.EINTR, codes.EMFILE)
"""What a sweep over every call should try."""


class FaultyDisk(Disk):
    """Fails at the ``k``-th call, counted from 1, and at the ``times - 1`` after it, with ``errno``. 0: never.

    ``only`` are the calls that are counted, by name; by default all of ``CALLS``. ``short``: where the call that fails
    is a write, half of it is written before. With ``errno`` None nothing is raised, and a write is merely short. What
    fails was not done, but for ``close``. ``under`` is where the calls go: a ``LossyDisk``, say, which is notified of
    flushes that failed. ``calls`` are the names of all that were counted, ``number`` is that of the call that fails.
    Safe from any thread.
    """

    def __init__(
        self,
        k: int = 0,
        *,
        errno: int | None = codes.EIO,
        times: int = 1,
        short: bool = False,
        only: Collection[str] = CALLS,
        under: Disk | None = None,
    ) -> None:
        self.calls: list[str] = []
        self.errno = errno
        self.times = times
        self.short = short
        self.number = k
        self._mutex = threading.Lock()
        self._under = under or Disk()
        for name in ("boot", "index_flushed"):
            setattr(self, name, getattr(self._under, name))
        for name in CALLS:
            if hasattr(self._under, name):
                call = getattr(self._under, name)
                setattr(self, name, self._counted(name, call) if name in only else call)

    def fail(self, k: int, *, times: int = 1) -> None:
        """Fail at the ``k``-th call from now on; 0: never again."""
        with self._mutex:
            self.number, self.times = k and len(self.calls) + k, times

    @property
    def failed(self) -> bool:
        """Whether the call that was to fail has come."""
        return 0 < self.number <= len(self.calls)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any) -> Any:  # noqa: ANN401 - whatever the call takes and gives
            with self._mutex:
                self.calls.append(name)
                fails = 0 < self.number <= len(self.calls) < self.number + self.times
            return self._failing(name, call, args) if fails else call(*args)

        return counting

    def _failing(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as above
        if name == "pwrite" and (self.short or self.errno is None) and len(args[1]) > 1:
            wrote = call(args[0], args[1][: len(args[1]) // 2], args[2])
            if self.errno is None:
                return wrote
        if self.errno is None:
            return call(*args)
        if name == "close":  # the descriptor is gone, whatever is said of it
            call(*args)
        if name in {"fsync", "fdatasync"} and hasattr(self._under, "lose"):
            self._under.lose(*args)
        raise OSError(self.errno, os.strerror(self.errno))
