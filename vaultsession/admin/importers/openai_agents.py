"""The database of the OpenAI Agents SDK's ``SQLiteSession``: every session in it.

::

    agent_sessions         session_id, created_at, updated_at
    agent_messages         id, session_id, message_data (JSON), created_at

The SDK lets people name the tables, so they are found by their columns. Items are kept as they are, by ``id``; those of
an ``EncryptedSession`` are opened with its key (``encrypted_items``). Nothing
is written to the file or beside it, and nothing that its schema could hold besides tables is run.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from ...format.payload import Json
from .encrypted_items import opener_of
from .session import Found, ImportedSession, ImportGap, moment
from .sources import ENCRYPTED, File, Skipped, is_encrypted, message_in, parse
from .sqlite_file import Tables, json_in, quoted, read_database

_WHAT = "an OpenAI Agents SQLiteSession"
_SESSIONS = {"session_id", "created_at", "updated_at"}
_MESSAGES = {"id", "session_id", "message_data"}


def read(file: File, source_key: str | None = None) -> Found:
    """The sessions of a database, in the order of their ids. ``source_key`` is that of an ``EncryptedSession``."""

    def sessions(database: sqlite3.Connection, tables: Tables) -> Found:
        messages = next((name for name, columns in tables.items() if columns >= _MESSAGES), None)
        others = (name for name, columns in tables.items() if columns >= _SESSIONS and not columns >= _MESSAGES)
        if messages is None or (named := next(others, None)) is None:
            yield Skipped(file.name, f"a database without the tables of {_WHAT}")
        else:
            yield from _sessions(database, quoted(named), quoted(messages), file, source_key)

    return read_database(file, _WHAT, {}, sessions)


def _sessions(database: sqlite3.Connection, sessions: str, messages: str, file: File, source_key: str | None) -> Found:
    text = f"SELECT session_id, created_at, updated_at FROM {sessions} ORDER BY session_id"  # noqa: S608 - quoted names
    for name, created, updated in database.execute(text):
        place = f"{file.name}, session {name!r:.80}"
        if not isinstance(name, str):
            yield Skipped(place, "its id is no text")
            continue
        items, gaps = _items(database, messages, name, source_key)
        yield ImportedSession(name, place, items, created=moment(created), updated=moment(updated), gaps=tuple(gaps))
    orphans = f"SELECT count(*) FROM {messages} WHERE session_id NOT IN (SELECT session_id FROM {sessions})"  # noqa: S608 - as above
    if lost := database.execute(orphans).fetchone()[0]:
        yield Skipped(file.name, f"{lost} items belong to no session that is there")


def _items(
    database: sqlite3.Connection, messages: str, session: str, source_key: str | None
) -> tuple[list[Json], list[ImportGap]]:
    text = f"SELECT id, message_data FROM {messages} WHERE session_id = ? ORDER BY id"  # noqa: S608 - as above
    values = [(number, _parsed(data)) for number, data in database.execute(text, (session,))]
    opened = None
    if source_key is not None and any(isinstance(value, dict) and is_encrypted(value) for _, value in values):
        opened = opener_of(source_key, session)
    items: list[Json] = []
    gaps = []
    for number, value in values:
        try:
            if isinstance(value, ValueError):
                raise value
            items.append(message_in(value if opened is None else parse(opened(value))))
        except ValueError as error:
            hint = ", or name the key that it gave to EncryptedSession" if str(error) == ENCRYPTED else ""
            gaps.append(ImportGap(len(items), f"item {number}", f"{error}{hint}"))
    return items, gaps


def _parsed(data: Any) -> Any:  # noqa: ANN401 - as the column says
    """What the JSON of an item stands for, or the ``ValueError`` that says why it stands for nothing."""
    try:
        return json_in(data)
    except ValueError as error:
        return error
