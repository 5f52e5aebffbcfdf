"""The sessions of the OpenAI Agents SDK: one object for each session, asynchronous, SQLite underneath.

The objects of the sessions used last are kept, as a server would keep them. A history is replaced by ``clear_session``
and ``add_items``: two transactions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, EncryptedSession

from ..rival import Loop, Message, Rival

_KEY = "benchmark-key-of-high-entropy-0123456789abcdef"
_HELD = 64


class OpenAIAgents(Rival):
    """``kind``: plain, advanced (branches and usage), or encrypted (Fernet for each item, around the plain one)."""

    def __init__(self, directory: str, *, cold: bool, kind: str) -> None:
        self._path = Path(directory) / "sessions.db"
        self._kind = kind
        self._cold = cold
        self._loop = Loop()
        self._held: dict[str, tuple[Any, SQLiteSession]] = {}

    def create(self, id: str, messages: list[Message]) -> None:
        self.append(id, messages)

    def save(self, id: str, messages: list[Message]) -> None:
        session = self._session(id)

        async def both() -> None:
            await session.clear_session()
            await session.add_items(messages)

        self._loop.run(both())

    def append(self, id: str, messages: list[Message]) -> None:
        self._loop.run(self._session(id).add_items(messages))

    def load(self, id: str) -> list[Message]:
        return self._loop.run(self._session(id).get_items())

    def last(self, id: str, n: int) -> list[Message]:
        return self._loop.run(self._session(id).get_items(limit=n))

    def close(self) -> None:
        for _, base in self._held.values():
            base.close()
        self._loop.close()

    def _session(self, id: str) -> Any:
        held = self._held.get(id)
        if held is None:
            if len(self._held) >= _HELD:
                self._held.pop(next(iter(self._held)))[1].close()
            if self._kind == "advanced":
                base: SQLiteSession = AdvancedSQLiteSession(session_id=id, db_path=self._path, create_tables=True)
            else:
                base = SQLiteSession(id, self._path)
            encrypted = self._kind == "encrypted"
            outer = EncryptedSession(id, base, encryption_key=_KEY, ttl=10**9) if encrypted else base
            held = self._held[id] = (outer, base)
        return held[0]


ADAPTER = OpenAIAgents
