"""Sessions of the OpenAI Agents SDK. SQLite flushes at each commit, its write-ahead log being fully synchronous."""

from __future__ import annotations

import sqlite3
from typing import Any

from agents import SQLiteSession
from agents.extensions.memory import EncryptedSession

from vaultsession import RawKey
from vaultsession.integrations.openai_agents import VaultSession

from ...sample import Message
from ..store import KEY, SESSION, AsyncHistory, Store

FRAMEWORK = "openai-agents"


class SessionHistory(AsyncHistory):
    """A session of any kind; ``base`` is what is closed."""

    def __init__(self, session: Any, base: Any) -> None:
        super().__init__()
        self._session = session
        self._base = base

    def turn(self, messages: list[Message]) -> None:
        self.run(self._session.add_items(messages))

    def load(self) -> int:
        return len(self.run(self._session.get_items()))

    def close(self) -> None:
        self._base.close()
        super().close()


class UnflushedSession(SQLiteSession):
    """As theirs, but for commits that a power cut may take back."""

    @staticmethod
    def _configure_connection(connection: sqlite3.Connection) -> None:
        SQLiteSession._configure_connection(connection)  # noqa: SLF001 - there is no setting
        connection.execute("PRAGMA synchronous = OFF")


def _ours(directory: str, **settings: Any) -> SessionHistory:
    session = VaultSession.from_url(SESSION, f"{directory}/vault", key=RawKey(KEY), **settings)
    return SessionHistory(session, session)


def _sqlite(directory: str, kind: type[SQLiteSession] = SQLiteSession, *, encrypted: bool = False) -> SessionHistory:
    base = kind(SESSION, f"{directory}/chats.db")
    return SessionHistory(EncryptedSession(SESSION, base, KEY.hex(), ttl=10**9) if encrypted else base, base)


STORES = (
    Store("VaultSession", durable=True, encrypts=True, open=_ours),
    Store("VaultSession, no cache", durable=True, encrypts=True, open=lambda place: _ours(place, cache_bytes=0)),
    Store("VaultSession, os", durable=False, encrypts=True, open=lambda place: _ours(place, durability="os")),
    Store("SQLiteSession", durable=True, encrypts=False, open=_sqlite),
    Store("SQLiteSession, off", durable=False, encrypts=False, open=lambda place: _sqlite(place, UnflushedSession)),
    Store("EncryptedSession", durable=True, encrypts=True, open=lambda place: _sqlite(place, encrypted=True)),
)
