"""A SQLite database of another program, read without a trace: nothing is written to it or beside it.

Nothing that its schema could hold besides tables is run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from .session import Found
from .sources import LARGEST, File, Skipped, parse

MAGIC = b"SQLite format 3\0"

_HEADER = 100
_WRITE_VERSION, _WAL = 18, 2
"""Where the header says how it is written, and what it says of a write-ahead log."""
_TRIES = 5


class NotSqlite(ValueError):
    """The file is no SQLite database."""


Tables = Mapping[str, set[str]]
"""The columns of tables, by their names."""


def read_database(
    file: File, what: str, wanted: Tables, sessions: Callable[[sqlite3.Connection, Tables], Found]
) -> Found:
    """The sessions of a database that has the tables of ``what``. What cannot be read is skipped."""
    try:
        with connected(file) as database:
            tables = tables_of(database)
            if has_tables(tables, wanted):
                yield from sessions(database, tables)
            else:
                yield Skipped(file.name, f"a database without the tables of {what}")
    except NotSqlite:
        yield Skipped(file.name, "no SQLite database")
    except (sqlite3.Error, OSError, ValueError) as error:
        yield Skipped(file.name, f"the database cannot be read: {error}")


def has_tables(tables: Tables, wanted: Tables) -> bool:
    """Whether there are these tables, with these columns at least."""
    return all(tables.get(name, set()) >= columns for name, columns in wanted.items())


@contextlib.contextmanager
def connected(file: File) -> Iterator[sqlite3.Connection]:
    """One view of all of it, which writes nothing beside it. ``NotSqlite``, ``OSError``, ``sqlite3.Error``.

    A database with a write-ahead log is read only by making files beside it, which SQLite leaves there. So one whose
    log is empty is taken as it is, and of another one a private copy is read, with its log.
    """
    with file.open() as opened:  # refuses what is no regular file
        header = opened.read(_HEADER)
    if not header.startswith(MAGIC):
        raise NotSqlite(file.name)
    path, has_wal = file.path, header[_WRITE_VERSION] == _WAL
    with contextlib.ExitStack() as stack:
        options = "mode=ro"
        if has_wal:
            if os.path.exists(path + "-wal") and os.path.getsize(path + "-wal"):
                path = _copied(path, stack.enter_context(tempfile.TemporaryDirectory(prefix="vaultsession-")))
            else:
                options = "immutable=1"
        database = sqlite3.connect(f"file:{quote(path)}?{options}", uri=True, isolation_level=None)
        stack.enter_context(contextlib.closing(database))
        database.execute("PRAGMA query_only = ON")
        database.execute("PRAGMA trusted_schema = OFF")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
        database.execute("BEGIN")  # one view of all of it, while others write
        yield database


def _copied(path: str, directory: str) -> str:
    """A copy of a database and its log, of one moment. ``OSError`` where it changes all the while."""
    copy = os.path.join(directory, "copy.db")
    for _ in range(_TRIES):
        before = _state(path)
        for ending in ("", "-wal"):
            with File(path + ending, path).open() as source, open(copy + ending, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
        if _state(path) == before:
            return copy
    raise OSError("it is being written to: try again")


def _state(path: str) -> list[tuple[int, int, int]]:
    status = [os.stat(path + ending) for ending in ("", "-wal")]
    return [(each.st_ino, each.st_size, each.st_mtime_ns) for each in status]


def tables_of(database: sqlite3.Connection) -> dict[str, set[str]]:
    """The columns of each table."""
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    columns = "SELECT name FROM pragma_table_info(?)"
    return {name: {column for (column,) in database.execute(columns, (name,))} for name in names}


def json_in(column: Any) -> Any:  # noqa: ANN401 - as the column says, and JSON is any of six types
    """The JSON in a column, whatever it holds. ``ValueError``."""
    return parse(column if isinstance(column, bytes) else str(column).encode())


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
