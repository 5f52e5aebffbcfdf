"""Replicator: one thread that brings the follower to what the primary has, whenever it can be reached.

What was marked is followed soon. What was not marked, since it was written before this process began, by another
process, or while the follower was out of reach, is found by comparing both sides: shortly after opening, after every
outage, and every hour. The thread keeps out of the way: it gathers marks for a moment, and rests between two sessions
for as long as the store is being written to.

The follower is opened by the thread, and opened anew after each failure, with exponential back-off and jitter.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from ...errors import BackendUnavailable, DurabilityUnknown, LeaseTimeout, VaultError
from ...util.clock import Clock
from ...util.deadline import chance
from ...util.fork import ForkSafe
from ...util.latch import Latch
from ...util.lazy import log
from ..protocol import Backend
from ..replication import Accept, Gap, Outcome, differing, follow, newest_of
from .queue import MOST_KEYS, ReplicationQueue
from .status import MirrorStatus

GATHER_SECONDS = 0.05
FIRST_COMPARISON = 1.0
COMPARISON_SECONDS = 3600.0
METADATA_SECONDS = 5.0
LONGEST_PATIENCE = 30.0
_FIRST_PAUSE, _DOUBLINGS = 0.1, 20
BUSY_SECONDS = 0.02
REST_FACTOR = 3.0
LONGEST_REST = 0.05
_REMEMBERED = 1000

_PASSING = (BackendUnavailable, DurabilityUnknown, LeaseTimeout)
"""What a follower may raise and be well a moment later."""


class Follower(NamedTuple):
    """An opened follower: its sessions, and how its metadata is brought level (``AHEAD``: it was left)."""

    backend: Backend
    metadata: Callable[[], Outcome]


class _Ended(Exception):
    """Leave what is not done: the next opening finds it by comparison."""


class Replicator(ForkSafe):
    """What keeps one follower of one primary level. Safe from any thread.

    ``open_follower`` is called by the thread. ``drain`` is how many seconds ``close`` gives to what still waits; a
    follower that does not answer holds up nothing longer than that. ``patience`` bounds the seconds between attempts.
    ``accept`` proves what would remove or replace a session of the follower; without it nothing is doubted.
    """

    def __init__(
        self,
        primary: Backend,
        open_follower: Callable[[], Follower],
        *,
        where: str,
        clock: Clock,
        drain: float = 5.0,
        most: int = MOST_KEYS,
        first_comparison: float = FIRST_COMPARISON,
        patience: float = LONGEST_PATIENCE,
        accept: Accept | None = None,
    ) -> None:
        self._primary = primary
        self._open_follower = open_follower
        self.where = where
        self._clock = clock
        self._drain_seconds = drain
        self._most = most
        self._patience = patience
        self._accept = accept
        self._first = first_comparison
        self._closed = False
        self._follower: Follower | None = None
        self._begin_anew()
        super().__init__()
        self._start()
        _open.add(self)

    def mark(self, key: str) -> None:
        """A session of the primary has changed."""
        self._queue.mark(key)
        if self._thread is None:  # after a fork
            self._start()

    def status(self) -> MirrorStatus:
        oldest = self._queue.oldest
        return MirrorStatus(
            where=self.where,
            behind=len(self._queue),
            comparing=self._comparing or self._queue.everything,
            lag=None if oldest is None else max(0.0, time.monotonic() - oldest),
            error=self._error,
            stuck=self._stuck,
            succeeded=self._succeeded,
            refused=dict(self._refused),
            extra=self._extra,
        )

    def close(self) -> None:
        """Give what waits its time, then leave it to the next opening. Idempotent; never longer than ``drain``."""
        if self._closed:
            return
        self._closed = True
        _open.discard(self)
        self._until = time.monotonic() + self._drain_seconds
        self._closing.set()
        self._queue.filled.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._drain_seconds)
            if self._thread.is_alive():
                log.warning("the mirror %s does not answer; it is caught up with another time", self.where)
        if left := len(self._queue):
            log.warning("%d sessions are not mirrored yet: the next opening compares with %s", left, self.where)

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """In the child of a fork: a thread of its own, when it writes. The parent's connections are not even closed."""
        _abandoned.append(self._follower)
        self._follower = None
        self._queue = ReplicationQueue(self._most)
        self._closing = Latch()
        self._until = 0.0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._comparing = False
        self._error: str | None = None
        self._stuck = False
        self._succeeded: int | None = None
        self._refused: dict[str, str] = {}
        self._extra = 0
        self._due = time.monotonic() + self._first
        self._metadata_due = 0.0

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="vaultsession-mirror", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._queue.filled.wait(max(0.0, self._due - time.monotonic()))
                if time.monotonic() >= self._due:
                    self._queue.mark_everything()
                self._pause(GATHER_SECONDS)
                if not self._closing.is_set():
                    self._persist()
            if self._error is None and len(self._queue):
                self._round()
        except _Ended:
            pass
        except Exception as error:  # noqa: BLE001 - the last attempt before closing: ``close`` logs what is left
            self._note(error)
        finally:
            self._let_go()

    def _persist(self) -> None:
        """Make a round, again and again until one succeeds, or this is being closed: the last error is raised then."""
        attempt = 0
        while True:
            try:
                return self._round()
            except _Ended:
                raise
            except Exception:  # whatever it is: ``_round`` has noted it
                if self._closing.is_set():
                    raise
            if attempt == 0:
                log.warning("the mirror is out of reach, and will be tried again: %s", self._error)
            jitter = chance() * min(1.0, self._patience)
            self._pause(min(self._patience, _FIRST_PAUSE * 2 ** min(attempt, _DOUBLINGS)) + jitter)
            attempt += 1

    def _round(self) -> None:
        """Everything that waits, once. Raises what the follower raised."""
        try:
            follower = self._opened()
            self._level_metadata(follower)
            if not self._closing.is_set() and self._queue.begin_comparing():
                self._compare(follower.backend)
            self._drain(follower.backend)
        except _Ended:
            raise
        except Exception as error:
            self._note(error)
            self._let_go()
            self._queue.mark_everything()  # what happened meanwhile, at either side, is found by comparison
            raise
        self._error, self._stuck = None, False
        self._succeeded = self._clock.now()

    def _opened(self) -> Follower:
        if self._follower is None:
            self._metadata_due = 0.0
            self._follower = self._open_follower()
        return self._follower

    def _level_metadata(self, follower: Follower) -> None:
        if time.monotonic() < self._metadata_due:
            return
        if follower.metadata() is Outcome.AHEAD:
            self._refuse("the key slots", "those of the mirror were changed more often, or otherwise: look at both")
        else:
            self._refused.pop("the key slots", None)
        self._metadata_due = time.monotonic() + METADATA_SECONDS

    def _compare(self, target: Backend) -> None:
        """Both sides, session by session; whatever was marked meanwhile goes first."""
        self._comparing, extra = True, 0
        self._due = time.monotonic() + COMPARISON_SECONDS
        kept = self._refused.pop("the key slots", None)
        self._refused = {} if kept is None else {"the key slots": kept}
        try:
            for key, gap in differing(self._primary, target, between=lambda: self._breathe(target)):
                if gap is Gap.EXTRA:
                    extra += 1
                else:
                    self._follow(key, target)
            self._extra = extra
        finally:
            self._comparing = False

    def _breathe(self, target: Backend) -> None:
        if self._closing.is_set():
            raise _Ended
        self._drain(target)
        if self._is_busy():
            self._pause(LONGEST_REST)

    def _drain(self, target: Backend) -> None:
        while (key := self._queue.take()) is not None:
            try:
                self._follow(key, target)
            except BaseException:
                self._queue.put_back()
                raise
            self._queue.done()
            if self._closing.is_set() and time.monotonic() > self._until:
                raise _Ended

    def _follow(self, key: str, target: Backend) -> None:
        """One session. What is wrong with it alone does not keep the others from following."""
        began = time.monotonic()
        try:
            outcome = follow(self._primary, target, key, accept=self._accept)
        except RuntimeError:
            if self._closed:
                raise _Ended from None  # the primary was closed while this thread was held up
            raise
        except VaultError as error:
            if isinstance(error, _PASSING) and self._can_read(key):
                raise
            self._refuse(key, str(error))
        else:
            if outcome is Outcome.AHEAD:
                self._refuse(key, "the mirror has a newer one, which is left as it is")
            elif outcome is Outcome.UNPROVED:
                self._refuse(key, "what the vault has of it was not made with its keys: the mirror's is left as it is")
            else:
                self._refused.pop(key, None)
        if self._is_busy():
            self._pause(min(LONGEST_REST, REST_FACTOR * (time.monotonic() - began)))

    def _can_read(self, key: str) -> bool:
        """Whether the primary has the session whole: the follower was the one that failed then."""
        try:
            newest_of(self._primary, key)
            self._primary.read(key)
        except VaultError:
            return False
        return True

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _is_busy(self) -> bool:
        return time.monotonic() - self._queue.marked < BUSY_SECONDS

    def _pause(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def _refuse(self, key: str, why: str) -> None:
        if key not in self._refused and len(self._refused) < _REMEMBERED:
            log.warning("not mirrored: %s: %s", key, why)
            self._refused = {**self._refused, key: why}

    def _note(self, error: Exception) -> None:
        self._error = str(error) if isinstance(error, VaultError) else f"{type(error).__name__}, which is unexpected"
        self._stuck = not isinstance(error, _PASSING)

    def _let_go(self) -> None:
        """Close the follower, however unwell it is."""
        follower, self._follower = self._follower, None
        if follower is not None:
            with contextlib.suppress(Exception):
                follower.backend.close()


_open: weakref.WeakSet[Replicator] = weakref.WeakSet()
_abandoned: list[Follower | None] = []


@atexit.register  # after that of the files backend, hence called before it
def _close_all() -> None:
    for mirror in list(_open):
        mirror.close()
