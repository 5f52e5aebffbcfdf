"""Items of other frameworks as messages: what their JSON carries and strict JSON does not, in an envelope.

Frameworks write with ``json.dumps``, which takes more than a store does: lone surrogates, integers beyond 64 bits, NaN,
deep nesting, items that are no objects. Such an item becomes ``{"$json": TEXT}``, its own JSON as text, and comes back
as ``json.loads`` reads it. An item that looks like an envelope gets one too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidDocument
from ..format import payload
from ..format.payload import Json

ENVELOPE = "$json"

_SURROGATES = re.compile("[\ud800-\udfff]")


def guarded(items: Sequence[Any]) -> Sequence[Json]:
    """The items as they are, but for those that would be read as envelopes. A store says what it cannot take."""
    return [_enveloped(item) for item in items] if any(map(_is_envelope, items)) else items


def enveloped(items: Sequence[Any]) -> list[Json]:
    """The items as messages that every store takes, as they come back from JSON: a tuple is a list then.

    ``InvalidDocument`` for what JSON has no word for, with its path.
    """
    return [_message(item, number) for number, item in enumerate(items)]


def items_of(messages: Sequence[Json]) -> list[Any]:
    """The items again."""
    return [json.loads(message[ENVELOPE]) if _is_envelope(message) else message for message in messages]


def _message(item: object, number: int) -> Json:
    try:
        read = json.loads(_text(item))
    except (TypeError, ValueError, RecursionError):
        _refuse(item, number)
        raise
    try:
        if isinstance(read, dict) and not _is_envelope(read):
            payload.elements({}, (read,))
            return read
    except InvalidDocument:
        pass
    return _enveloped(item)


def _refuse(item: object, number: int) -> None:
    """``InvalidDocument`` that says where in the item."""
    try:
        payload.elements({}, (item,))  # type: ignore[arg-type]  # of whatever type: that is the question
    except InvalidDocument as error:
        path = error.path.replace("messages[0]", f"messages[{number}]", 1)
        raise InvalidDocument(str(error).replace(error.path, path, 1), path=path) from None


def _enveloped(item: object) -> Json:
    return {ENVELOPE: _text(item)}


def _text(item: object) -> str:
    """JSON that can be searched: only lone surrogates are escaped."""
    text = json.dumps(item, ensure_ascii=False)
    return _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _is_envelope(value: object) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(ENVELOPE), str)
