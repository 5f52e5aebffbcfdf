"""The database of the OpenAI Agents SDK's ``SQLiteSession``: every session in it.

::

    agent_sessions         session_id, created_at, updated_at
    agent_messages         id, session_id, message_data (JSON), created_at

The SDK lets people name the tables, so they are found by their columns. Items are kept as they are, by ``id``. The file
is opened for reading only, and nothing that its schema could hold besides tables is run.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from ...format.payload import Json
from .session import Found, ImportedSession, Skipped, moment
from .sources import LARGEST, File, named, parse

MAGIC = b"SQLite format 3\0"

_SESSIONS = {"session_id", "created_at", "updated_at"}
_MESSAGES = {"id", "session_id", "message_data"}


def read(file: File) -> Found:
    """The sessions of a database, in the order of their ids."""
    try:
        with file.open() as opened:  # refuses what is no regular file
            if opened.read(len(MAGIC)) != MAGIC:
                yield Skipped(file.name, "no SQLite database")
                return
        with contextlib.closing(_connected(file.path)) as database:
            tables = _tables(database)
            messages = next((name for name, columns in tables.items() if columns >= _MESSAGES), None)
            sessions = next(
                (name for name, columns in tables.items() if columns >= _SESSIONS and not columns >= _MESSAGES), None
            )
            if messages is None or sessions is None:
                yield Skipped(file.name, "a database without the tables of an OpenAI Agents SQLiteSession")
                return
            yield from _sessions(database, _quoted(sessions), _quoted(messages), file)
    except (sqlite3.Error, OSError, ValueError) as error:
        yield Skipped(file.name, f"the database cannot be read: {error}")


def _connected(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, isolation_level=None)
    try:
        database.execute("PRAGMA query_only = ON")
        database.execute("PRAGMA trusted_schema = OFF")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
        database.execute("BEGIN")  # one view of all of it, whoever writes meanwhile
    except BaseException:
        database.close()
        raise
    return database


def _tables(database: sqlite3.Connection) -> dict[str, set[str]]:
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    columns = "SELECT name FROM pragma_table_info(?)"
    return {name: {column for (column,) in database.execute(columns, (name,))} for name in names}


def _sessions(database: sqlite3.Connection, sessions: str, messages: str, file: File) -> Found:
    text = f"SELECT session_id, created_at, updated_at FROM {sessions} ORDER BY session_id"  # noqa: S608 - quoted names
    for name, created, updated in database.execute(text):
        place = f"{file.name}, session {name!r:.80}"
        try:
            items = list(_items(database, messages, name))
        except ValueError as error:
            yield Skipped(place, str(error))
            continue
        if not isinstance(name, str):
            yield Skipped(place, "its id is no text")
            continue
        yield ImportedSession(name, place, items, created=moment(created), updated=moment(updated))
    orphans = f"SELECT count(*) FROM {messages} WHERE session_id NOT IN (SELECT session_id FROM {sessions})"  # noqa: S608 - as above
    if lost := database.execute(orphans).fetchone()[0]:
        yield Skipped(file.name, f"{lost} items belong to no session that is there")


def _items(database: sqlite3.Connection, messages: str, session: Any) -> Iterator[Json]:  # noqa: ANN401 - as the column says
    text = f"SELECT id, message_data FROM {messages} WHERE session_id = ? ORDER BY id"  # noqa: S608 - as above
    for number, data in database.execute(text, (session,)):
        try:
            item = parse(data if isinstance(data, bytes) else str(data).encode())
        except ValueError as error:
            raise ValueError(f"item {number}: {error}") from None
        if not isinstance(item, dict):
            raise ValueError(f"item {number} is {named(item)}, and a message is an object")  # noqa: TRY004 - of the data
        yield item


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
