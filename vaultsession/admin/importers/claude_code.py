"""Transcripts of Claude Code: one JSON-lines file per session, below ``~/.claude/projects`` (``CLAUDE_CONFIG_DIR``).

::

    {"type": "user", "message": {…}, "uuid": …, "parentUuid": …, "sessionId": …, "timestamp": …, "cwd": …}
    {"type": "summary", "summary": …, "leafUuid": …}
    {"type": "custom-title", "customTitle": …, "sessionId": …}             also "ai-title", "permission-mode", …

Role and content alone are ``event["message"]`` of the events of type "user" and "assistant". The id is the name of the
file and not the ``sessionId`` inside, which files of sub-agents share with their parent. The title is the one that was
given, else the newest summary, else the one that a model gave. Beside ``PROJECT/ID.jsonl`` a session may have a
directory ``PROJECT/ID/``: transcripts of its sub-agents, and outputs of tools. What else a project has, such as its
memory, belongs to no session.
"""

from __future__ import annotations

from ...format.payload import Json
from .transcripts import Agent, Title, home_of

_TITLES = {"customTitle": 3, "summary": 2, "aiTitle": 1}
_ID_DASHES = 4


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


def _title(event: Json) -> Title | None:
    for field, rank in _TITLES.items():
        if field in event:
            found = event[field]
            if isinstance(found, str) and found.strip():
                return Title(rank, found)
    return None


def _is_ours(name: str) -> bool:
    parts = name.split("/")
    if len(parts) == 3:  # noqa: PLR2004 - projects, the project, a session
        return name.endswith(".jsonl")
    return len(parts) > 3 and parts[2].count("-") == _ID_DASHES  # noqa: PLR2004 - below the directory of a session


CLAUDE_CODE = Agent(
    "claude-code",
    _is_certain,
    _is_possible,
    _title,
    lambda event: event.get("cwd"),
    home_of("CLAUDE_CONFIG_DIR", ".claude"),
    ("projects",),
    _is_ours,
)
