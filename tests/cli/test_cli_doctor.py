"""``vaultsession doctor``: what it writes and how it ends. What it finds is tested with the findings themselves."""

from __future__ import annotations

import json

import pytest
from cli_lab import plain
from vaults import CHEAP, vault_at

from vaultsession import Passphrase
from vaultsession.vault.key_places import KeyFile


def names(done):
    return {finding["name"] for finding in done.json["findings"]}


@pytest.fixture
def well(place):
    directory = vault_at(str(place.path))
    with place.open() as store:
        store.create("a")
    key = KeyFile(str(place.key_file)).secret()
    directory.add_slot(directory.unlock([("key", key)]), Passphrase("words", CHEAP))
    return place


@pytest.mark.slow
def test_a_vault_that_is_well_is_0(well, spawn, terminal):
    done = spawn("doctor", "--json")
    assert (done.code, done.json["findings"]) == (0, [])
    assert "well" in terminal("doctor").out


def test_information_alone_is_0(place, run):
    done = run("doctor", "--json")
    assert (done.code, names(done)) == (0, {"one-slot"})


@pytest.mark.slow
def test_warnings_are_3_and_errors_6(well, run):
    (well.path / "sessions" / "notes.txt").touch(mode=0o600)
    done = run("doctor", "--json")
    assert (done.code, names(done)) == (3, {"foreign-file"})
    well.file("a").write_bytes(b"not a container")
    done = run("doctor")
    assert done.code == 6
    assert [row["severity"] for row in done.rows] == ["warning", "error"]


@pytest.mark.slow
def test_json_lines_are_one_finding_each(well, run):
    well.path.chmod(0o750)
    (line,) = run("doctor", "--jsonl").out.splitlines()
    finding = json.loads(line)
    assert (finding["name"], finding["severity"]) == ("mode", "warning")
    assert finding["fix"] == f"chmod 700 {well.path}"


@pytest.mark.slow
def test_without_a_key_the_structure_is_looked_at(well, run, monkeypatch):
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    well.file("a").write_bytes(b"not a container")
    done = run("doctor", "--json")
    assert done.code == 6
    assert names(done) == {"no-key", "damaged"}


@pytest.mark.slow
def test_a_key_file_that_others_can_read_is_found(well, run):
    well.key_file.chmod(0o644)
    done = run("doctor", "--json")
    assert done.code == 6
    assert names(done) == {"key-file-mode", "no-key"}


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 40])
def test_people_read_what_to_do(columns, well, terminal):
    well.path.chmod(0o750)
    (well.path / "what is this\x1b[2J").touch(mode=0o600)
    done = terminal("doctor", columns=columns)
    text = plain(done.out)
    assert done.code == 3
    assert "fix: chmod 700" in text
    assert "\x1b[2J" not in done.out
    assert done.out.isascii()


def test_where_there_is_no_vault_it_is_10(run, tmp_path):
    assert run("doctor", "-V", tmp_path).code == 10
