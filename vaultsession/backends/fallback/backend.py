"""Fallback: the verbs, to the server while it answers, else to memory; and the way back.

::

    the server answers     every verb goes there; the containers of recently used sessions are copied to memory
    it does not            every verb goes to memory; what is written waits
    it answers again       the server follows memory, a few sessions with each verb; what waits is served from memory

What an update function reads comes from where its commit goes: a session is never sealed from two places.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TypeVar

from ...errors import BackendUnavailable, Conflict, Damaged, DurabilityUnknown, VaultError
from ...format.ids import LOCATOR_LENGTH
from ...format.sealed import Commit, Container, Delete, Heads, IndexRow, Query, ReadHead, Tombstone, Update, Write
from ...util.clock import Clock
from ...util.lazy import log
from ..memory import MemoryBackend
from ..protocol import Backend, RebuildReport, RecordedUpdate
from ..replication import Outcome, newest_of, replicate
from .memory import SessionMemory
from .pending_session import MemorySnapshot, Merge, PendingSession

T = TypeVar("T")

SESSIONS = 1024
CAPACITY = 64 << 20
"""Sessions and bytes of containers: as many are copied, and as many may wait."""

_PROBE = "0" * LOCATOR_LENGTH
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
"""Seconds between two looks whether the server is back: 1, 2, 4, and so on."""

_NAMED = 10
"""Sessions that are named in the log where some are lost."""

_AT_ONCE = 16
"""Sessions that one verb carries over on its way."""


class _Committing(threading.local):
    """Where the commit goes whose update function this thread is in."""

    backend: Backend | None = None


class FallbackBackend(Backend):
    """A backend that goes on in memory while its server is away. Safe from any thread.

    What was not met here lately reads as absent meanwhile, and can be created; listings, counts and sweeps know only
    what memory has. What waits is lost with the process: ``health`` says how much that is. Where no more fits, writes
    raise ``BackendUnavailable`` as they would have done without this. Where someone else wrote to a session that
    waits, ``merge`` puts what is new here behind that; what was removed here and changed there stays. ``prepare`` is
    called before anything is carried over, and keeps the server away as long as it raises. ``afresh`` makes another
    backend on the same server, which has seen nothing: it is given again what the server lost.
    """

    def __init__(
        self,
        primary: Backend,
        describe: ReadHead,
        merge: Merge,
        clock: Clock,
        *,
        sessions: int = SESSIONS,
        capacity: int = CAPACITY,
        prepare: Callable[[], None] | None = None,
        afresh: Callable[[], Backend] | None = None,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self.traits = primary.traits._replace(postpones=True)
        self._primary = primary
        self._merge = merge
        self._clock = clock
        self._prepare = prepare
        self._afresh = afresh
        self._tick = tick
        self._memory = SessionMemory(describe, sessions=sessions, capacity=capacity)
        self._away: VaultError | None = None
        self._since = 0
        self._outages = 0
        self._pause = _FIRST_PAUSE
        self._next_look = 0.0
        self._looking = threading.Lock()  # held by the one thread that looks whether the server is back
        self._committing = _Committing()
        self._closed = False

    # -- reads ---------------------------------------------------------------------------------------------------------

    def head(self, key: str) -> IndexRow | None:
        return self._asked(key, lambda backend: backend.head(key), lambda row: self._memory.use(key, row))

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on. A session that is met for the first time is read whole, to be copied."""

        def learn(container: Container | None) -> None:
            self._memory.learn(key, container, self._primary.read)

        return self._asked(key, lambda backend: backend.read(key, start, settled=settled), learn)

    def _asked(self, key: str, ask: Callable[[Backend], T], learn: Callable[[T], None]) -> T:
        """The answer of whichever has the session now; memory learns from the server's."""
        if self._committing.backend is not None:
            return ask(self._committing.backend)
        self._attend()
        while True:
            with self._memory.lock:
                if self._is_served_here(key):
                    return ask(self._memory.backend)
            try:
                answer = ask(self._primary)
            except BackendUnavailable as error:
                self._leave(error)
            else:
                learn(answer)
                return answer

    def scan(self, query: Query) -> Heads:
        """The server's heads, with those that wait in their places; while it is away, what memory knows."""
        self._attend()
        self._check_open()
        if self._away is None and self._memory.waiting:
            end = None if query.limit is None else query.offset + query.limit
            return islice(self._mixed(query), query.offset, end)
        return self._scanned(query)

    def count(self, query: Query) -> int:
        self._attend()
        if self._away is None and self._memory.waiting:
            return sum(1 for _ in self.scan(query._replace(after=None, offset=0, limit=None)))
        return self._either(lambda backend: backend.count(query))

    def _scanned(self, query: Query) -> Iterator[IndexRow]:
        """From the server, and from where it went away on from memory."""
        if self._away is None:
            try:
                for row in self._primary.scan(query):
                    yield row
                    limit = None if query.limit is None else query.limit - 1
                    query = query._replace(after=row.place, offset=0, limit=limit)
            except BackendUnavailable as error:
                self._leave(error)
            else:
                return
        yield from self._memory.backend.scan(query)

    def _mixed(self, query: Query) -> Iterator[IndexRow]:
        """Every head that matches, from where the query begins."""
        every = query._replace(offset=0, limit=None)
        with self._memory.lock:
            waiting = frozenset(self._memory.waiting)
            ours = [row for row in self._memory.backend.scan(every) if row.key in waiting]
        theirs = (row for row in self._scanned(every) if row.key not in waiting)
        yield from heapq.merge(theirs, ours, key=lambda row: row.place, reverse=query.newest_first)

    # -- writes --------------------------------------------------------------------------------------------------------

    def commit(self, key: str, update: Update) -> Commit:
        """Put behind the newest what ``update`` makes of it: at the server, or in memory while that is away.

        A write whose answer was lost because the server went away is continued in memory, record by record the same:
        when the server is back, the record is found there or sent again. ``DurabilityUnknown`` is raised where the
        server answers, or where memory has no copy of the session.
        """
        self._attend()
        with self._memory.lock:
            if self._is_served_here(key):
                return self._commit_here(key, update)
        recorded = RecordedUpdate(update)
        try:
            with self._inside(self._primary):
                commit = self._primary.commit(key, recorded)
        except BackendUnavailable as error:
            self._leave(error)
            return self._commit_here(key, update)
        except DurabilityUnknown as error:
            if recorded.change is None or self._answers():
                raise
            self._leave(error)
            return self._memory.commit_in_doubt(key, recorded.before, recorded.change, error)
        if commit.change is not None:
            self._memory.keep(key, commit.before, commit.change, self._primary.read)
        return commit

    def _commit_here(self, key: str, update: Update) -> Commit:
        self._check_open()
        with self._inside(self._memory.backend):
            return self._memory.commit(key, update, self._away)

    @contextlib.contextmanager
    def _inside(self, backend: Backend) -> Iterator[None]:
        """While this thread commits there."""
        outer, self._committing.backend = self._committing.backend, backend
        try:
            yield
        finally:
            self._committing.backend = outer

    # -- away, and back ------------------------------------------------------------------------------------------------

    def _is_served_here(self, key: str) -> bool:
        return self._away is not None or key in self._memory.waiting

    def _leave(self, error: VaultError) -> None:
        """The server is away: go on in memory, with what it has copies of."""
        self._check_open()
        with self._memory.lock:
            if self._away is not None:
                return
            self._away = error
            self._since = self._clock.now()
            self._outages += 1
            self._pause = _FIRST_PAUSE
            self._next_look = self._tick() + self._pause
        log.warning("going on in memory, where what is written waits until the server is back: %s", error)

    def _answers(self) -> bool:
        try:
            self._primary.head(_PROBE)
        except BackendUnavailable:
            return False
        except VaultError:
            pass  # not a nice answer, but one
        return True

    def _is_back(self) -> bool:
        """Whether it answers, and is what it was."""
        if not self._answers():
            return False
        try:
            if self._prepare is not None:
                self._prepare()
        except VaultError as error:
            if str(error) != str(self._away):
                log.warning("the server answers, and is taken to be away: %s", error)
            self._away = error
            return False
        return True

    def _attend(self) -> None:
        """Look whether the server is back, and carry over some of what waits: one thread at a time, others pass by."""
        if self._away is None and not self._memory.waiting:
            return
        if self._tick() < self._next_look or not self._looking.acquire(blocking=False):
            return
        try:
            self._look(_AT_ONCE)
        finally:
            self._looking.release()

    def _look(self, most: int) -> None:
        if self._away is not None and not self._is_back():
            self._look_later()
            return
        now = self._tick()
        with self._memory.lock:
            due = [key for key, waiting in self._memory.waiting.items() if waiting.due <= now]
        for key in due[:most]:
            if not self._carry(key):
                return
            self._come_back()
        self._come_back()
        with self._memory.lock:
            later = min((waiting.due for waiting in self._memory.waiting.values()), default=0.0)
            self._next_look = later

    def _look_later(self) -> None:
        self._next_look = self._tick() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _come_back(self) -> None:
        with self._memory.lock:
            if self._away is None:
                return
            self._away = None
            waiting = len(self._memory.waiting)
        log.warning("the server is back; %d sessions are left to be carried over", waiting)

    def _carry(self, key: str) -> bool:
        """Bring the server what waits of a session. False where the server is away after all."""
        try:
            while not self._carried(key):
                continue
        except BackendUnavailable as error:
            self._leave(error)
            self._look_later()
            return False
        except VaultError as error:
            with self._memory.lock:
                waiting = self._memory.waiting[key]
                if waiting.problem is None:
                    log.warning("not carried over, and kept in memory: %s: %s", key, error)
                waiting.problem = str(error)
                passing = isinstance(error, DurabilityUnknown | Conflict)
                waiting.due = self._tick() + (_FIRST_PAUSE if passing else _LONGEST_PAUSE)
        return True

    def _carried(self, key: str) -> bool:
        """The server follows memory in one commit; whether nothing of the session waits any more."""
        with self._memory.lock:
            waiting, ours = self._memory.waiting[key], self._memory.snapshot(key)
            expired = ours.is_expired(self._clock.now())
            if expired and waiting.base is waiting.doubt is None:
                self._memory.settle(key, None)
                return True
        merge: Merge = (lambda _: None) if expired else self._merge  # what has expired here adds nothing
        try:
            theirs = _follow(ours, self._primary, key, waiting, merge)
        except Damaged:
            # The server lost what it had acknowledged, or a part was torn off: memory holds it all. A backend that has
            # seen none of it takes what is left there; what does not authenticate stays damaged.
            if self._afresh is None:
                raise
            theirs = _follow(ours, self._afresh(), key, waiting, merge)
            log.warning("the server had lost the newest records of %s, and was given them again", key)
        if isinstance(ours.row, Tombstone) and isinstance(theirs.row, IndexRow):
            log.warning("%s was removed here while the server was away, and stays: someone else has changed it", key)
        with self._memory.lock:
            if newest_of(self._memory.backend, key) != ours.row:
                waiting.carried(ours, theirs.row)
                return False
            self._memory.settle(key, theirs)
            return True

    # -- the backend itself --------------------------------------------------------------------------------------------

    def reindex(self) -> RebuildReport:
        """That of the server. Memory has no index."""
        return self._primary.reindex()

    def stats(self) -> dict[str, int]:
        """Those of the server, or of memory while that is away; and how many sessions wait and are remembered."""
        self._attend()
        counts = self._either(lambda backend: backend.stats())
        ours = {
            "fallback_waiting": len(self._memory.waiting),
            "fallback_remembered": len(self._memory),
            "fallback_outages": self._outages,
        }
        return {**counts, **ours}

    def health(self) -> dict[str, str | None]:
        """The server's components; and ``fallback``: since when memory stands in, and how many sessions wait."""
        self._attend()
        self._check_open()
        try:
            components = self._primary.health()
        except BackendUnavailable as error:
            components = {"primary": str(error)}
        with self._memory.lock:
            return {**components, "fallback": self._memory.problem(self._away, self._since)}

    def tombstones(self) -> Iterator[Tombstone]:
        self._attend()
        return self._either(lambda backend: backend.tombstones())

    def notes(self) -> Mapping[str, str]:
        return self._primary.notes()

    def close(self) -> None:
        """Carry over what can be, say in the log what is lost, and let go of everything. Idempotent."""
        with self._looking:
            if self._closed:
                return
            if self._memory.waiting:
                for waiting in self._memory.waiting.values():
                    waiting.due = 0.0
                self._look(len(self._memory.waiting))
            with self._memory.lock:
                self._closed = True
                lost = self._memory.close()
            if lost:
                named = ", ".join(lost[:_NAMED]) + (" and more" if len(lost) > _NAMED else "")
                log.error("%d sessions waited for their server, and are lost with this process: %s", len(lost), named)
        self._primary.close()

    def _either(self, ask: Callable[[Backend], T]) -> T:
        """The answer of the server, or of memory while that is away."""
        self._check_open()
        if self._away is None:
            try:
                return ask(self._primary)
            except BackendUnavailable as error:
                self._leave(error)
        return ask(self._memory.backend)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")


def _follow(ours: MemorySnapshot, server: Backend, key: str, waiting: PendingSession, merge: Merge) -> MemorySnapshot:
    """Bring the server to what memory had at that moment, or both to what ``settle`` makes of them: its newest then."""
    source = MemoryBackend()
    source.commit(key, lambda _: Delete(ours.row) if isinstance(ours.row, Tombstone) else Write(ours.row, 0, ours.data))

    def settle(theirs: IndexRow | Tombstone) -> Write | Delete | None:
        return waiting.settle(key, ours, theirs, partial(server.read, key), merge)

    commit = replicate(source, server, key, settle=settle)
    if commit.note is not Outcome.SETTLED or commit.after is None:
        return ours
    if isinstance(commit.change, Write):
        return MemorySnapshot(commit.after, waiting.theirs[: commit.change.offset] + commit.change.data)
    return MemorySnapshot(commit.after, waiting.theirs)
