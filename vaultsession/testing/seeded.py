"""SeededIds: session ids that are the same in every run of a test."""

from __future__ import annotations

import random
import threading

from ..format import ids


class SeededIds:
    """What ``open_store(…, new_id=SeededIds(7))`` gives sessions that were made without an id. Safe from any thread.

    They are UUIDv7 as all others, with the time of the store's clock: with a ``ManualClock`` they are the same in every
    run. Never for a vault that people use: a reader who knows the seed knows the ids.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - to be the same in every run is what it is for
        self._mutex = threading.Lock()

    def __call__(self, now: int) -> str:
        """The next id, at a time in microseconds since 1970."""
        with self._mutex:
            return ids.new(now, self._random.randbytes)
