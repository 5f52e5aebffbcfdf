"""ListMemory: what a list was when it was put, to know its beginning again without serializing it.

A graph hands the whole history over at every step, and its messages may be changed in place: so they are compared by
content. A message is remembered as a copy of its fields: fields that did not change are the same objects, which C
compares at once. What holds numbers is also compared by its bytes, since 1, 1.0 and True are equal and not the same.
"""

from __future__ import annotations

import copy
import marshal
from collections.abc import Sequence
from itertools import islice
from typing import Any

_MESSAGES = "langchain_core.messages."
_TEXTS: frozenset[type] = frozenset((str, type(None)))
_PLAIN: frozenset[type] = _TEXTS | {int, float, bool}
_VERSION = 2
"""Of marshal's format, the last one in which the bytes of a value are its own, whatever else refers to it."""
_COUNT = 5
"""Bytes before the elements of a list."""


class ListMemory:
    """The beginning of a list: what it was, and the ``ranges`` by which a log has its ``count`` elements."""

    def __init__(self) -> None:
        self.count = 0
        self.ranges: list[int] = []
        self._kinds: list[type] = []
        self._fields: list[Any] = []
        self._numeric: list[tuple[int, str]] = []
        self._numbers = b""

    def follow(self, value: Sequence[Any], ranges: list[int]) -> bool:
        """Remember a list that begins with this one; False where it has other elements than messages."""
        for number, element in enumerate(islice(value, self.count, None), self.count):
            kind = type(element)
            if not kind.__module__.startswith(_MESSAGES) or element.__pydantic_extra__:
                return False
            fields = element.__dict__
            numeric = [name for name, each in fields.items() if not _is_of(each, _TEXTS)]
            if not all(_is_of(fields[name], _PLAIN) for name in numeric):
                return False
            self._kinds.append(kind)
            self._fields.append(copy.deepcopy(fields))
            self._numeric += [(number, name) for name in numeric]
            self._numbers += _marshalled([fields[name] for name in numeric])
        self.count = len(value)
        self.ranges = ranges[:]
        return True

    def holds(self, value: Sequence[Any]) -> bool:
        """Whether a list begins with these elements, unchanged."""
        begun = value[: self.count]
        if list(map(type, begun)) != self._kinds:
            return False
        fields = [element.__dict__ for element in begun]
        if fields != self._fields or any(element.__pydantic_extra__ for element in begun):
            return False
        try:
            return _marshalled([fields[number][name] for number, name in self._numeric]) == self._numbers
        except ValueError:
            return False


def _marshalled(values: list[Any]) -> bytes:
    """The bytes of the values, one behind the other. ``ValueError``."""
    return marshal.dumps(values, _VERSION)[_COUNT:]


def _is_of(value: object, leaves: frozenset[type]) -> bool:
    """Whether a value is made of lists, dicts and such leaves alone, exactly."""
    kind = type(value)
    if kind is list:
        return all(_is_of(each, leaves) for each in value)  # type: ignore[attr-defined]
    if kind is dict:
        return all(type(name) is str and _is_of(each, leaves) for name, each in value.items())  # type: ignore[attr-defined]
    return kind in leaves
