"""Threads: how many this package may run in the process for what it does side by side, whatever the stores."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .fork import ForkSafe

T = TypeVar("T")

MOST = 64
"""Threads of all asynchronous stores of a process together."""

MOST_OF_ONE = 16
"""Calls of one store that run at once: one whose server is silent leaves room for others.

With 8, 100 tasks that append did a seventh less in 12 % more CPU: fewer flushes shared a commit of the journal.
"""


class SharedThreads:
    """A store's share of the threads of this process, which end with the last share. Safe from any thread."""

    def __init__(self) -> None:
        self._is_closed = False
        self.begin_anew()
        with _pool.guard:
            _pool.shares.add(self)

    def begin_anew(self) -> None:
        """In the child of a fork: what the threads of the parent have begun is the parent's."""
        self._running = 0
        self._waiting: deque[Callable[[], None]] = deque()
        self.mailbox: Any = None
        """Of the loop that asked last, for ``event_loop.called``."""

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
        with _pool.guard:
            if self._is_closed:
                raise RuntimeError("the store is closed")
            self._waiting.append(work)
            if self._running < MOST_OF_ONE:
                _pool.begin(self)
                self._running += 1

    def close(self) -> None:
        """Take no more calls; those that were taken are done. Idempotent."""
        with _pool.guard:
            self._is_closed = True
            if not self._running:
                _pool.leave(self)

    def next(self) -> Callable[[], None] | None:
        """What a thread of this share does next; None: it is one no more."""
        with _pool.guard:
            if self._waiting:
                return self._waiting.popleft()
            self._running -= 1
            _pool.begun -= 1
            if self._is_closed and not self._running:
                _pool.leave(self)
        return None


class _Pool(ForkSafe):
    """The threads, while there are shares. Used under the ``guard``.

    Not a ``ThreadPoolExecutor``: its own books take a third of the time of a call that does nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shares: weakref.WeakSet[SharedThreads] = weakref.WeakSet()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.guard = threading.Lock()
        for share in list(self.shares):
            share.begin_anew()
        self.threads: list[threading.Thread] = []
        self.begun = 0
        """How often a share has a thread, or waits for one."""
        self._asking: queue.SimpleQueue[SharedThreads | None] = queue.SimpleQueue()  # None: end

    def begin(self, share: SharedThreads) -> None:
        """Give the share one more thread, as soon as one is free."""
        if len(self.threads) <= self.begun and len(self.threads) < MOST:
            name = f"vaultsession_{len(self.threads)}"
            thread = threading.Thread(target=self._run, args=(self._asking,), name=name, daemon=True)
            thread.start()
            self.threads.append(thread)
        self.begun += 1
        self._asking.put(share)

    def leave(self, share: SharedThreads) -> None:
        """Count a share no more; the threads end with the last."""
        self.shares.discard(share)
        if not self.shares:
            self._end()

    def finish(self) -> None:
        """Return when what was asked for is done, at the end of the interpreter. Takes the guard itself."""
        with self.guard:
            ending = self._end()
        for thread in ending:
            thread.join()

    def _end(self) -> list[threading.Thread]:
        ending, self.threads = self.threads, []
        for _ in ending:
            self._asking.put(None)
        self._asking = queue.SimpleQueue()
        return ending

    def _run(self, asking: queue.SimpleQueue[SharedThreads | None]) -> None:
        while (share := asking.get()) is not None:
            while (work := share.next()) is not None:
                work()
                del work  # what it refers to is not kept while the next one is waited for
                if self.begun > MOST and asking is self._asking:  # other shares wait: one of theirs comes next
                    asking.put(share)
                    break
            del share


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - the caller's
        future.set_exception(error)
    else:
        future.set_result(result)


_pool = _Pool()
getattr(threading, "_register_atexit", atexit.register)(_pool.finish)
"""As for the threads of ``concurrent.futures``: what was begun is done before stores are closed ``atexit``."""
