"""From a JSON object that holds a session to a record, whatever its fields are called.

A field counts as a fact only if it has the shape of that fact. What is neither a fact nor the messages becomes the
state, or stands in the state as ``imported`` where the object has a state of its own: nothing is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ...errors import InvalidSetting, VaultError
from ...format.jsonl import read_line
from ...format.payload import Json
from ...util.clock import SystemClock, to_duration, to_micros
from .records import ImportedSession
from .strict import named, objects

MESSAGES = ("messages", "history", "conversation", "conversations", "items", "events", "turns")
STATE = ("state", "context")
IDS = ("id", "session_id", "sessionId", "conversation_id", "conversationId", "thread_id", "threadId")
REST = "imported"

_EXPORTED = "vaultsession"
"""The field by which a line of an export is known: see ``transfer``."""
_MILLISECONDS = 100_000_000_000
"""Numbers from here on are milliseconds: as seconds they would lie behind the year 5000."""
_LATEST = 253_402_300_799_000_000  # the year 9999


def is_session(value: object) -> bool:
    """Whether an object has the shape of a session: messages, or a state; or is a line of an export."""
    return isinstance(value, dict) and (
        _EXPORTED in value
        or any(isinstance(value.get(name), list) for name in MESSAGES)
        or any(isinstance(value.get(name), dict) for name in STATE)
    )


def record_of(value: Json, id: str | None, place: str) -> ImportedSession:
    """The record of an object; its own id goes before the one that is given. ``ValueError`` for what is no session."""
    if _EXPORTED in value:
        return _exported(value, place)
    if not is_session(value):
        raise ValueError(f"no session: there are neither messages ({', '.join(MESSAGES)}) nor a state")
    rest = dict(value)
    own: str | None = _take(rest, IDS, _text) or id
    messages = objects(_take(rest, MESSAGES, lambda found: found if isinstance(found, list) else None) or [])
    counted = rest.pop("message_count", None)
    if counted is not None and counted != len(messages):
        raise ValueError(f"{len(messages)} messages where {counted!r} were counted: the session is not whole")
    facts: dict[str, Any] = {name: found for name, (spellings, shape) in _FACTS.items() if (
        found := _take(rest, spellings, shape)) is not None}  # fmt: skip
    state = _take(rest, STATE, lambda found: found if isinstance(found, dict) else None)
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
    """The record of a line of an export, nothing guessed. ``ValueError`` where it is damaged or of a later version."""
    try:
        restored = read_line(json.dumps(value).encode(), SystemClock().now())
    except VaultError as error:
        raise ValueError(str(error)) from None
    head = restored.head
    return ImportedSession(
        head.id,
        place,
        objects(restored.messages),
        restored.state,
        created=head.created,
        updated=head.updated,
        expires=head.expires,
        user_id=head.user_id,
        tenant_id=head.tenant_id,
        assistant_id=head.assistant_id,
        title=head.title,
        labels=head.labels,
        ttl=None if head.ttl is None else head.ttl / 1_000_000,
        sliding=head.sliding,
        max_messages=head.max_messages,
        exact=True,
    )


def id_in(value: Json) -> str:
    """The session that a message belongs to, by a field of its own. ``ValueError`` if it does not say."""
    for name in IDS[1:]:
        found = value.get(name)
        if found is not None:
            if isinstance(found, str) and found:
                return found
            raise ValueError(f"{name} is {named(found)}, and a session id is a non-empty text")
    raise ValueError(f"no session id: there is none of {', '.join(IDS[1:])}")


def moment(value: object) -> int | None:
    """A time in microseconds since 1970: ISO 8601 (UTC where it names no zone), seconds or milliseconds. None: none."""
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            found = to_micros(time if time.tzinfo else time.replace(tzinfo=UTC))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = round(value * (1_000 if abs(value) >= _MILLISECONDS else 1_000_000))
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return found if 0 <= found <= _LATEST else None


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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _labels(value: object) -> dict[str, str] | None:
    if isinstance(value, dict) and all(name and isinstance(text, str) for name, text in value.items()):
        return value
    return None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


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
    "created": (("created_at", "createdAt", "created", "create_time"), moment),
    "updated": (("updated_at", "updatedAt", "updated", "update_time", "last_updated"), moment),
    "expires": (("expires_at", "expiresAt"), moment),
    "ttl": (("ttl",), _span),
    "sliding": (("sliding",), _truth),
    "max_messages": (("max_messages", "maxMessages"), _count),
}
