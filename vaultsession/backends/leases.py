"""Turn leases: one holder answers a session at a time, for as long as a model call takes.

Not what makes writes safe (that is the commit lock of a backend); what keeps two processes from answering one message.

**In turn.** A holder that gives a lease back and asks for it again comes after those that have waited: of these one is
*the next*, and a lease is taken by the next alone. Those behind it take turns at becoming that. A waiter may have been
stopped, and be the next for ever: who has waited for a second takes a lease that is free.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from ..errors import LeaseTimeout
from ..util.deadline import pause
from ..util.named_tuple import NamedTuple

OVERTAKING = 1.0
"""Seconds after which a waiter no longer stands back for the next."""

_SLOWEST_LOOK = 5
"""Waiting looks again after 1 ms at first and 32 ms at last, as ``pause`` counts."""


class Leases(Protocol):
    """Hands out the turn lease of a session."""

    def lease(self, key: str, timeout: float | None) -> contextlib.AbstractContextManager[None]:
        """Hold the session's lease; ``LeaseTimeout`` after so many seconds, None waits for ever. Not re-entrant."""
        ...


class LeaseAttempt(NamedTuple):
    """One attempt at one lease, in a place where processes can only look again and again whether it is free."""

    is_first: Callable[[], bool]
    """Whether nobody needs to be stood back for, as far as is seen without a change."""
    take: Callable[[], bool]
    """Take the lease unless it is held."""
    become_next: Callable[[], bool]
    """Be the next unless another is."""
    stand_back: Callable[[], None]
    """Be the next no more."""


def take_in_turn(turn: LeaseAttempt, timeout: float | None) -> None:
    """Return when the lease is taken. ``LeaseTimeout`` after so many seconds, None waits for ever."""
    if turn.is_first() and turn.take():
        return
    begun, attempt, is_next = time.monotonic(), 0, False
    try:
        while True:
            if not is_next and turn.become_next():
                attempt, is_next = 0, True
            waited = time.monotonic() - begun
            if (is_next or waited > OVERTAKING) and turn.take():
                return
            if timeout is not None and waited >= timeout:
                raise _too_late(timeout)
            pause(attempt)
            attempt = min(attempt + 1, _SLOWEST_LOOK)
    finally:
        if is_next:
            turn.stand_back()


class LocalLeases:
    """Leases within one process, for a vault that no other process can reach. First come, first served."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[threading.Lock]] = {}
        """By the key of each session whose lease is held: who waits, each for a lock of its own to be let go."""
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        self._take(key, timeout)
        try:
            yield
        finally:
            with self._guard:
                self._hand_on(key)

    def _take(self, key: str, timeout: float | None) -> None:
        turn = threading.Lock()
        turn.acquire()
        with self._guard:
            queue = self._waiting.get(key)
            if queue is None:
                self._waiting[key] = deque()
                return
            queue.append(turn)
        is_ours = False
        try:
            is_ours = turn.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        finally:
            if not is_ours:
                with self._guard:
                    if turn in queue:
                        queue.remove(turn)
                    else:
                        self._hand_on(key)  # it came as we went
        if not is_ours:
            raise _too_late(timeout or 0.0)

    def _hand_on(self, key: str) -> None:
        queue = self._waiting[key]
        if queue:
            queue.popleft().release()
        else:
            del self._waiting[key]


def _too_late(timeout: float) -> LeaseTimeout:
    return LeaseTimeout(f"the session is being answered elsewhere; waited {timeout:g} s for its lease")
