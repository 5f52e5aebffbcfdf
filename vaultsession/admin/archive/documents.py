"""A file that is one JSON value, such as a list of messages, as a session; and the file of it. Pure.

The messages are elements; the *skeleton* says where they stand in the value, and what else does: ``None`` for a file
that is their list, else one entry for each field of the object in its order. A name alone is a field of the state, a
list of a name the messages, and a list of two a name with its value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from ...format.lossless import BOX
from ...format.payload import Json
from .lines import Oddity
from .patch import Patch, patch_between, patched
from .styles import COMPACT, DOCUMENTS, PYTHON
from .values import strict

LARGEST = 8 << 20
"""Bytes of a file that is looked at as one value."""

_ODD = 1 << 10
"""Bytes that a patch may have beside as many as the file: beyond it the file is kept as text."""
_GUESSES = (COMPACT, PYTHON, "indent-2")
Skeleton = list[Any] | None


class JsonDocument(NamedTuple):
    """The messages of a file, where they stood, and how it spells them."""

    elements: list[bytes]
    skeleton: Skeleton
    oddity: Oddity


def document_of(data: bytes, messages: Sequence[Json], state: Json) -> JsonDocument | None:
    """The file, whose messages and state a reader has found; None where it is no such value, or too oddly spelled."""
    found = strict(data)
    if found is None or any(BOX in message for message in messages):
        return None
    value, whole = found
    elements = [orjson.dumps(message) for message in messages]
    skeleton: Skeleton = None
    if isinstance(value, dict):
        field = next((name for name, each in value.items() if isinstance(each, list) and each == messages), None)
        skeleton = [
            [name] if name == field else name if name in state and state[name] == each else [name, each]
            for name, each in value.items()
        ]
    if _whole(elements, skeleton, state) != whole:
        return None
    style, patch = _spelled(whole, data)
    if sum(8 + len(str(step)) for step in patch) > len(data) + _ODD:
        return None
    document = JsonDocument(elements, skeleton, [style, *patch])
    return document if spelled_document(elements, skeleton, state, document.oddity) == data else None


def spelled_document(elements: Sequence[bytes], skeleton: Skeleton, state: Json, oddity: Oddity) -> bytes:
    """The bytes of the file. ``ValueError``, ``KeyError`` or ``TypeError`` for what is no such document."""
    return patched(DOCUMENTS[str(oddity[0])](_whole(elements, skeleton, state)), oddity[1:])


def _whole(elements: Sequence[bytes], skeleton: Skeleton, state: Json) -> bytes:
    """The element of the whole value."""
    messages = b"[" + b",".join(elements) + b"]"
    if skeleton is None:
        return messages
    fields = []
    for entry in skeleton:
        if isinstance(entry, str):
            name, value = entry, orjson.dumps(state[entry])
        else:
            name = entry[0]
            value = messages if len(entry) == 1 else orjson.dumps(entry[1])
        fields.append(orjson.dumps(name) + b":" + value)
    return b"{" + b",".join(fields) + b"}"


def _spelled(whole: bytes, data: bytes) -> tuple[str, Patch]:
    body = data.strip()
    for name, style in DOCUMENTS.items():
        if (text := style(whole)) == body:
            return name, patch_between(text, data)
    patches = [(name, patch_between(DOCUMENTS[name](whole), data)) for name in _GUESSES]
    return min(patches, key=lambda each: sum(12 + len(str(step)) for step in each[1]))
