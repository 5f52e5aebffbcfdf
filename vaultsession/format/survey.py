"""Survey: how much JSON a value takes, and the place in it that does not fit, however it was put together. Pure.

What a value names many times it writes many times, and it is walked through once: forty lists, each of which holds the
next one twice, are 2**40 texts and forty steps. Nothing here is recursive, so no depth is too deep.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ..errors import InvalidDocument

WhyNot = Callable[[object], str | None]
"""Why a value that holds no other does not fit, or None."""

_NESTED = frozenset({dict, list})
_TEXTS = frozenset({str, bytes})
_SMALL = 16
"""Members up to which a list or an object that holds no other is walked through again, and not remembered."""
_LONGEST_PATH = 120
_UNKNOWN = (0, 0)


class JsonSurvey:
    """Of values that may share parts; they do not change meanwhile.

    ``why_not`` is asked about all that they hold and that is no list and no object. ``deepest`` bounds the nesting.
    """

    def __init__(self, why_not: WhyNot | None = None, *, deepest: int | None = None) -> None:
        self._why_not = why_not
        self._deepest = deepest
        self._known: dict[int, tuple[int, int] | None] = {}

    def size(self, value: object, path: str) -> int:
        """Bytes of JSON that a list or an object takes at least.

        ``InvalidDocument`` with the path to what does not fit, is nested too deeply, or holds itself.
        """
        known = self._known
        way = [_Level(value)]
        if self._why_not is None and not way[0].is_remembered:
            return way[0].size
        self._enter(way, path)
        while True:
            level = way[-1]
            for key, below in level.below:
                found = known.get(id(below), _UNKNOWN)
                if found is None:
                    raise _unfit(way, path, key, "holds itself")
                if found is _UNKNOWN:
                    way.append(_Level(below, key))
                    self._enter(way, path)
                    break
                level.add(*found)
                if self._is_too_deep(len(way) + found[1]):
                    raise self._too_deep(way, path, key)
            else:
                way.pop()
                if level.is_remembered:
                    known[id(level.value)] = level.size, level.height
                else:
                    del known[id(level.value)]
                if not way:
                    return level.size
                way[-1].add(level.size, level.height)

    def _enter(self, way: list[_Level], path: str) -> None:
        level = way[-1]
        self._known[id(level.value)] = None  # until it is left
        if self._is_too_deep(len(way)):
            raise self._too_deep(way[:-1], path, level.key)
        if self._why_not is None:
            return
        for key, item in level.items():
            if level.is_object:
                if type(key) is not str:
                    raise _unfit(way, path, None, f"a key is a str, not {type(key).__name__} ({key!r:.40})")
                if reason := self._why_not(key):
                    raise _unfit(way, path, None, f"key {key!r:.40}: {reason}")
            if type(item) not in _NESTED and (reason := self._why_not(item)):
                raise _unfit(way, path, key, reason)

    def _is_too_deep(self, levels: int) -> bool:
        return self._deepest is not None and levels > self._deepest

    def _too_deep(self, way: list[_Level], path: str, key: object) -> InvalidDocument:
        return _unfit(way, path, key, f"nested deeper than {self._deepest} levels")


class _Level:
    """A list or an object on the way down: what stands in it itself, and from what is below it what it takes."""

    __slots__ = ("below", "height", "is_object", "is_remembered", "key", "size", "value")

    def __init__(self, value: Any, key: object = None) -> None:  # noqa: ANN401 - a list or a dict
        self.value = value
        self.key = key
        self.is_object = type(value) is dict
        members = value.values() if self.is_object else value
        is_flat = _NESTED.isdisjoint(map(type, members))
        nested = [] if is_flat else [each for each in self.items() if type(each[1]) in _NESTED]
        # Brackets, commas, quotes; one byte at least of what is no text.
        self.size = max(2, 1 + len(value)) + len(value) - len(nested)
        self.size += sum([len(item) + 1 for item in members if type(item) in _TEXTS])
        if self.is_object:
            self.size += sum([len(name) + 3 for name in value if type(name) is str])
        self.height = 1
        self.below = iter(nested)
        self.is_remembered = bool(nested) or len(value) > _SMALL

    def items(self) -> Any:  # noqa: ANN401 - pairs of a key, or a number, and a member
        return self.value.items() if self.is_object else enumerate(self.value)

    def add(self, size: int, height: int) -> None:
        self.size += size
        self.height = max(self.height, 1 + height)

    def step(self, key: object) -> str:
        return f".{key}" if self.is_object else f"[{key}]"


def _unfit(way: list[_Level], path: str, key: object, reason: str) -> InvalidDocument:
    """The error about a member of the last level, or about that itself where there is no key."""
    steps = [above.step(level.key) for above, level in pairwise(way)]
    place = path + "".join(steps) + (way[-1].step(key) if way and key is not None else "")
    short = place if len(place) <= _LONGEST_PATH else f"{place[:60]} … {place[-40:]}"
    return InvalidDocument(f"{short}: {reason}", path=place)
