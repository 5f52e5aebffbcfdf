"""The thread that writes the index of a vault behind its sessions: one for all stores of this process on that vault."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Protocol

try:
    from _queue import Empty, SimpleQueue  # what ``queue`` has of it: that brings heaps and more
except ImportError:  # pragma: no cover - not CPython as it is today
    from queue import Empty, SimpleQueue

from ...util.fork import ForkSafe
from ...util.lazy import log
from ...util.reentry import not_ours

BATCH_SECONDS = 0.05
_MAX_DELAY = 5.0


class Buffered(Protocol):
    """What has entries that wait to be written."""

    def flush_due(self) -> None:
        """Write them. ``VaultError``: to be tried again."""
        ...


class IndexThread:
    """One thread, started by the first that joins and ended when the last has left. Safe from any thread."""

    def __init__(self, path: str, first: Callable[[], None]) -> None:
        self._path = path
        self._wake: SimpleQueue[Buffered | None] = SimpleQueue()  # None: the last one has left
        self._users = 1
        self.thread = threading.Thread(target=self._run, args=(first,), name="vaultsession-index", daemon=True)

    @classmethod
    def joined(cls, path: str, first: Callable[[], None]) -> IndexThread:
        """The thread of an index by its path. It calls ``first`` before anything else; if it runs already, you do."""
        with not_ours(_running.guard):
            thread = _running.by_path.get(path)
            if thread is None or not thread.thread.is_alive():
                # Known before it runs: one whose start was interrupted is found by the next that joins.
                thread = _running.by_path[path] = cls(path, first)
                thread.thread.start()
                return thread
            thread._users += 1
        first()
        return thread

    def leave(self) -> None:
        """Be no user any more. The last one waits until the thread has ended."""
        with not_ours(_running.guard):
            self._users -= 1
            if self._users:
                return
            if _running.by_path.get(self._path) is self:
                del _running.by_path[self._path]
            self._wake.put(None)
        if self.thread is not threading.current_thread():
            self.thread.join()

    def wake(self, due: Buffered) -> None:
        """Have its entries written in a moment."""
        self._wake.put(due)

    def _run(self, first: Callable[[], None]) -> None:
        first()
        delay = BATCH_SECONDS
        while True:
            due = [self._wake.get()]
            end = time.monotonic() + delay
            with contextlib.suppress(Empty):
                while None not in due:
                    due.append(self._wake.get(timeout=max(0.0, end - time.monotonic())))
            failed = False
            for each in dict.fromkeys(due):
                if each is None:
                    return
                failed |= not self._is_flushed(each)
            delay = min(2 * delay, _MAX_DELAY) if failed else BATCH_SECONDS

    def _is_flushed(self, due: Buffered) -> bool:
        try:
            due.flush_due()
        except Exception as error:  # noqa: BLE001 - whatever it is, this thread goes on for all
            log.warning("the index was not written, and will be: %s", str(error))
            self.wake(due)
            return False
        return True


class _Running(ForkSafe):
    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """In the child of a fork no thread runs."""
        self.guard = threading.RLock()
        self.by_path: dict[str, IndexThread] = {}


_running = _Running()
