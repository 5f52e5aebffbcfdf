"""The transcripts of each agent: known for what they are, with an id, a title and the directory that was worked in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vaultsession.admin.importers import ImportedSession, read
from vaultsession.admin.importers.agents import AGENTS
from vaultsession.admin.importers.transcripts import Title

STAMP = "2026-01-02T12:00:00.000Z"
LATER = "2026-01-02T12:00:07.250Z"

CODEX = [
    {"timestamp": STAMP, "type": "session_meta", "payload": {"id": "u", "cwd": "/home/me/app"}},
    {"timestamp": STAMP, "type": "response_item", "payload": {"type": "message", "role": "user", "content": []}},
    {"timestamp": STAMP, "type": "event_msg", "payload": {"type": "user_message", "message": "<environment>"}},
    {"timestamp": STAMP, "type": "event_msg", "payload": {"type": "user_message", "message": "Fix  the\ntests"}},
    {"timestamp": LATER, "type": "event_msg", "payload": {"type": "user_message", "message": "More"}},
]
COPILOT = [
    {"type": "session.start", "data": {"context": {"cwd": "/home/me/app"}}, "id": "1", "timestamp": STAMP, "parentId": None},
    {"type": "user.message", "data": {"content": "Fix the tests"}, "id": "2", "timestamp": LATER, "parentId": "1"},
]  # fmt: skip
PI = [
    {"type": "session", "id": "u", "timestamp": STAMP, "cwd": "/home/me/app"},
    {"type": "message", "timestamp": LATER, "message": {"role": "user", "content": [{"type": "text", "text": "Fix the tests"}]}},
]  # fmt: skip


def one(root: Path, name: str, events: list[Any]) -> ImportedSession:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    (found,) = read(str(root))
    assert isinstance(found, ImportedSession), found
    return found


@pytest.mark.parametrize(
    ("agent", "name", "id", "events"),
    [
        ("codex", "2026/01/02/rollout-2026-01-02-u.jsonl", "rollout-2026-01-02-u", CODEX),
        ("copilot-cli", "session-state/0c1d/events.jsonl", "0c1d", COPILOT),
        ("pi", "--home-me-app--/1_u.jsonl", "1_u", PI),
    ],
)
def test_a_transcript_is_known(tmp_path: Path, agent: str, name: str, id: str, events: list[Any]) -> None:
    found = one(tmp_path, name, events)
    assert (found.id, found.title, found.messages) == (id, "Fix the tests", events)
    assert found.labels == {"agent": agent, "project": "/home/me/app"}
    assert found.created is not None
    assert found.updated == found.created + 7_250_000


def test_a_name_that_was_given_goes_before_what_was_asked(tmp_path: Path) -> None:
    named = [*PI, {"type": "session_info", "name": "Tests", "timestamp": LATER}, PI[1]]
    assert one(tmp_path, "1_u.jsonl", named).title == "Tests"


def test_times_of_any_spelling_are_compared_as_times(tmp_path: Path) -> None:
    stamps = ["2026-01-02T12:00:00.000Z", "2026-01-02T14:00:00+03:00", 1_767_355_300, "2026-01-02T12:05:00Z", "no time"]
    found = one(tmp_path, "1_u.jsonl", [PI[0], *({"type": "custom", "timestamp": stamp} for stamp in stamps)])
    assert (found.created, found.updated) == (1_767_351_600_000_000, 1_767_355_500_000_000)


@pytest.mark.parametrize("events", [[*CODEX, {"type": "note"}], [*COPILOT, {"kind": 1}]])
def test_a_file_with_an_event_of_another_kind_is_none(tmp_path: Path, events: list[Any]) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    for found in read(str(path)):
        assert not isinstance(found, ImportedSession) or "agent" not in found.labels


@pytest.mark.parametrize("text", [None, 5, "", "  ", "<tag>", "# heading", "[x]"])
def test_what_a_program_wrote_is_no_title(text: object) -> None:
    assert Title.of_prompt(text) is None


@pytest.mark.parametrize(("name", "variable"), [("claude-code", "CLAUDE_CONFIG_DIR"), ("codex", "CODEX_HOME"), ("pi", "PI_CODING_AGENT_DIR")])  # fmt: skip
def test_a_home_is_where_its_variable_says(name: str, variable: str) -> None:
    assert AGENTS[name].home({"HOME": "/home/me", variable: "/elsewhere"}) == "/elsewhere"
    assert AGENTS[name].home({"HOME": "/home/me", variable: ""}).startswith("/home/me/.")
