"""``vaultsession demo``: the first thing that a newcomer runs."""

from __future__ import annotations

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
    assert "WrongKey: " in done.out
    assert "Changed back, it reads again: 3 messages." in done.out
    assert re.search(r"killed .*\n.*Opened again and read in \d+ ms: 3 messages", done.out)
    assert re.search(r"^ +alice/first-chat  .*Marrakesh", done.out, flags=re.MULTILINE)


def test_it_can_be_kept_and_looked_at(spawn, run, temporary):
    done = spawn("demo", "--keep")
    assert done.code == 0
    (kept,) = temporary.iterdir()
    (vault, key_file) = re.search(r"vaultsession ls -V (\S+) --key-file (\S+)", done.out).groups()
    assert Path(vault).parent == kept
    assert {row["id"] for row in run("ls", "-V", vault, "--key-file", key_file).rows} >= {"alice/first-chat"}
    assert run("verify", "-V", vault, "--key-file", key_file).code == 0


@pytest.mark.parametrize("columns", [80, 40])
def test_it_fits_the_terminal_and_has_colours(columns, terminal, temporary):
    done = terminal("demo", columns=columns)
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
