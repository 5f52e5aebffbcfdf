"""Run in front of the SDK's own tests: their InMemorySessionStore is a VaultSessionStore over a vault in memory."""

from __future__ import annotations

from typing import Any

import claude_agent_sdk
from claude_agent_sdk._internal import session_store

from vaultsession import open_store
from vaultsession.integrations.claude_agent import VaultSessionStore, _id_of
from vaultsession.util.clock import SystemClock


class TickingClock(SystemClock):
    """Another millisecond each time, as their counter gives; a vault that flushes takes as long by itself."""

    last = 0

    def now(self) -> int:
        self.last = max(super().now(), self.last + 1000)
        return self.last


class InMemorySessionStore(VaultSessionStore):
    """With the three helpers for tests that theirs has."""

    def __init__(self) -> None:
        super().__init__(open_store("memory://", clock=TickingClock()))

    def get_entries(self, key: Any) -> list[Any]:
        return self._load(_id_of(key)) or []

    @property
    def size(self) -> int:
        return sum("claude.project" in info.labels for info in self._handle.store.list())

    def clear(self) -> None:
        self._handle.store.delete_many([info.id for info in self._handle.store.list()])


for _module in (claude_agent_sdk, session_store):
    _module.InMemorySessionStore = InMemorySessionStore  # type: ignore[attr-defined]
