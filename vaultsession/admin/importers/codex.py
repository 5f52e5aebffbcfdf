"""Rollouts of Codex: one JSON-lines file per session, below ``~/.codex`` (``CODEX_HOME``).

::

    sessions/2026/11/30/rollout-2026-11-30T10-00-00-UUID.jsonl             archived_sessions/rollout-….jsonl
    {"timestamp": …, "type": "session_meta", "payload": {"id": …, "cwd": …}}
    {"timestamp": …, "type": "response_item", "payload": {"type": "message", "role": …, "content": […]}}

The title is the beginning of the first thing that the user said.
"""

from __future__ import annotations

from ...format.payload import Json
from .transcripts import Agent, Title, home_of

_TYPES = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})


def _is_possible(event: Json) -> bool:
    return isinstance(event.get("type"), str) and isinstance(event.get("payload"), dict)


def _title(event: Json) -> Title | None:
    if event.get("type") != "event_msg":
        return None
    payload = event["payload"]
    return Title.of_prompt(payload.get("message")) if payload.get("type") == "user_message" else None


def _project(event: Json) -> object:
    return event["payload"].get("cwd") if event.get("type") in ("session_meta", "turn_context") else None


CODEX = Agent(
    "codex",
    lambda event: _is_possible(event) and event["type"] in _TYPES,
    _is_possible,
    lambda event: _title(event) if _is_possible(event) else None,
    lambda event: _project(event) if _is_possible(event) else None,
    home_of("CODEX_HOME", ".codex"),
    ("sessions", "archived_sessions"),
    lambda name: name.endswith(".jsonl"),
)
