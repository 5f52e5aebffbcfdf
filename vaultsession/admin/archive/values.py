"""The values in bytes that are JSON, or nearly: what a message can hold of them. Pure.

What strict JSON does not have is replaced by what it has: a lone surrogate by U+FFFD, NaN by its name, an integer
beyond 64 bits by a float. The patch beside the message says how it was spelled.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import orjson

from ...format.payload import Json

_DECODER = json.JSONDecoder(strict=False, parse_constant=str, parse_int=lambda digits: _near(digits))  # noqa: PLW0108 - defined below
_BLANKS = " \t\r\n"
_LONGEST_DIGITS = 18


class Value(NamedTuple):
    """An object, its element, and the bytes that it was read from, with what stood before it."""

    value: Json
    element: bytes
    data: bytes


def strict(data: bytes) -> tuple[object, bytes] | None:
    """``(value, element)`` of strict JSON; None for anything else."""
    try:
        value = orjson.loads(data)
        return value, orjson.dumps(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def lenient(data: bytes) -> tuple[list[Value], bytes]:
    """The objects that a line is made of, one behind the other, and the bytes behind the last that are none."""
    text = data.decode("utf-8", "surrogateescape")
    found, place, taken = [], 0, 0
    while True:
        while place < len(text) and (text[place] in _BLANKS or text[place] == "\ufeff"):
            place += 1
        try:
            value, place = _DECODER.raw_decode(text, place)
            if not isinstance(value, dict):
                break
            value = _clean(value)
            element = orjson.dumps(value)
        except (ValueError, RecursionError, orjson.JSONEncodeError):
            break
        found.append(Value(value, element, text[taken:place].encode("utf-8", "surrogateescape")))
        taken = place
    return found, text[taken:].encode("utf-8", "surrogateescape")


def _near(digits: str) -> int | float:
    if len(digits) <= _LONGEST_DIGITS:
        return int(digits)
    try:
        exact = int(digits)
        return exact if -(2**63) <= exact < 2**64 else float(digits)
    except (ValueError, OverflowError):
        return 0


def _clean(value: Any) -> Any:  # noqa: ANN401 - JSON is any of six types
    if isinstance(value, dict):
        return {_clean(name): _clean(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):  # 1e999
        return str(value)
    return value
