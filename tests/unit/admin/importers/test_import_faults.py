"""Sources as people met them: what was imported wrongly with exit code 0, each as its story."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from vaultsession import open_store
from vaultsession.admin.importers import ImportedSession, Skipped, place, read

INNER = "0c0ffee0-0000-4000-8000-000000000001"


def found(source: Path, format: str = "auto", *, lenient: bool = False) -> tuple[dict[str, ImportedSession], list[Any]]:
    sessions, skipped = {}, []
    for each in read(str(source), format, lenient=lenient):
        if isinstance(each, Skipped):
            skipped.append(each)
        else:
            sessions[each.id] = each
    return sessions, skipped


def write(path: Path, *values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(value if isinstance(value, str) else json.dumps(value) + "\n" for value in values))
    return path


def turn(number: int) -> dict[str, Any]:
    role = ("user", "assistant")[number % 2]
    return {
        "type": role, "uuid": f"u{number}", "parentUuid": f"u{number - 1}" if number else None, "sessionId": INNER,
        "message": {"role": role, "content": f"turn {number}"}, "timestamp": f"2026-03-01T10:00:0{number}.000Z",
    }  # fmt: skip


MODE = {"type": "permission-mode", "permissionMode": "default", "sessionId": INNER}
TITLE = {"type": "custom-title", "customTitle": "A title of mine", "sessionId": INNER}
AI_TITLE = {"type": "ai-title", "aiTitle": "What the model called it", "sessionId": INNER}
PROMPT = {"type": "last-prompt", "lastPrompt": "hi", "sessionId": INNER}
SNAPSHOT = {"type": "file-history-snapshot", "messageId": "u0", "snapshot": {}, "isSnapshotUpdate": False}


@pytest.mark.parametrize("format", ["auto", "claude-code"])
def test_a_transcript_of_2026_began_with_a_mode_and_lost_its_name_its_times_and_a_line(
    tmp_path: Path, format: str
) -> None:
    """The first line has neither uuid nor timestamp: the file was taken for messages of the session that it names.

    Then a sub-agent's file, which names the same session, was left out altogether.
    """
    files = {
        "main-session": [MODE, SNAPSHOT, TITLE, PROMPT, *map(turn, range(4))],
        "agent-1a2b3c": [TITLE, *map(turn, range(2))],
        "plain-session": [*map(turn, range(4)), AI_TITLE],
    }
    for name, events in files.items():
        write(tmp_path / "-home-me" / f"{name}.jsonl", *events)
    sessions, skipped = found(tmp_path, format)
    assert skipped == []
    assert {name: session.messages for name, session in sessions.items()} == files
    assert sessions["main-session"].title == sessions["agent-1a2b3c"].title == "A title of mine"
    assert sessions["plain-session"].title == "What the model called it"
    with open_store("memory://") as store:
        for session in sessions.values():
            place(store, session)
        assert store.load("main-session").created_at.isoformat() == "2026-03-01T10:00:00+00:00"
        assert store.load("main-session").updated_at.isoformat() == "2026-03-01T10:00:03+00:00"


def test_a_front_end_exported_its_conversations_as_one_list_which_became_one_session(tmp_path: Path) -> None:
    chats = [
        {"id": "c1", "title": "Trip", "user_id": "u1", "messages": [{"role": "user", "content": "a"}]},
        {"id": "c2", "title": "Taxes", "user_id": "u2", "messages": []},
        {"title": "Nameless", "messages": [{"role": "user", "content": "c"}]},
    ]
    write(tmp_path / "chats.json", chats)
    sessions, skipped = found(tmp_path)
    assert skipped == []
    assert {name: (each.title, each.user_id, len(each.messages)) for name, each in sessions.items()} == {
        "c1": ("Trip", "u1", 1),
        "c2": ("Taxes", "u2", 0),
        "chats-3": ("Nameless", None, 1),
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([{"id": "x", "title": "Trip", "mapping": {"n": {"message": {}}}}], "messages[0] is no message"),
        ([{"id": "x", "messages": []}, {"role": "user", "content": "a"}], "[0] is a session, [1] is none"),
        ([{"role": "user", "content": "a"}, {"id": "x", "messages": []}], "[1] is a session, [0] is none"),
        ([{"role": "user", "content": "a"}, {"price": 3}], "messages[1] is no message"),
    ],
)
def test_a_list_of_something_else_was_taken_for_messages(tmp_path: Path, values: Any, reason: str) -> None:
    write(tmp_path / "list.json", values)
    sessions, (skipped,) = found(tmp_path)
    assert sessions == {}
    assert reason in skipped.reason


ENVELOPE = {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": "gAAAAABnotreal=="}


def database(path: Path, *items: Any, wal: bool = False) -> sqlite3.Connection:
    made = sqlite3.connect(path, isolation_level=None)
    if wal:
        made.execute("PRAGMA journal_mode = WAL")
    made.execute("CREATE TABLE agent_sessions (session_id TEXT PRIMARY KEY, created_at TEXT, updated_at TEXT)")
    made.execute("CREATE TABLE agent_messages (id INTEGER PRIMARY KEY, session_id TEXT, message_data TEXT)")
    made.execute("INSERT INTO agent_sessions VALUES ('s', '2026-01-02 12:00:00', '2026-01-02 12:00:00')")
    for item in items:
        data = item if isinstance(item, str) else json.dumps(item)
        made.execute("INSERT INTO agent_messages (session_id, message_data) VALUES ('s', ?)", (data,))
    return made


def test_envelopes_that_another_program_encrypted_became_messages(tmp_path: Path) -> None:
    database(tmp_path / "a.db", {"role": "user", "content": "x"}, ENVELOPE).close()
    write(tmp_path / "b.jsonl", {"id": "b", "messages": [ENVELOPE]})
    write(tmp_path / "c.jsonl", {"session_id": "c", **ENVELOPE})
    write(tmp_path / "d.json", [{"ciphertext": "AAAA", "iv": "BBBB"}])
    sessions, skipped = found(tmp_path)
    assert sessions == {}
    assert [each.place for each in skipped] == [
        "a.db, session 's', item 2",
        "b.jsonl, line 1",
        "c.jsonl, line 1",
        "d.json",
    ]
    assert all("encrypted by the program that wrote it" in each.reason for each in skipped)


def test_what_a_model_keeps_encrypted_within_a_message_is_part_of_it(tmp_path: Path) -> None:
    reasoning = {"type": "reasoning", "encrypted_content": "gAAAAAB", "payload": "gAAAAAB"}
    write(tmp_path / "a.json", [reasoning])
    assert found(tmp_path)[0]["a"].messages == [reasoning]


def test_a_line_of_facts_took_the_place_of_the_messages_behind_it(tmp_path: Path) -> None:
    facts = {"sessionId": "g-2", "startTime": "2026-01-01T10:00:00Z", "projectHash": "p"}
    messages = [{"id": "1", "type": "user", "content": "hi"}, {"id": "2", "type": "model", "content": "hello"}]
    write(tmp_path / "cli.jsonl", facts, *messages)
    sessions, skipped = found(tmp_path)
    assert skipped == []
    session = sessions["g-2"]
    assert (session.messages, session.state, session.created) == (messages, {"projectHash": "p"}, 1767261600_000_000)


def test_a_message_per_line_needs_no_session_id(tmp_path: Path) -> None:
    """README said that it is taken, and each line was refused."""
    messages = [{"role": "user", "content": "hi", "timestamp": "2026-01-01T10:00:00Z"}, {"from": "gpt", "value": "x"}]
    path = write(tmp_path / "team" / "chat.jsonl", *messages)
    os.utime(path, (5, 5))
    sessions, skipped = found(tmp_path)
    assert skipped == []
    assert sessions["team/chat"].messages == messages
    assert sessions["team/chat"].created == 1767261600_000_000


def test_lines_that_are_no_messages_are_refused_each(tmp_path: Path) -> None:
    write(tmp_path / "prices.jsonl", {"price": 3}, {"price": 4})
    sessions, skipped = found(tmp_path)
    assert sessions == {}
    assert [each.place for each in skipped] == ["prices.jsonl, line 1", "prices.jsonl, line 2"]


@pytest.mark.parametrize("kind", ["transcript", "messages", "facts"])
def test_one_torn_line_of_a_thousand_left_out_the_session_and_no_switch_took_the_rest(
    tmp_path: Path, kind: str
) -> None:
    """A program that was killed, or a full disk, tears the last line."""
    values = [turn(number % 10) for number in range(1000)]
    if kind != "transcript":
        values = [value["message"] for value in values]
    first: list[Any] = [{"session_id": "t"}] if kind == "facts" else []
    write(tmp_path / "t.jsonl", *first, *values, '{"type": "user", "mess')
    torn = f"t.jsonl, line {1001 + len(first)}"
    sessions, (skipped,) = found(tmp_path)
    assert sessions == {}
    assert (skipped.place, skipped.reason.endswith("the session is left out")) == (torn, True)
    sessions, (skipped,) = found(tmp_path, lenient=True)
    assert (skipped.place, skipped.reason.endswith("the rest of the session is taken")) == (torn, True)
    with open_store("memory://") as store:
        place(store, sessions["t"])
        session = store.load("t")
        assert session.messages == values
        (gap,) = session.state["import_gaps"]
        assert (gap["after"], gap["where"]) == (1000, torn.partition(", ")[2])
        assert "not JSON" in gap["reason"]


def test_an_item_of_a_database_that_is_torn_is_a_gap_too(tmp_path: Path) -> None:
    database(tmp_path / "a.db", {"role": "user", "content": "x"}, "{torn", {"role": "user", "content": "y"}).close()
    assert found(tmp_path)[0] == {}
    sessions, (skipped,) = found(tmp_path, lenient=True)
    assert [message["content"] for message in sessions["s"].messages] == ["x", "y"]
    assert sessions["s"].state["import_gaps"][0]["after"] == 1
    assert skipped.place == "a.db, session 's', item 2"


def test_a_gap_is_never_marked_over_what_the_session_says_itself(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"session_id": "t", "import_gaps": 1}, {"role": "user", "content": "x"}, "{torn")
    sessions, skipped = found(tmp_path, lenient=True)
    assert sessions == {}
    assert "'import_gaps' already" in skipped[-1].reason


def files_of(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.iterdir()}


def test_a_database_with_a_log_was_left_with_two_files_beside_it(tmp_path: Path) -> None:
    """Reading one with a write-ahead log makes ``-wal`` and ``-shm``, or fails where nothing can be written."""
    hello = {"role": "user", "content": "x"}
    database(tmp_path / "a.db", hello, wal=True).close()
    before = files_of(tmp_path)
    assert list(before) == ["a.db"]
    assert found(tmp_path)[0]["s"].messages == [hello]
    assert files_of(tmp_path) == before


def test_what_stands_in_the_log_alone_is_read_and_neither_is_written_to(tmp_path: Path) -> None:
    """As a program that was killed leaves it."""
    hello = {"role": "user", "content": "x"}
    live = tmp_path / "live"
    live.mkdir()
    writer = database(live / "a.db", hello, wal=True)
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("a.db", "a.db-wal"):
        (killed / name).write_bytes((live / name).read_bytes())
    writer.close()
    before = files_of(killed)
    assert len(before["a.db-wal"]) > 0
    assert found(killed)[0]["s"].messages == [hello]
    assert files_of(killed) == before


def test_a_database_that_is_written_to_all_the_while_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaultsession.admin.importers import sqlite_file  # noqa: PLC0415 - to be changed

    writer = database(tmp_path / "a.db", {"role": "user", "content": "x"}, wal=True)
    states = iter(range(100))
    monkeypatch.setattr(sqlite_file, "_state", lambda path: [(next(states), 0, 0)])
    sessions, (skipped,) = found(tmp_path)
    writer.close()
    assert sessions == {}
    assert "it is being written to: try again" in skipped.reason


def test_a_session_whose_gaps_cannot_be_marked_is_not_said_to_be_taken(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", {"session_id": "t", "import_gaps": "of its own"}, turn(1)["message"], '{"type": "us')
    sessions, (skipped,) = found(tmp_path, lenient=True)
    assert sessions == {}
    assert "import_gaps" in skipped.reason
