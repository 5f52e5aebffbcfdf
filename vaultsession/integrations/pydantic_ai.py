"""Pydantic AI: ``VaultConversationStore``, a ``ConversationStore`` of conversations in a vault.

A conversation is one session of the vault, so that each save is one record, and what is deleted is gone at once::

    id        the conversation's, as ``composed_id`` has it
    state     {"record": {…}}                                    a ConversationRecord
    messages  {"id": …, "parent_id": …, "kind": "message", "message": {"kind": "request", "parts": […]}}
    labels    framework, scope

Values are as ``ModelMessagesTypeAdapter`` writes them. Saves are compared and swapped, over all threads and processes.

Decision: a fork has copies of the entries that it shares. So deleting a conversation erases what only it had, and none
waits for another; entries of one id in two conversations are the same.
"""

from __future__ import annotations

import builtins
import logging
from collections.abc import Iterable, Sequence
from typing import Any, Unpack

from ..errors import Conflict, SessionExists, SessionNotFound, Unreadable
from ..format.payload import Json
from ..store.fields import SessionFields
from ..store.session import Session
from ..util.lru import LRU
from .adapter import Lent, StoreAdapter, composed_id, framework, labelled

with framework("pydantic-ai-slim", extra="pydantic-ai", tried=("2.68", "2.69")):
    from pydantic import TypeAdapter
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )
    from pydantic_ai.messages import ModelMessagesTypeAdapter

_log = logging.getLogger("vaultsession")
_RECORDS: TypeAdapter[Any] = TypeAdapter(ConversationRecord)
_RECORD = "record"
_KNOWN = 4096
"""Entries of which it is remembered where they are."""


class VaultConversationStore(StoreAdapter, ConversationStore):
    """The conversations of a vault. Several event loops and processes may use one.

    ::

        store = VaultConversationStore.from_url("sessions")
        conversation = await store.load("user-123") or Conversation(conversation_id="user-123")
        await store.save(await agent.run("Hello", conversation=conversation))

    ``fields`` are those of new sessions: ``ttl``, ``user_id``, ``labels`` …. What has expired is absent. A listing is
    in the order of the vault's changes; a damaged conversation is left out of it, and logged. Reading an entry by its
    id alone may have to look through all conversations.
    """

    def __init__(self, store: Lent, **fields: Unpack[SessionFields]) -> None:
        super().__init__(store, **fields)
        self._places: LRU[str, str] = LRU(most=_KNOWN)

    # -- records -------------------------------------------------------------------------------------------------------

    async def read_record(self, conversation_id: str) -> Any:
        """The record, or None where there is no such conversation."""
        session = await self._handle.aio.get(composed_id(conversation_id))
        return None if session is None else self._record(session)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[Any]:
        """The records, those of a scope or all: the conversations that changed last are first."""
        found: list[Any] = []
        if limit == 0:
            return found
        for info in await self._handle.aio.list(labels=_labels(scope), limit=limit):
            try:
                session = await self._handle.aio.get(info.id)
            except Unreadable as error:
                _log.warning("not listed: %s: %s", info.id, error)
                continue
            record = None if session is None else self._record(session)
            if record is not None and scope in (None, record.scope):
                found.append(record)
        found.sort(key=lambda record: record.updated_at, reverse=True)
        return found

    async def write_record(
        self, record: Any, *, new_entries: Sequence[Any] = (), expected_revision: str | None
    ) -> None:
        """Write the record and the entries, in one vault record, where its revision is the one expected.

        ``ConversationConflict`` where it is not, or where its head is an entry that is nowhere.
        """
        name, added = composed_id(record.conversation_id), [_entry_json(entry) for entry in new_entries]
        state = {_RECORD: _RECORDS.dump_python(record, mode="json")}
        fields = labelled(self._fields, _labels(record.scope))
        labels = fields.get("labels") or {}
        while True:
            session = await self._handle.aio.get(name)
            stored = None if session is None else self._record(session)
            if (None if stored is None else stored.revision) != expected_revision or (session and stored is None):
                raise ConversationConflict(record.conversation_id)
            shared = await self._shared(record, stored, session, added)
            try:
                if session is None:
                    await self._handle.aio.create(name, state=state, messages=[*shared, *added], **fields)
                elif session.labels == {**session.labels, **labels}:
                    version = session.version
                    await self._handle.aio.append(name, *shared, *added, state=state, if_version=version)
                else:
                    session.state.update(state)
                    session.messages.extend([*shared, *added])
                    session.labels = {**session.labels, **labels}
                    await self._handle.aio.save(session)
            except (Conflict, SessionExists, SessionNotFound):
                continue  # someone wrote meanwhile: is the revision still the one expected?
            if record.head_id is not None:
                self._places.keep(record.head_id, name)
            return

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete the conversation and its entries: no other one has its copies."""
        name = composed_id(conversation_id)
        while True:
            session = await self._handle.aio.get(name)
            record = None if session is None else self._record(session)
            if session is None or record is None or record.revision != expected_revision:
                raise ConversationConflict(conversation_id)
            try:
                if await self._handle.aio.delete(name, if_version=session.version):
                    return
            except Conflict:
                continue

    # -- entries -------------------------------------------------------------------------------------------------------

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[Any]:
        """The entries up to that one, oldest first; the newest ``limit``. ``LookupError`` for one that is nowhere."""
        if head_id is None or limit == 0:
            return []
        return _entries(await self._find(head_id, limit))

    async def read_entry(self, entry_id: str) -> Any:
        """The entry. ``LookupError`` where there is none."""
        return _entries(await self._find(entry_id, 1))[0]

    async def _shared(
        self, record: Any, stored: Any, session: Session[Any] | None, added: Sequence[Json]
    ) -> list[Json]:
        """What has to be copied from another conversation, for the head to be an entry of this one."""
        first = added[0]["parent_id"] if added else record.head_id
        if record.head_id != (added[-1]["id"] if added else first):
            raise ConversationConflict(record.conversation_id)
        if first is None or (stored is not None and first in (stored.head_id, *stored.branches)):
            return []
        own = set() if session is None else {each["id"] for each in session.messages}
        if first in own:
            return []
        origin = None if record.forked_from is None else composed_id(record.forked_from)
        try:
            found = await self._find(first, None, origin)
        except LookupError:
            raise ConversationConflict(record.conversation_id) from None
        return [each for each in found if each["id"] not in own]

    async def _find(self, entry_id: str, limit: int | None, origin: str | None = None) -> list[Json]:
        """An entry and those before it, as stored, from where it should be or from any conversation that has it."""
        for name in (origin, self._places.get(entry_id)):
            if name is not None and (found := await self._chain_in(name, entry_id, limit)):
                return found
        for info in await self._handle.aio.list(labels=_labels(None)):
            try:
                found = await self._chain_in(info.id, entry_id, limit)
            except Unreadable as error:
                _log.warning("not looked at: %s: %s", info.id, error)
                continue
            if found:
                self._places.keep(entry_id, info.id)
                return found
        raise LookupError(f"there is no entry {entry_id!r}")

    async def _chain_in(self, name: str, entry_id: str, limit: int | None) -> list[Json] | None:
        """As ``_find`` in one session, from the newest messages first; None where it is not there."""
        for last in (*(() if limit is None else (limit, 4 * limit)), None):
            found = _chain(await self._messages(name, last), entry_id, limit)
            if found is not None:
                return found
        return None

    # -- the vault -----------------------------------------------------------------------------------------------------

    async def _messages(self, name: str, last: int | None) -> builtins.list[Json]:
        try:
            warm = self._handle.store.load_if_warm(name)
            if warm is not None:
                return warm.messages if last is None else warm.messages[-last:]
            return await self._handle.aio.messages(name, last=last)
        except SessionNotFound:
            return []

    def _record(self, session: Session[Any]) -> Any:
        """The record; None of a session that is something else."""
        found = session.state.get(_RECORD)
        if found is None:
            return None
        record = _RECORDS.validate_python(found)
        for tip in (record.head_id, *record.branches):
            if tip is not None:
                self._places.keep(tip, session.id)
        return record


def _labels(scope: str | None) -> dict[str, str]:
    return {"framework": "pydantic-ai", **({} if scope is None else {"scope": composed_id(scope)})}


def _entry_json(entry: Any) -> Json:
    (message,) = ModelMessagesTypeAdapter.dump_python([entry.message], mode="json")
    return {"id": entry.id, "parent_id": entry.parent_id, "kind": entry.kind, "message": message}


def _entries(found: Sequence[Json]) -> list[Any]:
    messages = ModelMessagesTypeAdapter.validate_python([each["message"] for each in found])
    return [
        ConversationEntry(id=each["id"], parent_id=each["parent_id"], kind=each["kind"], message=message)
        for each, message in zip(found, messages, strict=True)
    ]


def _chain(entries: Iterable[Json], head: str, limit: int | None) -> list[Json] | None:
    """The newest ``limit`` entries up to one, oldest first; None where one of them is not among these."""
    known = {each["id"]: each for each in entries}
    found: list[Json] = []
    name: str | None = head
    while name is not None and (limit is None or len(found) < limit):
        if name not in known:
            return None
        found.append(known[name])
        name = known[name]["parent_id"]
    found.reverse()
    return found
