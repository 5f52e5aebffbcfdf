r"""Values that strict JSON cannot carry, spelled in JSON, and given back as they were. Pure; FORMAT.md, section 6.1.

A message, or the value of a key of the state, that holds such a value lies in a box: ``{"$lossless": [value, …]}``. So
what is boxed says so itself, readers give it back whatever their settings, and all else is stored as it is. Behind the
value stand the parts of it that are nested too deeply, each in the place of a ``{"$r": number}``.
"""

from __future__ import annotations

import binascii
import math
import re
import struct
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Damaged

BOX = "$lossless"
MARK = b'"$lossless'
"""Within the JSON of every object that holds a box, or a key that is spelled."""

PART_LEVELS = 200
"""Levels that one part of a value in a box has."""

_KEY = BOX + ":"
_TEXT_KEY = "$s:"
# As text: ``re`` compiles them on first use, and keeps them.
_SURROGATE = "[\ud800-\udfff]"
_ESCAPED = "[\\\\\ud800-\udfff]"
_ESCAPE = r"\\(?:(\\)|u(d[89a-f][0-9a-f]{2}))?"
_HEX = "-?[0-9a-f]+"

_LEAVES = frozenset({str, bytes, int, float, bool, type(None)})

Json = dict[str, Any]


def is_box(value: object) -> bool:
    """Whether a message, or the value of a key of the state, would be read as a box."""
    return type(value) is dict and BOX in value


def why_not(value: object) -> str | None:
    """Why a value that holds no other cannot lie in a box, or None."""
    return None if type(value) in _LEAVES else f"no {type(value).__name__} is given back"


def box(value: object) -> Json:
    """The value in a box: one that does not hold itself, of leaves that fit and of keys that are text."""
    return {BOX: _Speller().parts(value)}


def unbox(value: Any) -> Any:  # noqa: ANN401 - whatever was boxed
    """What is in a box; anything else as it is. From authenticated bytes: ``Damaged`` for what no writer boxes."""
    if not is_box(value):
        return value
    parts = value[BOX]
    if len(value) > 1 or type(parts) is not list or not parts:
        raise _damaged()
    try:
        return _Parts(parts).value()
    except (ValueError, RecursionError, struct.error):
        raise _damaged() from None


def unbox_each(messages: list[Any]) -> list[Any]:
    """The messages, each that lies in a box as it was: 20 ns for one that does not."""
    try:
        for message in messages:  # any(…) takes half as long again
            if BOX in message:
                return [*map(unbox, messages)]
    except TypeError:
        raise Damaged("an authentic record holds a message that is no object: not written by this package") from None
    return messages


def spell_key(name: str) -> str:
    """A key of the state as it is stored: as it is, but for one with lone surrogates, and one that looks spelled."""
    return _KEY + _escape(name) if name.startswith(BOX) or re.search(_SURROGATE, name) else name


def unbox_state(state: Json) -> Json:
    """The state as it was: keys that are spelled, and values that lie in boxes. Itself where there are none."""
    for name, value in state.items():
        if name.startswith(BOX) or is_box(value):
            break
    else:
        return state
    return {_unspelled(name): unbox(value) for name, value in state.items()}


def readable(value: object, levels: int = PART_LEVELS) -> Any:  # noqa: ANN401 - JSON is any of six types
    """The value as JSON for people, to be written in ASCII: without what is nested deeper than so many levels."""
    if isinstance(value, list | dict) and not levels:
        return "…"
    if isinstance(value, list):
        return [readable(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {name: readable(item, levels - 1) for name, item in value.items()}
    return _leaf(value) if type(value) in (bytes, int, float) else value


def _leaf(value: Any) -> Any:  # noqa: ANN401 - JSON
    """What holds no other value, as JSON."""
    match value:
        case str():
            return {"$s": _escape(value)} if re.search(_SURROGATE, value) else value
        case bytes():
            return {"$b": binascii.b2a_base64(value, newline=False).decode()}
        case None | bool():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else {"$i": format(value, "x")}
    return value if math.isfinite(value) else {"$f": struct.pack(">d", value).hex()}


class _Speller:
    """Spells one value."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._met = 1

    def parts(self, value: object) -> list[Any]:
        """The parts of the value, the first being the value itself."""
        self._waiting.append(value)
        found = []
        while self._waiting:
            found.append(self._spelled(self._waiting.popleft(), 0))
        return found

    def _spelled(self, value: object, level: int) -> Any:  # noqa: ANN401 - JSON
        if not isinstance(value, list | dict):
            return _leaf(value)
        if level == PART_LEVELS:
            self._waiting.append(value)
            self._met += 1
            return {"$r": self._met - 1}
        if isinstance(value, list):
            return [self._spelled(item, level + 1) for item in value]
        return {_spelled_key(name): self._spelled(item, level + 1) for name, item in value.items()}


def _spelled_key(name: str) -> str:
    if re.search(_SURROGATE, name):
        return _TEXT_KEY + _escape(name)
    return "$" + name if name.startswith("$") else name


class _Parts:
    """The parts of one value in a box, each of which another one before it refers to, once."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts = parts
        self._given: dict[int, Any] = {}
        self._number = 0

    def value(self) -> Any:  # noqa: ANN401 - whatever was boxed
        for number in range(len(self._parts) - 1, -1, -1):
            self._number = number
            self._given[number] = self._of(self._parts[number])
        root = self._given.pop(0)
        if self._given:
            raise _damaged()
        return root

    def _of(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        if type(value) is list:
            return [self._of(item) for item in value]
        if type(value) is not dict:
            return value
        if len(value) == 1:
            ((name, text),) = value.items()
            given = _GIVEN.get(name)
            if given is not None:
                if type(text) is not str:
                    raise _damaged()
                return given(text)
            if name == "$r":
                if type(text) is not int or text <= self._number or text not in self._given:
                    raise _damaged()
                return self._given.pop(text)
        return {_key_of(name): self._of(item) for name, item in value.items()}


def _key_of(name: str) -> str:
    if not name.startswith("$"):
        return name
    if name.startswith("$$"):
        return name[1:]
    if name.startswith(_TEXT_KEY):
        return _unescape(name[len(_TEXT_KEY) :])
    raise _damaged()


def _unspelled(name: str) -> str:
    if not name.startswith(BOX):
        return name
    if not name.startswith(_KEY):
        raise _damaged()
    return _unescape(name[len(_KEY) :])


def _escape(text: str) -> str:
    return re.sub(_ESCAPED, lambda found: r"\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}", text)


def _unescape(text: str) -> str:
    return re.sub(_ESCAPE, _unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return "\\"
    if found[2]:
        return chr(int(found[2], 16))
    raise _damaged()


def _integer(text: str) -> int:
    if not re.fullmatch(_HEX, text):
        raise _damaged()
    return int(text, 16)


def _number(text: str) -> float:
    number: float = struct.unpack(">d", bytes.fromhex(text))[0]
    return number


_GIVEN: Mapping[str, Callable[[str], object]] = {
    "$s": _unescape,
    "$b": lambda text: binascii.a2b_base64(text, strict_mode=True),
    "$i": _integer,
    "$f": _number,
}
"""What each envelope of a text gives back."""


def _damaged() -> Damaged:
    return Damaged("an authentic record holds a box that is not what this package writes")
