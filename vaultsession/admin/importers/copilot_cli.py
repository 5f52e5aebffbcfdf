"""Events of GitHub Copilot CLI: one JSON-lines file per session, below ``~/.copilot`` (``COPILOT_HOME``).

::

    session-state/ID/events.jsonl           with workspace.yaml and others beside it; once session-state/ID.jsonl
    {"type": "session.start", "data": {"sessionId": …, "context": {"cwd": …}}, "id": …, "timestamp": …, "parentId": …}

The title is the beginning of the first thing that the user said.
"""

from __future__ import annotations

from ...format.payload import Json
from .transcripts import Agent, Title, home_of

_KINDS = ("session.", "assistant.", "tool.", "hook.", "user.")


def _is_possible(event: Json) -> bool:
    return isinstance(event.get("type"), str) and isinstance(event.get("data"), dict)


def _is_certain(event: Json) -> bool:
    return _is_possible(event) and event["type"].startswith(_KINDS) and "parentId" in event


def _title(event: Json) -> Title | None:
    is_prompt = _is_possible(event) and event["type"] == "user.message"
    return Title.of_prompt(event["data"].get("content")) if is_prompt else None


def _project(event: Json) -> object:
    context = event["data"].get("context") if _is_possible(event) else None
    return context.get("cwd") if isinstance(context, dict) else None


COPILOT_CLI = Agent(
    "copilot-cli",
    _is_certain,
    _is_possible,
    _title,
    _project,
    home_of("COPILOT_HOME", ".copilot"),
    ("session-state", "history-session-state"),
    lambda _name: True,
)
