"""``vaultsession config``."""

from __future__ import annotations

import pytest


@pytest.fixture
def config(home, monkeypatch):
    def writer(text):
        path = home / "config" / "vaultsession" / "config.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return path

    return writer


def test_each_setting_says_where_it_is_from(place, spawn, config, monkeypatch):
    path = config('ttl = "30d"\nlevel = 2\n')
    monkeypatch.setenv("VAULTSESSION_LEVEL", "1")
    rows = {row["name"]: (row["value"], row["origin"]) for row in spawn("config", "show").rows}
    assert rows["ttl"] == ("30d", str(path))
    assert rows["level"] == ("1", "VAULTSESSION_LEVEL")
    assert rows["padding"] == ("false", "default")
    assert rows["path"] == (str(place.path), "VAULTSESSION_PATH")
    assert rows["key_file"] == (str(place.key_file), "VAULTSESSION_KEY_FILE")


def test_json_and_json_lines_and_a_table(run, terminal):
    document = run("config", "show", "--json").json
    assert {"name": "durability", "value": "sync", "origin": "default"} in document
    assert run("config", "show", "--jsonl").out.count("\n") == len(document)
    assert "durability" in terminal("config", "show").out


def test_the_key_itself_is_not_shown(run, monkeypatch):
    monkeypatch.setenv("VAULTSESSION_KEY", "c2VjcmV0")
    assert "c2VjcmV0" not in run("config", "show").out


def test_path_is_that_of_the_file(run, config, home):
    missing = run("config", "path")
    assert missing.code == 4
    assert missing.out == str(home / "config" / "vaultsession" / "config.toml") + "\n"
    path = config("level = 2")
    found = run("config", "path")
    assert (found.code, found.out) == (0, f"{path}\n")


@pytest.mark.parametrize("command", [("ls",), ("config", "show"), ("init", "other"), ("stats",)])
def test_a_file_with_an_unknown_field_stops_every_command_with_2(place, run, config, command, tmp_path):
    config("levle = 2")
    done = run(*command)
    assert done.code == 2
    assert "levle" in done.err
    assert "did you mean level" in done.err
    assert not (tmp_path / "other").exists()


def test_commands_take_the_vault_and_the_key_from_the_file(place, run, config, monkeypatch):
    config(f'path = "{place.path}"\nkey_file = "{place.key_file}"\n')
    monkeypatch.delenv("VAULTSESSION_PATH")
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    assert run("ls").code == 0
    assert run("verify").code == 0
