"""``VaultSessionStore``: transcripts of the Claude Agent SDK in a vault. Needs the extra ``claude-agent``.

::

    store = VaultSessionStore.from_url("sessions")
    options = ClaudeAgentOptions(session_store=store, resume=session_id)

One session for each transcript, main or of a sub-agent, its entries the messages. Entries are told apart by their
``uuid``: one that is there is not written again. The summary of a transcript lies in its state and is written in the
same record as the entries that it sums up. Every verb runs in a thread, under asyncio and trio; a write that was
started is finished even if its task is cancelled.

Decision: no life span by default. Where the store gives one, it should be longer than the CLI's own retention: a mirror
whose beginning has expired goes on with a tail.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, Unpack

from ..errors import Conflict, InvalidSessionId, SessionExists, SessionNotFound, Unreadable
from ..format.payload import Json
from ..store.fields import SessionFields
from ..store.session import SessionInfo, Snapshot
from ..util.lru import LRU
from .adapter import Lent, StoreAdapter, composed_id, framework, labelled

with framework("claude-agent-sdk", extra="claude-agent", tried=("0.2.189", "0.3")):
    import anyio
    from claude_agent_sdk import fold_session_summary

_log = logging.getLogger("vaultsession")

T = TypeVar("T")

Key = Mapping[str, str]
"""``project_key``, ``session_id``, and of a transcript that is not the main one ``subpath``."""

PROJECT = "claude.project"
"""The label of main transcripts."""
PARENT = "claude.session"
"""The label of all other transcripts: the project and the session that they belong to."""

_PREFIX = "claude"
_MOST_UUIDS = 1 << 18
"""Of all transcripts together that are kept in memory: 32 MiB."""
_TRIES = 100
_ALL = 1 << 30


class _Known(NamedTuple):
    """A transcript as ``info`` names it: its summary, and the uuids of its entries. The set grows, its ``size`` not."""

    info: SessionInfo
    summary: Json | None
    uuids: set[str]
    size: int


class VaultSessionStore(StoreAdapter):
    """A ``SessionStore`` of the SDK: all six methods. Safe from any thread, event loop and process.

    ``store`` stays its caller's. ``fields`` are those of ``SessionStore.create``, for each transcript that is made:
    ``user_id``, ``labels``, ``ttl`` …. Keys of any length and script are kept apart.
    """

    def __init__(self, store: Lent, **fields: Unpack[SessionFields]) -> None:
        super().__init__(store, **fields)
        self._known: LRU[str, _Known] = LRU(capacity=_MOST_UUIDS, weigh=lambda known: 16 + known.size)
        self._locks: weakref.WeakValueDictionary[tuple[int, str], anyio.Lock] = weakref.WeakValueDictionary()

    async def append(self, key: Key, entries: list[Any]) -> None:
        """Put entries behind the transcript, in the order of the calls; all or none, and each ``uuid`` once."""
        if not entries:
            return
        name = _id_of(key)
        lock = self._locks.setdefault((threading.get_ident(), name), anyio.Lock())
        async with lock:
            await self._handle.run(self._append, key, name, entries)

    async def load(self, key: Key) -> list[Any] | None:
        """All entries; None where there never were any, or they have expired."""
        return await self._handle.run(self._load, _id_of(key))

    async def list_sessions(self, project_key: str) -> list[Json]:
        """The main transcripts of a project and when each was written last, in milliseconds since 1970."""
        return await self._handle.run(self._list, project_key)

    async def list_session_summaries(self, project_key: str) -> list[Json]:
        """The summaries of the main transcripts of a project. One that is damaged is left out, and logged."""
        return await self._handle.run(self._summaries, project_key)

    async def delete(self, key: Key) -> None:
        """Remove a transcript; with the main one those of its sub-agents, the main one last."""
        await self._handle.run(self._delete, key)

    async def list_subkeys(self, key: Key) -> list[str]:
        """The subpaths of a session."""
        return await self._handle.run(self._subpaths, key)

    # -- in a thread ---------------------------------------------------------------------------------------------------

    def _append(self, key: Key, name: str, entries: Sequence[Any]) -> None:
        known = self._known.get(name) or self._read(name, None)
        for _ in range(_TRIES):
            try:
                self._known.keep(name, self._added(key, name, known, entries))
                return
            except (Conflict, SessionExists, SessionNotFound):  # another process wrote or removed it meanwhile
                known = self._read(name, known)
        raise Conflict(
            f"the transcript {name!r} was written by others {_TRIES} times in a row while it was appended to"
        )

    def _added(self, key: Key, name: str, known: _Known | None, entries: Sequence[Any]) -> _Known:
        """What is known of the transcript with the entries that are new to it, which are written."""
        store, uuids = self._handle.store, known.uuids if known is not None else set[str]()
        fresh = _fresh(entries, uuids)
        if known is not None and not fresh:
            if store.info(name).version != known.info.version:
                raise Conflict("what was known of the transcript is the newest no more")
            return known
        summary = self._folded(key, known, fresh)

        state = {} if summary is None or (known is not None and summary == known.summary) else {"summary": summary}
        if known is not None:
            info = store.append(name, *fresh, state=state, if_version=known.info.version)
        else:
            fields = labelled(self._fields, _labels_of(key))
            info = store.create(name, state={**key, **state}, messages=fresh, **fields).info()
        uuids.update(_uuids_of(fresh))
        return _Known(info, summary, uuids, len(uuids))

    def _folded(self, key: Key, known: _Known | None, fresh: Sequence[Any]) -> Json | None:
        if key.get("subpath") is not None:
            return None
        before = None
        if known is not None and known.summary is not None:
            before = {"session_id": key["session_id"], "mtime": 0, "data": known.summary}
        folded: Json = fold_session_summary(before, key, list(fresh))["data"]
        return folded

    def _read(self, name: str, known: _Known | None) -> _Known | None:
        """What is known of the transcript now: of one that has only grown, only what is new is read."""
        store, before, wanted = self._handle.store, 0, _ALL
        try:
            if known is not None:
                before = known.info.message_count
                wanted = max(0, store.info(name).message_count - before)
            while True:
                read = store.snapshot(name, last=wanted)
                info = read.messages.info
                if known is not None and not info.only_grew_since(known.info):
                    known, before = None, 0
                if read.messages.first <= before:
                    break
                wanted = info.message_count - before  # more than was asked for: it was written meanwhile, or made anew
        except SessionNotFound:
            return None
        uuids = set[str]() if known is None else known.uuids
        uuids.update(_uuids_of(read.messages))
        return _Known(info, read.state.get("summary"), uuids, len(uuids))

    def _load(self, name: str) -> list[Any] | None:
        try:
            return self._handle.store.load(name).messages
        except SessionNotFound:
            return None

    def _list(self, project_key: str) -> list[Json]:
        return [
            {"session_id": parts["session_id"], "mtime": _milliseconds(info)}
            for info in self._handle.store.list(labels={PROJECT: composed_id(project_key)})
            if (parts := self._parts(info.id)) is not None
        ]

    def _summaries(self, project_key: str) -> list[Json]:
        found = []
        for info in self._handle.store.list(labels={PROJECT: composed_id(project_key)}):
            read = self._readable(info.id)
            if read is not None and (summary := read.state.get("summary")) is not None:
                name, mtime = read.state["session_id"], _milliseconds(read.messages.info)
                found.append({"session_id": name, "mtime": mtime, "data": summary})
        return found

    def _subpaths(self, key: Key) -> list[str]:
        return [
            parts["subpath"]
            for info in self._handle.store.list(labels={PARENT: composed_id(key["project_key"], key["session_id"])})
            if (parts := self._parts(info.id)) is not None
        ]

    def _delete(self, key: Key) -> None:
        name = _id_of(key)
        if key.get("subpath") is None:
            self._delete_below(key)
        self._handle.store.delete(name)
        self._known.forget(name)
        if key.get("subpath") is None:
            self._delete_below(key)  # what was written while the others were removed

    def _delete_below(self, key: Key) -> None:
        parent = composed_id(key["project_key"], key["session_id"])
        self._handle.store.delete_many([info.id for info in self._handle.store.list(labels={PARENT: parent})])

    def _parts(self, name: str) -> Json | None:
        """The key of a transcript: from its id, or where that ends with a digest from its state."""
        parts = _parts_in(name)
        if parts is not None:
            return parts
        read = self._readable(name)
        return None if read is None else read.state

    def _readable(self, name: str) -> Snapshot[Any] | None:
        """The state, for a listing: None where it is gone by now, or cannot be read, which is logged."""
        try:
            return self._handle.store.snapshot(name)
        except SessionNotFound:
            return None
        except Unreadable as error:
            _log.warning("the transcript %r is left out of a listing: %s", name, error)
            return None


def _id_of(key: Key) -> str:
    """The id of the transcript in the vault. ``InvalidSessionId`` for a key that the SDK says is none."""
    subpath = key.get("subpath")
    if subpath is None:
        return composed_id(_PREFIX, key["project_key"], key["session_id"])
    if not subpath:
        raise InvalidSessionId("a subpath cannot be empty: leave it out for the main transcript")
    return composed_id(_PREFIX, key["project_key"], key["session_id"], subpath)


def _parts_in(name: str) -> Json | None:
    """The key that an id was made of; None where the id ends with a digest."""
    if "%%" in name:
        return None
    parts = [part.replace("%2F", "/").replace("%25", "%") for part in name.split("/")]
    return dict(zip(("project_key", "session_id", "subpath"), parts[1:], strict=False))


def _labels_of(key: Key) -> dict[str, str]:
    if key.get("subpath") is None:
        return {PROJECT: composed_id(key["project_key"])}
    return {PARENT: composed_id(key["project_key"], key["session_id"])}


def _fresh(entries: Sequence[Any], known: set[str]) -> list[Any]:
    """The entries whose uuid is not known, each uuid once; and those that have none."""
    found, seen = [], set[str]()
    for entry in entries:
        uuid = _uuid_of(entry)
        if uuid is None:
            found.append(entry)
        elif uuid not in known and uuid not in seen:
            seen.add(uuid)
            found.append(entry)
    return found


def _uuids_of(entries: Sequence[Any]) -> Iterator[str]:
    return (uuid for entry in entries if (uuid := _uuid_of(entry)) is not None)


def _uuid_of(entry: Any) -> str | None:
    uuid = entry.get("uuid") if isinstance(entry, dict) else None
    return uuid if isinstance(uuid, str) and uuid else None


def _milliseconds(info: SessionInfo) -> int:
    return int(info.updated_at.timestamp() * 1000)
