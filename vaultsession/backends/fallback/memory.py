"""The memory that sessions go on in while their server is away: those used lately, and those that wait for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial

from ...errors import BackendUnavailable, DurabilityUnknown, Unreadable, VaultError
from ...format import record
from ...format.sealed import Commit, Container, Current, Decision, Delete, IndexRow, ReadHead, Update, Write
from ...util.clock import to_datetime
from ...util.lru import LRU
from ..memory import MemoryBackend
from ..replication import newest_of
from .pending_session import MemorySnapshot, PendingSession, witness_of

Read = Callable[[str], Container | None]


class SessionMemory:
    """Sealed sessions in memory. Safe from any thread; ``lock`` makes one step of several.

    ``waiting`` are the sessions that were written here and nowhere else. All others are copies of what the server had
    when they were used last: at most ``sessions`` of at most ``capacity`` bytes, the least recently used go first. As
    many sessions and bytes may wait. An older copy never takes the place of a newer one.
    """

    def __init__(self, describe: ReadHead, *, sessions: int, capacity: int) -> None:
        self._describe = describe
        self._most = sessions
        self._capacity = capacity
        self._copies: LRU[str, int] = LRU(most=sessions, capacity=capacity, weigh=int)
        self._closed = False
        self.backend = MemoryBackend()
        self.waiting: dict[str, PendingSession] = {}
        self.lock = threading.RLock()

    # -- copies of what the server has ---------------------------------------------------------------------------------

    def use(self, key: str, row: IndexRow | None) -> None:
        """The server has this row: its copy is among the most recently used. None: it goes."""
        with self.lock:
            if row is None:
                self.forget(key)
            else:
                self._copies.get(key)

    def forget(self, key: str) -> None:
        """Let go of the copy."""
        with self.lock:
            if self._copies.forget(key) is not None:
                self.backend.drop(key)

    def learn(self, key: str, container: Container | None, read: Read) -> None:
        """Copy what was read; all is read where that is a part of something unknown. Raises nothing of the server."""
        if container is None:
            self.forget(key)
            return
        data = self._joined(key, container)
        if data is None and container.size <= self._capacity:
            # That there is no copy is no reason for a verb to fail.
            with contextlib.suppress(VaultError):
                whole = read(key)
                data = b"" if whole is None else whole.header + whole.data
        if not data:
            return
        with contextlib.suppress(Unreadable):
            row = self._describe(key, partial(record.part, data), thorough=False)
            if row is not None:
                self._copy(key, Write(row._replace(torn=False), 0, data[: row.size]))

    def keep(self, key: str, before: Current, change: Write | Delete, read: Read) -> None:
        """Copy what was committed to the server behind ``before``."""
        with self.lock:
            if isinstance(change, Delete):
                self.forget(key)
                return
            known = self.backend.head(key) if key in self._copies else None
            if change.offset == 0 or (known is not None and known.witness == witness_of(before)):
                self._copy(key, change)
                return
        if change.head.size <= self._capacity:
            with contextlib.suppress(VaultError):
                self.learn(key, read(key), read)

    def __len__(self) -> int:
        return len(self._copies)

    def _joined(self, key: str, container: Container) -> bytes | None:
        """The whole container, if need be behind what is known; empty where nothing is new, None where bytes lack."""
        with self.lock:
            end = None if key not in self._copies else self.backend.read(key, -record.LINK_AND_FOOTER)
            if end is not None and end.header == container.header and container.offset <= end.offset:
                at = end.offset - container.offset
                if container.data[at : at + len(end.data)] == end.data:
                    known = self.backend.read(key) if container.size > end.size else None
                    self._copies.get(key)
                    return b"" if known is None else known.header + known.data + container.data[at + len(end.data) :]
        return container.header + container.data if container.offset == record.HEADER_SIZE else None

    def _copy(self, key: str, change: Write) -> None:
        row = change.head
        with self.lock:
            if self._closed or key in self.waiting:
                return
            known = self.backend.head(key)
            if known is not None and known.witness[:2] > row.witness[:2]:
                return
            if row.size > self._capacity:
                self.forget(key)
                return
            self.backend.commit(key, lambda _: change)
            self._list(key, row.size)

    def _list(self, key: str, size: int) -> None:
        for gone, _ in self._copies.keep(key, size):
            self.backend.drop(gone)

    # -- what waits ----------------------------------------------------------------------------------------------------

    def commit(self, key: str, update: Update, away: VaultError | None) -> Commit:
        """Write here; the session waits from then on. ``BackendUnavailable`` where no more fits."""

        def bounded(newest: Current) -> Decision:
            change = update(newest)
            if isinstance(change, Write | Delete):
                self._refuse_more(key, len(change.data) if isinstance(change, Write) else 0, away)
            return change

        with self.lock:
            before = self.snapshot(key) if key in self._copies else None
            commit = self.backend.commit(key, bounded)
            if commit.change is not None:
                if key not in self.waiting:
                    known = () if before is None else tuple(filter(None, [witness_of(before.row)]))
                    self.waiting[key] = PendingSession(None if before is None else before.data, known)
                    self._copies.forget(key)
                self.waiting[key].size = commit.after.size if isinstance(commit.after, IndexRow) else 0
            return commit

    def commit_in_doubt(self, key: str, before: Current, change: Write | Delete, error: DurabilityUnknown) -> Commit:
        """Put what the server may have got behind the same state here, byte for byte.

        Raises the error where that state is not known here, or no more fits.
        """

        def update(newest: Current) -> Write | Delete:
            if newest is None:
                follows = before is None or (isinstance(change, Write) and change.offset == 0)
            else:
                follows = isinstance(newest, IndexRow) and newest.witness == witness_of(before)
            if not follows:
                raise error
            return change

        with self.lock:
            try:
                commit = self.commit(key, update, error)
            except BackendUnavailable:
                raise error from None
            waiting = self.waiting[key]
            known = (witness_of(before), witness_of(commit.after))
            waiting.known = tuple(dict.fromkeys((*waiting.known, *filter(None, known))))
            if isinstance(commit.after, IndexRow):
                waiting.doubt = self.snapshot(key).data
            return commit

    def snapshot(self, key: str) -> MemorySnapshot:
        """A session that is here, as of now."""
        with self.lock:
            newest, container = newest_of(self.backend, key), self.backend.read(key)
            if newest is None:
                raise KeyError(key)
            return MemorySnapshot(newest, b"" if container is None else container.header + container.data)

    def settle(self, key: str, newest: MemorySnapshot | None) -> None:
        """The session waits no more. What the server has of it now is the copy, where that is known whole and fits."""
        with self.lock:
            del self.waiting[key]
            row, data = (None, b"") if newest is None else newest
            if not isinstance(row, IndexRow) or len(data) != row.size or row.size > self._capacity:
                self.backend.drop(key)
                return
            if newest_of(self.backend, key) != row:
                self.backend.drop(key)
                self.backend.commit(key, lambda _: Write(row, 0, data))
            self._list(key, row.size)

    def problem(self, away: VaultError | None, since: int) -> str | None:
        """What ``health`` says: None where the server answers and nothing waits."""
        with self.lock:
            count = len(self.waiting)
            why = next((f" ({key}: {each.problem})" for key, each in self.waiting.items() if each.problem), "")
        waiting = f"{count} sessions wait in memory to be carried over, and would be lost with this process"
        if away is not None:
            moment = to_datetime(since).isoformat(timespec="seconds")
            return f"going on in memory since {moment}: {waiting} ({away})"
        return waiting + why if count else None

    def close(self) -> list[str]:
        """Forget everything; the keys of what waited."""
        with self.lock:
            self._closed = True
            self._copies.clear()
            self.backend.close()
            return list(self.waiting)

    def _refuse_more(self, key: str, size: int, away: VaultError | None) -> None:
        waiting = self.waiting
        fits = sum(each.size for each in waiting.values()) + size <= self._capacity
        if not fits or (key not in waiting and len(waiting) >= self._most):
            raise BackendUnavailable(
                f"{len(waiting)} sessions wait in memory for the server to be back, and no more fits: {away}"
            ) from away
