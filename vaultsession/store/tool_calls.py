"""Tool calls and their results, in the message formats of chat completions, content blocks and response items.

Model APIs refuse a history with a result whose call is not there, or with a call that nothing answers before the
conversation goes on. ``accepted`` is what a cut, or an interrupted turn, leaves of a history for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..format.payload import Json

UNANSWERED = "The call was interrupted: it has no result."
"""What stands for the result of a call that was interrupted, in what an agent sees. It is not written."""

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
