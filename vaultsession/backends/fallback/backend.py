"""Fallback: the verbs, to the server while it answers, else to memory; and the way back.

::

    the server answers     every verb goes there; the containers of recently used sessions are remembered
    it does not            every verb goes to memory, which begins with what is remembered; what is written waits
    it answers again       what waits is carried over, a few sessions with each verb; until then they are served from here

What is asked inside a ``seal`` goes where the commit goes: a session is never sealed from two places.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

from ...backend import Backend, Traits
from ...clock import Clock, to_datetime
from ...envelope import v1
from ...errors import BackendUnavailable, DurabilityUnknown, VaultError
from ...ids import LOCATOR_LENGTH, locator_of
from ...sealed import Container, Describe, Heads, Newest, Grave, Query, Seal, Sealed, SealedHead
from ..memory import MemoryBackend
from .remembered import Remembered, part, version_at
from .waiting import Here, Merge, Step, Waiting, step

_log = logging.getLogger("vaultsession")

SESSIONS = 1024
CAPACITY = 64 << 20
"""Sessions and bytes of containers: as many are remembered, and as many may wait."""

_PROBE = "0" * LOCATOR_LENGTH
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0
"""Seconds between two looks whether the server is back: 1, 2, 4, and so on."""

_AT_ONCE = 16
"""Sessions that one verb carries over on its way."""


class _Watched:
    """A seal, and what it was last shown and has made of it."""

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self.newest: Newest = None
        self.result: Sealed | Grave | None = None

    def __call__(self, newest: Newest) -> Sealed | Grave | None:
        self.newest, self.result = newest, None
        self.result = self._seal(newest)
        return self.result


class Fallback:
    """A backend that goes on in memory while its server is away. Safe from any thread.

    What was not met here lately reads as absent meanwhile, and can be created; listings, counts and sweeps know only
    what memory has. What waits is lost with the process: ``health`` says how much that is. Where no more fits, writes
    raise ``BackendUnavailable`` as they would have done without this. Where someone else wrote to a session that
    waits, ``merge`` puts what is new here behind that; what was removed here and changed there stays.
    """

    def __init__(
        self,
        primary: Backend,
        describe: Describe,
        merge: Merge,
        clock: Clock,
        *,
        sessions: int = SESSIONS,
        capacity: int = CAPACITY,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._describe = describe
        self._merge = merge
        self._clock = clock
        self._tick = tick
        self._most = sessions
        self._memory = MemoryBackend()
        self._remembered = Remembered(sessions=sessions, capacity=capacity)
        self._waiting: dict[str, Waiting] = {}
        self._away: VaultError | None = None
        self._since = 0
        self._outages = 0
        self._pause = _FIRST_PAUSE
        self._next_look = 0.0
        self._guard = threading.RLock()  # whatever is in memory; nothing under it waits for the server
        self._looking = threading.Lock()  # held by the one thread that looks whether the server is back
        self._sealing = threading.local()
        self._closed = False

    @property
    def traits(self) -> Traits:
        """Those of the server."""
        return self._primary.traits

    # -- reads ---------------------------------------------------------------------------------------------------------

    def head(self, key: str) -> SealedHead | None:
        """The newest head, of the server or of memory."""
        inside = self._inside()
        if inside is not None:
            return inside.head(key)
        self._attend()
        while True:
            with self._guard:
                if self._is_served_here(key):
                    self._adopt(key)
                    return self._memory.head(key)
            try:
                row = self._primary.head(key)
            except BackendUnavailable as error:
                self._leave(error)
                continue
            if row is None:
                self._remembered.forget(key)
            else:
                self._remembered.use(key)
            return row

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on. A session that is met for the first time is read whole, to be remembered."""
        inside = self._inside()
        if inside is not None:
            return inside.read(key, start, settled=settled)
        self._attend()
        while True:
            with self._guard:
                if self._is_served_here(key):
                    self._adopt(key)
                    return self._memory.read(key, start, settled=settled)
            try:
                container = self._primary.read(key, start, settled=settled)
            except BackendUnavailable as error:
                self._leave(error)
                continue
            self._learn(key, container)
            return container

    def scan(self, query: Query) -> Heads:
        """The server's heads, with those that wait in their places; while it is away, what memory knows."""
        self._attend()
        self._check_open()
        if self._away is None and self._waiting:
            end = None if query.limit is None else query.offset + query.limit
            return islice(self._mixed(query), query.offset, end)
        return self._scanned(query)

    def count(self, query: Query) -> int:
        """How many heads ``scan`` would give without a limit."""
        self._attend()
        self._check_open()
        if self._away is None and not self._waiting:
            try:
                return self._primary.count(query)
            except BackendUnavailable as error:
                self._leave(error)
        return sum(1 for _ in self.scan(replace(query, after=None, offset=0, limit=None)))

    def _scanned(self, query: Query) -> Iterator[SealedHead]:
        """From the server, and from where it went away on from memory."""
        if self._away is None:
            try:
                for row in self._primary.scan(query):
                    yield row
                    limit = None if query.limit is None else query.limit - 1
                    query = replace(query, after=_place(row), offset=0, limit=limit)
            except BackendUnavailable as error:
                self._leave(error)
            else:
                return
        yield from self._memory.scan(query)

    def _mixed(self, query: Query) -> Iterator[SealedHead]:
        """Every head that matches, from where the query begins."""
        every = replace(query, offset=0, limit=None)
        with self._guard:
            waiting = frozenset(self._waiting)
            here = [row for row in self._memory.scan(every) if row.key in waiting]
        theirs = (row for row in self._scanned(every) if row.key not in waiting)
        yield from heapq.merge(theirs, here, key=_place, reverse=query.newest_first)

    # -- writes --------------------------------------------------------------------------------------------------------

    def commit(self, key: str, seal: Seal) -> Newest:
        """Put behind the newest what ``seal`` makes of it: at the server, or in memory while that is away.

        A write whose answer was lost because the server went away is continued in memory, record by record the same:
        when the server is back, the record is found there or sent again. ``DurabilityUnknown`` is raised where the
        server answers, or where the session was not remembered.
        """
        self._attend()
        with self._guard:
            if self._is_served_here(key):
                return self._commit_here(key, seal)
        watched = _Watched(seal)
        try:
            with self._sealed_at(self._primary):
                newest = self._primary.commit(key, watched)
        except BackendUnavailable as error:
            self._leave(error)
            return self._commit_here(key, seal)
        except DurabilityUnknown as error:
            if self._answers():
                raise
            self._leave(error)
            return self._go_on_in_doubt(key, watched, error)
        self._keep(key, watched, newest)
        return newest

    def _commit_here(self, key: str, seal: Seal) -> Newest:
        watched = _Watched(seal)

        def bounded(newest: Newest) -> Sealed | Grave | None:
            result = watched(newest)
            if result is not None:
                self._refuse_more(key, len(result.data) if isinstance(result, Sealed) else 0)
            return result

        with self._guard, self._sealed_at(self._memory):
            self._check_open()
            self._adopt(key)
            before = self._here(key)
            newest = self._memory.commit(key, bounded)
            if watched.result is not None:
                if key not in self._waiting:
                    self._waiting[key] = _begun(before)
                waiting = self._waiting[key]
                waiting.size = newest.size if isinstance(newest, SealedHead) else 0
            return newest

    def _go_on_in_doubt(self, key: str, watched: _Watched, error: DurabilityUnknown) -> Newest:
        """What was sealed for the server, put behind the same state in memory; raises the error where that is not known."""
        result, before = watched.result, watched.newest

        def seal(newest: Newest) -> Sealed | Grave | None:
            same = newest == before or (
                isinstance(newest, SealedHead) and isinstance(before, SealedHead) and newest.witness == before.witness
            )
            if not same and not (isinstance(result, Sealed) and result.offset == 0 and newest is None):
                raise error
            return result

        with self._guard:
            try:
                newest = self._commit_here(key, seal)
            except BackendUnavailable:
                raise error from None
            waiting = self._waiting[key]
            here = self._here(key)
            if isinstance(before, SealedHead) and before.witness not in waiting.known:
                waiting.known = (*waiting.known, before.witness)
            if here is not None and isinstance(here.row, SealedHead):
                waiting.known = (*waiting.known, here.row.witness)
                waiting.doubt = here.data
            return newest

    def _refuse_more(self, key: str, size: int) -> None:
        waiting = self._waiting
        fits = sum(each.size for each in waiting.values()) + size <= self._remembered.capacity
        if not fits or (key not in waiting and len(waiting) >= self._most):
            raise BackendUnavailable(
                f"{self._away or 'the server was away'}; {len(waiting)} sessions wait in memory, and no more fits"
            ) from self._away

    # -- what is remembered --------------------------------------------------------------------------------------------

    def _learn(self, key: str, container: Container | None) -> None:
        if container is None:
            self._remembered.forget(key)
        elif not self._remembered.follow(key, container):
            if container.offset == v1.HEADER_SIZE:
                self._remembered.keep(key, container.header + container.data)
            else:
                self._read_whole(key, container.size)

    def _keep(self, key: str, watched: _Watched, newest: Newest) -> None:
        """Remember what was committed."""
        result, before = watched.result, watched.newest
        if not isinstance(newest, SealedHead):
            self._remembered.forget(key)
        elif isinstance(result, Sealed):
            if result.offset == 0:
                self._remembered.keep(key, result.data)
            elif not isinstance(before, SealedHead) or not self._remembered.extend(
                key, result.offset, before.version, result.data
            ):
                self._read_whole(key, newest.size)

    def _read_whole(self, key: str, size: int) -> None:
        """To remember it is no reason for a verb to fail."""
        if size <= self._remembered.capacity:
            with contextlib.suppress(VaultError):
                container = self._primary.read(key)
                if container is not None:
                    self._remembered.keep(key, container.header + container.data)

    def _adopt(self, key: str) -> None:
        """Let memory have what is remembered of a session, unless it has the session already."""
        if key in self._waiting or self._memory.head(key) is not None:
            return
        data = self._remembered.of(key)
        if data is None:
            return
        try:
            row = self._describe(key, partial(part, data), thorough=False)
        except VaultError as error:
            _log.warning("what is remembered of %s cannot be used: %s", key, error)
            return
        if row is not None:
            whole = Sealed(row._replace(torn=False), 0, data[: row.size])
            self._memory.commit(key, lambda _: whole)

    def _here(self, key: str) -> Here | None:
        """What memory has of a session."""
        found: list[Newest] = []
        self._memory.commit(key, found.append)
        newest = found[0]
        if newest is None:
            return None
        container = self._memory.read(key)
        return Here(newest, b"" if container is None else container.header + container.data)

    # -- away, and back ------------------------------------------------------------------------------------------------

    def _is_served_here(self, key: str) -> bool:
        return self._away is not None or key in self._waiting

    def _leave(self, error: VaultError) -> None:
        """The server is away: go on in memory, with what is remembered."""
        self._check_open()
        with self._guard:
            if self._away is not None:
                return
            self._away = error
            self._since = self._clock.now()
            self._outages += 1
            self._pause = _FIRST_PAUSE
            self._next_look = self._tick() + self._pause
            for key in self._remembered.keys():
                self._adopt(key)
        _log.warning("going on in memory, where what is written waits until the server is back: %s", error)

    def _answers(self) -> bool:
        try:
            self._primary.head(_PROBE)
        except BackendUnavailable:
            return False
        except VaultError:
            pass  # not a nice answer, but one
        return True

    def _attend(self) -> None:
        """Look whether the server is back, and carry over some of what waits: one thread at a time, others pass by."""
        if self._away is None and not self._waiting:
            return
        if self._tick() < self._next_look or not self._looking.acquire(blocking=False):
            return
        try:
            self._look(_AT_ONCE)
        finally:
            self._looking.release()

    def _look(self, most: int) -> None:
        if self._away is not None and not self._answers():
            self._next_look = self._tick() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return
        now = self._tick()
        with self._guard:
            due = [key for key, waiting in self._waiting.items() if waiting.due <= now]
        for key in due[:most]:
            if not self._carry(key):
                return
            self._come_back()
        self._come_back()
        with self._guard:
            later = min((waiting.due for waiting in self._waiting.values()), default=0.0)
            self._next_look = later

    def _come_back(self) -> None:
        with self._guard:
            if self._away is None:
                return
            self._away = None
            for row in list(self._memory.scan(Query())):
                if row.key not in self._waiting:
                    self._memory.drop(row.key)
            waiting = len(self._waiting)
        _log.warning("the server is back; %d sessions are left to be carried over", waiting)

    def _carry(self, key: str) -> bool:
        """Bring the server what waits of a session. False where the server is away after all."""
        problem: VaultError
        try:
            while not self._carried(key):
                continue
            return True
        except BackendUnavailable as error:
            self._leave(error)
            self._next_look = self._tick() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return False
        except VaultError as error:
            problem = error
        with self._guard:
            waiting = self._waiting[key]
            if waiting.problem is None:
                _log.warning("not carried over, and kept in memory: %s: %s", key, problem)
            waiting.problem = str(problem)
            waiting.due = self._tick() + _LONGEST_PAUSE
        return True

    def _carried(self, key: str) -> bool:
        """One commit at the server; whether nothing of the session waits any more."""
        with self._guard:
            waiting, here = self._waiting[key], self._here(key)
            if here is None or self._is_expired(here):
                self._settle(key, None)
                return True
        made = Step(None)

        def seal(theirs: Newest) -> Sealed | Grave | None:
            nonlocal made
            made = step(key, waiting, here, theirs, partial(self._primary.read, key), self._merge)
            return made.result

        newest = self._primary.commit(key, seal)
        if made.kept:
            _log.warning("%s was removed here while the server was away, and stays: someone else has changed it", key)
        with self._guard:
            if self._here(key) != here:
                waiting.carried(here, by_merging=made.by_merging)
                return False
            same = isinstance(newest, SealedHead) and version_at(here.data, newest.size) == newest.version
            self._settle(key, here.data if same else None)
            return True

    def _settle(self, key: str, data: bytes | None) -> None:
        """Nothing of the session waits any more; the container is remembered where it is the server's too."""
        self._remembered.forget(key)
        if data is not None:
            self._remembered.keep(key, data)
        del self._waiting[key]
        self._memory.drop(key)

    def _is_expired(self, here: Here) -> bool:
        row = here.row
        return isinstance(row, SealedHead) and row.expires is not None and row.expires <= self._clock.now()

    # -- the backend itself --------------------------------------------------------------------------------------------

    def reindex(self) -> object:
        """That of the server. Memory has no index."""
        return self._primary.reindex()

    def stats(self) -> dict[str, int]:
        """Those of the server, or of memory while that is away; and how many sessions wait and are remembered."""
        self._attend()
        self._check_open()
        counts: dict[str, int] | None = None
        if self._away is None:
            try:
                counts = self._primary.stats()
            except BackendUnavailable as error:
                self._leave(error)
        counts = self._memory.stats() if counts is None else counts
        ours = {
            "fallback_waiting": len(self._waiting),
            "fallback_remembered": len(self._remembered),
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
        with self._guard:
            return {**components, "fallback": self._problem()}

    def _problem(self) -> str | None:
        waiting = (
            f"{len(self._waiting)} sessions wait in memory to be carried over, and would be lost with this process"
        )
        if self._away is not None:
            since = to_datetime(self._since).isoformat(timespec="seconds")
            return f"going on in memory since {since}: {waiting} ({self._away})"
        if not self._waiting:
            return None
        told = next((f" ({key}: {each.problem})" for key, each in self._waiting.items() if each.problem), "")
        return waiting + told

    def close(self) -> None:
        """Carry over what can be, say in the log what is lost, and let go of everything. Idempotent; never raises for it."""
        with self._looking:
            if self._closed:
                return
            if self._waiting:
                for waiting in self._waiting.values():
                    waiting.due = 0.0
                self._look(len(self._waiting))
            with self._guard:
                self._closed = True
                lost = list(self._waiting)
                if lost:
                    _log.error(
                        "%d sessions that were written while the server was away are lost with this process: %s%s",
                        len(lost),
                        ", ".join(lost[:10]),
                        " and more" if len(lost) > 10 else "",  # noqa: PLR2004 - as many as are named
                    )
                self._memory.close()
                self._remembered.clear()
        self._primary.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")

    # -- inside a seal -------------------------------------------------------------------------------------------------

    def _inside(self) -> Backend | None:
        """Where the commit goes whose seal this thread is in."""
        found: Backend | None = getattr(self._sealing, "backend", None)
        return found

    @contextlib.contextmanager
    def _sealed_at(self, backend: Backend) -> Iterator[None]:
        outer, self._sealing.backend = self._inside(), backend
        try:
            yield
        finally:
            self._sealing.backend = outer


def _begun(before: Here | None) -> Waiting:
    """A session that begins to wait, by what memory had of it: what the server had when it was last met."""
    if before is None or not isinstance(before.row, SealedHead):
        return Waiting()
    return Waiting(before=before.data, known=(before.row.witness,))


def _place(row: SealedHead) -> tuple[int, str]:
    return row.updated, locator_of(row.key)
