"""Standin: the memory that sessions go on in, what is remembered for it, and what waits there to be carried over."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from functools import partial

from ...errors import BackendUnavailable, DurabilityUnknown, VaultError
from ...format import record
from ...format.sealed import Container, Current, Delete, IndexRow, Query, ReadHead, Update, Write
from ...util.clock import to_datetime
from ..memory import MemoryBackend
from .catch_up import CatchUp, Here
from .container_cache import ContainerCache, part

Read = Callable[[str], Container | None]

_log = logging.getLogger("vaultsession")


class Watched:
    """A seal, and what it was last shown and has made of it."""

    def __init__(self, seal: Update) -> None:
        self._seal = seal
        self.newest: Current = None
        self.result: Write | Delete | None = None

    def __call__(self, newest: Current) -> Write | Delete | None:
        """What shall follow, as the seal says."""
        self.newest, self.result = newest, None
        self.result = self._seal(newest)
        return self.result


class OfflineBackend:
    """Sessions in memory. Each call is one step, seen as a whole by every thread; ``guard`` makes one of several.

    Nothing here waits for a server. ``waiting`` are the sessions that were written here and nowhere else.
    """

    def __init__(self, describe: ReadHead, *, sessions: int, capacity: int) -> None:
        self._describe = describe
        self._most = sessions
        self.memory = MemoryBackend()
        self.remembered = ContainerCache(sessions=sessions, capacity=capacity)
        self.waiting: dict[str, CatchUp] = {}
        self.guard = threading.RLock()

    def learn(self, key: str, container: Container | None, read: Read) -> None:
        """Remember what was read; the whole is read where that is only a part of something that is not known yet."""
        if container is None:
            self.remembered.forget(key)
        elif not self.remembered.follow(key, container):
            if container.offset == record.HEADER_SIZE:
                self.remembered.keep(key, container.header + container.data)
            else:
                self._read_whole(key, container.size, read)

    def keep(self, key: str, sent: Watched, newest: Current, read: Read) -> None:
        """Remember what was committed to the server."""
        result, before = sent.result, sent.newest
        if not isinstance(newest, IndexRow):
            self.remembered.forget(key)
        elif isinstance(result, Write):
            if result.offset == 0:
                self.remembered.keep(key, result.data)
            elif not isinstance(before, IndexRow) or not self.remembered.extend(
                key, result.offset, before.version, result.data
            ):
                self._read_whole(key, newest.size, read)

    def _read_whole(self, key: str, size: int, read: Read) -> None:
        """That it cannot be remembered is no reason for a verb to fail."""
        if size <= self.remembered.capacity:
            with contextlib.suppress(VaultError):
                container = read(key)
                if container is not None:
                    self.remembered.keep(key, container.header + container.data)

    def adopt(self, key: str) -> None:
        """Let memory have what is remembered of a session, unless it has the session already."""
        with self.guard:
            if key in self.waiting or self.memory.head(key) is not None:
                return
            data = self.remembered.of(key)
            if data is None:
                return
            try:
                row = self._describe(key, partial(part, data), thorough=False)
            except VaultError as error:
                _log.warning("what is remembered of %s cannot be used: %s", key, error)
                return
            if row is not None:
                whole = Write(row._replace(torn=False), 0, data[: row.size])
                self.memory.commit(key, lambda _: whole)

    def begin(self) -> None:
        """Let memory have everything that is remembered."""
        with self.guard:
            for key in self.remembered.keys():  # noqa: SIM118 - no dict: a list of that moment
                self.adopt(key)

    def end(self) -> int:
        """Keep in memory what waits, and nothing else; how much that is."""
        with self.guard:
            for row in self.memory.scan(Query()):
                if row.key not in self.waiting:
                    self.memory.drop(row.key)
            return len(self.waiting)

    def here(self, key: str) -> Here | None:
        """What memory has of a session."""
        with self.guard:
            found: list[Current] = []
            self.memory.commit(key, found.append)
            newest = found[0]
            if newest is None:
                return None
            container = self.memory.read(key)
            return Here(newest, b"" if container is None else container.header + container.data)

    def commit(self, key: str, seal: Update, away: VaultError | None) -> Current:
        """Write to memory; the session waits from then on. ``BackendUnavailable`` where no more fits."""
        watched = Watched(seal)

        def bounded(newest: Current) -> Write | Delete | None:
            result = watched(newest)
            if result is not None:
                self._refuse_more(key, len(result.data) if isinstance(result, Write) else 0, away)
            return result

        with self.guard:
            self.adopt(key)
            before = self.here(key) if key not in self.waiting else None
            newest = self.memory.commit(key, bounded)
            if watched.result is not None:
                waiting = self.waiting.get(key)
                if waiting is None:
                    waiting = self.waiting[key] = _begun(before)
                waiting.size = newest.size if isinstance(newest, IndexRow) else 0
            return newest

    def go_on(self, key: str, sent: Watched, error: DurabilityUnknown) -> Current:
        """What was sealed for the server and may be there, put behind the same state in memory.

        Raises the error where that state is not known here, or no more fits.
        """
        result, before = sent.result, sent.newest

        def seal(newest: Current) -> Write | Delete | None:
            if not _is_same(newest, before) and not (_is_whole(result) and newest is None):
                raise error
            return result

        with self.guard:
            try:
                newest = self.commit(key, seal, error)
            except BackendUnavailable:
                raise error from None
            waiting, here = self.waiting[key], self.here(key)
            if isinstance(before, IndexRow) and before.witness not in waiting.known:
                waiting.known = (*waiting.known, before.witness)
            if here is not None and isinstance(here.row, IndexRow):
                waiting.known = (*waiting.known, here.row.witness)
                waiting.doubt = here.data
            return newest

    def settle(self, key: str, data: bytes | None) -> None:
        """Nothing of the session waits any more; the container is remembered where it is the server's too."""
        with self.guard:
            self.remembered.forget(key)
            if data:
                self.remembered.keep(key, data)
            del self.waiting[key]
            self.memory.drop(key)

    def problem(self, away: VaultError | None, since: int) -> str | None:
        """What ``health`` says: None where the server answers and nothing waits."""
        with self.guard:
            count = len(self.waiting)
            told = next((f" ({key}: {each.problem})" for key, each in self.waiting.items() if each.problem), "")
        waiting = f"{count} sessions wait in memory to be carried over, and would be lost with this process"
        if away is not None:
            moment = to_datetime(since).isoformat(timespec="seconds")
            return f"going on in memory since {moment}: {waiting} ({away})"
        return waiting + told if count else None

    def close(self) -> list[str]:
        """Forget everything; the keys of what waited."""
        with self.guard:
            lost = list(self.waiting)
            self.memory.close()
            self.remembered.clear()
            return lost

    def _refuse_more(self, key: str, size: int, away: VaultError | None) -> None:
        waiting = self.waiting
        fits = sum(each.size for each in waiting.values()) + size <= self.remembered.capacity
        if not fits or (key not in waiting and len(waiting) >= self._most):
            raise BackendUnavailable(
                f"{len(waiting)} sessions wait in memory for the server to be back, and no more fits: {away}"
            ) from away


def _begun(before: Here | None) -> CatchUp:
    """A session that begins to wait, by what memory had of it: what the server had when it was last met."""
    if before is None or not isinstance(before.row, IndexRow):
        return CatchUp()
    return CatchUp(before=before.data, known=(before.row.witness,))


def _is_same(one: Current, other: Current) -> bool:
    if isinstance(one, IndexRow) and isinstance(other, IndexRow):
        return one.witness == other.witness
    return one is None and other is None


def _is_whole(result: Write | Delete | None) -> bool:
    return isinstance(result, Write) and result.offset == 0
