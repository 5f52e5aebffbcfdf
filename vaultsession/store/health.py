"""Health: what a store says of itself to a liveness probe, in bounded time even where its backend hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import VaultError
from ..util.deadline import Question
from .fields import StoreInfo

_PROBE_SECONDS = 2.0
"""Seconds that a backend has to answer a health probe."""


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


def report(
    probe: HealthProbe,
    notes: Callable[[], Mapping[str, str]],
    origin: StoreInfo,
    *,
    closed: bool,
    sweeper: Mapping[str, str | None],
) -> dict[str, Any]:
    """Whether all is well, where the store lies, the source of its key, and each component: a problem, or a note.

    The notes are those of the look that the probe takes.
    """
    components = {**({"store": "closed"} if closed else probe.take(_PROBE_SECONDS)), **sweeper}
    noted = notes()
    return {
        "ok": all(problem is None for problem in components.values()),
        "where": origin.where,
        "key": origin.key,
        **{name: problem or noted.get(name, "ok") for name, problem in components.items()},
    }
