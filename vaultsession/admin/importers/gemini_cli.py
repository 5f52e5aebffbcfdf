"""Chats of Gemini CLI: one file per session, below ``~/.gemini`` (``GEMINI_CLI_HOME``, which has ``.gemini`` in it).

::

    tmp/PROJECT/chats/session-2026-11-30T10-00-UUID.json       {"sessionId": …, "projectHash": …, "messages": […]}
    tmp/PROJECT/chats/session-….jsonl                          {"sessionId": …, "projectHash": …}, then messages

The title is the beginning of the first thing that the user said.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ...format.payload import Json
from .transcripts import Agent, Title, home_of, text_of

_CHAT_PARTS = 4


def _is_certain(event: Json) -> bool:
    return "projectHash" in event and "sessionId" in event


def _is_possible(event: Json) -> bool:
    return _is_certain(event) or "$set" in event or "$rewindTo" in event or ("type" in event and "id" in event)


def _title(event: Json) -> Title | None:
    return Title.of_prompt(text_of(event.get("content"))) if event.get("type") == "user" else None


def _home(environ: Mapping[str, str]) -> str:
    return os.path.join(home_of("GEMINI_CLI_HOME", "")(environ), ".gemini")


def _is_ours(name: str) -> bool:
    parts = name.split("/")
    return len(parts) >= _CHAT_PARTS and parts[2] == "chats" and name.endswith((".json", ".jsonl"))


GEMINI_CLI = Agent(
    "gemini-cli", _is_certain, _is_possible, _title, lambda event: event.get("cwd"), _home, ("tmp",), _is_ours
)
