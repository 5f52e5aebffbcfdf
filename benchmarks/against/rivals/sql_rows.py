"""SQLite and SQLCipher by hand, a row for each message: write-ahead log, one flush per commit, indexes for lists.

JSON is orjson's, here as in all adapters by hand, and the messages of a history are parsed at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import Any

import orjson

from ..rival import Filling, Message, Rival

KEY = bytes(range(32)).hex()
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, user TEXT, updated REAL, expires REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_user ON sessions (user, updated);
CREATE INDEX IF NOT EXISTS by_expiry ON sessions (expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS messages (n INTEGER PRIMARY KEY, session TEXT, body BLOB);
CREATE INDEX IF NOT EXISTS of_session ON messages (session, n);
"""


def connect(directory: str, *, encrypted: bool) -> Any:
    """A connection in autocommit, durable: a commit returns after its flush."""
    if encrypted:
        import sqlcipher3  # noqa: PLC0415 - only where SQLCipher is measured

        connection = sqlcipher3.connect(f"{directory}/store.db", isolation_level=None, timeout=30)
        connection.execute(f"PRAGMA key = \"x'{KEY}'\"")
    else:
        connection = sqlite3.connect(f"{directory}/store.db", isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class Rows(Rival):
    """One table of sessions, one of messages."""

    def __init__(self, directory: str, *, cold: bool, encrypted: bool = False) -> None:
        del cold
        self._sql = connect(directory, encrypted=encrypted)
        self._sql.executescript(_SCHEMA)

    def save(self, id: str, messages: list[Message]) -> None:
        with Transaction(self._sql):
            self._touch(id)
            self._sql.execute("DELETE FROM messages WHERE session = ?", (id,))
            self._add(id, messages)

    def append(self, id: str, messages: list[Message]) -> None:
        with Transaction(self._sql):
            self._touch(id)
            self._add(id, messages)

    def load(self, id: str) -> list[Message]:
        rows = self._sql.execute("SELECT body FROM messages WHERE session = ? ORDER BY n", (id,))
        return parsed(body for (body,) in rows)

    def last(self, id: str, n: int) -> list[Message]:
        text = "SELECT body FROM messages WHERE session = ? ORDER BY n DESC LIMIT ?"
        return parsed(body for (body,) in self._sql.execute(text, (id, n)).fetchall()[::-1])

    def page(self, user: str, n: int) -> int:
        text = "SELECT id, updated FROM sessions WHERE user = ? ORDER BY updated DESC LIMIT ?"
        return len(self._sql.execute(text, (user, n)).fetchall())

    def count(self, user: str) -> int:
        return int(self._sql.execute("SELECT count(*) FROM sessions WHERE user = ?", (user,)).fetchone()[0])

    def expiring(self, id: str, messages: list[Message]) -> None:
        with Transaction(self._sql):
            self._sql.execute("INSERT INTO sessions VALUES (?, 'user', ?, ?)", (id, time.time(), time.time()))
            self._add(id, messages)

    def sweep(self) -> int:
        now = time.time()
        with Transaction(self._sql):
            found = "SELECT id FROM sessions WHERE expires <= ?"
            self._sql.execute(f"DELETE FROM messages WHERE session IN ({found})", (now,))
            return int(self._sql.execute("DELETE FROM sessions WHERE expires <= ?", (now,)).rowcount)

    def fill(self, sessions: Iterable[Filling]) -> None:
        with Transaction(self._sql):
            for each in sessions:
                self._touch(each.id, each.user)
                self._add(each.id, each.messages)

    def close(self) -> None:
        self._sql.close()

    def _touch(self, id: str, user: str = "user") -> None:
        text = "INSERT INTO sessions VALUES (?, ?, ?, NULL) ON CONFLICT (id) DO UPDATE SET updated = excluded.updated"
        self._sql.execute(text, (id, user, time.time()))

    def _add(self, id: str, messages: list[Message]) -> None:
        rows = [(id, orjson.dumps(each)) for each in messages]
        self._sql.executemany("INSERT INTO messages (session, body) VALUES (?, ?)", rows)


def parsed(messages: Iterable[bytes]) -> list[Message]:
    """Messages that lie one by one, in one call."""
    return orjson.loads(b"[" + b",".join(messages) + b"]")


class Transaction:
    """All of it or nothing; the lock is taken first, so that a writer waits instead of failing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


ADAPTER = Rows
