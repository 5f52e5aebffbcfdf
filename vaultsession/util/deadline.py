"""Waiting: what is asked of something outside the process is answered, or given up, in bounded time; and pauses."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from .lazy import log

T = TypeVar("T")

ANNOUNCED = 3.0
"""Seconds after which the log says what is waited for."""


def within(seconds: float, what: str, ask: Callable[[], T]) -> T:
    """What ``ask`` returns, or raises, if it does so within that time; else ``TimeoutError``, which names ``what``.

    It is asked in a thread of its own, which goes on waiting where the time was over: nothing can end it.
    """
    question = Question(ask)
    if not question.is_over(min(seconds, ANNOUNCED)):
        log.warning("waiting for %s, at most %g s", what, seconds)
        if not question.is_over(seconds - ANNOUNCED):
            raise TimeoutError(f"{what} did not answer within {seconds:g} s")
    if question.error is not None:
        try:
            raise question.error
        finally:
            del question  # raised from here it refers to this frame
    return question.answers[0]


def pause(attempt: int) -> None:
    """Wait a moment of random length, up to twice as long each time: those that collide do not collide again."""
    time.sleep(chance() * min(0.1, 0.001 * 2**attempt))


def chance() -> float:
    """A random number from 0 to 1."""
    return int.from_bytes(os.urandom(2), "big") / 65536


class Question(Generic[T]):
    """What is asked in a thread of its own: its answer, or what it raised, once it is over."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self.answers: list[T] = []
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="vaultsession-waiting", daemon=True)
        self._thread.start()

    def is_over(self, seconds: float) -> bool:
        """Whether it was answered, after so many seconds at most."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.answers.append(self._ask())
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked
            self.error = error
