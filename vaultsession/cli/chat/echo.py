"""The agent that needs no model: it says again what it heard, and remembers a name, from the history alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

_NAME = re.compile(r"\bmy name is\s+([^\W\d_][\w'\u2019-]*)", re.IGNORECASE)
_ASKED = re.compile(r"\bwhat(?:['\u2019]s| is) my name\b", re.IGNORECASE)


def echo(messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    """A stream of words."""
    said = [each["content"] for each in messages if each.get("role") == "user" and isinstance(each.get("content"), str)]
    heard = said[-1] if said else ""
    yield from re.findall(r"\s*\S+|\s+$", _answer(heard, said))


def _answer(heard: str, said: Sequence[str]) -> str:
    if _ASKED.search(heard):
        names = [found[1] for text in said if (found := _NAME.search(text))]
        return f"Your name is {names[-1]}: you told me." if names else "You have not told me your name."
    if named := _NAME.search(heard):
        return f"Hello {named[1]}, I will remember that."
    return f"You said: {heard}" if heard.strip() else "I am listening."
