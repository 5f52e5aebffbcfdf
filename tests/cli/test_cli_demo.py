"""``vaultsession demo``: the first thing that a newcomer runs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from cli_lab import plain


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def test_it_asks_for_nothing_of_the_users_and_leaves_nothing_behind(spawn, temporary, home):
    mine = home.parent / "mine"
    settings = {"VAULTSESSION_PATH": str(mine), "VAULTSESSION_KEY": "no key at all", "VAULTSESSION_TTL": "nonsense"}
    done = spawn("demo", **settings)
    assert (done.code, done.err) == (0, "")
    assert not mine.exists()
    assert "\x1b" not in done.out
    assert [line for line in done.out.splitlines() if line != line.rstrip()] == []
    assert list(temporary.iterdir()) == []
    assert list(home.iterdir()) == []
    for step in range(1, 8):
        assert re.search(rf"^{step}  \w", done.out, flags=re.MULTILINE)
    assert "found 0 times" in done.out
    assert "Damaged: " in done.out
    assert "Changed back, it reads again: 3 messages." in done.out
    assert "The sweep removes 1" in done.out
    assert len(re.findall(r"\d+ µs   \(median of \d+\)", done.out)) == 4
    first, second = re.findall(r"process (\d+)", done.out)
    assert first != second


def test_it_can_be_kept_and_looked_at(spawn, run, temporary):
    done = spawn("demo", "--keep")
    assert done.code == 0
    (kept,) = temporary.iterdir()
    (vault, key_file) = re.search(r"vaultsession ls -V (\S+) --key-file (\S+)", done.out).groups()
    assert Path(vault).parent == kept
    assert {row["id"] for row in run("ls", "-V", vault, "--key-file", key_file).rows} >= {"alice/first-chat"}
    assert run("verify", "-V", vault, "--key-file", key_file).code == 0


@pytest.mark.parametrize("which", ["vault", "assistant", "desktop"])
@pytest.mark.parametrize("columns", [80, 40])
def test_it_fits_the_terminal_and_has_colours(columns, which, terminal, temporary):
    done = terminal("demo", "--which", which, columns=columns)
    assert done.code == 0
    assert "\x1b[" in done.out
    assert max(map(len, plain(done.out).splitlines())) <= columns


def test_what_goes_wrong_is_told_and_still_cleaned_up(run, temporary, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    def fails(*_, **__):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("vaultsession.vault.Vault.create", fails)
    done = run("demo")
    assert done.code == 1
    assert "no space" in done.err
    assert list(temporary.iterdir()) == []


def test_an_assistant_lives_on_over_restarts_and_a_kill(spawn, temporary, home):
    done = spawn("demo", "--which", "assistant", VAULTSESSION_PATH="/nowhere", VAULTSESSION_KEY="no key at all")
    assert (done.code, done.err) == (0, "")
    assert "Your name is Alice: you told me." in done.out
    assert "You said: Remember to water the plants." in done.out
    assert "alice/assistant: 6 messages" in done.out
    assert "The agent saw the newest 4 of 7 messages." in done.out
    lives = re.findall(r"Process (\d+)", done.out)
    assert len(set(lives)) == len(lives) == 4
    assert list(temporary.iterdir()) == list(home.iterdir()) == []


def test_the_windows_of_a_desktop_agent_take_turns(spawn, temporary, home):
    done = spawn("demo", "--which", "desktop", VAULTSESSION_KEY="no key at all")
    assert (done.code, done.err) == (0, "")
    assert "not one that keeps secrets safely" in done.out
    assert "9 of 9 answers follow their question" in done.out
    assert "saw 18 of 18" in done.out
    assert "LeaseTimeout: " in done.out
    assert "Your name is Alice: you told me." in done.out
    assert list(temporary.iterdir()) == list(home.iterdir()) == []


KEYRING_IN_A_FILE = """
import json, os

class Keyring:
    priority = 1

    def _entries(self):
        return json.load(open(os.environ["ENTRIES"])) if os.path.exists(os.environ["ENTRIES"]) else {}

    def get_password(self, service, username):
        return self._entries().get(service + username)

    def set_password(self, service, username, password):
        json.dump({**self._entries(), service + username: password}, open(os.environ["ENTRIES"], "w"))
        open(os.environ["ENTRIES"] + ".made", "a").write("x")

    def delete_password(self, service, username):
        entries = self._entries()
        del entries[service + username]
        json.dump(entries, open(os.environ["ENTRIES"], "w"))

Keyring.__module__ = "keyring.backends.SecretService"
import keyring
keyring.get_keyring = Keyring
"""


@pytest.mark.parametrize("keep", [False, True])
def test_where_there_is_a_keyring_no_file_holds_the_key_and_it_is_forgotten(keep, spawn, temporary, tmp_path):
    pytest.importorskip("keyring")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(KEYRING_IN_A_FILE)
    entries = tmp_path / "entries"
    environ = {"PYTHONPATH": f"{tmp_path / 'site'}:{os.environ['PYTHONPATH']}", "ENTRIES": str(entries)}
    done = spawn("demo", "--which", "desktop", *(["--keep"] if keep else []), **environ)
    assert (done.code, done.err) == (0, "")
    assert "Its key is in the OS keyring, entry vaultsession/" in done.out
    assert "9 of 9 answers" in done.out
    assert (tmp_path / "entries.made").read_text() == "x"
    assert len(json.loads(entries.read_text())) == keep
    if keep:
        (vault,) = re.findall(r"vaultsession ls -V (\S+)$", done.out, flags=re.MULTILINE)
        assert not list(Path(vault).parent.glob("key"))
        assert "desktop/notes" in spawn("ls", "-V", vault, **environ).out
    else:
        assert list(temporary.iterdir()) == []
