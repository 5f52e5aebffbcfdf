"""The databases of Google's Agent Development Kit, as its own services write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sql_servers import sqlite_file

from vaultsession import open_store
from vaultsession.admin.importers import ImportedSession, Skipped, place, read

SCHEMA = """
CREATE TABLE app_states (app_name TEXT PRIMARY KEY, state TEXT NOT NULL, update_time REAL NOT NULL);
CREATE TABLE user_states (app_name TEXT, user_id TEXT, state TEXT NOT NULL, update_time REAL NOT NULL);
CREATE TABLE sessions (app_name TEXT, user_id TEXT, id TEXT, state TEXT, create_time REAL, update_time REAL);
CREATE TABLE events (id TEXT, app_name TEXT, user_id TEXT, session_id TEXT, invocation_id TEXT, timestamp REAL,
  event_data TEXT);
"""


def event(name: str, at: float, session: str = "s", data: Any = None) -> tuple[Any, ...]:
    text = json.dumps({"id": name, "timestamp": at, "author": "user"}) if data is None else data
    return (name, "trips", "alice", session, "i", at, text)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "sessions.db"
    with sqlite_file(made) as database:
        database.executescript(SCHEMA)
        database.execute("INSERT INTO app_states VALUES ('trips', '{\"theme\": \"dark\"}', 1.0)")
        database.execute("INSERT INTO user_states VALUES ('trips', 'alice', '{\"lang\": \"de\"}', 1.0)")
        database.execute("INSERT INTO user_states VALUES ('trips', 'bob', '{}', 1.0)")
        rows = [
            ("trips", "alice", "s", '{"step": 1}', 1767355200.5, 1767355300.5),
            ("trips", "", "a/b", "{}", 1.0, 1.0),
        ]
        database.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", rows)
        events = [event("e2", 2.0), event("e1", 1.0), event("e3", 2.0), event("lost", 1.0, "gone")]
        database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", events)
    database.close()
    return made


def found(source: Path, format: str = "auto", **how: Any) -> tuple[dict[str, ImportedSession], list[Skipped]]:
    everything = list(read(str(source), format, **how))
    skipped = [each for each in everything if isinstance(each, Skipped)]
    return {each.id: each for each in everything if isinstance(each, ImportedSession)}, skipped


@pytest.mark.parametrize("format", ["auto", "google-adk"])
def test_every_session_and_what_they_share(path: Path, format: str) -> None:
    records, skipped = found(path, format)
    assert list(records) == [
        "google-adk/trips//a%2Fb",
        "google-adk/trips/alice/s",
        "google-adk.state/trips",
        "google-adk.state/trips/alice",
    ]
    one = records["google-adk/trips/alice/s"]
    assert [each["id"] for each in one.messages] == ["e1", "e2", "e3"]
    assert (one.state, one.user_id, one.assistant_id) == ({"step": 1}, "alice", "trips")
    assert dict(one.labels) == {"framework": "google-adk", "app": "trips", "user": "alice", "session": "s"}
    assert (one.updated or 0) - (one.created or 0) == 100_000_000
    assert records["google-adk.state/trips/alice"].state == {"lang": "de"}
    assert [each.reason for each in skipped] == ["1 events belong to no session that is there"]


@pytest.mark.parametrize("data", ["no json", "[1]", '{"id": "x"}', "null"])
def test_an_event_that_is_none_leaves_its_session_out(path: Path, data: str) -> None:
    with sqlite_file(path) as database:
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", event("bad", 1.5, data=data))
    database.close()
    records, skipped = found(path)
    assert "google-adk/trips/alice/s" not in records
    assert "event 'bad'" in skipped[0].place
    records, skipped = found(path, lenient=True)
    assert [each["id"] for each in records["google-adk/trips/alice/s"].messages] == ["e1", "e2", "e3"]
    assert records["google-adk/trips/alice/s"].state["import_gaps"][0]["after"] == 1


def test_a_database_of_something_else_says_so(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE a (b)")
    (tmp_path / "text.db").write_text("no database")
    _, skipped = found(tmp_path, "google-adk")
    assert sorted(each.reason for each in skipped) == [
        "a database without the tables of a session service of the ADK",
        "no SQLite database",
    ]


def test_they_are_placed_with_their_times(path: Path) -> None:
    with open_store("memory://") as store:
        assert [place(store, each) for each in found(path)[0].values()] == ["imported"] * 4
        info = store.info("google-adk/trips/alice/s")
        assert (info.message_count, info.labels["session"], info.user_id) == (3, "s", "alice")
        assert info.created_at.timestamp() == 1767355200.5
