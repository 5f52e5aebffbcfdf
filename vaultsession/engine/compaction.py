"""Compaction: containers in which small records have piled up are merged by a thread, when nobody writes to them.

A conversation is written to in turns, with pauses between them. What is merged in a pause costs no turn anything: one
append in ten took ten times as long as the others where the append itself merged. A merge takes as much of a core and
of the medium as five turns do, so where many sessions are written to, the thread mostly rests. One that is never left
alone is merged all the same, before it takes much more room than it must. A store that ends before leaves the records
as they are; they cost readers a little, and the next store that writes there finds them.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakSet

from ..errors import VaultError
from ..util.fork import ForkSafe
from ..util.latch import Latch
from ..util.lazy import log

PAUSE = 1.0
"""Seconds since the last write of this store to a session, after which it is merged."""

SHARE = 10
"""The thread merges a tenth of its time at most, for as long as nothing is overdue."""

_NOW = 0.0
"""When is due what is overdue."""

_IDLE = 60.0
"""Seconds after which a thread without work looks whether its stores are still there."""

MOST = 4096
"""Sessions that wait. Beyond that the one written to longest ago is left as it is."""


class Compactor:
    """Calls ``merge`` with each key that is due, a ``PAUSE`` after it was last said to be, or overdue at once.

    Safe from any thread. All compactors of a process share one thread, from the first session that is due until the
    last of them stops: a turn after a pause would wait 0.1 ms for a new one. What fails is left for the next write.
    """

    def __init__(self, merge: Callable[[str], object]) -> None:
        self.merge = merge
        self.is_stopped = False

    def postpone(self, key: str, *, is_overdue: bool = False) -> bool:
        """A session is due: merge it when it has been left alone for a while, or now. False: nobody will."""
        return _schedule.add(self, key, is_overdue=is_overdue)

    def stop(self) -> None:
        """Merge nothing more; a merge under way is finished first. Idempotent."""
        self.is_stopped = True
        _schedule.remove(self)


class _Schedule(ForkSafe):
    """What is due and when, the first one first, and the thread that merges it."""

    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()

    def _begin_anew(self) -> None:
        """In the child of a fork nothing is due, and no thread runs."""
        self._guard = threading.RLock()
        self._due: OrderedDict[tuple[Compactor, str], float] = OrderedDict()
        self._rests_until = 0.0
        self._has_failed = False
        self._users: WeakSet[Compactor] = WeakSet()  # a store that was dropped is none
        self._woken = Latch()
        self._merging: tuple[Compactor, Latch] | None = None
        self._thread: threading.Thread | None = None
        self._ends = False

    def add(self, compactor: Compactor, key: str, *, is_overdue: bool) -> bool:
        with self._guard:
            if compactor.is_stopped or self._ends:
                return False
            before = self._due.get((compactor, key))
            if before == _NOW:
                return True
            self._users.add(compactor)
            is_idle = not self._due
            self._due[compactor, key] = _NOW if is_overdue else time.monotonic() + PAUSE
            if is_overdue or before is not None:
                self._due.move_to_end((compactor, key), last=not is_overdue)  # the first is due first
            if len(self._due) > MOST:
                self._due.popitem(last=is_overdue)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="vaultsession-compaction", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there are too many, or the interpreter ends
                    return False
                self._thread = thread
            elif is_idle or is_overdue:
                self._woken.set()
            return True

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
            else:
                self._merge_first()

    def _merge_first(self) -> None:
        if (due := self._first()) is not None:
            began = time.monotonic()
            self._has_failed = not self._is_merged(*due)
            now = time.monotonic()
            self._rests_until = now + (PAUSE if self._has_failed else (SHARE - 1) * (now - began))

    def _is_merged(self, compactor: Compactor, key: str, done: Latch) -> bool:
        try:
            compactor.merge(key)
            return True
        except VaultError as error:
            log.debug("%s was not merged: %s", key, error)
        except Exception:  # noqa: BLE001 - whatever it is, the records are whole
            log.exception("a session was not merged")
        finally:
            self._merging = None
            done.set()
        return False

    def _until_first(self) -> float | None:
        """Seconds until the first one is due; None ends the thread, and the next that is due starts another."""
        with self._guard:
            if not self._due and (self._ends or not self._users):
                self._thread = None
                return None
            if not self._due:
                return _IDLE
            first = next(iter(self._due.values()))
            hurries = first == _NOW and not self._has_failed
            return 0.0 if hurries else max(0.0, max(first, self._rests_until) - time.monotonic())

    def _first(self) -> tuple[Compactor, str, Latch] | None:
        """The first that is due now, taken; its latch is set when it is merged."""
        with self._guard:
            for (compactor, key), due in self._due.items():
                if due > time.monotonic():
                    return None
                del self._due[compactor, key]
                self._merging = compactor, Latch()
                return compactor, key, self._merging[1]
            return None


_schedule = _Schedule()
atexit.register(_schedule.end)
