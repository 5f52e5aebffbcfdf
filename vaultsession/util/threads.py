"""Threads: how many this package may run in the process for what it does side by side, whatever the stores."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from .fork import ForkSafe

T = TypeVar("T")

MOST = 32
"""Threads of all asynchronous stores of a process together."""

MOST_OF_ONE = 8
"""Calls of one store that run at once: one whose server is silent leaves room for others."""


class SharedThreads:
    """A store's share of the pool of this process, which ends with the last share. Safe from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_closed = False
        self.mailbox: Any = None
        """Of the loop that asked last, for ``event_loop.called``."""
        _pool.join(self)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """What the call will return. ``RuntimeError`` after ``close``."""
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                _settle(future, call)

        self.start(work)
        return future

    def start(self, work: Callable[[], None]) -> None:
        """Have some work done, which raises nothing. ``RuntimeError`` after ``close``."""
        with self._guard:
            if self._is_closed:
                raise RuntimeError("the store is closed")
            self._waiting.append(work)
            if self._running == MOST_OF_ONE:
                return
            self._running += 1
        _pool.submit(self._work_off)

    def close(self) -> None:
        """Take no more calls; those that were taken are done. Idempotent."""
        with self._guard:
            if self._is_closed:
                return
            self._is_closed = True
            is_idle = not self._running
        if is_idle:
            _pool.leave(self)

    def _work_off(self) -> None:
        """Do what waits, one after the other; where other stores wait for a thread, one of it and then theirs."""
        while True:
            with self._guard:
                if not self._waiting:
                    self._running -= 1
                    is_over = self._is_closed and not self._running
                    break
                work = self._waiting.popleft()
            work()
            del work  # what it refers to is not kept while the next one is waited for
            if _pool.is_waited_for():
                _pool.submit(self._work_off)
                return
        if is_over:
            _pool.leave(self)


class _Pool(ForkSafe):
    """The threads, while there are shares."""

    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._guard = threading.Lock()
        self._shares: weakref.WeakSet[SharedThreads] = weakref.WeakSet()
        self._threads: ThreadPoolExecutor | None = None
        self._begun = 0

    def join(self, share: SharedThreads) -> None:
        with self._guard:
            self._shares.add(share)

    def leave(self, share: SharedThreads) -> None:
        with self._guard:
            self._shares.discard(share)
            if not self._shares and self._threads is not None:
                threads, self._threads = self._threads, None
                threads.shutdown(wait=False)

    def submit(self, work: Callable[[], None]) -> None:
        with self._guard:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="vaultsession")
            self._begun += 1
            self._threads.submit(self._run, work)

    def is_waited_for(self) -> bool:
        """Whether all threads are busy, and there is more to do."""
        return self._begun > MOST

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._guard:
                self._begun -= 1


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - the caller's
        future.set_exception(error)
    else:
        future.set_result(result)


_pool = _Pool()
