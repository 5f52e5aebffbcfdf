"""Model: what a store should do, in plain Python: a dictionary and the rules of the API, no bytes, keys or backend."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import Conflict, SessionExists, SessionExpired, SessionNotFound
from ..format.payload import Json
from ..format.tool_calls import LONGEST_GROUP, calls, involves_tool, results
from ..store.session import Session
from ..util.clock import to_datetime
from .clock import ManualClock

SessionFields = dict[str, Any]

SECOND = 1_000_000
SLIDE_FRACTION = 20


@dataclass
class ModelSession:
    """A session as it should be. ``document`` names the document, as a version does; times in microseconds."""

    id: str
    document: int
    created: int
    updated: int
    state: Json = field(default_factory=dict)
    messages: list[Json] = field(default_factory=list)
    user_id: str | None = None
    tenant_id: str | None = None
    assistant_id: str | None = None
    title: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    ttl: int | None = None
    expires: int | None = None
    sliding: bool = False
    max_messages: int | None = None

    def facts(self) -> Json:
        """As ``Session.facts`` returns them."""
        return {
            "id": self.id,
            "title": self.title,
            "user_id": self.user_id,
            "tenant_id": self.tenant_id,
            "assistant_id": self.assistant_id,
            "labels": self.labels,
            "message_count": len(self.messages),
            "created_at": to_datetime(self.created).isoformat(),
            "updated_at": to_datetime(self.updated).isoformat(),
            "expires_at": None if self.expires is None else to_datetime(self.expires).isoformat(),
            "ttl": None if self.ttl is None else self.ttl / SECOND,
            "sliding": self.sliding,
            "max_messages": self.max_messages,
        }

    def matches(
        self, user_id: str | None, tenant_id: str | None, assistant_id: str | None, labels: Json | None
    ) -> bool:
        """Whether every filter that is given matches."""
        owners = ((user_id, self.user_id), (tenant_id, self.tenant_id), (assistant_id, self.assistant_id))
        return all(asked in (None, held) for asked, held in owners) and (labels or {}).items() <= self.labels.items()


@dataclass
class LoadedCopy:
    """A session that someone holds, and the document that it was loaded as."""

    session: Session
    id: str
    document: int


class Model:
    """The sessions of a vault, expired ones included until they are swept. Verbs have the names of the store's."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._sessions: dict[str, ModelSession] = {}
        self._documents = itertools.count()

    # -- looking -------------------------------------------------------------------------------------------------------

    def alive(self, name: str) -> ModelSession | None:
        """The living session, or None."""
        known = self._sessions.get(name)
        return None if known is None or self._is_expired(known) else known

    def load(self, name: str) -> ModelSession:
        """A copy, and a sliding life extended."""
        known = self._living(name)
        self._read(known)
        return copy.deepcopy(known)

    def info(self, name: str) -> ModelSession:
        """A copy, and no life extended."""
        return copy.deepcopy(self._living(name))

    def exists(self, name: str) -> bool:
        """Whether it lives."""
        return self.alive(name) is not None

    def messages(self, name: str, *, last: int | None = None, offset: int = 0, limit: int | None = None) -> list[Json]:
        """The newest messages, or those from an offset on."""
        known = self._living(name)
        self._read(known)
        if last is not None:
            return known.messages[max(0, len(known.messages) - last) :]
        return known.messages[offset : None if limit is None else offset + limit]

    def matching(self, filters: Mapping[str, Any]) -> list[ModelSession]:
        """Living sessions that match."""
        asked = {"user_id": None, "tenant_id": None, "assistant_id": None, "labels": None, **filters}
        return [known for known in self._sessions.values() if not self._is_expired(known) and known.matches(**asked)]

    # -- whole sessions ------------------------------------------------------------------------------------------------

    def create(self, name: str, *, state: Json, messages: Sequence[Json], **facts: Any) -> ModelSession:  # noqa: ANN401 - fields
        """A new session."""
        if self.alive(name) is not None:
            raise SessionExists
        return self._keep(self._born(name, state, messages, facts))

    def save(self, name: str, *, state: Json, messages: Sequence[Json], **facts: Any) -> ModelSession:  # noqa: ANN401 - as above
        """A document in the place of whatever is there."""
        born, before = self._born(name, state, messages, facts), self.alive(name)
        return self._keep(born if before is None else replace(born, created=before.created))

    def held(self, session: Session, known: ModelSession) -> LoadedCopy:
        """Remember what someone holds."""
        return LoadedCopy(session, known.id, known.document)

    def save_loaded(self, held: LoadedCopy, *, overwrite: bool) -> ModelSession:
        """What someone holds, compared and swapped."""
        session, now = held.session, self._clock.now()
        before = self._sessions.get(held.id)
        if not overwrite:
            if before is None:
                raise SessionNotFound
            if before.document != held.document:
                raise Conflict
        ttl = None if session.ttl is None else round(session.ttl.total_seconds() * SECOND)
        assigned = session._new_ttl  # noqa: SLF001 - what a session shows to its store alone
        if before is not None and not assigned:
            ttl = before.ttl
        lives = before is not None and not self._is_expired(before)
        known = ModelSession(
            id=held.id,
            document=next(self._documents),
            created=before.created if before is not None and lives else now,
            updated=now,
            state=copy.deepcopy(session.state),
            messages=_newest(copy.deepcopy(session.messages), session.max_messages),
            user_id=session.user_id,
            tenant_id=session.tenant_id,
            assistant_id=session.assistant_id,
            title=session.title,
            labels=session.labels,
            ttl=ttl,
            expires=before.expires if before is not None and lives and not assigned else _after(now, ttl),
            sliding=session.sliding,
            max_messages=session.max_messages,
        )
        if known.sliding and ttl is not None:
            known.expires = now + ttl
        held.document = known.document
        self._sessions[held.id] = known
        return copy.deepcopy(known)

    def copy(self, name: str, new: str, *, until: int | None) -> ModelSession:
        """The document of another session, or its beginning, with a life of its own."""
        known, now = self.load(name), self._clock.now()
        if self.alive(new) is not None:
            raise SessionExists
        return self._keep(
            replace(
                known,
                id=new,
                document=next(self._documents),
                created=now,
                updated=now,
                expires=_after(now, known.ttl),
                messages=known.messages[:until],
            )
        )

    def edit(self, held: ModelSession, title: str | None) -> None:
        """What a draft was changed to."""
        known = self._living(held.id)
        known.title = title
        known.state["edited"] = title
        self._changed(known)

    def delete(self, name: str) -> bool:
        """Whether a living session was removed."""
        lived = self.alive(name) is not None
        self._sessions.pop(name, None)
        return lived

    def sweep(self, *, dry_run: bool) -> int:
        """How many have expired."""
        gone = [name for name, known in self._sessions.items() if self._is_expired(known)]
        if not dry_run:
            for name in gone:
                del self._sessions[name]
        return len(gone)

    # -- parts of a session --------------------------------------------------------------------------------------------

    def append(
        self,
        name: str,
        *messages: Json,
        create: bool = False,
        dedupe: bool = False,
        state: Json | None = None,
        unset: Sequence[str] = (),
        expected: int | None = None,
        **facts: Any,  # noqa: ANN401 - as above
    ) -> ModelSession:
        """Messages behind the history, and keys of the state; ``expected`` is the document that has to be there."""
        known = self.alive(name)
        if known is None and create and expected is None:
            added = _unknown(messages, []) if dedupe else messages
            return self._keep(self._born(name, state or {}, added, facts))
        known = self._living(name)
        if expected is not None and known.document != expected:
            raise Conflict
        added = _unknown(messages, known.messages) if dedupe else list(messages)
        if added or state or unset:
            known.messages = _newest(known.messages + copy.deepcopy(added), known.max_messages)
            known.state.update(copy.deepcopy(state or {}))
            for key in unset:
                known.state.pop(key, None)
            self._changed(known)
        return copy.deepcopy(known)

    def replace_last(self, name: str, n: int, *messages: Json) -> ModelSession:
        """Messages in the place of the newest."""
        known = self._living(name)
        first = max(0, len(known.messages) - n)
        if messages or known.messages[first:]:
            known.messages = _newest(known.messages[:first] + copy.deepcopy([*messages]), known.max_messages)
            self._changed(known)
        return copy.deepcopy(known)

    def pop(self, name: str, n: int) -> list[Json]:
        """The newest messages, removed."""
        known = self._living(name)
        first = max(0, len(known.messages) - n)
        popped = known.messages[first:]
        if popped:
            known.messages = known.messages[:first]
            self._changed(known)
        return popped

    def clear(self, name: str) -> ModelSession:
        """The history, emptied."""
        known = self._living(name)
        known.messages = []
        return self._changed(known)

    def update(self, name: str, changes: Json, *, unset: Sequence[str] = (), create: bool = False) -> ModelSession:
        """Keys of the state, set and unset."""
        return self.append(name, create=create, state=changes, unset=unset)

    def change(self, name: str, key: str, value: Any) -> ModelSession:  # noqa: ANN401 - any JSON
        """One key set by a function."""
        known = self._living(name)
        known.state[key] = copy.deepcopy(value)
        return self._changed(known)

    def touch(self, name: str, ttl: float | None) -> ModelSession:
        """Another life over the same document."""
        known = self._living(name)
        if ttl is not None:
            known.ttl = round(ttl * SECOND)
        if known.ttl is not None:
            known.expires = self._clock.now() + known.ttl
        return copy.deepcopy(known)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _is_expired(self, known: ModelSession) -> bool:
        return known.expires is not None and self._clock.now() >= known.expires

    def _living(self, name: str) -> ModelSession:
        known = self._sessions.get(name)
        if known is None:
            raise SessionNotFound
        if self._is_expired(known):
            raise SessionExpired
        return known

    def _read(self, known: ModelSession) -> None:
        if known.sliding and known.ttl is not None and known.expires is not None:
            fresh = self._clock.now() + known.ttl
            if fresh - known.expires >= known.ttl // SLIDE_FRACTION:
                known.expires = fresh

    def _changed(self, known: ModelSession) -> ModelSession:
        known.document, known.updated = next(self._documents), self._clock.now()
        if known.sliding and known.ttl is not None:
            known.expires = known.updated + known.ttl
        return copy.deepcopy(known)

    def _born(self, name: str, state: Json, messages: Sequence[Json], facts: SessionFields) -> ModelSession:
        now = self._clock.now()
        given = {name: value for name, value in facts.items() if name != "ttl"}
        span = facts.get("ttl")
        ttl = None if span is None else round(span * SECOND)
        born = ModelSession(id=name, document=next(self._documents), created=now, updated=now, ttl=ttl, **given)
        born.state = copy.deepcopy(state)
        born.messages = _newest(copy.deepcopy(list(messages)), born.max_messages)
        born.expires = _after(now, ttl)
        return born

    def _keep(self, known: ModelSession) -> ModelSession:
        self._sessions[known.id] = known
        return copy.deepcopy(known)


def _after(now: int, ttl: int | None) -> int | None:
    return None if ttl is None else now + ttl


def _newest(messages: list[Json], most: int | None) -> list[Json]:
    """The newest, cut where no result is parted from its call: later rather than earlier, unless nothing were left."""
    if most is None or len(messages) <= most:
        return messages
    excess = len(messages) - most
    waiting: list[tuple[object, int]] = []
    together = []
    for number, message in enumerate(messages):
        for name in results(message):
            asked = [call for call in waiting if name in (None, call[0])][-1:]
            together += [(call, number) for _, call in asked]
            waiting = [call for call in waiting if call not in asked]
        for name in calls(message):
            waiting = [*(call for call in waiting if call[0] != name), (name, number)]
    said = [number for number, message in enumerate(messages) if "role" in message and not involves_tool(message)]
    open_calls = [(call, len(messages)) for _, call in waiting if call > max(said, default=-1)]
    places = [*range(excess, len(messages)), *range(excess - 1, max(-1, excess - 1 - LONGEST_GROUP), -1)]
    for spans in ([*together, *open_calls], together):
        for place in places:
            if not any(call < place <= result for call, result in spans):
                return messages[place:]
    return messages[excess:]


def _unknown(messages: Sequence[Json], history: Sequence[Json]) -> list[Json]:
    found: list[Json] = []
    for message in messages:
        name = message.get("id")
        if name is None or not any(_is(earlier.get("id"), name) for earlier in (*history, *found)):
            found.append(message)
    return found


def _is(one: Any, other: Any) -> bool:  # noqa: ANN401 - any JSON
    return type(one) is type(other) and one == other
