"""What a document that is about to be saved has in common with the one that was loaded. Pure.

A conversation mostly grows at its end, and of its state a key or two change. So the bodies that are known are compared
with the document as bytes, from the front: what they share costs one look at memory, and is neither parsed nor split.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from ..util.named_tuple import NamedTuple
from . import document, payload
from .document import NO_CHANGE, Bodies, Change
from .payload import Json

SMALLEST = 16 * 1024
"""Bytes of JSON from which on a document is compared at all: a smaller one is written whole in the same time."""

SHARE = 4
"""A difference is worth it below one part in so many of the document; it may drop at most one in two."""

_SEPARATOR = b",\n"


class Difference(NamedTuple):
    """The body of a DELTA that makes the one document of the other.

    ``messages`` are the messages in it, ``growth`` is by how many the history becomes longer. ``dropped`` counts the
    bytes of the known bodies that nothing reads any more.
    """

    text: bytes
    messages: int
    growth: int
    dropped: int

    @property
    def rewrites(self) -> bool:
        """Whether it drops messages."""
        return self.growth != self.messages


def smaller_delta(known: Bodies, elements: Sequence[bytes]) -> Difference | None:
    """The difference where it is little beside the document; None where that is better written whole."""
    size = sum(map(len, known))
    if size < SMALLEST or sum(map(len, elements)) > size + size // SHARE:
        return None
    found = between(known, elements)
    return found if found is not None and len(found.text) * SHARE < size and found.dropped * 2 <= size else None


def between(known: Bodies, elements: Sequence[bytes]) -> Difference | None:
    """What makes a document, given as its state and its messages, of the one that is known.

    None where it cannot be said: where the keys of the state have another order, or are nested as deeply as JSON goes.
    """
    found = _state(known, elements[0])
    if found is None:
        return None
    change, replaced = found
    history = _history(known, elements[1:])
    try:
        operations = orjson.dumps(change._replace(pop=history.popped, trim=history.trimmed).fields())
    except TypeError:  # what was accepted as a state may be too deep for one level more
        return None
    return Difference(
        text=payload.join([operations, *history.added]),
        messages=len(history.added),
        growth=len(history.added) - history.popped - history.trimmed,
        dropped=history.dropped + replaced,
    )


class _History(NamedTuple):
    """What becomes of the history. ``dropped`` counts bytes."""

    popped: int
    added: Sequence[bytes]
    trimmed: int
    dropped: int


def _history(known: Bodies, messages: Sequence[bytes]) -> _History:
    bodies, same = _in_common(known, messages)
    found = _elements(known[bodies:]) if bodies else None
    if found is None:
        found, same = document.elements(known), 0
    trimmed = 0
    if not same and messages and found and found[0] != messages[0] and messages[0] in found:
        trimmed = found.index(messages[0])
    ours, theirs = found[trimmed:], messages[same:]
    equal = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    lost = [*found[:trimmed], *ours[equal:]]
    return _History(len(ours) - equal, theirs[equal:], trimmed, sum(map(len, lost)))


def _in_common(known: Bodies, messages: Sequence[bytes]) -> tuple[int, int]:
    """How many of the bodies at the front the history begins with, as they are, and how many messages these hold."""
    text, position = _SEPARATOR.join(messages), 0
    bodies = 0
    for number, body in enumerate(known):
        first = document.first_of(body)
        if number and document.may_drop(first):
            break
        part = body[1 + len(first) + len(_SEPARATOR) : -1]
        end = position + len(part)
        if part:
            if not text.startswith(part, position) or not (end == len(text) or text.startswith(_SEPARATOR, end)):
                break
            position = end + len(_SEPARATOR)
        bodies += 1
    if not bodies:
        return 0, 0
    count, end = len(messages), len(text) + len(_SEPARATOR) if messages else 0
    while end > position:  # counted from behind, where the difference mostly is
        count -= 1
        end -= len(messages[count]) + len(_SEPARATOR)
    return bodies, count


def _elements(bodies: Bodies) -> list[bytes] | None:
    """The messages that DELTAs add; None where one of them drops what stands before them."""
    found: list[bytes] = []
    for body in bodies:
        first, *added = payload.split(body)
        change = document.change_of(body) if document.may_drop(first) else NO_CHANGE
        if change.trim or change.pop > len(found):
            return None
        del found[len(found) - change.pop :]
        found += added
    return found


def _state(known: Bodies, state: bytes) -> tuple[Change, int] | None:
    """The change of the state, and how many bytes of it are replaced; None where set and unset cannot say it."""
    if document.first_of(known[0]) == state and not any(
        document.may_set(document.first_of(each)) for each in known[1:]
    ):
        return NO_CHANGE, 0
    before, after = document.stored_state_of(known), payload.parse(state)
    old, new = _by_key(before), _by_key(after)
    changed = {name: after[name] for name, value in new.items() if old.get(name) != value}
    gone = [name for name in old if name not in new]
    change = Change(set=changed, unset=gone)
    change.apply_to_state(before)
    if list(before) != list(after):  # the order of the keys is kept as well
        return None
    return change, sum(len(old[name]) for name in (*changed, *gone) if name in old)


def _by_key(state: Json) -> dict[str, bytes]:
    return {name: orjson.dumps(value) for name, value in state.items()}
