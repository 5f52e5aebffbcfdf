"""``VaultSessionService``: the sessions of Google's Agent Development Kit in a vault. Needs the extra ``google-adk``.

::

    service = VaultSessionService.from_url("sessions")
    runner = Runner(app_name="trips", agent=agent, session_service=service)

An event and what it changes in the session's state are one record: all or nothing, flushed when ``append_event``
returns. Events are messages of the session, its state is the session's state. State of an app or a user is in a session
of its own, without an end, and is written behind the event: where a process ends between the two, the event says what
is missing. An unknown or expired session is None; a wrong key and damage are raised.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, Unpack, cast

import orjson

from ..admin.importers.google_adk import NAME, SHARED
from ..errors import Conflict, InvalidDocument, InvalidSetting, SessionExists, SessionNotFound, Unreadable
from ..format.payload import Json
from ..store.fields import SessionFields
from ..store.open import OpenFields, Place
from ..store.pages import PagedListing
from ..store.session import Session as StoredSession
from ..store.session import SessionInfo
from .adapter import AsyncStoreOwner, Lent, StoreHandle, composed_id, framework, labelled

with framework("google-adk", extra="google-adk", tried=("2.13", "2.14")):
    from google.adk.errors._stale_session_error import StaleSessionError
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.errors.session_not_found_error import SessionNotFoundError
    from google.adk.events.event import Event
    from google.adk.platform import uuid as platform_uuid
    from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
    from google.adk.sessions.session import Session
    from google.adk.sessions.state import State
    from pydantic import TypeAdapter

_log = logging.getLogger("vaultsession")

_EVENTS: TypeAdapter[list[Event]] = TypeAdapter(list[Event])

FRAMEWORK, APP, USER, SESSION = "framework", "app", "user", "session"
"""Labels of a session: ``google-adk``, and the three parts of its name."""

_SCHEME = "vault://"
_ALL_MESSAGES = 1 << 53
_NEAR = 64
"""Newest events among which one that is delivered again is looked for, where its session has changed since."""

_STALE = (
    "The session has been modified in storage since it was loaded. The last_update_time provided in the session object"
    " is earlier than the update_time in storage. Please reload the session before appending more events."
)


class VaultSessionService(AsyncStoreOwner, BaseSessionService):
    """Keeps the sessions of apps and users, each in a session of the vault.

    ``store`` stays its caller's; ``from_url`` opens one, and so does ``uri`` (``vault:///path``), which is how
    ``services.yaml`` makes a service; ``close`` closes what was opened. ``fields`` are those of ``SessionStore.create``
    for new sessions: ``ttl``, ``tenant_id`` …. Safe from any thread and event loop.
    """

    def __init__(
        self,
        store: Lent | None = None,
        *,
        uri: str | None = None,
        agents_dir: str | None = None,
        **fields: Unpack[SessionFields],
    ) -> None:
        del agents_dir  # given by services.yaml to each service
        if (store is None) == (uri is None):
            raise InvalidSetting("give a store, or the uri of one")
        self._fields = fields
        self._handle = (
            StoreHandle.opened((uri or "").removeprefix(_SCHEME), {}) if store is None else StoreHandle.of(store)
        )

    @classmethod
    def from_url(cls, path_or_url: Place = None, **fields: Unpack[OpenFields]) -> Self:
        """A service over a vault that is opened for it as by ``open_store``, and closed with it."""
        return StoreHandle.opened(path_or_url, fields).closed_unless(cls)

    def turn(
        self, *, app_name: str, user_id: str, session_id: str, timeout: float | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Hold the turn of a session, one holder at a time over all processes. ``LeaseTimeout`` after those seconds.

        A run within it, that reads the session first, meets no ``StaleSessionError``.
        """
        return self._handle.aio.lease(_id(app_name, user_id, session_id), timeout)

    # -- the verbs of a session service --------------------------------------------------------------------------------

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """A new session, with the parts of the state that are the app's and the user's in theirs.

        ``AlreadyExistsError`` where it is there. An id that is not given is made.
        """
        return await self._handle.run(self._create, app_name, user_id, state or {}, (session_id or "").strip())

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """The session with its events, or with those that the configuration asks for; None where there is none."""
        return await self._handle.run(self._get, app_name, user_id, session_id, config)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """The sessions of a user, or of all, without their events: those changed last come last.

        One that cannot be read is left out, and logged by its id.
        """
        return await self._handle.run(self._list, app_name, user_id)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Remove a session, if it is there."""
        await self._handle.run(self._delete, app_name, user_id, session_id)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """The state that all sessions of a user share, without the prefix of its names."""
        found: dict[str, Any] = await self._handle.run(self._shared, app_name, user_id)
        return found

    async def append_event(self, session: Session, event: Event) -> Event:
        """Keep an event, with what it changes in the state; ``temp:`` state stays in memory.

        ``StaleSessionError`` where another writer has changed the session since it was read, ``SessionNotFoundError``
        where it is gone. An event that is delivered again is kept once.
        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        if not await self._handle.run(self._append, session, event):
            return event
        session.last_update_time = event.timestamp
        return self._commit_event_to_session(session, event)

    # -- what they do, in a thread -------------------------------------------------------------------------------------

    def _create(self, app: str, user: str, state: Mapping[str, Any], name: str) -> Session:
        name = name or platform_uuid.new_uuid()
        ours, shared, users = _parted(_plain(state))
        owned: SessionFields = {"user_id": user or None, "assistant_id": app or None, **self._fields}
        fields = labelled(owned, {FRAMEWORK: NAME, APP: app, USER: user, SESSION: name})
        fields["max_messages"] = _ALL_MESSAGES
        try:
            made = self._store.create(_id(app, user, name), state=ours, **fields)
        except SessionExists:
            raise AlreadyExistsError(f"Session with id {name} already exists.") from None
        self._share(app, user, shared, users)
        return self._shown(made, (), app, user)

    def _get(self, app: str, user: str, name: str, config: GetSessionConfig | None) -> Session | None:
        stored = self._load(_id(app, user, name))
        if stored is None:
            return None
        events: Sequence[Json] = stored.messages
        if config is not None and config.after_timestamp:
            events = [event for event in events if event["timestamp"] >= config.after_timestamp]
        if config is not None and config.num_recent_events is not None:
            events = events[len(events) - min(config.num_recent_events, len(events)) :]
        return self._shown(stored, events, app, user)

    def _list(self, app: str, user: str | None) -> ListSessionsResponse:
        labels = {FRAMEWORK: NAME, APP: app} | ({} if user is None else {USER: user})
        found: list[Session] = []
        users: dict[str, dict[str, Any]] = {}
        common = self._shared(app)
        for info in PagedListing(self._store, {"labels": labels}).pages():
            owner = info.labels[USER]
            try:
                stored = self._load(info.id)
                if owner not in users:
                    users[owner] = self._shared(app, owner)
            except Unreadable as error:
                _log.warning("session %r was left out of a listing: %s", info.id, error)
                continue
            if stored is not None:
                found.append(_session(stored, (), common, users[owner]))
        found.sort(key=lambda session: (session.last_update_time, session.user_id, session.id))
        return ListSessionsResponse(sessions=found)

    def _delete(self, app: str, user: str, name: str) -> None:
        id = _id(app, user, name)  # noqa: A001 - the word that every user of a session store knows
        with contextlib.suppress(SessionNotFound):
            _check(self._store.info(id).labels, id)
            self._store.delete(id)

    def _append(self, session: Session, event: Event) -> bool:
        """Whether the event was written, and not there already."""
        id = _id(session.app_name, session.user_id, session.id)  # noqa: A001 - as above
        try:
            version, count = self._marker(id, session)
            delta = event.actions.state_delta if event.actions else None
            ours, shared, users = _parted(_plain(delta or {}))
            written = self._write(id, _json(event), ours, version)
        except Conflict:
            if self._has(id, event):
                return False
            raise StaleSessionError(_STALE) from None
        except SessionNotFound:
            raise SessionNotFoundError(f"Session {session.id} not found.") from None
        session._storage_update_marker = _mark(written)  # noqa: SLF001 - the place that the framework has for it
        if written.message_count == count:
            if not self._has(id, event, everywhere=True):
                raise AlreadyExistsError(f"Another event with id {event.id} already exists.")
            return False
        self._share(session.app_name, session.user_id, shared, users)
        return True

    def _write(self, id: str, event: Json, state: Mapping[str, Any], version: str) -> SessionInfo:
        """One record. An event that a strict store does not take is kept as a text."""
        try:
            return self._store.append(id, event, state=state, if_version=version, dedupe="id")
        except InvalidDocument as error:
            if error.path.startswith("state"):
                raise
            boxed = {"id": event["id"], "timestamp": event["timestamp"], "json": json.dumps(event)}
            return self._store.append(id, boxed, state=state, if_version=version, dedupe="id")

    def _marker(self, id: str, session: Session) -> tuple[str, int]:
        """Version and number of events that a session was read with; of one that was made by hand, what is newest."""
        marker = session._storage_update_marker  # noqa: SLF001 - as above
        if marker is not None and marker.count(":") == 1:
            version, _, count = marker.partition(":")
            return version, int(count)
        stored = self._load(id)
        if stored is None:
            raise SessionNotFound(id)
        if _updated(stored) > session.last_update_time:
            raise Conflict(id)
        return stored.version, stored.message_count

    def _has(self, id: str, event: Event, *, everywhere: bool = False) -> bool:
        """Whether that event, equal in all, is among the newest ones or anywhere."""
        wanted = _json(event)
        try:
            found = self._store.messages(id, last=None if everywhere else _NEAR)
        except SessionNotFound:
            return False
        return any(each["id"] == event.id and _unboxed(each) == wanted for each in reversed(found))

    # -- state that sessions share -------------------------------------------------------------------------------------

    def _shared(self, app: str, user: str | None = None) -> dict[str, Any]:
        """The state of an app, or of a user of it."""
        try:
            return cast("dict[str, Any]", self._store.load(_shared_id(app, user)).state)
        except SessionNotFound:
            return {}

    def _share(self, app: str, user: str, shared: Mapping[str, Any], users: Mapping[str, Any]) -> None:
        tenant = self._fields.get("tenant_id")
        for of, state in ((None, shared), (user, users)):
            if state:
                labels = {FRAMEWORK: SHARED, APP: app} | ({} if of is None else {USER: of})
                self._store.append(
                    _shared_id(app, of), state=state, create=True, labels=labels, ttl=None, tenant_id=tenant
                )

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _load(self, id: str) -> StoredSession[Any] | None:
        try:
            stored = self._store.load(id)
        except SessionNotFound:
            return None
        _check(stored.labels, id)
        return stored

    def _shown(self, stored: StoredSession[Any], events: Sequence[Json], app: str, user: str) -> Session:
        return _session(stored, events, self._shared(app), self._shared(app, user))


def _id(app: str, user: str, name: str) -> str:
    return composed_id(NAME, app, user, name.strip())


def _shared_id(app: str, user: str | None) -> str:
    return composed_id(SHARED, app, *(() if user is None else (user,)))


def _check(labels: Mapping[str, str], id: str) -> None:
    if labels.get(FRAMEWORK) != NAME:
        raise InvalidDocument(f"session {id!r:.80} is none of the Agent Development Kit")


def _mark(info: SessionInfo) -> str:
    return f"{info.version}:{info.message_count}"


def _session(
    stored: StoredSession[Any], events: Sequence[Json], app: Mapping[str, Any], user: Mapping[str, Any]
) -> Session:
    """A session as the framework knows it."""
    state = {**stored.state}
    state |= {State.APP_PREFIX + name: value for name, value in app.items()}
    state |= {State.USER_PREFIX + name: value for name, value in user.items()}
    labels = stored.labels
    made = Session(
        id=labels[SESSION],
        app_name=labels[APP],
        user_id=labels[USER],
        state=state,
        events=_events(events),
        last_update_time=_updated(stored),
    )
    made._storage_update_marker = _mark(stored.info())  # noqa: SLF001 - the place that the framework has for it
    return made


def _updated(stored: StoredSession[Any]) -> float:
    """When its last event was, or when it began."""
    return float(stored.messages[-1]["timestamp"]) if stored.message_count else stored.created_at.timestamp()


def _json(event: Event) -> Json:
    """The event as JSON, by the names that the framework has for its fields."""
    dumped: Json = event.model_dump(mode="json", exclude_none=True)
    return dumped


def _events(events: Sequence[Json]) -> list[Event]:
    """The events again: read from JSON, in which bytes are base64."""
    unboxed = [_unboxed(event) for event in events]
    try:
        text: bytes | str = orjson.dumps(unboxed)
    except TypeError:  # an integer beyond 64 bits
        text = json.dumps(unboxed)
    found: list[Event] = _EVENTS.validate_json(text)
    return found


def _unboxed(event: Json) -> Json:
    """The event of a message, which a strict store may have as a text."""
    if event.keys() == {"id", "timestamp", "json"}:
        found: Json = json.loads(event["json"])
        return found
    return event


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state as JSON: dates and models as the framework's own stores write them."""
    from google.adk.sessions import _session_util  # noqa: PLC0415 - private, and asked for where it is needed

    return cast("dict[str, Any]", _session_util.make_json_safe_state(dict(state)))


def _parted(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What is the session's own, the app's and the user's, without prefixes; ``temp:`` is nobody's."""
    ours, app, user = {}, {}, {}
    for name, value in state.items():
        if name.startswith(State.APP_PREFIX):
            app[name.removeprefix(State.APP_PREFIX)] = value
        elif name.startswith(State.USER_PREFIX):
            user[name.removeprefix(State.USER_PREFIX)] = value
        elif not name.startswith(State.TEMP_PREFIX):
            ours[name] = value
    return ours, app, user
