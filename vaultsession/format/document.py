"""A document as its bodies: the state and the history of a session, read without parsing more than is asked for. Pure.

The first body is a FULL: ``[state, message, …]``. The others are DELTAs: ``[operations, message, …]``, applied one
after the other, and each in this order: drop the newest ``pop`` messages, ``set`` and ``unset`` keys of the state, add
the messages, drop the oldest ``trim``. Elements are handled as bytes where their content does not matter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import Damaged, UnsupportedFormat
from ..util.lazy import LazyModule
from ..util.named_tuple import NamedTuple
from . import lossless, payload
from .payload import Json

if TYPE_CHECKING:
    from . import tool_calls
else:  # for histories of a bounded length
    tool_calls = LazyModule(".format.tool_calls")

SEGMENT = 256 * 1024
"""Bytes of JSON after which a long history goes on in another record, so that its tail is read without the rest."""

NEWEST = 4
"""The last record of a long history is so many times shorter: the newest messages are what is asked for most.

Over 111 real histories of more than 256 KiB it takes 0.8 % more bytes, and the newest 20 messages are inflated in 54 us
where it were 179. If all records were as short they took 28 % more; and histories of less than 256 KiB, which are one
record, 12 % in two.
"""

LARGE = SEGMENT // 2
"""Bytes of a body from which on merging it with others would save next to nothing."""

_TURN = 4 * 1024
"""Bytes of a body up to which all of it is split where its last messages are asked for."""

_NOTHING = b"{}"
_ADDS = b"[" + _NOTHING
_NAMES = frozenset({str})


class Change(NamedTuple):
    """What a DELTA does besides adding messages."""

    pop: int = 0
    set: Mapping[str, Any] = {}
    unset: Sequence[str] = ()
    trim: int = 0

    def fields(self) -> Json:
        """The first element of a DELTA: only what there is to do."""
        return {name: value for name, value in zip(self._fields, self, strict=True) if value}

    def apply_to_state(self, state: Json) -> None:
        """Set and unset, in place. Unsetting what is not there changes nothing."""
        state.update(self.set)
        for name in self.unset:
            state.pop(name, None)


NO_CHANGE = Change()
Bodies = Sequence[bytes]


def first_of(body: bytes) -> bytes:
    """The first element of a body, unparsed."""
    end = body.find(b"\n")
    return body[1:-1] if end < 0 else body[1 : end - 1]


def may_drop(first: bytes) -> bool:
    """Whether a DELTA that begins so may drop messages; only a look at the bytes."""
    return first != _NOTHING and (b'"pop"' in first or b'"trim"' in first)


def may_set(first: bytes) -> bool:
    """Whether a DELTA that begins so may change the state; only a look at the bytes."""
    return first != _NOTHING and (b'"set"' in first or b'"unset"' in first)


def check_body(body: bytes, *, changes: bool) -> None:
    """What whoever takes messages from a body and leaves its first element looks at all the same.

    ``Damaged`` for what is no array of objects as far as its ends show; of a body that ``changes`` the document
    ``UnsupportedFormat`` for operations of another version, and ``Damaged`` for nonsense.
    """
    if not (body.startswith(b"[{") and body.endswith(b"}]")):
        raise Damaged("an authentic record holds no array of objects: it was not written by this package")
    first = first_of(body) if changes else _NOTHING
    if first != _NOTHING:
        _change(first)


def change_of(body: bytes) -> Change:
    """What the DELTA of that body does besides adding messages."""
    return _change(first_of(body))


def state_of(bodies: Bodies) -> Json:
    """The state: the FULL's, with every later change applied. A new dict at each call."""
    return lossless.unbox_state(stored_state_of(bodies))


def stored_state_of(bodies: Bodies) -> Json:
    """The state as it is stored: values that strict JSON does not carry lie in boxes."""
    return _merged_state([first_of(body) for body in bodies])


def state_of_firsts(firsts: Sequence[bytes]) -> Json:
    """The state, of the first elements of the bodies."""
    return lossless.unbox_state(_merged_state(firsts))


def _merged_state(firsts: Sequence[bytes]) -> Json:
    state = _state(payload.parse(firsts[0]))
    for first in firsts[1:]:
        if first != _NOTHING:
            _change(first).apply_to_state(state)
    return state


def parse(bodies: Bodies) -> tuple[Json, list[Json]]:
    """``(state, messages)``, everything parsed. New objects at each call."""
    messages = _array(bodies[0])
    state = _state(messages.pop(0))
    for body in bodies[1:]:
        added = _array(body)
        if first := added.pop(0):
            change = _change_from(first)
            change.apply_to_state(state)
            _drop_newest(messages, change.pop)
            messages += added
            _drop_oldest(messages, change.trim)
        else:
            messages += added
    return lossless.unbox_state(state), lossless.unbox_each(messages)


def messages_of(elements: Sequence[bytes]) -> list[Json]:
    """The messages of these elements. New objects at each call."""
    return lossless.unbox_each(payload.parse(payload.join(elements)))


def message_of(element: bytes) -> Json:
    """The message of one element."""
    return messages_of([element])[0]


def elements(bodies: Bodies) -> list[bytes]:
    """Every message of the history, unparsed."""
    found = payload.split(bodies[0])[1:]
    for body in bodies[1:]:
        first, *added = payload.split(body)
        change = NO_CHANGE if first == _NOTHING else _change(first)
        _drop_newest(found, change.pop)
        found += added
        _drop_oldest(found, change.trim)
    return found


def page(count: int, wanted: int, offset: int | None) -> tuple[int, int]:
    """``(first, end)`` of a page of a history of ``count`` messages; without an offset, of its newest ones."""
    if offset is None:
        return max(0, count - wanted), count
    first = min(offset, count)
    return first, min(count, first + wanted)


def tail(bodies: Iterable[bytes], wanted: int, *, skip: int = 0) -> list[bytes]:
    """At most ``wanted`` messages, unparsed and oldest first, that stand before the newest ``skip``.

    ``bodies`` come newest first and are asked for only as long as messages are wanting. The caller bounds
    ``wanted + skip`` by the length of the history, since what was trimmed is not seen from here.
    """
    found: list[bytes] = []
    if wanted <= 0:
        return found
    for body in bodies:
        enough = payload.last_of(body, wanted + skip) if len(body) > _TURN else None
        if enough is not None:
            found[:0] = enough[:wanted]
            break
        first, *added = payload.split(body)
        usable = len(added) - skip
        if usable > 0:
            found[:0] = added[max(0, usable - wanted) : usable]
            wanted -= usable
            if wanted <= 0:
                break
        # A FULL's state is no change; it ends the walk in any case, since nothing stands before it.
        popped = 0 if first == _NOTHING else _popped(first)
        skip = max(0, -usable) + popped
    return found


def segments(
    first: bytes, messages: Sequence[bytes], *, largest: int = SEGMENT, follows: bool = False
) -> Iterator[bytes]:
    """The bodies of a history: one FULL or DELTA beginning with ``first``, then DELTAs of bounded size, a short last.

    ``follows``: it goes on with one that is long already.
    """
    return map(payload.join, parts([first, *messages], largest=largest, follows=follows))


def parts(elements: Sequence[bytes], *, largest: int = SEGMENT, follows: bool = False) -> Iterator[Sequence[bytes]]:
    """The elements of each of these bodies."""
    left = sum(map(len, elements))
    if not follows and left <= largest:
        yield elements
        return
    first, *messages = elements
    part, size, is_last = [first], len(first), False
    left -= size
    for message in messages:
        begins_last = not is_last and left <= largest // NEWEST
        if len(part) > 1 and (begins_last or size + len(message) > largest):
            yield part
            part, size = [_NOTHING], len(_NOTHING)
        is_last = is_last or begins_last
        part.append(message)
        size += len(message)
        left -= len(message)
    yield part


def merged(bodies: Bodies) -> list[bytes]:
    """The same document in as few bodies of bounded size as possible, none of them holding anything dropped.

    Whole large bodies at the front are kept as they are, so that merging many small appends into a long history costs
    what the appends take, not what the history takes.
    """
    kept = _untouched(bodies)
    if not kept:
        return list(segments(orjson.dumps(stored_state_of(bodies)), elements(bodies)))
    rest = bodies[kept:]
    if not rest:
        return list(bodies)
    added = elements([payload.join([_NOTHING]), *rest])
    return [*bodies[:kept], *segments(_NOTHING, added, follows=True)]


def added(bodies: Bodies, before: Bodies) -> Bodies | None:
    """The bodies behind those of a document that was, if they only add messages to it; else None."""
    since = bodies[len(before) :]
    is_longer = bodies[: len(before)] == before and all(body.startswith(_ADDS) for body in since)
    return since if is_longer else None


def slice(bodies: Bodies, end: int | None, most: int | None) -> list[bytes]:  # noqa: A001 - read as document.slice
    """The same document with the messages before ``end`` alone, and of those the newest ``most``."""
    if end is None and most is None:
        return merged(bodies)
    found = elements(bodies)[:end]
    return list(segments(orjson.dumps(stored_state_of(bodies)), found[0 if most is None else surplus(found, most) :]))


def trim(messages: Sequence[Json], most: int | None) -> Sequence[Json]:
    """What ``max_messages`` leaves of a history: the newest, a tool's result never without its call."""
    return messages if most is None else messages[tool_calls.cut(len(messages), messages.__getitem__, most) :]


def surplus(history: Sequence[bytes], most: int) -> int:
    """How many of the oldest messages, unparsed, ``max_messages`` drops of a history."""
    return tool_calls.cut(len(history), lambda number: message_of(history[number]), most)


def names_in(messages: Iterable[Json], field: str) -> set[str]:
    """What the ``field`` of each message says that has it, as it is spelled."""
    return {name for message in messages if (name := _spelled(message.get(field))) is not None}


def deduplicate(messages: Sequence[Json], known: Collection[str], field: str) -> list[Json]:
    """Those of the messages whose ``field`` is neither of the ``known`` names nor earlier among them."""
    fresh: list[Json] = []
    met: set[str] = set()
    for message in messages:
        name = _spelled(message.get(field))
        if name is None or (name not in known and name not in met):
            fresh.append(message)
            if name is not None:
                met.add(name)
    return fresh


def _spelled(name: object) -> str | None:
    """What distinguishes a message from another: the id as it is spelled, so that the number 5 is not the text "5"."""
    return None if name is None else repr(name)


def _untouched(bodies: Bodies) -> int:
    """How many large bodies at the front can be carried over as they are: no later body changes what they say.

    None of them if the state was changed: the FULL would carry the old one for ever.
    """
    kept = 0
    while kept < len(bodies) and len(bodies[kept]) >= LARGE:
        kept += 1
    added = 0
    for number, body in enumerate(bodies):
        first = b"" if number == 0 else first_of(body)
        change = NO_CHANGE if first in (b"", _NOTHING) else _change(first)
        if change.trim or change.set or change.unset or (change.pop and (number < kept or change.pop > added)):
            return 0
        if number >= kept:
            added += len(payload.split(body)) - 1 - change.pop
    return kept


def _array(body: bytes) -> list[Any]:
    parsed = payload.parse(body)
    if not isinstance(parsed, list) or not parsed:
        raise Damaged("an authentic record does not hold a JSON array: it was not written by this package")
    return parsed


def _popped(first: bytes) -> int:
    """The ``pop`` of a DELTA's first element. A FULL's state may hold a key of that name; nothing stands before it."""
    fields = payload.parse(first) if b'"pop"' in first else None
    popped = fields.get("pop") if isinstance(fields, dict) else 0
    return popped if isinstance(popped, int) and popped > 0 else 0


def _change(first: bytes) -> Change:
    return _change_from(payload.parse(first))


def _change_from(fields: object) -> Change:
    if not isinstance(fields, dict):
        raise Damaged("an authentic record does not begin with its operations: it was not written by this package")
    try:
        change = Change(**fields)
    except TypeError:
        unknown = sorted(fields.keys() - set(Change._fields))
        raise UnsupportedFormat(
            f"a record has operations of another version: {unknown}", found=unknown, supported=Change._fields
        ) from None
    pop, assigned, unset, trim = change
    counts = type(pop) is int and pop >= 0 and type(trim) is int and trim >= 0
    keys = isinstance(assigned, dict) and isinstance(unset, list | tuple) and _NAMES.issuperset(map(type, unset))
    if not counts or not keys:
        raise Damaged("the operations of an authentic record hold values of another type: not written by this package")
    return change


def _state(value: object) -> Json:
    if not isinstance(value, dict):
        raise Damaged("an authentic record does not begin with its state: it was not written by this package")
    return value


def _drop_newest(messages: list[Any], count: int) -> None:
    if count:
        del messages[max(0, len(messages) - count) :]


def _drop_oldest(messages: list[Any], count: int) -> None:
    if count:
        del messages[:count]
