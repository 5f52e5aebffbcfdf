"""Transcripts of Claude Code that were archived, removed and put back, as the Claude Agent SDK's own readers see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from archive_lab import LONG_AGO, LaterClock, lines, write
from frameworks import require

from vaultsession import RawKey, open_store
from vaultsession.admin.archive.restorer import Restorer
from vaultsession.admin.archive.run import ArchiveOptions, archive
from vaultsession.admin.importers import Skipped

sdk = require("claude_agent_sdk")

SESSION = "0b1c2d3e-5f60-4a7b-8c9d-0e1f2a3b4c5d"


def entry(number: int, role: str) -> dict[str, Any]:
    return {
        "parentUuid": None if number == 0 else f"00000000-0000-4000-8000-{number - 1:012}",
        "isSidechain": False, "userType": "external", "cwd": "/home/me/app", "sessionId": SESSION, "version": "2.1.0",
        "gitBranch": "main", "type": role, "message": {"role": role, "content": f"turn {number}: wörd"},
        "uuid": f"00000000-0000-4000-8000-{number:012}", "timestamp": f"2026-01-02T12:00:{number:02}.000Z",
    }  # fmt: skip


def test_the_sdk_finds_and_reads_what_was_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "claude"
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home))
    transcript = home / "projects" / "-home-me-app" / f"{SESSION}.jsonl"
    events = [entry(number, ("user", "assistant")[number % 2]) for number in range(6)]
    title = {"type": "custom-title", "customTitle": "A trip", "sessionId": SESSION}
    write(transcript, lines(*events, title), modified=LONG_AGO)
    side = write(home / "projects" / "-home-me-app" / SESSION / "subagents" / "agent-1.jsonl", lines(*events[:2]))
    before = transcript.read_bytes(), side.read_bytes()
    seen = sdk.list_sessions(), sdk.get_session_messages(SESSION)
    assert [session.session_id for session in seen[0]] == [SESSION]
    assert len(seen[1]) == len(events)
    with open_store(tmp_path / "vault", key=RawKey(bytes(range(32))), durability="os") as store:
        done = list(archive(store, ArchiveOptions(sources=("claude-code",), remove=True), clock=LaterClock()))
        assert all(not isinstance(each, Skipped) and each.removed for each in done)
        assert sdk.list_sessions() == []
        assert (store.info(SESSION).title, store.info(SESSION).labels["project"]) == ("A trip", "/home/me/app")
        restorer = Restorer(store)
        for info in store.list(labels={"agent": "claude-code"}):
            restorer.restore(info.id)
    assert (transcript.read_bytes(), side.read_bytes()) == before
    assert (sdk.list_sessions(), sdk.get_session_messages(SESSION)) == seen
