"""MemoryBackend: the reference. A backend author reads this first; it keeps the contract and does nothing else.

One lock makes each look and each change atomic. ``commit`` is the only verb that changes anything: it shows ``update``
the newest and puts what comes back behind it, and a second lock lets no other commit come between. ``update`` itself
runs outside the first, since it may read.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..format import record
from ..format.ids import locator_of
from ..format.sealed import Commit, Container, Current, Delete, Heads, IndexRow, Query, Tombstone, Update, Write, named
from ..util.reentry import not_ours
from .protocol import Backend, RebuildReport, Traits


@dataclass(slots=True)
class _Session:
    row: IndexRow
    data: bytearray


class MemoryBackend(Backend):
    """Sealed sessions in this process. Safe from any thread.

    ``max_sessions`` bounds how many are kept: beyond it the least recently used one is dropped, without a tombstone.
    """

    traits = Traits("memory", durable=False, waits=False)

    def __init__(self, *, max_sessions: int | None = None) -> None:
        if max_sessions is not None and max_sessions < 1:
            raise ValueError("max_sessions is at least 1")
        self._most = max_sessions
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._tombstones: dict[str, Tombstone] = {}
        self._tagged: dict[bytes, set[str]] = {}
        self._lock = threading.RLock()
        self._commits = threading.RLock()
        self._closed = False

    def head(self, key: str) -> IndexRow | None:
        with not_ours(self._lock):
            session = self._used(locator_of(key))
            return None if session is None else session.row

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on. Always settled: no writer is ever half-way here."""
        del settled
        key = locator_of(key)
        with not_ours(self._lock):
            session = self._used(key)
            if session is None:
                return None
            size = len(session.data)
            offset = min(size, max(record.HEADER_SIZE, size + start if start < 0 else start))
            return Container(
                header=bytes(session.data[: record.HEADER_SIZE]),
                offset=offset,
                data=bytes(session.data[offset:]),
                witness=session.row.witness,
                tombstone=self._tombstones.get(key),
            )

    def commit(self, key: str, update: Update) -> Commit:
        key = locator_of(key)
        with not_ours(self._commits):
            with not_ours(self._lock):
                session = self._used(key)
                newest: Current = self._tombstones.get(key) if session is None else session.row
            change = update(newest)
            if isinstance(change, Write | Delete):
                change = named(change, key)
            with not_ours(self._lock):
                if isinstance(change, Delete):
                    if change.shred and session is not None:
                        session.data[:] = bytes(len(session.data))
                    self._forget(key)
                    self._tombstones[key] = change.tombstone
                elif isinstance(change, Write):
                    self._put(key, session, change)
        return Commit.of(newest, change)

    def drop(self, key: str) -> None:
        """Let go of a session, or of its tombstone, as if it had never been here."""
        key = locator_of(key)
        with not_ours(self._lock):
            self._forget(key)
            self._tombstones.pop(key, None)

    def scan(self, query: Query) -> Heads:
        rows = filter(query.is_behind_cursor, self._matching(query))
        end = None if query.limit is None else query.offset + query.limit
        ordered = sorted(rows, key=lambda row: row.place, reverse=query.newest_first)
        return iter(ordered[query.offset : end])

    def count(self, query: Query) -> int:
        return len(self._matching(query))

    def reindex(self) -> RebuildReport:
        """There is no index that could differ from the sessions."""
        return RebuildReport()

    def tombstones(self) -> Iterator[Tombstone]:
        with not_ours(self._lock):
            return iter([each for key, each in self._tombstones.items() if key not in self._sessions])

    def stats(self) -> dict[str, int]:
        with not_ours(self._lock):
            size = sum(len(session.data) for session in self._sessions.values())
            return {"sessions": len(self._sessions), "bytes": size, "tombstones": len(self._tombstones)}

    def health(self) -> dict[str, str | None]:
        """Nothing here can be unwell."""
        return {"memory": None}

    def close(self) -> None:
        with not_ours(self._lock):
            self._closed = True
            self._sessions.clear()
            self._tombstones.clear()
            self._tagged.clear()

    def _used(self, key: str) -> _Session | None:
        if self._closed:
            raise RuntimeError("the store is closed")
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
        return session

    def _put(self, key: str, session: _Session | None, sealed: Write) -> None:
        if sealed.offset == 0:
            data = bytearray(sealed.data)
        elif session is not None and sealed.offset == len(session.data):
            data = session.data + sealed.data
        else:
            raise ValueError(f"a record of {key} at offset {sealed.offset} does not follow the newest")
        self._forget(key)
        self._sessions[key] = _Session(sealed.head, data)
        for tag in sealed.head.tags:
            self._tagged.setdefault(tag, set()).add(key)
        if self._most is not None and len(self._sessions) > self._most:
            self._forget(next(iter(self._sessions)))

    def _forget(self, key: str) -> None:
        session = self._sessions.pop(key, None)
        for tag in session.row.tags if session is not None else ():
            self._tagged[tag].discard(key)
            if not self._tagged[tag]:
                del self._tagged[tag]

    def _matching(self, query: Query) -> list[IndexRow]:
        with not_ours(self._lock):
            if self._closed:
                raise RuntimeError("the store is closed")
            keys: Iterable[str] = self._sessions
            if query.tags:
                keys = set.intersection(*(self._tagged.get(tag, set()) for tag in query.tags))
            return [row for key in keys if query.matches(row := self._sessions[key].row)]
