"""``vaultsession import``: what goes in, what is skipped, and what a script learns."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_lab import Place, Run
from sql_servers import sqlite_file

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "old"
    path.mkdir()
    (path / "alice.json").write_text(json.dumps({"messages": HELLO, "user_id": "alice"}))
    (path / "bob.json").write_text(json.dumps(HELLO))
    (path / "all.jsonl").write_text(json.dumps({"id": "carol", "messages": HELLO * 3}) + "\n")
    return path


@pytest.mark.slow
def test_every_session_is_imported_once(run: Run, place: Place, source: Path) -> None:
    first = run("import", source, "--json")
    assert first.code == 0, first.err
    assert first.json == {
        "dry_run": False, "imported": 3, "replaced": 0, "present": 0, "skipped": 0, "problems": []
    }  # fmt: skip
    again = run("import", source)
    assert (again.code, again.err) == (0, "")
    assert {row["name"]: row["value"] for row in again.rows} == {
        "imported": "0",
        "replaced": "0",
        "present": "3",
        "skipped": "0",
    }
    with place.open() as store:
        assert store.load("carol").message_count == 3


def test_what_cannot_be_imported_is_told_with_file_and_line(run: Run, place: Place, source: Path) -> None:
    with (source / "all.jsonl").open("a") as file:
        file.write("{torn\n")
    (source / "big.json").write_text('[{"role": "user", "n": 1' + "0" * 30 + "}]")
    (source / "link.json").symlink_to(source / "bob.json")
    told = run("import", source)
    assert told.code == 3
    assert "all.jsonl, line 2: not JSON" in told.err
    assert "big.json: messages[0].n" in told.err
    assert "link.json: a link" in told.err
    assert run("import", source, "--json").json["skipped"] == 3
    with place.open() as store:
        assert store.count() == 3


def test_only_so_many_reasons_are_told(run: Run, place: Place, source: Path) -> None:
    with (source / "all.jsonl").open("a") as file:
        file.write("nonsense\n" * 30)
    told = run("import", source)
    assert told.err.count("nonsense") + told.err.count("not JSON") == 20
    assert "and 10 more, which --json lists" in told.err
    assert len(run("import", source, "--json").json["problems"]) == 30


def test_a_dry_run_changes_nothing(run: Run, place: Place, source: Path) -> None:
    assert run("import", source, "-n", "--json").json["imported"] == 3
    with place.open() as store:
        assert store.count() == 0


def test_owners_and_prefixes(run: Run, place: Place, source: Path) -> None:
    assert run("import", source, "--user", "me", "--id-prefix", "old/").code == 0
    with place.open() as store:
        assert {info.id: info.user_id for info in store.list()} == {
            "old/alice": "alice",
            "old/bob": "me",
            "old/carol": "me",
        }


def test_what_is_there_is_replaced_where_that_is_asked_for(run: Run, place: Place, source: Path) -> None:
    with place.open() as store:
        store.create("bob", messages=HELLO * 9)
    assert run("import", source, "--json").json["present"] == 1
    assert run("import", source, "--replace", "--json").json["replaced"] == 3
    with place.open() as store:
        assert store.load("bob").message_count == 1


def test_a_database_of_the_agents_sdk(run: Run, place: Place, tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    with sqlite_file(path) as database:
        database.execute("CREATE TABLE agent_sessions (session_id TEXT, created_at TEXT, updated_at TEXT)")
        database.execute("CREATE TABLE agent_messages (id INTEGER, session_id TEXT, message_data TEXT)")
        database.execute("INSERT INTO agent_sessions VALUES ('s', '2026-01-02 12:00:00', '2026-01-02 12:00:00')")
        database.execute("INSERT INTO agent_messages VALUES (1, 's', ?)", (json.dumps(HELLO[0]),))
    database.close()
    assert run("import", path, "--format", "openai-agents", "--json").json["imported"] == 1
    with place.open() as store:
        assert store.load("s").messages == HELLO
        assert store.load("s").created_at.year == 2026


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nowhere",), 2, "name a file or a directory"),
        (("old", "--format", "xml"), 2, "a format is one of auto, json"),
        (("vault",), 2, "is a vault"),
        ((), 2, "SOURCE"),
    ],
)
def test_what_was_meant_wrongly_is_a_usage_error(
    run: Run, place: Place, source: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    told = run("import", *arguments)
    assert told.code == code
    assert said in told.err
    assert "Traceback" not in told.err


def test_without_a_vault_nothing_is_made(run: Run, place: Place, source: Path, tmp_path: Path) -> None:
    told = run("import", source, "--vault", tmp_path / "other")
    assert told.code == 10
    assert not (tmp_path / "other").exists()


def test_a_name_that_moves_the_cursor_is_shown_as_an_escape(run: Run, place: Place, source: Path) -> None:
    (source / "\x1b[2J.json").write_text("nonsense")
    told = run("import", source)
    assert told.code == 3
    assert "\x1b" not in told.err
    assert "\\x1b[2J.json" in told.err


def test_a_reader_that_hears_no_more_ends_it_quietly(spawn: Run, place: Place, source: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        told = spawn("import", source, stdout=writer)
    finally:
        os.close(writer)
    assert told.code == 141
    assert told.err == ""


def test_on_a_terminal_it_is_a_sentence(terminal: Run, place: Place, source: Path) -> None:
    told = terminal("import", source)
    assert told.code == 0
    assert "3 imported" in told.out


def test_the_key_of_what_is_imported_is_in_a_private_file(run: Run, place: Place, source: Path, tmp_path: Path) -> None:
    key = tmp_path / "source.key"
    told = run("import", source, "--source-key-file", key)
    assert (told.code, "no such file" in told.err) == (2, True)
    key.write_text("secret\n")
    key.chmod(0o644)
    told = run("import", source, "--source-key-file", key)
    assert (told.code, "chmod 600" in told.err) == (2, True)
    assert "secret" not in told.err
    key.chmod(0o600)
    assert run("import", source, "--source-key-file", key).code == 0
