"""What other programs keep, read as they keep it: every session whole, and every refusal with its place."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sql_servers import sqlite_file

from vaultsession.admin.importers import FORMATS, ImportedSession, Skipped, read, sources
from vaultsession.errors import InvalidSetting
from vaultsession.util.clock import to_micros

HELLO = [{"role": "user", "content": "hello ünï \u2028 😀"}, {"role": "assistant", "content": "hey"}]
NOON = to_micros(datetime(2026, 1, 2, 12, tzinfo=UTC))


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def lines(*values: Any) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def found(source: Path, format: str = "auto", **how: Any) -> tuple[dict[str, ImportedSession], list[Skipped]]:
    records, skipped = {}, []
    for each in read(str(source), format, **how):
        if isinstance(each, Skipped):
            skipped.append(each)
        else:
            assert each.id not in records
            records[each.id] = each
    return records, skipped


def one(source: Path, format: str = "auto") -> ImportedSession:
    records, skipped = found(source, format)
    assert skipped == []
    (record,) = records.values()
    return record


def reason(source: Path, format: str = "auto") -> str:
    records, skipped = found(source, format)
    assert records == {}
    (each,) = skipped
    return f"{each.place}: {each.reason}"


def agents(path: Path, sessions: dict[str, list[Any]], prefix: str = "agent") -> Path:
    """A database as the SDK lays it out."""
    with sqlite_file(path) as database:
        database.executescript(
            f"""
            CREATE TABLE {prefix}_sessions (session_id TEXT PRIMARY KEY,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
            CREATE TABLE {prefix}_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
                message_data TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id) REFERENCES {prefix}_sessions (session_id) ON DELETE CASCADE);
            """
        )
        for name, items in sessions.items():
            text = f"INSERT INTO {prefix}_sessions VALUES (?, '2026-01-02 12:00:00', '2026-01-02 12:00:01')"
            database.execute(text, (name,))
            for item in items:
                data = item if isinstance(item, str) else json.dumps(item)
                text = f"INSERT INTO {prefix}_messages (session_id, message_data) VALUES (?, ?)"
                database.execute(text, (name, data))
    database.close()
    return path


# -- plain JSON --------------------------------------------------------------------------------------------------------


def test_a_file_with_a_list_of_messages_is_a_session_named_after_it(tmp_path: Path) -> None:
    path = write(tmp_path / "alice.json", HELLO)
    os.utime(path, (NOON / 1e6, NOON / 1e6))
    record = one(tmp_path)
    assert (record.id, record.messages, record.state, record.updated) == ("alice", HELLO, {}, NOON)


def test_the_id_of_a_file_further_down_is_its_path_without_the_ending(tmp_path: Path) -> None:
    write(tmp_path / "team a" / "alice.v2.json", HELLO)
    assert one(tmp_path).id == "team a/alice.v2"


def test_an_object_says_what_it_knows_in_the_names_that_people_use(tmp_path: Path) -> None:
    session = {
        "session_id": "s-1", "userId": "alice", "tenant_id": "acme", "agentId": "helper", "title": "Trip",
        "labels": {"client": "web"}, "createdAt": "2026-01-02T12:00:00Z", "updated_at": NOON // 1000 + 5,
        "ttl": "1h", "sliding": True, "max_messages": 50, "expires_at": NOON / 1_000_000 + 60,
        "history": HELLO, "context": {"language": "fr"},
    }  # fmt: skip
    write(tmp_path / "whatever.json", session)
    record = one(tmp_path)
    assert record == ImportedSession(
        id="s-1", place="whatever.json", messages=HELLO, state={"language": "fr"}, created=NOON, updated=NOON + 5000,
        expires=NOON + 60_000_000, user_id="alice", tenant_id="acme", assistant_id="helper", title="Trip",
        labels={"client": "web"}, ttl=3600.0, sliding=True, max_messages=50,
    )  # fmt: skip


def test_a_field_that_is_no_fact_is_kept_in_the_state(tmp_path: Path) -> None:
    write(tmp_path / "a.json", {"messages": HELLO, "model": "m", "user_id": 7})
    write(tmp_path / "b.json", {"messages": HELLO, "model": "m", "state": {"step": 1}})
    records, _ = found(tmp_path)
    assert records["a"].state == {"model": "m", "user_id": 7}
    assert records["a"].user_id is None
    assert records["b"].state == {"step": 1, "imported": {"model": "m"}}


def test_one_file_may_hold_many_sessions_by_their_ids(tmp_path: Path) -> None:
    write(tmp_path / "sessions.json", {"alice": HELLO, "bob": {"messages": HELLO, "user_id": "b"}})
    records, skipped = found(tmp_path)
    assert {name: record.user_id for name, record in records.items()} == {"alice": None, "bob": "b"}
    assert skipped == []


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    write(tmp_path / "a.json", b"\xef\xbb\xbf" + json.dumps(HELLO).encode())
    assert one(tmp_path).messages == HELLO


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.json: not JSON: Expecting value"),
        (b"[{]", "a.json: not JSON"),
        (b'{"name": "a package"}', "a.json: no session: there are neither messages"),
        (b'"text"', "a.json: no session: it is text"),
        (b'["hello"]', "messages[0] is text, and a message is an object"),
        (b'{"messages": [{"a": 1}, null]}', "messages[1] is null"),
        (b'[{"a": 1, "a": 2}]', "a name stands twice in one object"),
        (b'[{"a": NaN}]', "NaN is no number"),
        (b'[{"a": "\xff"}]', "not UTF-8 (byte 8)"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"messages": [{}], "message_count": 2}', "1 messages where 2 were counted"),
        (b'{"messages": [], "x": 1, "state": {"imported": 1}}', "has a field 'imported' already"),
        ('[\n{"a": 1},\n{"a" 2}]', "line 3, column 6"),
    ],
)
def test_what_is_no_session_is_skipped_with_its_place_and_reason(tmp_path: Path, content: bytes, said: str) -> None:
    write(tmp_path / "a.json", content)
    assert said in reason(tmp_path)


# -- JSON lines --------------------------------------------------------------------------------------------------------


def test_a_line_may_be_a_session(tmp_path: Path) -> None:
    write(tmp_path / "all.jsonl", lines({"id": "a", "messages": HELLO}, {"id": "b", "state": {"n": 1}}))
    records, skipped = found(tmp_path)
    assert (records["a"].messages, records["b"].state, skipped) == (HELLO, {"n": 1}, [])
    assert records["b"].place == "all.jsonl, line 2"


def test_a_line_that_cannot_be_read_costs_that_session_alone(tmp_path: Path) -> None:
    write(tmp_path / "all.jsonl", lines({"id": "a", "messages": HELLO}) + "{torn\n\n" + lines({"messages": []}))
    records, skipped = found(tmp_path)
    assert list(records) == ["a"]
    assert [each.place for each in skipped] == ["all.jsonl, line 2", "all.jsonl, line 4"]
    assert "no id" in skipped[1].reason


def test_a_line_may_be_a_message_that_names_its_session(tmp_path: Path) -> None:
    mixed = [{"session_id": name, "n": number} for number, name in enumerate("abacabb")]
    write(tmp_path / "log.ndjson", lines(*mixed) + "nonsense\n" + lines({"n": 1}, {"session_id": 5}))
    records, skipped = found(tmp_path)
    assert {name: [message["n"] for message in record.messages] for name, record in records.items()} == {
        "a": [0, 2, 4],
        "b": [1, 5, 6],
        "c": [3],
    }
    assert records["a"].messages[0] == mixed[0], "kept whole"
    assert [each.place for each in skipped] == [f"log.ndjson, line {number}" for number in (8, 9, 10)]


def test_a_line_beyond_the_bound_is_skipped_and_the_next_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LARGEST", 100)
    long = {"id": "long", "messages": [{"content": "x" * 250}]}
    write(tmp_path / "s.jsonl", lines({"id": "a", "messages": []}, long, {"id": "b", "messages": []}))
    write(tmp_path / "m.jsonl", lines({"session_id": "c"}, {"session_id": "c", "x": "x" * 300}, {"session_id": "c"}))
    records, skipped = found(tmp_path)
    assert sorted(records) == ["a", "b", "c"]
    assert len(records["c"].messages) == 2
    assert [each.place for each in skipped] == ["m.jsonl, line 2", "s.jsonl, line 2"]


def test_a_file_beyond_the_bound_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST", 100)
    write(tmp_path / "a.json", HELLO * 10)
    assert "split it" in reason(tmp_path)


def test_an_empty_file_of_lines_holds_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", "")
    assert found(tmp_path) == ({}, [])


# -- OpenAI Agents -----------------------------------------------------------------------------------------------------


def test_a_database_of_the_agents_sdk_holds_its_sessions(tmp_path: Path) -> None:
    agents(tmp_path / "conversations.db", {"a": HELLO, "b": []})
    records, skipped = found(tmp_path)
    assert (records["a"].messages, records["b"].messages, skipped) == (HELLO, [], [])
    assert (records["a"].created, records["a"].updated) == (NOON, NOON + 1_000_000)


def test_the_tables_may_have_other_names(tmp_path: Path) -> None:
    agents(tmp_path / "x.sqlite", {"a": HELLO}, prefix="my_own")
    assert one(tmp_path).messages == HELLO


def test_an_item_that_cannot_be_read_leaves_out_its_session_alone(tmp_path: Path) -> None:
    agents(tmp_path / "x.db", {"a": HELLO, "b": [HELLO[0], "{torn"], "c": ["[1]"]})
    records, skipped = found(tmp_path)
    assert list(records) == ["a"]
    assert [each.place for each in skipped] == ["x.db, session 'b', item 4", "x.db, session 'c', item 5"]
    assert skipped[0].reason.startswith("not JSON")
    assert skipped[0].reason.endswith("the session is left out")


MASTER = "a key of high entropy"


def envelope(item: Any, master: bytes = MASTER.encode(), session: str = "a", **more: Any) -> dict[str, Any]:
    """As the SDK's EncryptedSession makes them."""
    key = HKDF(SHA256(), 32, salt=session.encode(), info=b"agents.session-store.hkdf.v1").derive(master)
    cipher = Fernet(base64.urlsafe_b64encode(key))
    token = cipher.encrypt_at_time(json.dumps(item).encode(), 1_000_000_000).decode()  # long ago: no ttl hides it
    return {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": token, **more}


@pytest.mark.parametrize("master", [MASTER.encode(), bytes(range(32))])
def test_encrypted_items_are_read_with_their_key(master: bytes, tmp_path: Path) -> None:
    given = MASTER if master == MASTER.encode() else base64.urlsafe_b64encode(master).decode()
    agents(
        tmp_path / "x.db",
        {
            "a": [envelope(item, master) for item in HELLO],
            "ä/b": [envelope(item, master, "ä/b") for item in HELLO],
            "plain": HELLO,
        },
    )
    records, skipped = found(tmp_path, source_key=given)
    assert skipped == []
    assert {name: record.messages for name, record in records.items()} == dict.fromkeys(("a", "ä/b", "plain"), HELLO)
    records, skipped = found(tmp_path)
    assert list(records) == ["plain"]
    assert all("or name the key" in each.reason for each in skipped)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (envelope(HELLO[0], b"another key"), "encrypted with another key"),
        (envelope(HELLO[0], session="b"), "for another session"),
        (envelope(HELLO[0], v=2), "of another version"),
        (envelope(HELLO[0], payload=7), "of another version"),
        (envelope(HELLO[0], payload="gAAAAAé"), "or damaged"),
        (envelope([1]), "a list, and a message is an object"),
        (HELLO[0], "not encrypted, among items that are"),
        ([1], "not encrypted, among items that are"),
        ("{torn", "not JSON"),
    ],
)
def test_an_item_that_its_key_does_not_open_leaves_out_its_session(item: Any, reason: str, tmp_path: Path) -> None:
    agents(tmp_path / "x.db", {"a": [envelope(HELLO[0]), item, envelope(HELLO[1])]})
    records, (skipped,) = found(tmp_path, source_key=MASTER)
    assert records == {}
    assert skipped.place.endswith(", item 2")
    assert reason in skipped.reason
    records, _ = found(tmp_path, source_key=MASTER, lenient=True)
    assert records["a"].messages == HELLO
    assert [gap["where"] for gap in records["a"].state["import_gaps"]] == ["item 2"]


def test_items_of_no_session_are_told(tmp_path: Path) -> None:
    path = agents(tmp_path / "x.db", {"a": HELLO})
    with sqlite_file(path) as database:
        database.execute("DELETE FROM agent_sessions")
    database.close()
    assert "2 items belong to no session" in reason(tmp_path)


def test_a_database_is_not_changed_by_reading_it(tmp_path: Path) -> None:
    path = agents(tmp_path / "x.db", {"a": HELLO})
    before = path.read_bytes()
    one(tmp_path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.db"]


def test_another_database_and_no_database_are_skipped(tmp_path: Path) -> None:
    with sqlite_file(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE cookies (name TEXT)")
    database.close()
    write(tmp_path / "text.db", "no database")
    write(tmp_path / "torn.db", b"SQLite format 3\0" + b"\xff" * 4096)
    _, skipped = found(tmp_path)
    said = {each.place: each.reason for each in skipped}
    assert "without the tables" in said["other.db"]
    assert said["text.db"] == "no SQLite database"
    assert "cannot be read" in said["torn.db"]


# -- Claude Code -------------------------------------------------------------------------------------------------------

EVENTS = [
    {"type": "summary", "summary": "Add two numbers", "leafUuid": "u2"},
    {"type": "user", "uuid": "u1", "sessionId": "s", "timestamp": "2026-01-02T12:00:00.000Z", "message": HELLO[0]},
    {"type": "assistant", "uuid": "u2", "sessionId": "s", "timestamp": "2026-01-02T12:00:05Z", "message": HELLO[1]},
    {"type": "file-history-snapshot", "messageId": "u1", "snapshot": {}},
]


def test_a_transcript_is_a_session_with_every_event_as_a_message(tmp_path: Path) -> None:
    write(tmp_path / "-home-me-project" / "0b1c.jsonl", lines(*EVENTS))
    record = one(tmp_path)
    assert (record.id, record.messages, record.title) == ("0b1c", EVENTS, "Add two numbers")
    assert (record.created, record.updated) == (NOON, NOON + 5_000_000)


@pytest.mark.parametrize("first", EVENTS)
def test_a_transcript_is_known_by_any_of_its_events(tmp_path: Path, first: Any) -> None:
    write(tmp_path / "t.jsonl", lines(first, *EVENTS))
    assert one(tmp_path).messages == [first, *EVENTS]


def test_half_a_transcript_is_not_imported(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", lines(*EVENTS) + '{"type": "user", "mess')
    assert "t.jsonl, line 5: not JSON" in reason(tmp_path)
    assert "the session is left out" in reason(tmp_path)


def test_an_agent_of_a_session_is_a_session_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "s.jsonl", lines(*EVENTS))
    write(tmp_path / "s" / "subagents" / "agent-1.jsonl", lines(*EVENTS[1:]))
    assert sorted(found(tmp_path)[0]) == ["agent-1", "s"]


# -- LangChain ---------------------------------------------------------------------------------------------------------

CHAIN = [
    {"type": "human", "data": {"content": "hello", "additional_kwargs": {}, "type": "human"}},
    {"type": "ai", "data": {"content": "hey", "tool_calls": [], "type": "ai"}},
]


def test_a_file_history_of_langchain_is_kept_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "chat.json", CHAIN)
    record = one(tmp_path)
    assert (record.id, record.messages) == ("chat", CHAIN)
    assert one(tmp_path, "langchain") == record


def test_what_is_no_message_of_langchain_is_refused_where_that_is_what_was_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "chat.json", [*CHAIN, HELLO[0]])
    assert "messages[2] is not a message of LangChain" in reason(tmp_path, "langchain")
    assert one(tmp_path).messages[2] == HELLO[0], "auto takes it for a list of messages"


# -- sources -----------------------------------------------------------------------------------------------------------


def test_a_link_is_told_and_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret" / "a.json", HELLO)
    source = tmp_path / "source"
    source.mkdir()
    (source / "file.json").symlink_to(tmp_path / "secret" / "a.json")
    (source / "directory").symlink_to(tmp_path / "secret")
    records, skipped = found(source)
    assert records == {}
    assert [each.place for each in skipped] == ["directory", "file.json"]
    assert all("not followed" in each.reason for each in skipped)


def test_a_file_that_became_a_link_meanwhile_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "secret.json", HELLO)
    source = write(tmp_path / "source" / "a.json", HELLO).parent
    walk = sources.files(str(source), (".json",))
    (file,) = walk
    assert isinstance(file, sources.File)
    os.unlink(file.path)
    os.symlink(tmp_path / "secret.json", file.path)
    with pytest.raises(OSError, match="symbolic link"):
        file.json()


def test_the_source_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.json", HELLO)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert one(tmp_path / "link").id == "a"


def test_what_is_hidden_or_ends_otherwise_is_passed_over(tmp_path: Path) -> None:
    for name in (".hidden.json", ".git/x.json", "README.md", "noise.txt", "a.json"):
        write(tmp_path / name, HELLO)
    assert one(tmp_path).id == "a"


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    assert "no regular file" in reason(tmp_path)


def test_a_single_file_may_be_named_however_it_ends(tmp_path: Path) -> None:
    assert one(write(tmp_path / "history.txt", HELLO), "json").id == "history"


def test_an_id_that_comes_twice_stands_once_and_the_second_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.json", HELLO)
    write(tmp_path / "b.json", {"id": "a", "messages": []})
    records, skipped = found(tmp_path)
    assert records["a"].messages == HELLO
    assert skipped == [Skipped("b.json", "a second session 'a': the first is a.json")]


def test_a_prefix_goes_in_front_of_every_id(tmp_path: Path) -> None:
    write(tmp_path / "a.json", HELLO)
    assert list(found(tmp_path, id_prefix="old/")[0]) == ["old/a"]


def test_a_source_that_is_not_there_or_is_a_vault_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="name a file or a directory"):
        found(tmp_path / "nowhere")
    write(tmp_path / "vault" / "vault.json", "{}")
    with pytest.raises(InvalidSetting, match="vaultsession migrate"):
        found(tmp_path / "vault")
    with pytest.raises(InvalidSetting, match="a format is one of"):
        found(tmp_path, "xml")


def test_each_format_can_be_asked_for_and_looks_at_its_own_files_only(tmp_path: Path) -> None:
    write(tmp_path / "a.json", HELLO)
    write(tmp_path / "t.jsonl", lines(*EVENTS))
    agents(tmp_path / "x.db", {"in the database": HELLO})
    assert {name: sorted(found(tmp_path, name)[0]) for name in FORMATS} == {
        "auto": ["a", "in the database", "t"],
        "json": ["a"],
        "jsonl": [],
        "openai-agents": ["in the database"],
        "google-adk": [],
        "langgraph": [],
        "claude-code": ["t"],
        "codex": [],
        "copilot-cli": [],
        "pi": [],
        "langchain": [],
        "strands": [],
    }
