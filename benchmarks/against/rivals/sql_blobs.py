"""SQLite and SQLCipher by hand, a row for each session: its whole history as JSON, written by orjson."""

from __future__ import annotations

import time
from collections.abc import Iterable

import orjson

from ..rival import Filling, Message, Rival
from .sql_rows import Transaction, connect

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions
    (id TEXT PRIMARY KEY, user TEXT, updated REAL, expires REAL, body BLOB);
CREATE INDEX IF NOT EXISTS by_user ON sessions (user, updated);
CREATE INDEX IF NOT EXISTS by_expiry ON sessions (expires) WHERE expires IS NOT NULL;
"""
_SAVE = """
INSERT INTO sessions VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET updated = excluded.updated, body = excluded.body
"""


class Blobs(Rival):
    """One table. A turn is appended by reading and writing the whole."""

    def __init__(self, directory: str, *, cold: bool, encrypted: bool = False) -> None:
        del cold
        self._sql = connect(directory, encrypted=encrypted)
        self._sql.executescript(_SCHEMA)

    def save(self, id: str, messages: list[Message], user: str = "user", expires: float | None = None) -> None:
        self._sql.execute(_SAVE, (id, user, time.time(), expires, orjson.dumps(messages)))

    def load(self, id: str) -> list[Message]:
        return orjson.loads(self._sql.execute("SELECT body FROM sessions WHERE id = ?", (id,)).fetchone()[0])

    def append(self, id: str, messages: list[Message]) -> None:
        with Transaction(self._sql):
            self.save(id, self.load(id) + messages)

    def page(self, user: str, n: int) -> int:
        text = "SELECT id, updated FROM sessions WHERE user = ? ORDER BY updated DESC LIMIT ?"
        return len(self._sql.execute(text, (user, n)).fetchall())

    def count(self, user: str) -> int:
        return int(self._sql.execute("SELECT count(*) FROM sessions WHERE user = ?", (user,)).fetchone()[0])

    def expiring(self, id: str, messages: list[Message]) -> None:
        self.save(id, messages, expires=time.time())

    def sweep(self) -> int:
        return int(self._sql.execute("DELETE FROM sessions WHERE expires <= ?", (time.time(),)).rowcount)

    def fill(self, sessions: Iterable[Filling]) -> None:
        with Transaction(self._sql):
            for each in sessions:
                self.save(each.id, each.messages, each.user)

    def close(self) -> None:
        self._sql.close()


ADAPTER = Blobs
