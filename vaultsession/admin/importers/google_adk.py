"""The databases of Google's Agent Development Kit: ``SqliteSessionService``, and ``DatabaseSessionService`` on SQLite.

::

    sessions     app_name, user_id, id, state (JSON), create_time, update_time
    events       id, app_name, user_id, session_id, timestamp, event_data (JSON)
    app_states   app_name, state;  user_states   app_name, user_id, state

Ids and labels are those of the adapter for the kit (``integrations.google_adk``), which goes on with what is imported.
Events are kept as they are, in the order of their times. State of apps and users becomes sessions of its own.
"""

from __future__ import annotations

import sqlite3

from ...format import ids
from ...format.payload import Json
from .session import Found, ImportedSession, ImportGap, moment
from .sources import File, Skipped, message_in
from .sqlite_file import Tables, json_in, read_database

TABLES = {"sessions": {"app_name", "user_id", "id", "state"}, "events": {"session_id", "event_data"}}
"""What such a database has, at least."""

NAME, SHARED = "google-adk", "google-adk.state"


def read(file: File) -> Found:
    """The sessions of a database, in the order of their apps, users and ids."""

    def sessions(database: sqlite3.Connection, tables: Tables) -> Found:
        yield from _sessions(database, file)
        for table in ("app_states", "user_states"):
            if table in tables:
                yield from _shared(database, table, file)

    return read_database(file, "a session service of the ADK", TABLES, sessions)


def _sessions(database: sqlite3.Connection, file: File) -> Found:
    text = "SELECT app_name, user_id, id, state, create_time, update_time FROM sessions ORDER BY app_name, user_id, id"
    for app, user, name, state, created, updated in database.execute(text):
        place = f"{file.name}, session {name!r:.80} of {user!r:.80}"
        if not all(isinstance(part, str) for part in (app, user, name)):
            yield Skipped(place, "a part of its id is no text")
            continue
        events, gaps = _events(database, (app, user, name))
        try:
            plain = message_in(json_in(state))
        except ValueError as error:
            yield Skipped(place, f"its state: {error}")
            continue
        yield ImportedSession(
            ids.composed(NAME, app, user, name.strip()),
            place,
            events,
            state=plain,
            created=moment(created),
            updated=moment(updated),
            user_id=user or None,
            assistant_id=app or None,
            labels={"framework": NAME, "app": app, "user": user, "session": name.strip()},
            gaps=tuple(gaps),
        )
    orphans = (
        "SELECT count(*) FROM events WHERE (app_name, user_id, session_id) NOT IN"
        " (SELECT app_name, user_id, id FROM sessions)"
    )
    if lost := database.execute(orphans).fetchone()[0]:
        yield Skipped(file.name, f"{lost} events belong to no session that is there")


def _events(database: sqlite3.Connection, session: tuple[str, str, str]) -> tuple[list[Json], list[ImportGap]]:
    text = (
        "SELECT id, event_data FROM events WHERE app_name = ? AND user_id = ? AND session_id = ?"
        " ORDER BY timestamp, rowid"
    )
    events: list[Json] = []
    gaps: list[ImportGap] = []
    for name, data in database.execute(text, session):
        where = f"event {name!r:.80}"
        try:
            event = message_in(json_in(data))
        except ValueError as error:
            gaps.append(ImportGap(len(events), where, str(error)))
            continue
        if "id" in event and "timestamp" in event:
            events.append(event)
        else:
            gaps.append(ImportGap(len(events), where, "it has no id, or no time"))
    return events, gaps


def _shared(database: sqlite3.Connection, table: str, file: File) -> Found:
    """The state of each app, or of each user of one."""
    columns = "app_name, user_id" if table == "user_states" else "app_name"
    for *parts, state in database.execute(f"SELECT {columns}, state FROM {table} ORDER BY {columns}"):  # noqa: S608 - ours
        place = f"{file.name}, {table} of {'/'.join(map(str, parts)):.80}"
        if not all(isinstance(part, str) for part in parts):
            yield Skipped(place, "a part of its id is no text")
            continue
        try:
            plain = message_in(json_in(state))
        except ValueError as error:
            yield Skipped(place, str(error))
            continue
        if plain:
            labels = {"framework": SHARED, **dict(zip(("app", "user"), parts, strict=False))}
            yield ImportedSession(ids.composed(SHARED, *parts), place, state=plain, labels=labels)
