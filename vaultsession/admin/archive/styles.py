"""How programs spell JSON: the styles that a value is written in, and text as it is. Pure.

A message lies in a vault as the compact JSON of its value, its *element*. A style makes of it what a program would have
written; where that is the file, nothing but the style's name has to be kept.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson

Style = Callable[[bytes], bytes]
"""What spells an element. ``ValueError``, ``KeyError`` or ``TypeError`` for one that is none of its kind."""

TEXT_TYPE = "archive-text"
BYTES_TYPE = "archive-bytes"
"""Types of the messages that stand for what is no JSON object: a text, or bytes that are none."""


def _dumps(**how: Any) -> Style:  # noqa: ANN401 - what json.dumps takes
    return lambda element: json.dumps(orjson.loads(element), **how).encode()


def _escaped_for_html(element: bytes) -> bytes:
    """As Go's encoder spells it: within JSON these five stand in texts alone."""
    for char in "<>&\u2028\u2029":
        element = element.replace(char.encode(), b"\\u%04x" % ord(char))
    return element


def _indented(element: bytes) -> bytes:
    return orjson.dumps(orjson.loads(element), option=orjson.OPT_INDENT_2)


def _text(element: bytes) -> bytes:
    text: str = orjson.loads(element)["text"]
    return text.encode()


def _bytes(element: bytes) -> bytes:
    return base64.b64decode(orjson.loads(element)["base64"])


COMPACT, PYTHON, TEXT, BYTES = "compact", "python", "text", "bytes"

LINES: Mapping[str, Style] = {
    COMPACT: lambda element: element,  # JSON.stringify, serde_json, orjson
    PYTHON: _dumps(),
    "python-utf8": _dumps(ensure_ascii=False),
    "ascii": _dumps(separators=(",", ":")),
    "html": _escaped_for_html,  # Go
}
"""Those of a line."""

_UTF8 = {"ensure_ascii": False}
DOCUMENTS: Mapping[str, Style] = {
    **LINES,
    "indent-2": _indented,
    "indent-2-ascii": _dumps(indent=2),
    "indent-4": _dumps(indent=4, **_UTF8),
    "indent-4-ascii": _dumps(indent=4),
    "indent-1": _dumps(indent=1, **_UTF8),
    "indent-tab": _dumps(indent="\t", **_UTF8),
    "indent-tab-ascii": _dumps(indent="\t"),
}
"""Those of a file that is one JSON value."""

STYLES: Mapping[str, Style] = {**DOCUMENTS, TEXT: _text, BYTES: _bytes}
"""All of them, by the names that a vault keeps: none is ever taken back or changed."""


def text_element(data: bytes) -> tuple[str, bytes]:
    """``(style, element)`` of bytes that are no JSON object."""
    try:
        return TEXT, orjson.dumps({"type": TEXT_TYPE, "text": data.decode()})
    except UnicodeDecodeError:
        return BYTES, orjson.dumps({"type": BYTES_TYPE, "base64": base64.b64encode(data).decode()})
