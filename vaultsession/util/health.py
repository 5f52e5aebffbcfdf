"""Health: how a backend is, asked so that the answer comes in bounded time even where the backend hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import VaultError
from .deadline import Question


class HealthProbe:
    """Asks in a thread of its own. A question that was not answered is waited for again, not asked again."""

    def __init__(self, ask: Callable[[], dict[str, str | None]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asked: Question[dict[str, str | None]] | None = None

    def take(self, seconds: float) -> dict[str, str | None]:
        """Each component by name, and its problem in words: None where it is well. Never raises."""
        with self._lock:
            if self._asked is None or self._asked.is_over(0):
                self._asked = Question(self._ask)
            question = self._asked
        if not question.is_over(seconds):
            return {"backend": f"did not say how it is within {seconds:g} s"}
        if question.error is not None:
            error = question.error
            return {"backend": str(error) if isinstance(error, VaultError) else type(error).__name__}
        return question.answers[0]
