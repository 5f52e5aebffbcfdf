"""Latch: what threads wait for until it is set."""

from __future__ import annotations

import contextlib
import threading
import time

_SLICE = 5.0
"""Seconds after which a waiter looks by itself: a ``set`` may have been interrupted half-way."""


class Latch:
    """``threading.Event``, of which an interrupt (Ctrl-C, a handler that raises) leaves nothing locked behind.

    An Event has a lock that is taken by Python code: interrupted between that and the block that lets go of it, every
    later ``set`` and ``wait`` hangs, and with them the end of a thread. Safe from any thread and any signal handler.

        >>> latch = Latch()
        >>> latch.wait(0), latch.set(), latch.wait()
        (False, None, True)
    """

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[threading.Lock] = []

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        for each in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # released already: it is awake, or about to be
                each.release()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it is set, after so many seconds at most; None is no bound."""
        end = None if seconds is None else time.monotonic() + seconds
        woken = threading.Lock()
        woken.acquire()
        self._waiting.append(woken)
        try:
            while not self._is_set:
                left = _SLICE if end is None else min(_SLICE, end - time.monotonic())
                if left <= 0:
                    break
                woken.acquire(timeout=left)
        finally:
            self._waiting.remove(woken)
        return self._is_set
