"""Strands Agents: ``VaultSessionManager`` in the place of ``FileSessionManager``, ``VaultStorage`` of other storages.

A session of Strands is one session of the vault, with all its agents: what is written at once is there at once, and
what is deleted is gone at once::

    id        the session's, as ``composed_id`` has it
    state     {"session": {…}, "agent:ID": {…}, "multi_agent:ID": {…}}
    messages  {"agent_id": ID, "message": {"role": …, "content": […]}, "message_id": 0, …}

Decision: two processes that go on with one session count its messages each for itself, so numbers may come twice. Both
messages are kept, in the order in which they were written; files keep the one that was written last.
"""

from __future__ import annotations

import builtins
import dataclasses
import re
from collections.abc import Sequence
from typing import Any, Unpack

from ..admin.importers.strands_files import AGENT, MULTI_AGENT, SESSION
from ..errors import Conflict, InvalidDocument, SessionExists, SessionNotFound
from ..format.payload import Json
from ..store.fields import SessionFields
from ..store.session import Session as VaultSession
from ..store.store import SessionStore
from .adapter import Lent, SessionAdapter, StoreAdapter, StoreHandle, as_json, composed_id, framework, labelled
from .blob import blob_of, blob_state

with framework("strands-agents", extra="strands", tried=("1.62", "1.63")):
    from strands.session.repository_session_manager import RepositorySessionManager
    from strands.session.session_repository import SessionRepository
    from strands.storage.storage import Storage, _NamespacedStorage
    from strands.types.exceptions import SessionException, StorageError
    from strands.types.session import Session, SessionAgent, SessionMessage, SessionType, decode_bytes_values

LABEL = "framework"
_BLOBS = "strands-storage"
KIND, _FOLDER, _SUBFOLDER = "kind", "folder", "subfolder"
_TRIES = 100
_FIELDS = frozenset(field.name for field in dataclasses.fields(SessionMessage))


class VaultSessionRepository(SessionRepository):
    """The sessions of Strands in a vault; each verb is one write of it, flushed. Safe from any thread.

    ``fields`` are those of new sessions: ``ttl``, ``user_id``, ``title``, ``labels`` …
    """

    def __init__(self, store: SessionStore[Any], fields: SessionFields | None = None) -> None:
        self._store = store
        self._fields = labelled(fields or {}, {LABEL: "strands"})

    # -- sessions and agents -------------------------------------------------------------------------------------------

    def create_session(self, session: Session, **_: Any) -> Session:
        """Make the session. ``SessionException`` where there is one."""
        state = {SESSION: _document(session)}
        try:
            self._store.create(composed_id(session.session_id), state=state, **self._fields)
        except SessionExists:
            raise SessionException(f"Session {session.session_id} already exists") from None
        return session

    def read_session(self, session_id: str, **_: Any) -> Session | None:
        """The session, or None where it is absent or expired."""
        found = self._read(session_id, SESSION)
        return None if found is None else Session.from_dict(found)

    def delete_session(self, session_id: str, **_: Any) -> None:
        """Remove the session and all that is in it."""
        if not self._store.delete(composed_id(session_id)):
            raise SessionException(f"Session {session_id} does not exist")

    def create_agent(self, session_id: str, session_agent: SessionAgent, **_: Any) -> None:
        """Add an agent. Messages that it has stay."""
        self._write(session_id, state={AGENT + session_agent.agent_id: session_agent.to_dict()})

    def read_agent(self, session_id: str, agent_id: str, **_: Any) -> SessionAgent | None:
        """The agent, or None."""
        found = self._read(session_id, AGENT + agent_id)
        return None if found is None else SessionAgent.from_dict(found)

    def update_agent(self, session_id: str, session_agent: SessionAgent, **_: Any) -> None:
        """Write the state of an agent; ``created_at`` stays. ``SessionException`` where it is unknown."""
        name = session_agent.agent_id
        found = self._read(session_id, AGENT + name)
        if found is None:
            raise SessionException(f"Agent {name} in session {session_id} does not exist")
        session_agent.created_at = found["created_at"]
        self._write(session_id, state={AGENT + name: session_agent.to_dict()})

    def create_multi_agent(self, session_id: str, multi_agent: Any, **_: Any) -> None:
        """Write the state of a multi-agent."""
        self._write(session_id, state={MULTI_AGENT + multi_agent.id: multi_agent.serialize_state()})

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **_: Any) -> Json | None:
        """The state of a multi-agent, or None."""
        return self._read(session_id, MULTI_AGENT + multi_agent_id)

    def update_multi_agent(self, session_id: str, multi_agent: Any, **_: Any) -> None:
        """Write the state of a multi-agent. ``SessionException`` where it is unknown."""
        if self._read(session_id, MULTI_AGENT + multi_agent.id) is None:
            raise SessionException(f"MultiAgent state {multi_agent.id} in session {session_id} does not exist")
        self.create_multi_agent(session_id, multi_agent)

    # -- messages ------------------------------------------------------------------------------------------------------

    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **_: Any) -> None:
        """Add a message to the history, in one small record."""
        _check_number(session_message.message_id)
        self._write(session_id, _record(agent_id, session_message))

    def read_message(self, session_id: str, agent_id: str, message_id: int, **_: Any) -> SessionMessage | None:
        """The message of that number, or None; the newest where two have it."""
        _check_number(message_id)
        name = composed_id(session_id)
        try:
            for found in (self._store.messages(name, last=1), self._store.messages(name)):
                for record in reversed(found):
                    if record["message_id"] == message_id and record["agent_id"] == agent_id:
                        return _message(record)
        except SessionNotFound:
            pass
        return None

    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **_: Any) -> None:
        """Write a message anew; ``created_at`` stays. The newest one is one small record, another one a whole save."""
        _check_number(session_message.message_id)
        name, number = composed_id(session_id), session_message.message_id

        def put(record: Json) -> Json | None:
            if record["message_id"] != number or record["agent_id"] != agent_id:
                return None
            session_message.created_at = record["created_at"]
            return as_json(_record(agent_id, session_message))

        def put_in(session: VaultSession[Any]) -> None:
            for index in range(len(session.messages) - 1, -1, -1):
                if (changed := put(session.messages[index])) is not None:
                    session.messages[index] = changed
                    return
            raise SessionNotFound

        try:
            for _attempt in range(_TRIES):
                seen = self._store.snapshot(name, last=1)
                newest = [put(record) for record in seen.messages]
                if not newest or newest[0] is None:
                    self._store.update(name, put_in)
                    return
                try:
                    self._store.replace_last(name, 1, newest[0], if_version=seen.messages.info.version)
                    return
                except Conflict:
                    continue
            raise Conflict(f"session {session_id!r} was written by others {_TRIES} times in a row")
        except SessionNotFound:
            raise SessionException(f"Message {number} does not exist") from None

    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **_: Any
    ) -> list[SessionMessage]:
        """The messages of an agent, as they were written. ``SessionException`` where the agent is unknown."""
        state = self._state(session_id)
        if AGENT + agent_id not in state:
            raise SessionException(f"Messages directory missing from agent: {agent_id} in session {session_id}")
        name = composed_id(session_id)
        if sum(key.startswith(AGENT) for key in state) == 1:
            return [_message(record) for record in self._store.messages(name, offset=offset, limit=limit)]
        own = [record for record in self._store.messages(name) if record["agent_id"] == agent_id]
        return [_message(record) for record in own[offset : None if limit is None else offset + limit]]

    # -- the vault -----------------------------------------------------------------------------------------------------

    def _state(self, session_id: str) -> Json:
        try:
            state: Json = self._store.snapshot(composed_id(session_id)).state
        except SessionNotFound:
            return {}
        return state

    def _read(self, session_id: str, name: str) -> Json | None:
        return self._state(session_id).get(name)

    def _write(self, session_id: str, *messages: Json, state: Json | None = None) -> None:
        """One record. Values that have to become JSON first become it, as in a file of Strands."""
        try:
            self._append(session_id, messages, state)
        except InvalidDocument:
            self._append(session_id, as_json(messages), as_json(state))

    def _append(self, session_id: str, messages: Sequence[Json], state: Json | None) -> None:
        """A session whose time ran out meanwhile, or that someone removed, begins anew."""
        name = composed_id(session_id)
        try:
            self._store.append(name, *messages, state=state)
        except SessionNotFound:
            begun = {SESSION: _document(Session(session_id=session_id, session_type=SessionType.AGENT))}
            self._store.append(name, *messages, state={**begun, **(state or {})}, create=True, **self._fields)


class VaultSessionManager(SessionAdapter, RepositorySessionManager):
    """The session of an agent, or of several, in a vault.

    ::

        agent = Agent(session_manager=VaultSessionManager.from_url("user-123", "sessions"))

    Made with a store of the caller, which stays open. ``fields`` are those of the session where it is new: ``ttl``,
    ``user_id``, ``title``, ``labels`` …
    """

    def __init__(self, session_id: str, store: Lent, **fields: Unpack[SessionFields]) -> None:
        self._handle = StoreHandle.of(store)
        repository = VaultSessionRepository(self._handle.store, fields)
        try:
            super().__init__(session_id, repository)
        except SessionException:  # another process has made it in this moment
            super().__init__(session_id, repository)


class VaultStorage(StoreAdapter, Storage):
    """Bytes under keys, as ``SnapshotSessionManager`` and the agent's ``storage`` want them: a session for each key.

    Keys are as of Strands' own storages: "/a//b/" is "a/b", and a backslash or ".." is refused. A snapshot holds its
    whole history, so each turn writes it anew: ``VaultSessionManager`` costs the same however long the history is.
    """

    async def write(self, key: str, data: bytes) -> None:
        """Store the bytes, whatever is there. ``StorageError`` for an empty key."""
        name = _checked(key).strip("/")
        fields = labelled(self._fields, {LABEL: "strands", KIND: "blob", **_folders(name)}) | SessionFields(title=name)
        await self._handle.aio.save(_blob_id(key), state=blob_state(data), **fields)

    async def read(self, key: str) -> bytes | None:
        """The bytes, or None where there are none or their time has run out."""
        found = await self._handle.aio.get(_blob_id(key))
        return None if found is None else blob_of(found.state)

    async def delete(self, key: str) -> None:
        """Remove what is there."""
        await self._handle.aio.delete(_blob_id(key))

    async def list(self, query: str) -> builtins.list[str]:
        """The keys that begin so, sorted."""
        prefix = _checked(query).lstrip("/")
        found = await self._handle.aio.list(labels={LABEL: "strands", KIND: "blob", **_folders(prefix)})
        return sorted(info.title for info in found if info.title is not None and info.title.startswith(prefix))

    def namespace(self, prefix: str) -> Storage:
        """A view of the keys below a prefix, marked for Strands as one that it need not scope itself."""
        view: Storage = _NamespacedStorage(self, prefix)
        return view


def _record(agent_id: str, message: SessionMessage) -> Json:
    return {"agent_id": agent_id, **message.to_dict()}


def _message(record: Json) -> SessionMessage:
    """``SessionMessage.from_dict``, which looks at the signature of the class each time: nearly all of a load."""
    return SessionMessage(**{name: decode_bytes_values(record[name]) for name in record.keys() & _FIELDS})


def _document(session: Session) -> Json:
    return {**session.to_dict(), "session_type": session.session_type.value}


def _check_number(message_id: object) -> None:
    if not isinstance(message_id, int):
        raise ValueError(f"message_id=<{message_id}> | message id must be an integer")  # noqa: TRY004 - as theirs


def _blob_id(key: str) -> str:
    name = _checked(key).strip("/")
    if not name:
        raise StorageError("Storage key must not be empty")
    return composed_id(_BLOBS, name)


def _checked(key: str) -> str:
    """The key with single slashes."""
    if "\\" in key or ".." in key.split("/"):
        raise StorageError(f"Invalid storage key {key!r:.80}: it holds a backslash, or '..' between slashes")
    return re.sub("/+", "/", key)


def _folders(key: str) -> Json:
    """Labels of the first two folders of a key, as ids: a listing of a longer prefix opens none beside them."""
    first, *rest = key.split("/")
    labels = {_FOLDER: composed_id(_BLOBS, first)} if rest else {}
    if len(rest) > 1:
        labels[_SUBFOLDER] = composed_id(_BLOBS, first, rest[0])
    return labels
