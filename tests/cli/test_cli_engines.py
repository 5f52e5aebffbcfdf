"""Vaults that lie in an engine: every command takes the URL, or says in one sentence that it is for files."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from cli_lab import Outcome, Run

FOR_FILES = [("doctor",), ("repair", "--yes")]


@pytest.fixture
def url(tmp_path, monkeypatch, run: Run) -> str:
    place = f"sqlite:///{tmp_path}/vault.db"
    monkeypatch.setenv("VAULTSESSION_PATH", place)
    monkeypatch.setenv("VAULTSESSION_KEY_FILE", str(tmp_path / "key"))
    made = run("init", place, "--key-file", tmp_path / "key", "--json")
    assert made.code == 0, made.err
    assert made.json["names"] == "readable"
    for name in ("a", "b"):
        assert run("append", name, "--create", "--content", "hello").code == 0
    return place


def test_a_second_vault_at_the_same_url_is_5(url, run):
    done = run("init", url, "--key-file", "other")
    assert (done.code, done.out) == (5, "")


@pytest.mark.slow
def test_sessions_are_listed_shown_found_copied_exported_and_removed(url, run):
    assert sorted(row["id"] for row in run("ls").rows) == ["a", "b"]
    assert len(run("grep", "hello").rows) == 2
    assert run("copy", "a", "c").code == 0
    assert len(run("export", "--all").out.splitlines()) == 3
    assert run("rm", "c", "--yes").code == 0
    assert run("ls", "--count").out == "2\n"
    assert run("sweep").code == 0
    assert run("stats", "--json").json["sessions"] == 2
    assert run("reindex").code == 0


def test_verify_opens_every_record(url, run):
    done = run("verify", "--json")
    assert (done.code, done.json["sessions"], done.json["ok"], done.json["records"]) == (0, 2, 2, 2)
    assert [row["session"] for row in run("verify", "b").rows] == ["b"]
    assert run("verify", "nobody").code == 4


def test_verify_finds_what_was_damaged(url, run):
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        (table,) = (name for name in names if name.endswith("_sessions"))
        locator, tail = database.execute(f"select locator, tail from {table}").fetchone()
        torn = tail[:-20] + bytes([tail[-20] ^ 1]) + tail[-19:]
        database.execute(f"update {table} set tail = ? where locator = ?", (torn, locator))
    assert run("verify").code == 6


@pytest.mark.slow
def test_key_slots_are_listed_added_and_removed(url, run, tmp_path):
    (first,) = run("key", "list").rows
    assert run("key", "add", "--new-key-file", tmp_path / "second", "--label", "two").code == 0
    assert [row["label"] for row in run("key", "list").rows] == ["", "two"]
    assert run("key", "remove", first["slot"], "--yes").code == 0
    assert run("ls").code == 12
    assert len(run("ls", "--key-file", tmp_path / "second").rows) == 2


@pytest.mark.parametrize("command", FOR_FILES, ids=" ".join)
def test_what_is_for_files_says_so(command, url, run):
    done: Outcome = run(*command)
    assert (done.code, done.out) == (2, "")
    assert "files of a vault directory" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", [("ls",), ("verify",), ("key", "list"), ("stats",)], ids=" ".join)
@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("sqlite:////nonexistent/vault.db", 1),
        ("redis://user:hidden@127.0.0.1:1/0", 1),
        ("gopher://user:hidden@example/x", 2),
    ],
)
def test_a_url_that_leads_nowhere_is_one_sentence_without_its_password(command, place, code, run):
    done = run(*command, "-V", place)
    assert done.code in ({1, 10} if code == 1 else {2}), done.err
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert "hidden" not in done.err


@pytest.mark.parametrize("command", [("ls",), ("verify",), ("key", "list")], ids=" ".join)
def test_a_database_without_a_vault_is_10_and_stays_without_one(command, run, tmp_path):
    done = run(*command, "-V", f"sqlite:///{tmp_path}/empty.db")
    assert (done.code, done.out) == (10, "")
    assert "vaultsession init" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", [("verify",), ("init",), ("key", "list"), ("doctor",)], ids=" ".join)
def test_a_vault_in_memory_is_none_that_a_command_could_find_again(command, run):
    done = run(*command, "-V", "memory://")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
