"""Tool calls and their results, in the message formats of chat completions, content blocks and response items.

Model APIs refuse a history with a result whose call is not there, or with a call that nothing answers before the
conversation goes on. ``cut`` says where a history may lose its oldest messages; ``accepted`` is what a cut, or an
interrupted turn, leaves of a history for them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .payload import Json

UNANSWERED = "The call was interrupted: it has no result."
"""What stands for the result of a call that was interrupted, in what an agent sees. It is not written."""

LONGEST_GROUP = 64
"""Messages that a history may hold beyond its bound, lest a call be parted from its results."""

_ITEMS = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
_OUTPUTS = frozenset(f"{item}_output" for item in _ITEMS)


def blocks(message: Mapping[str, Any]) -> list[Json]:
    """The content blocks of a message."""
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def calls(message: Mapping[str, Any]) -> list[object]:
    """The id of each tool call that a message makes; None for one without."""
    asked = message.get("tool_calls")
    found = [call.get("id") for call in asked if isinstance(call, dict)] if isinstance(asked, list) else []
    found += [block.get("id") for block in blocks(message) if block.get("type") == "tool_use"]
    if _is_one_of(message, _ITEMS):
        found.append(message.get("call_id"))
    return [_hashable(name) for name in found]


def results(message: Mapping[str, Any]) -> list[object]:
    """The id of the call that each result in a message belongs to."""
    if message.get("role") == "tool":
        return [_hashable(message.get("tool_call_id"))]
    if _is_one_of(message, _OUTPUTS):
        return [_hashable(message.get("call_id"))]
    return [_hashable(block.get("tool_use_id")) for block in blocks(message) if block.get("type") == "tool_result"]


def involves_tool(message: Mapping[str, Any]) -> bool:
    """Whether a message asks for a tool or brings a tool's result, so that the agent is called again."""
    return bool(message.get("tool_calls")) or bool(calls(message)) or bool(results(message))


def cut(count: int, message: Callable[[int], Mapping[str, Any]], most: int) -> int:
    """How many of ``count`` messages go, the oldest, so that ``most`` stay, and no result that stays loses its call.

    Nor does one that is still to come: a call waits until somebody says something else. Rather fewer stay than
    ``most``; more, at most by ``LONGEST_GROUP``, where nothing would be left else. ``message`` gives that of a number;
    it is asked for the oldest, and for those behind them while a call that goes waits for its result.
    """
    if count <= most:
        return 0
    place, waiting = count - most, _Waiting()
    for number in range(count):
        if number >= place and not waiting.before(place):
            return place
        answered = waiting.follow(number, message(number))
        if number >= place and any(call < place for call in answered):
            place = number + 1
    end = _open_end(count, message)
    if place < count and max(waiting.before(place), default=-1) < end:
        return place
    least = count - most - LONGEST_GROUP
    earlier = _before(count, message, count - most, end)
    if earlier < least:
        if place < count:
            return place
        earlier = _before(count, message, count - most, count)
    return earlier if earlier >= least else count - most


def _before(count: int, message: Callable[[int], Mapping[str, Any]], excess: int, begin: int) -> int:
    """The last place before ``excess`` that parts no result from its call, those of calls since ``begin`` to come."""
    waiting, place = _Waiting(), excess
    spans = [(call, number) for number in range(count) for call in waiting.follow(number, message(number))]
    spans += [(call, count) for call in waiting.before(count) if call >= begin]
    for call, result in reversed(spans):  # by result, the newest first: where the place moves, it has left those behind
        if call < place <= result:
            place = call
    return place


def _open_end(count: int, message: Callable[[int], Mapping[str, Any]]) -> int:
    """Where the calls begin whose results may be still to come: behind the last that was said by anybody."""
    for number in range(count - 1, -1, -1):
        said = _said(message(number))
        if "role" in said and not involves_tool(said):
            return number + 1
    return 0


def _said(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was said in a message: an entry of a transcript holds it."""
    wrapped = message.get("message", message.get("payload"))
    return wrapped if isinstance(wrapped, dict) else message


class _Waiting:
    """The calls of a history that wait for a result, by id: where each stands."""

    def __init__(self) -> None:
        self._calls: dict[object, int] = {}

    def before(self, place: int) -> list[int]:
        """Where those stand that stand before that place."""
        return [call for call in self._calls.values() if call < place]

    def follow(self, number: int, message: Mapping[str, Any]) -> list[int]:
        """Where the calls stand that a message answers. They wait no longer, and those that it makes do."""
        said, answered = _said(message), []
        for name in results(said):
            known = next(reversed(self._calls), None) if name is None else name
            if known in self._calls:
                answered.append(self._calls.pop(known))
        for place, name in enumerate(calls(said)):
            known = (number, place) if name is None else name
            self._calls.pop(known, None)
            self._calls[known] = number
        return answered


def accepted(history: Sequence[Json]) -> list[Json]:
    """A history without results whose call is not in it, and with a result for each call that is behind it for good.

    A call at the end is left open, with those of its results that are there: its agent goes on with it.
    """
    kept: list[Json] = []
    called: set[object] = set()
    answered: set[object] = set()
    for message in history:
        names = results(message)
        if names:
            if None in names and called:  # without an id: taken to be of the calls before it
                answered.update(called)
                called.add(None)
            left = message if called.issuperset(names) else _without_orphans(message, called)
            if left is None:
                continue
            kept.append(left)
            answered.update(names)
        else:
            kept.append(message)
        called.update(calls(message))
    if called <= answered:
        return kept
    end = len(kept)
    while end and involves_tool(kept[end - 1]):
        end -= 1
    return _closed(kept, end, answered)


def _closed(history: list[Json], end: int, answered: set[object]) -> list[Json]:
    """The history, with results in the place of those that are missing before ``end``."""
    closed: list[Json] = []
    pending: list[Json] = []  # blocks that belong into the next message of results, or into one of their own
    for number, message in enumerate(history):
        if pending:
            if any(block.get("type") == "tool_result" for block in blocks(message)):
                message = {**message, "content": [*pending, *message["content"]]}  # noqa: PLW2901 - what is shown of it
            else:
                closed.append({"role": "user", "content": pending})
            pending = []
        closed.append(message)
        missing = [name for name in calls(message) if name not in answered] if number < end else []
        for name in missing:
            if _is_one_of(message, _ITEMS):
                closed.append({"type": f"{message['type']}_output", "call_id": name, "output": UNANSWERED})
            elif message.get("tool_calls"):
                closed.append({"role": "tool", "tool_call_id": name, "content": UNANSWERED})
            else:
                pending.append({"type": "tool_result", "tool_use_id": name, "content": UNANSWERED, "is_error": True})
    return closed


def _without_orphans(message: Json, called: set[object]) -> Json | None:
    """A message without the results whose call is not there; None where nothing else is in it."""
    if not blocks(message):
        return None
    left = [
        block
        for block in message["content"]
        if not isinstance(block, dict)
        or block.get("type") != "tool_result"
        or _hashable(block.get("tool_use_id")) in called
    ]
    return {**message, "content": left} if left else None


def _is_one_of(message: Mapping[str, Any], kinds: frozenset[str]) -> bool:
    kind = message.get("type")
    return isinstance(kind, str) and kind in kinds


def _hashable(name: object) -> object:
    return name if isinstance(name, str) else None
