"""Sessions of the coding agent Pi: one JSON-lines file each, below ``~/.pi/agent`` (``PI_CODING_AGENT_DIR``).

::

    sessions/--home-me-project--/2026-11-30T10-00-00-000Z_UUID.jsonl
    {"type": "session", "id": …, "timestamp": …, "cwd": …}
    {"type": "message", "timestamp": …, "message": {"role": "user", "content": […]}}

The title is the name that was given, else the beginning of the first thing that the user said.
"""

from __future__ import annotations

from ...format.payload import Json
from .transcripts import Agent, Title, home_of, text_of


def _is_possible(event: Json) -> bool:
    return isinstance(event.get("type"), str) and event.keys().isdisjoint({"uuid", "leafUuid", "sessionId", "snapshot"})


def _is_certain(event: Json) -> bool:
    return event.get("type") == "session" and "cwd" in event and "id" in event


def _title(event: Json) -> Title | None:
    if event.get("type") == "session_info" and isinstance(event.get("name"), str) and event["name"].strip():
        return Title(1, event["name"])
    message = event.get("message")
    if event.get("type") != "message" or not isinstance(message, dict) or message.get("role") != "user":
        return None
    return Title.of_prompt(text_of(message.get("content")))


PI = Agent(
    "pi",
    _is_certain,
    _is_possible,
    _title,
    lambda event: event.get("cwd") if event.get("type") == "session" else None,
    home_of("PI_CODING_AGENT_DIR", ".pi/agent"),
    ("sessions",),
    lambda _name: True,
)
