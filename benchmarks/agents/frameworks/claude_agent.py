"""Transcripts of the Claude Agent SDK. It has no store but one in memory: beside it stand the bare JSON lines."""

from __future__ import annotations

import json
import os
from typing import Any

from claude_agent_sdk import InMemorySessionStore

from vaultsession import RawKey
from vaultsession.integrations.claude_agent import VaultSessionStore

from ...sample import Message
from ..store import KEY, SESSION, AsyncHistory, History, Store

FRAMEWORK = "claude-agent"

_TRANSCRIPT = {"project_key": "-home-user", "session_id": SESSION}


class TranscriptHistory(AsyncHistory):
    """A main transcript; a turn is one batch."""

    def __init__(self, store: Any) -> None:
        super().__init__()
        self._store = store

    def turn(self, messages: list[Message]) -> None:
        self.run(self._store.append(_TRANSCRIPT, _entries(messages)))

    def load(self) -> int:
        return len(self.run(self._store.load(_TRANSCRIPT)))

    def close(self) -> None:
        if isinstance(self._store, VaultSessionStore):
            self._store.close()
        super().close()


class Lines(History):
    """JSON lines, appended and flushed: no summary, and what comes again is there twice."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab+", buffering=0)  # noqa: SIM115 - closed below

    def turn(self, messages: list[Message]) -> None:
        self._file.write(b"".join([json.dumps(entry).encode() + b"\n" for entry in _entries(messages)]))
        os.fsync(self._file.fileno())

    def load(self) -> int:
        self._file.seek(0)
        return len([json.loads(line) for line in self._file.read().splitlines()])

    def close(self) -> None:
        self._file.close()


def _entries(messages: list[Message]) -> list[dict[str, Any]]:
    return [
        {
            "type": message["role"],
            "uuid": message["id"],
            "parentUuid": None,
            "sessionId": SESSION,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "cwd": "/home/user",
            "message": {"role": message["role"], "content": message["content"]},
        }
        for message in messages
    ]


def _ours(directory: str, **settings: Any) -> TranscriptHistory:
    return TranscriptHistory(VaultSessionStore.from_url(f"{directory}/vault", key=RawKey(KEY), **settings))


STORES = (
    Store("VaultSessionStore", durable=True, encrypts=True, open=_ours),
    Store("VaultSessionStore, no cache", durable=True, encrypts=True, open=lambda place: _ours(place, cache_bytes=0)),
    Store(
        "InMemorySessionStore", durable=False, encrypts=False, open=lambda _: TranscriptHistory(InMemorySessionStore())
    ),
    Store("JSON lines", durable=True, encrypts=False, open=lambda place: Lines(f"{place}/transcript.jsonl")),
)
