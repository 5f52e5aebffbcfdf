"""The connection that the index is asked through, and what it answered as long as nobody has written since."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from ...util.disk import Disk
from .index_answers import Answer, IndexAnswers
from .index_schema import connect, inode_of, translated

T = TypeVar("T")


class IndexReader:
    """Opened when there is a question, and again where another process has derived the index anew.

    Safe from any thread: ``mutex`` is held while a question is asked. ``IndexDamaged`` and ``BackendUnavailable``.
    """

    def __init__(self, disk: Disk, path: str, *, writable: bool) -> None:
        self.mutex = threading.Lock()
        self.inode = 0
        self.held: sqlite3.Connection | None = None
        self._disk = disk
        self._path = path
        self._writable = writable
        self._opened = 0

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """What the question makes of the index. Not a generator: the connection is its own only until it returns."""
        with self.mutex:
            connection = self.connection(check=True)
            with translated(self._path, self.inode):
                return question(connection)

    def recall(
        self,
        answers: IndexAnswers[T],
        asked: Hashable,
        now: int | None,
        question: Callable[[sqlite3.Connection], tuple[T, int | None]],
    ) -> T:
        """What was answered before, if nobody has written since; else what is answered now, and until when it holds.

        Nothing is kept where there is no ``now`` or nothing ``asked``.
        """
        with self.mutex:
            connection = self.connection(check=True)
            with translated(self._path, self.inode):
                # Whoever only reads may read past the log, and would not see the commits counted.
                if asked is None or now is None or not self._writable:
                    return question(connection)[0]
                commits = self._opened, connection.execute("PRAGMA data_version").fetchone()[0]
                value = answers.get(asked, commits, now)
                if value is None:
                    value, until = question(connection)
                    answers.keep(asked, Answer(value, commits, now, until))
                return value

    def connection(self, *, check: bool) -> sqlite3.Connection:
        """The connection; ``check``: to what the path names now. Under the mutex."""
        if self.held is not None and check and inode_of(self._disk, self._path) != self.inode:
            self.disconnect()  # another process has derived it anew
        if self.held is None:
            self.held, self.inode = connect(self._disk, self._path, writable=self._writable)
            self._opened += 1
        return self.held

    def disconnect(self) -> None:
        """Let go of the connection. Under the mutex."""
        if self.held is not None:
            self.held.close()
            self.held = None
