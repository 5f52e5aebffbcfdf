r"""Transfer: sessions as JSON lines, in the clear, for other programs, other stores and other times. Pure.

Each line is one whole session and says itself which version of this format it is, so that files may be split, filtered,
joined and sorted by line. UTF-8, one JSON object per line, ended by ``\n``; a line of white space is none::

    {"vaultsession": 1, "id": "user-123", "created_at": "2026-11-20T09:00:00.000001+00:00",
     "updated_at": "…", "expires_at": null, "ttl": null, "sliding": false, "max_messages": null,
     "title": null, "user_id": "alice", "tenant_id": null, "assistant_id": null, "labels": {},
     "state": {…}, "messages": [{…}, …]}

In a line of version 2 some values of the state, and some messages, lie in boxes (FORMAT.md, section 6.1).
Only ``vaultsession`` and ``id`` are required: other systems write as much of it as they know. Times are ISO 8601 with
an offset, exact to the microsecond; ``ttl`` is in seconds. A field that is not listed is refused by name, since leaving
it out would lose it. Version 1 is read for ever: files in ``tests/vectors`` are held against every later version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from ..errors import Damaged, InvalidDocument, InvalidSetting, UnsupportedFormat
from ..util.clock import to_datetime, to_duration, to_micros
from ..util.named_tuple import NamedTuple
from . import ids, lossless, payload
from .head import Head, check_head, check_labels
from .payload import Json

VERSION = 2
"""Of lines with boxes (``lossless``); any other line says 1, which an older reader gives back as well."""

_TIMES = {"created_at": "created", "updated_at": "updated", "expires_at": "expires"}
_AS_THEY_ARE = ("title", "user_id", "tenant_id", "assistant_id", "labels", "sliding", "max_messages")
_FIELDS = frozenset({"vaultsession", "id", "ttl", "state", "messages", *_TIMES, *_AS_THEY_ARE})
_SECOND = 1_000_000
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_LONGEST_NUMBER = 20
"""Characters of an integer of 64 bits."""


class Restored(NamedTuple):
    """A session as a line describes it. ``boxes``: it holds what strict JSON does not carry."""

    head: Head
    state: Json
    messages: list[Json]
    boxes: bool = False


def line_of(head: Head, state: bytes, messages: Sequence[bytes]) -> bytes:
    """One session as a line. State and messages are JSON already, without raw newlines."""
    ttl = head.ttl
    facts: Json = {
        "vaultsession": VERSION
        if lossless.MARK in state or any(message.startswith(payload.BOXED) for message in messages)
        else 1,
        "id": head.id,
        "created_at": to_datetime(head.created).isoformat(timespec="microseconds"),
        "updated_at": to_datetime(head.updated).isoformat(timespec="microseconds"),
        "expires_at": None if head.expires is None else to_datetime(head.expires).isoformat(timespec="microseconds"),
        "ttl": None if ttl is None else ttl / _SECOND if ttl % _SECOND else ttl // _SECOND,
        "sliding": head.sliding,
        "max_messages": head.max_messages,
        "title": head.title,
        "user_id": head.user_id,
        "tenant_id": head.tenant_id,
        "assistant_id": head.assistant_id,
        "labels": dict(head.labels),
    }
    return b"".join((orjson.dumps(facts)[:-1], b',"state":', state, b',"messages":[', b",".join(messages), b"]}\n"))


def read_line(line: bytes, now: int) -> Restored:
    """The session of a line; times that it does not name are ``now``.

    ``InvalidDocument`` for what is no such line, ``UnsupportedFormat`` for one of a later version. State and messages
    are whatever JSON they are: the writer checks them.
    """
    try:
        fields = orjson.loads(line)
        if _LONG_NUMBER.search(line):
            import json  # noqa: PLC0415 - hardly a line needs it, and every import of the package would pay

            json.loads(line, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise InvalidDocument(f"this is no JSON that could be given back: {error}") from None
    if not isinstance(fields, dict) or "vaultsession" not in fields:
        raise InvalidDocument('this is no exported session, which is an object with a field "vaultsession"')
    version = fields["vaultsession"]
    if type(version) is not int or version < 1:
        raise InvalidDocument(
            "vaultsession is the version of the format, a whole number from 1 up", path="vaultsession"
        )
    if version > VERSION:
        raise UnsupportedFormat(
            f"exported in version {version} of the format, by a newer vaultsession",
            found=version,
            supported=[1, VERSION],
        )
    if unknown := sorted(fields.keys() - _FIELDS):
        raise InvalidDocument(f"unknown fields: {', '.join(unknown)}", path=unknown[0])
    messages = fields.get("messages", [])
    if not isinstance(messages, list):
        raise InvalidDocument("messages is a list of JSON objects", path="messages")
    state = fields.get("state", {})
    boxes = version == VERSION and isinstance(state, dict)
    if boxes:
        state, messages = _unboxed(state, messages)
    return Restored(_head(fields, now), state, messages, boxes)


def _unboxed(state: Json, messages: list[Json]) -> tuple[Json, list[Json]]:
    try:
        return lossless.unbox_state(state), [lossless.unbox(message) for message in messages]
    except Damaged as error:
        raise InvalidDocument(f"a value that JSON does not carry is spelled otherwise: {error}") from None


def _whole(digits: str) -> int:
    """A whole number, if it is one of 64 bits: the quick parser would make a rounded float of another."""
    if len(digits) > _LONGEST_NUMBER or not -(2**63) <= int(digits) < 2**64:
        raise ValueError("an integer beyond 64 bits")
    return int(digits)


def _head(fields: dict[str, Any], now: int) -> Head:
    times = {name: _moment(fields, field) for field, name in _TIMES.items()}
    created = times["created"] if times["created"] is not None else now
    facts = {name: fields[name] for name in _AS_THEY_ARE if name in fields}
    facts["labels"] = check_labels(facts.get("labels") or {})
    updated = max(created, now if times["updated"] is None else times["updated"])
    span = _span(fields.get("ttl"))
    return check_head(
        Head(
            id=ids.parse(fields.get("id")),
            created=created,
            updated=updated,
            expires=updated + span if span is not None and "expires_at" not in fields else times["expires"],
            ttl=span,
            **facts,
        )
    )


def _moment(fields: dict[str, Any], name: str) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    try:
        return to_micros(datetime.fromisoformat(text))
    except (TypeError, ValueError, OverflowError):
        raise InvalidDocument(f"{name} is a time in ISO 8601 with an offset, or null", path=name) from None


def _span(value: object) -> int | None:
    if value is None:
        return None
    try:
        if isinstance(value, int | float):
            return to_duration(value)
    except InvalidSetting:
        pass
    raise InvalidDocument("ttl is a positive number of seconds, or null", path="ttl")
