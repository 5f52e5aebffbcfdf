"""Compaction: containers in which small records have piled up are merged when nobody writes to them.

A conversation is written to in turns, with pauses between them. What is merged in a pause costs no turn anything: one
append in ten took ten times as long as the others where the append itself merged. A store that ends before leaves the
records as they are; they cost readers a little, and the next store that writes there finds them.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from weakref import WeakSet

from ..errors import VaultError
from ..util.fork import ForkSafe
from ..util.latch import Latch
from ..util.lazy import log

PAUSE = 1.0
"""Seconds since the last write of this store to a session, after which it is merged."""

_IDLE = 60.0
"""Seconds after which a thread without work looks whether its stores are still there."""

MOST = 4096
"""Sessions that wait. Beyond that the one written to longest ago is left as it is."""


class Compactor:
    """Calls ``merge`` with each key that is due, a ``PAUSE`` after it was last said to be. Safe from any thread.

    All compactors of a process share one thread, from the first session that is due until the last of them stops:
    a turn after a pause would wait 0.1 ms for a new one. What fails is left for the next write.
    """

    def __init__(self, merge: Callable[[str], object]) -> None:
        self.merge = merge
        self.is_stopped = False

    def postpone(self, key: str) -> None:
        """A session is due: merge it when it has been left alone for a while."""
        if not self.is_stopped:
            _schedule.add(self, key)

    def stop(self) -> None:
        """Merge nothing more; a merge under way is finished first. Idempotent."""
        self.is_stopped = True
        _schedule.remove(self)


class _Schedule(ForkSafe):
    """What is due, the one left alone longest first, and the thread that merges it."""

    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """In the child of a fork nothing is due, and no thread runs."""
        self._guard = threading.RLock()
        self._due: dict[tuple[Compactor, str], float] = {}
        self._users: WeakSet[Compactor] = WeakSet()  # a store that was dropped is none
        self._woken = Latch()
        self._merging: tuple[Compactor, Latch] | None = None
        self._thread: threading.Thread | None = None
        self._ends = False

    def add(self, compactor: Compactor, key: str) -> None:
        with self._guard:
            if compactor.is_stopped:
                return
            self._users.add(compactor)
            is_idle = not self._due
            self._due.pop((compactor, key), None)
            self._due[compactor, key] = time.monotonic()  # behind all others: the first is the one left alone longest
            if len(self._due) > MOST:
                del self._due[next(iter(self._due))]
            if self._thread is None and not self._ends:
                thread = threading.Thread(target=self._run, name="vaultsession-compaction", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there are too many, or the interpreter ends
                    return
                self._thread = thread
            elif is_idle:
                self._woken.set()

    def remove(self, compactor: Compactor) -> None:
        """Forget what is due of a compactor, and wait for its merge that is under way."""
        with self._guard:
            for each in [each for each in self._due if each[0] is compactor]:
                del self._due[each]
            self._users.discard(compactor)
            merging, thread = self._merging, self._thread
        self._woken.set()  # without users the thread ends
        if merging is not None and merging[0] is compactor and thread is not threading.current_thread():
            merging[1].wait()

    def end(self) -> None:
        """At the end of the process: a thread of Python's must not be in the middle of anything then."""
        self._ends = True
        with self._guard:
            self._due.clear()
            thread = self._thread
        self._woken.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (left := self._until_first()) is not None:
            if self._woken.wait(left):
                self._woken.clear()
                continue
            while (due := self._left_alone()) is not None:
                self._merge(*due)

    def _merge(self, compactor: Compactor, key: str, done: Latch) -> None:
        try:
            compactor.merge(key)
        except VaultError as error:
            log.debug("%s was not merged: %s", key, error)
        except Exception:  # noqa: BLE001 - whatever it is, the records are whole
            log.exception("a session was not merged")
        finally:
            self._merging = None
            done.set()

    def _until_first(self) -> float | None:
        """Seconds until the first one is due; None ends the thread, and the next that is due starts another."""
        with self._guard:
            if not self._due and (self._ends or not self._users):
                self._thread = None
                return None
            if not self._due:
                return _IDLE
            return max(0.0, next(iter(self._due.values())) + PAUSE - time.monotonic())

    def _left_alone(self) -> tuple[Compactor, str, Latch] | None:
        """The first that is due now, taken; its latch is set when it is merged."""
        with self._guard:
            for (compactor, key), since in self._due.items():
                if since > time.monotonic() - PAUSE:
                    return None
                del self._due[compactor, key]
                self._merging = compactor, Latch()
                return compactor, key, self._merging[1]
            return None


_schedule = _Schedule()
atexit.register(_schedule.end)
