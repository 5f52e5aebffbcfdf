"""The difference of two spellings of one thing, as a patch whose size follows what differs. Pure.

A patch is a flat list ``[copy, drop, insert, copy, drop, insert, …]``: so many bytes of the expected text are copied,
so many passed over, and the inserted bytes written, each spelled as Latin-1, of which every byte is a character. What
is left of the expected text behind the last of them is copied.
"""

from __future__ import annotations

from collections.abc import Sequence

Patch = list[int | str]

_REACH = 48
"""Bytes that the two texts may be apart where they are looked at, step by step, for where they agree again."""
_ANCHOR = 12
"""Bytes that have to agree there."""
_FAR_ANCHOR = 24
_STRETCH = 64
"""Bytes that are compared at first."""
_MOST = 4096
"""Steps of a patch. A text that differs in more places differs in its whole rest."""


def patch_between(expected: bytes, actual: bytes) -> Patch:
    """What makes the actual text of the expected one."""
    patch: Patch = []
    old = new = 0
    while True:
        same = _common(expected, old, actual, new)
        old, new = old + same, new + same
        if old == len(expected) and new == len(actual):
            return patch
        dropped, inserted = (
            _agreement(expected, old, actual, new) if len(patch) < 3 * _MOST else _rest(expected, old, actual, new)
        )
        patch += [same, dropped, actual[new : new + inserted].decode("latin-1")]
        old, new = old + dropped, new + inserted


def patched(expected: bytes, patch: Sequence[object]) -> bytes:
    """The actual text. ``ValueError`` for what is no patch of the expected one."""
    parts, place = [], 0
    steps = iter(patch)
    for copied, dropped, inserted in zip(steps, steps, steps, strict=True):
        if type(copied) is not int or type(dropped) is not int or type(inserted) is not str:
            raise ValueError("a step of a patch is two counts and a text")
        if copied < 0 or dropped < 0 or place + copied + dropped > len(expected):
            raise ValueError("a patch of another text")
        parts += [expected[place : place + copied], inserted.encode("latin-1")]
        place += copied + dropped
    return b"".join([*parts, expected[place:]])


def _common(expected: bytes, old: int, actual: bytes, new: int) -> int:
    """How many bytes agree from there on."""
    size, step = 0, _STRETCH
    while expected[old + size : old + size + step] == actual[new + size : new + size + step]:
        if old + size >= len(expected) or new + size >= len(actual):
            return min(len(expected) - old, len(actual) - new)
        size, step = size + step, step * 2
    while step > _STRETCH:  # the place lies within the last stretch: halve it
        step //= 2
        if expected[old + size : old + size + step] == actual[new + size : new + size + step]:
            size += step
    return size + _shared(expected[old + size : old + size + step], actual[new + size : new + size + step])


def _agreement(expected: bytes, old: int, actual: bytes, new: int) -> tuple[int, int]:
    """How many bytes of each to pass over until they agree again: near, else where one is found in the other."""
    for apart in range(1, _REACH):
        for dropped in range(apart + 1):
            one, other = old + dropped, new + apart - dropped
            anchor = expected[one : one + _ANCHOR]
            if anchor == actual[other : other + _ANCHOR] and (
                len(anchor) == _ANCHOR or len(expected) - one == len(actual) - other
            ):
                return dropped, apart - dropped
    if len(anchor := expected[old : old + _FAR_ANCHOR]) == _FAR_ANCHOR and (found := actual.find(anchor, new)) >= 0:
        return 0, found - new
    if len(anchor := actual[new : new + _FAR_ANCHOR]) == _FAR_ANCHOR and (found := expected.find(anchor, old)) >= 0:
        return found - old, 0
    return _rest(expected, old, actual, new)


def _rest(expected: bytes, old: int, actual: bytes, new: int) -> tuple[int, int]:
    """All that is left but for an end that agrees."""
    same = _shared(expected[: old - 1 if old else None : -1], actual[: new - 1 if new else None : -1])
    return len(expected) - old - same, len(actual) - new - same


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes at the beginning are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
