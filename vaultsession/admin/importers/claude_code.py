"""Transcripts of Claude Code: one JSON-lines file per session, as below ``~/.claude/projects``.

::

    {"type": "user", "message": {…}, "uuid": …, "parentUuid": …, "sessionId": …, "timestamp": …, "cwd": …}
    {"type": "summary", "summary": …, "leafUuid": …}
    {"type": "custom-title", "customTitle": …, "sessionId": …}             also "ai-title", "permission-mode", …

Role and content alone are ``event["message"]`` of the events of type "user" and "assistant". The id is the name of the
file and not the ``sessionId`` inside, which files of sub-agents share with their parent. The title is the one that was
given, else the newest summary, else the one that a model gave.
"""

from __future__ import annotations

from ...format.payload import Json
from .transcripts import LONGEST_TITLE, Agent

_TITLES = ("customTitle", "summary", "aiTitle")


def _is_certain(event: Json) -> bool:
    return _is_possible(event) and (
        ("uuid" in event and "sessionId" in event)
        or ("leafUuid" in event and "summary" in event)
        or (event["type"] == "file-history-snapshot" and "snapshot" in event)
        or ("sessionId" in event and "timestamp" in event)
        or (event["type"] in ("user", "assistant") and isinstance(event.get("message"), dict))
    )


def _is_possible(event: Json) -> bool:
    return isinstance(event.get("type"), str)


def _title(events: list[Json]) -> str | None:
    for field in _TITLES:
        for event in reversed(events):
            found = event.get(field)
            if isinstance(found, str) and found.strip():
                return found[:LONGEST_TITLE]
    return None


CLAUDE_CODE = Agent(_is_certain, _is_possible, _title)
