"""sqlitedict: pickled values in SQLite, written by a thread of its own; nothing excludes another process in between."""

from __future__ import annotations

from sqlitedict import SqliteDict

from ..rival import Message, Rival


class SqliteDictionary(Rival):
    """It switches flushing off; ``durable`` switches it on again. ``commit`` waits until the thread is done."""

    def __init__(self, directory: str, *, cold: bool, durable: bool = False) -> None:
        del cold
        self._dict = SqliteDict(f"{directory}/store.db", timeout=30, journal_mode="WAL" if durable else "DELETE")
        if durable:
            self._dict.conn.execute("PRAGMA synchronous = FULL")
            self._dict.commit()

    def save(self, id: str, messages: list[Message]) -> None:
        self._dict[id] = messages
        self._dict.commit(blocking=True)

    def append(self, id: str, messages: list[Message]) -> None:
        self.save(id, self._dict[id] + messages)

    def load(self, id: str) -> list[Message]:
        return self._dict[id]

    def close(self) -> None:
        self._dict.close()


ADAPTER = SqliteDictionary
