"""``vaultsession repair``: what it writes, asks and ends with. What it mends is tested with the mending itself."""

from __future__ import annotations

import pytest
from cli_lab import plain
from vaults import CHEAP, container_in, tear, vault_at

from vaultsession import Passphrase
from vaultsession.vault.key_places import KeyFile


def told(done):
    return {each["name"]: each["outcome"] for each in done.json["findings"]}


def harm(path, place):
    data = bytearray(container_in(path))
    data[place] ^= 1
    path.write_bytes(data)


@pytest.fixture
def well(place):
    directory = vault_at(str(place.path))
    with place.open() as store:
        for name in ("a", "b"):
            store.create(name, messages=[{"n": 0}])
            store.append(name, {"n": 1})
    directory.add_slot(directory.unlock([("key", KeyFile(str(place.key_file)).secret())]), Passphrase("words", CHEAP))
    return place


@pytest.mark.slow
def test_a_vault_that_is_well_is_0_and_nobody_is_asked(well, run, terminal):
    done = run("repair", "--json")
    assert (done.code, done.json["findings"], done.json["remaining"]) == (0, [], [])
    assert "well" in terminal("repair").out


def test_what_can_be_mended_is_mended_with_yes_and_doctor_is_content(well, run):
    tear(well.file("a"))
    well.file("b").chmod(0o644)
    done = run("repair", "--yes", "--json")
    assert (done.code, told(done)) == (0, {"torn": "mended", "mode": "mended"})
    assert [each["name"] for each in done.json["remaining"]] == ["quarantine"]
    assert run("doctor").code == 0
    assert run("repair", "--yes").code == 0


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_done_and_does_nothing(well, run):
    tear(well.file("a"))
    before = well.file("a").read_bytes()
    done = run("repair", "--dry-run", "--json")
    assert (done.code, told(done), done.json["dry_run"]) == (3, {"torn": "planned"}, True)
    assert well.file("a").read_bytes() == before


def test_without_a_terminal_nothing_is_done_unless_yes_is_said(well, run):
    tear(well.file("a"))
    before = well.file("a").read_bytes()
    done = run("repair")
    assert done.code == 2
    assert "--yes" in done.err
    assert well.file("a").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_people_are_shown_what_would_be_done_and_asked(answer, code, well, terminal):
    tear(well.file("a"))
    before = well.file("a").read_bytes()
    done = terminal("repair", typed=(("Do this?", f"{answer}\n"),))
    text = plain(done.out)
    assert done.code == code
    assert "planned  torn" in text
    assert ("mended  torn" in text) is (answer == "y")
    assert (well.file("a").read_bytes() == before) is (answer == "n")


@pytest.mark.slow
def test_a_damaged_session_is_left_and_said_so(well, run):
    harm(well.file("a"), 100)
    done = run("repair", "--yes")
    assert done.code == 6
    (row,) = done.rows
    assert (row["outcome"], row["name"], row["severity"]) == ("left", "damaged", "error")
    assert "--quarantine-damaged" in row["said"]


def test_a_damaged_session_is_moved_where_that_is_asked_for(well, run):
    harm(well.file("a"), 100)
    done = run("repair", "--quarantine-damaged", "--yes", "--json")
    assert (done.code, told(done)) == (0, {"damaged": "mended"})
    assert "moved to quarantine/" in done.json["findings"][0]["said"]
    assert [row["id"] for row in run("ls").rows] == ["b"]


@pytest.mark.parametrize("name", ["a", "key"])
def test_a_damaged_session_is_recovered_where_that_is_asked_for(name, well, run):
    harm(well.file("a"), -60)
    done = run("repair", "--recover", "a" if name == "a" else well.file("a").stem, "--yes", "--json")
    assert (done.code, told(done)) == (0, {"damaged": "mended"})
    assert "with 1 message" in done.json["findings"][0]["said"]
    assert run("show", "a").code == 0


def test_a_session_to_recover_that_is_not_there_is_4_and_nothing_is_done(well, run):
    tear(well.file("a"))
    before = well.file("a").read_bytes()
    assert run("repair", "--recover", "c", "--yes").code == 4
    assert well.file("a").read_bytes() == before


@pytest.mark.slow
def test_a_session_to_recover_that_is_well_is_left_as_it_is(well, run):
    before = well.file("a").read_bytes()
    assert run("repair", "--recover", "a", "--yes").code == 0
    assert well.file("a").read_bytes() == before


def test_without_a_key_what_needs_none_is_mended(well, run, monkeypatch):
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    tear(well.file("a"))
    well.file("b").chmod(0o644)
    done = run("repair", "--yes", "--json")
    assert done.code == 3
    assert told(done) == {"mode": "mended", "torn": "left", "no-key": "left"}


@pytest.mark.slow
def test_a_passphrase_is_asked_for_once(well, terminal, monkeypatch):
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    tear(well.file("a"))
    done = terminal("repair", "--yes", typed=(("assphrase", "words\n"),))
    assert done.code == 0
    assert plain(done.out).lower().count("passphrase") == 1
    assert "mended  torn" in plain(done.out)


def test_where_there_is_no_vault_it_is_10(run, tmp_path):
    assert run("repair", "-V", tmp_path, "--yes").code == 10
