"""Pulse: how a backend is, asked so that the answer comes in bounded time even where the backend hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import VaultError


class HealthProbe:
    """Asks in a thread of its own. A question that was not answered is waited for again, not asked again."""

    def __init__(self, ask: Callable[[], dict[str, str | None]]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asking: _Question | None = None

    def take(self, seconds: float) -> dict[str, str | None]:
        """Each component by name, and its problem in words: None where it is well. Never raises."""
        with self._lock:
            if self._asking is None or not self._asking.thread.is_alive():
                self._asking = _Question(self._ask)
            question = self._asking
        question.thread.join(seconds)
        return question.answer or {"backend": f"did not say how it is within {seconds:g} s"}


class _Question:
    def __init__(self, ask: Callable[[], dict[str, str | None]]) -> None:
        self._ask = ask
        self.answer: dict[str, str | None] | None = None
        self.thread = threading.Thread(target=self._run, name="vaultsession-health", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except VaultError as error:
            self.answer = {"backend": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever a backend of others raises is a verdict here
            self.answer = {"backend": type(error).__name__}
