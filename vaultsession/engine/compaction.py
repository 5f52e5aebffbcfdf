"""Compaction: containers in which small records have piled up are merged when nobody writes to them.

A conversation is written to in turns, with pauses between them. What is merged in a pause costs no turn anything: one
append in ten took ten times as long as the others where the append itself merged. A store that ends before leaves the
records as they are; they cost readers a little, and the next store that writes there finds them.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable

from ..errors import VaultError
from ..util.fork import ForkSafe
from ..util.latch import Latch

_log = logging.getLogger("vaultsession")

PAUSE = 1.0
"""Seconds since the last write of this store to a session, after which it is merged."""

MOST = 4096
"""Sessions that wait. Beyond that the one written to longest ago is left as it is."""


class Compactor(ForkSafe):
    """Calls ``merge`` with each key that is due, a ``PAUSE`` after it was last said to be. Safe from any thread.

    Its thread lives while something is due, and no longer. What fails is left for the next write.
    """

    def __init__(self, merge: Callable[[str], object]) -> None:
        super().__init__()
        self._merge = merge
        self._is_stopped = False
        self._begin_anew()
        _alive.add(self)

    def _begin_anew(self) -> None:
        """In the child of a fork nothing is due, and no thread runs."""
        self._guard = threading.RLock()
        self._due: dict[str, float] = {}
        self._stopped = Latch()
        self._thread: threading.Thread | None = None

    def postpone(self, key: str) -> None:
        """A session is due: merge it when it has been left alone for a while."""
        with self._guard:
            self._due.pop(key, None)
            self._due[key] = time.monotonic()  # the last one, so that the first is the one left alone longest
            if len(self._due) > MOST:
                del self._due[next(iter(self._due))]
            if self._thread is None and not self._is_stopped:
                thread = threading.Thread(target=self._run, name="vaultsession-compaction", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there are too many, or the interpreter ends
                    return
                self._thread = thread

    def stop(self) -> None:
        """Merge nothing more; a merge under way is finished first. Idempotent."""
        self._is_stopped = True
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (left := self._until_first()) is not None:
            if self._stopped.wait(left):
                return
            for key in self._left_alone():
                if self._stopped.is_set():
                    return
                try:
                    self._merge(key)
                except VaultError as error:
                    _log.debug("%s was not merged: %s", key, error)
                except Exception:  # noqa: BLE001 - whatever it is, the records are whole
                    _log.exception("a session was not merged")

    def _until_first(self) -> float | None:
        """Seconds until the first one is due; None ends the thread, and the next that is due starts another."""
        with self._guard:
            if not self._due:
                self._thread = None
                return None
            return max(0.0, next(iter(self._due.values())) + PAUSE - time.monotonic())

    def _left_alone(self) -> list[str]:
        with self._guard:
            before = time.monotonic() - PAUSE
            keys = [key for key, since in self._due.items() if since <= before]
            for key in keys:
                del self._due[key]
            return keys


_alive: weakref.WeakSet[Compactor] = weakref.WeakSet()


def _stop_all() -> None:
    for each in list(_alive):
        each.stop()


atexit.register(_stop_all)
