"""ThreadLogs: the threads of a store, each a session whose messages are the records of its log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Any, TypeVar

from ...errors import Conflict, InvalidDocument, SessionExists, SessionNotFound, UnsupportedFormat
from ...format.payload import Json
from ...format.thread_log import (
    ALL_MESSAGES,
    FORMAT,
    FRAMEWORK,
    LOG,
    NAME,
    THREAD,
    Beyond,
    ThreadLog,
    labels_of,
    new_log,
    session_id,
)
from ...store.fields import SessionFields
from ...store.pages import PagedListing
from ...store.session import SessionInfo
from ...store.store import SessionStore
from ...util.lru import LRU
from ..adapter import labelled

T = TypeVar("T")

_LOCKS = 64
_TRIES = 100
_LOOK = 12
"""Records at the end that are looked at first, for where to begin reading."""
_SHORT = 48
"""Records that are read from the first one on in any case."""


class _Folded:
    """A log, and which document of which session it is of. ``weight`` is what it had in memory then, in bytes."""

    __slots__ = ("log", "name", "version", "weight")

    def __init__(self, log: ThreadLog, name: tuple[object, ...], version: str) -> None:
        self.log = log
        self.name = name
        self.version = version
        self.weight = log.weight * (2 if log.memory else 1)  # the lists that were put last hold as much again


class ThreadLogs:
    """Reads and writes the logs of threads. Safe from any thread.

    ``fields`` are those of a session that is made; ``capacity`` bounds the bytes of logs that are kept in memory.
    """

    def __init__(self, store: SessionStore[Any], fields: SessionFields, *, capacity: int = 64 << 20) -> None:
        self._store = store
        self._fields = fields
        self._folded: LRU[str, _Folded] = LRU(capacity=capacity, weigh=attrgetter("weight"))
        self._locks = [threading.RLock() for _ in range(_LOCKS)]

    def read(self, thread: str, space: str | None, look: Callable[[ThreadLog], T]) -> T | None:
        """What a look at the newest log says; None where there is no thread.

        ``space`` is the namespace whose newest checkpoint is looked for, so that an end of the log may do.
        """
        id = session_id(thread)  # noqa: A001 - the word that every user of a session store knows
        with self._lock(id):
            folded = self._current(id, space)
            if folded is None:
                return None
            try:
                return look(folded.log)
            except Beyond:
                folded = self._current(id, None)
                return None if folded is None else look(folded.log)

    def write(self, thread: str, owners: SessionFields, draft: Callable[[ThreadLog], Json | None]) -> None:
        """Put the record that ``draft`` makes behind the newest log, or nothing where it makes none.

        ``owners`` are fields of the session where it is made. Where another process writes, it is drafted again.
        """
        id = session_id(thread)  # noqa: A001 - as above
        space: str | None = ""
        with self._lock(id):
            for _ in range(_TRIES):
                folded = self._current(id, space)
                log = ThreadLog() if folded is None else folded.log
                try:
                    record = draft(log)
                except Beyond:
                    space = None
                    continue
                if record is None:
                    return
                try:
                    if folded is None:
                        self._begin(id, thread, owners, [record])
                    else:
                        info = self._store.append(id, record, if_version=folded.version)
                        self._follow(id, folded, record, info)
                except (Conflict, SessionExists, SessionNotFound):
                    log.memory.clear()  # it is of a record that was not written
                    continue
                except BaseException:
                    self._folded.forget(id)
                    raise
                return
        raise Conflict(f"thread {thread!r:.80} was changed by others {_TRIES} times in a row")

    def rewrite(self, thread: str, change: Callable[[ThreadLog], Sequence[Json] | None]) -> None:
        """Put the records that ``change`` makes of the log in its place; None leaves it, none removes the session."""
        id = session_id(thread)  # noqa: A001 - as above
        with self._lock(id):
            for _ in range(_TRIES):
                folded = self._current(id, None)
                records = None if folded is None else change(folded.log)
                if folded is None or records is None:
                    return
                self._folded.forget(id)
                try:
                    if not records:
                        self._store.delete(id, if_version=folded.version)
                        return
                    session = self._store.load(id)
                    if session.version == folded.version:
                        session.messages = list(records)
                        session.labels = {**session.labels, LOG: new_log()}
                        self._store.save(session)
                        return
                except (Conflict, SessionNotFound):
                    continue
        raise Conflict(f"thread {thread!r:.80} was changed by others {_TRIES} times in a row")

    def delete(self, thread: str) -> None:
        """Remove a thread, if it is there."""
        id = session_id(thread)  # noqa: A001 - as above
        with self._lock(id):
            self._folded.forget(id)
            for _ in range(_TRIES):
                try:
                    self._store.delete(id, if_version=self._info(id).version)
                except SessionNotFound:
                    return
                except Conflict:
                    continue
                return
        raise Conflict(f"thread {thread!r:.80} was changed by others {_TRIES} times in a row")

    def copy(self, source: str, target: str) -> None:
        """Copy a thread with its whole history, if it is there. ``SessionExists`` where there is a target already."""
        id, new_id = session_id(source), session_id(target)  # noqa: A001 - as above
        with suppress(SessionNotFound):
            self._info(id)
            self._store.copy(id, new_id, labels={**(self._fields.get("labels") or {}), **labels_of(target)})

    def threads(self) -> Iterator[str]:
        """The ids of all threads, those changed last first."""
        listing = PagedListing(self._store, {"labels": {FRAMEWORK: NAME}})
        return (info.labels.get(THREAD, info.id) for info in listing.pages())

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _lock(self, id: str) -> threading.RLock:
        return self._locks[hash(id) % _LOCKS]

    def _info(self, id: str) -> SessionInfo:
        """What is known of a thread's session, which is one. ``SessionNotFound``."""
        info = self._store.info(id)
        labels = info.labels
        if labels.get(FRAMEWORK) != NAME:
            raise InvalidDocument(f"session {id!r:.80} is no thread of LangGraph: choose another thread_id, or vault")
        found = labels.get(LOG, "").partition(".")[0]
        if found != FORMAT:
            raise UnsupportedFormat(
                f"the log of thread {id!r:.80} is of format {found!r}", found=found, supported=FORMAT
            )
        return info

    def _current(self, id: str, space: str | None) -> _Folded | None:
        """The newest log: kept, extended, or read; the end of it may do where a ``space`` is given."""
        folded = self._folded.get(id)
        try:
            info = self._info(id)
            if info.sliding:
                self._store.messages(id, last=1)  # reading extends its life
            for _ in range(_TRIES):
                if folded is None or folded.name != _name(info) or folded.log.count > info.message_count:
                    folded = self._begun(id, info, space)
                elif space is None and folded.log.first:
                    folded = _Folded(ThreadLog(), _name(info), "")
                if folded.version == info.version:
                    return self._kept(id, folded)
                folded.log.take_all(self._store.messages(id, offset=folded.log.count))
                again = self._info(id)
                if (again.version, _name(again)) == (info.version, folded.name):
                    folded.version = info.version
                info = again
        except SessionNotFound:
            self._folded.forget(id)
            return None
        except BaseException:
            self._folded.forget(id)
            raise
        raise Conflict(f"session {id!r:.80} was changed by others {_TRIES} times in a row")

    def _begun(self, id: str, info: SessionInfo, space: str | None) -> _Folded:
        """A log of which nothing is read yet, and where reading begins."""
        if space is None or info.message_count < _SHORT:
            return _Folded(ThreadLog(), _name(info), "")
        for record in reversed(self._store.messages(id, last=_LOOK)):
            if "checkpoint" in record and record.get("ns", "") == space:
                if "whole" in record:
                    first, base = record["whole"]
                    return _Folded(ThreadLog(first=first, base=base), _name(info), "")
                break
        return _Folded(ThreadLog(), _name(info), "")

    def _begin(self, id: str, thread: str, owners: SessionFields, records: list[Json]) -> None:
        fields = labelled({**owners, **self._fields}, labels_of(thread))
        fields["max_messages"] = ALL_MESSAGES
        session = self._store.create(id, messages=records, **fields)
        folded = _Folded(ThreadLog(), _name(session.info()), session.version)
        folded.log.take_all(records)
        self._kept(id, folded)

    def _follow(self, id: str, folded: _Folded, record: Json, info: SessionInfo) -> None:
        """Fold what this process has written."""
        if info.message_count != folded.log.count + 1:
            self._folded.forget(id)
            return
        folded.log.take_all([record])
        folded.version = info.version
        self._kept(id, folded)

    def _kept(self, id: str, folded: _Folded) -> _Folded:
        """The log, kept by what it weighs now."""
        kept = _Folded(folded.log, folded.name, folded.version)
        self._folded.keep(id, kept)
        return kept


def _name(info: SessionInfo) -> tuple[object, ...]:
    """What a log keeps while it is only appended to."""
    return info.labels.get(LOG), info.created_at
