"""A session as another program kept it: what readers yield, and how an object becomes one, however it names its fields.

A field counts as a fact only if it has the shape of that fact. What is neither a fact nor the messages becomes the
state, or stands in the state as ``imported`` where the object has a state of its own: nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import orjson

from ...errors import InvalidSetting, VaultError
from ...format.jsonl import read_line
from ...format.payload import Json
from ...util.clock import SystemClock, parse_moment, to_duration
from .sources import Skipped, named, objects

MESSAGES = ("messages", "history", "conversation", "conversations", "items", "events", "turns")
STATE = ("state", "context")
IDS = ("id", "session_id", "sessionId", "conversation_id", "conversationId", "thread_id", "threadId")
REST = "imported"
GAPS = "import_gaps"
LEFT_OUT = "the session is left out"

_SPEAKERS = frozenset({"role", "type", "from", "author", "sender", "speaker"})
_CONTENTS = frozenset({"content", "text", "message", "parts", "value", "payload"})

_EXPORTED = "vaultsession"
"""The field by which a line of an export is known: see ``format/jsonl``."""
_LATEST = 253_402_300_799_000_000  # the year 9999


class ImportGap(NamedTuple):
    """A message that could not be read: how many stand before it, where it stands, and why not."""

    after: int
    where: str
    reason: str

    def skipped(self, place: str, consequence: str) -> Skipped:
        """The same of the session at that place, with what comes of it."""
        return Skipped(f"{place}, {self.where}", f"{self.reason}; {consequence}")


@dataclass(frozen=True, slots=True)
class ImportedSession:
    """A session as another program kept it. ``place`` says where it stood.

    Times in microseconds since 1970, None where the source does not say; ``ttl`` in seconds.
    """

    id: str
    place: str
    messages: list[Json] = field(default_factory=list)
    state: Json = field(default_factory=dict)
    created: int | None = None
    updated: int | None = None
    expires: int | None = None
    user_id: str | None = None
    tenant_id: str | None = None
    assistant_id: str | None = None
    title: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ttl: float | None = None
    sliding: bool = False
    max_messages: int | None = None
    exported: Json | None = None
    """The line of an export of this package: it is restored as it was, without defaults of the store."""
    gaps: tuple[ImportGap, ...] = ()
    """What could not be read of it, where it is taken all the same."""

    def with_gaps_marked(self) -> ImportedSession:
        """With the gaps in its state, as ``import_gaps``. ``ValueError`` where the state has a field of that name."""
        if not self.gaps:
            return self
        if GAPS in self.state:
            raise ValueError(f"the state has a field {GAPS!r} already, and the session has gaps")
        return replace(self, state={**self.state, GAPS: [gap._asdict() for gap in self.gaps]})


Found = Iterator[ImportedSession | Skipped]
"""What a reader yields, as it reads."""


def is_session(value: object) -> bool:
    """Whether an object has the shape of a session: messages, or a state; or is a line of an export."""
    return isinstance(value, dict) and (
        _EXPORTED in value
        or any(isinstance(value.get(name), list) for name in MESSAGES)
        or ("role" not in value and any(isinstance(value.get(name), dict) for name in STATE))
    )


def has_messages(value: Json) -> bool:
    """Whether an object holds a list of messages, and is not one itself."""
    return "role" not in value and any(isinstance(value.get(name), list) for name in MESSAGES)


def is_message(value: Json) -> bool:
    """Whether an object has the shape of a message or an event: who spoke, of what kind, or what was said."""
    return not value.keys().isdisjoint(_SPEAKERS | _CONTENTS)


def is_facts(value: Json) -> bool:
    """Whether an object names a session and says nothing that a message would: the first line of some transcripts."""
    return names_session(value) and value.keys().isdisjoint(_CONTENTS | {"role", "from"})


def names_session(value: Json) -> bool:
    """Whether an object has a field for the session that it belongs to."""
    return any(value.get(name) is not None for name in IDS[1:])


def session_of(value: Json, id: str | None, place: str) -> ImportedSession:
    """The session of an object; its own id goes before the one that is given. ``ValueError`` for what is no session."""
    if _EXPORTED in value:
        return _exported(value, place)
    if not is_session(value):
        raise ValueError(f"no session: there are neither messages ({', '.join(MESSAGES)}) nor a state")
    rest = dict(value)
    own: str | None = _take(rest, IDS, _text) or id
    messages = objects(_take(rest, MESSAGES, _of(list)) or [])
    counted = rest.pop("message_count", None)
    if counted is not None and counted != len(messages):
        raise ValueError(f"{len(messages)} messages where {counted!r} were counted: the session is not whole")
    facts = {name: found for name, (spellings, shape) in _FACTS.items() if (
        found := _take(rest, spellings, shape)) is not None}  # fmt: skip
    state = _take(rest, STATE, _of(dict))
    if state is None:
        state = rest
    elif rest:
        if REST in state:
            raise ValueError(f"the state has a field {REST!r} already, and there are other fields beside the state")
        state = {**state, REST: rest}
    if own is None:
        raise ValueError(f"no id: there is none of {', '.join(IDS)}")
    return ImportedSession(own, place, messages, state, **facts)


def _exported(value: Json, place: str) -> ImportedSession:
    """The session of a line of an export, nothing guessed. ``ValueError``: it is damaged, or of a later version."""
    try:
        head, state, messages, _ = read_line(orjson.dumps(value), SystemClock().now())
    except (VaultError, orjson.JSONEncodeError) as error:
        raise ValueError(str(error)) from None
    return ImportedSession(
        head.id, place, objects(messages), state, head.created, head.updated, user_id=head.user_id, exported=value
    )


def session_id_of(message: Json) -> str:
    """The session that a message belongs to, by a field of its own. ``ValueError`` if it does not say."""
    for name in IDS[1:]:
        found = message.get(name)
        if found is not None:
            if isinstance(found, str) and found:
                return found
            raise ValueError(f"{name} is {named(found)}, and a session id is a non-empty text")
    raise ValueError(f"no session id: there is none of {', '.join(IDS[1:])}")


def moment(value: object) -> int | None:
    """Microseconds since 1970, as ``parse_moment`` reads a time. None for what is none that a session can have."""
    found = parse_moment(value)
    return found if found is not None and 0 <= found <= _LATEST else None


def _take(fields: Json, spellings: tuple[str, ...], shape: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - of any shape
    """The first field that is there in that shape, taken out; fields of no value go with it."""
    for name in spellings:
        if name in fields:
            found = shape(fields[name])
            if found is not None or fields[name] is None:
                del fields[name]
            if found is not None:
                return found
    return None


def _of(kind: type) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, kind) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _labels(value: object) -> dict[str, str] | None:
    if isinstance(value, dict) and all(name and isinstance(text, str) for name, text in value.items()):
        return value
    return None


def _span(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return to_duration(value) / 1_000_000
    except InvalidSetting:
        return None


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


_FACTS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "title": (("title", "name"), _text),
    "user_id": (("user_id", "userId", "user"), _text),
    "tenant_id": (("tenant_id", "tenantId", "tenant"), _text),
    "assistant_id": (("assistant_id", "assistantId", "agent_id", "agentId"), _text),
    "labels": (("labels",), _labels),
    "created": (("created_at", "createdAt", "created", "create_time", "startTime", "start_time"), moment),
    "updated": (("updated_at", "updatedAt", "updated", "update_time", "last_updated", "lastUpdated"), moment),
    "expires": (("expires_at", "expiresAt"), moment),
    "ttl": (("ttl",), _span),
    "sliding": (("sliding",), _of(bool)),
    "max_messages": (("max_messages", "maxMessages"), _count),
}
