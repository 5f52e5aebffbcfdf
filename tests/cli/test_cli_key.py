"""``vaultsession key``."""

from __future__ import annotations

import stat

import pytest
from vaults import patched

from vaultsession import Passphrase, open_store


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "words"
    path.touch(mode=0o600)
    path.write_text("correct horse\n")
    return path


def test_listing_needs_no_key(place, spawn, monkeypatch):
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    done = spawn("key", "list")
    assert done.code == 0
    (row,) = done.rows
    assert row["kind"] == "raw key"
    assert len(row["slot"]) == 16


def test_listing_says_whether_a_key_proved_it(place, run, monkeypatch):
    done = run("key", "list", "--json")
    assert done.json["proved"]
    assert "not proved" not in done.err
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    done = run("key", "list", "--json")
    assert not done.json["proved"]
    assert "not proved, since no key was at hand" in done.err


def test_a_copy_with_swapped_labels_moves_nobody_to_remove_another_slot(place, run, tmp_path):
    """Somebody without a key raised the counter of one copy, swapped the ids of its slots and put its checksum right."""
    for label in ("ours", "theirs"):
        assert run("key", "add", "--new-key-file", tmp_path / label, "--label", label).code == 0
    before = {row["label"]: row["slot"] for row in run("key", "list").rows}
    file = place.path / "keyring"
    data = file.read_bytes()
    one, other = data[396:404], data[760:768]
    forged = patched(patched(patched(data, 396, other), 760, one), 8, b"\x63")
    file.write_bytes(forged)
    assert {row["label"]: row["slot"] for row in run("key", "list").rows} == before
    file.write_bytes(forged)
    assert run("key", "remove", before["theirs"], "--yes").code == 0
    assert run("ls", "--key-file", tmp_path / "ours").code == 0
    assert run("ls", "--key-file", tmp_path / "theirs").code == 12


@pytest.mark.slow
def test_a_passphrase_is_a_second_way_in(place, run, words, monkeypatch):
    done = run("key", "add", "--new-passphrase-file", words, "--label", "for the safe", "--json")
    assert done.code == 0, done.err
    (slot,) = done.json["slots"]
    assert (slot["kind"], slot["label"]) == ("passphrase (Argon2id)", "for the safe")
    assert len(run("key", "list").rows) == 2
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    assert run("ls", "--passphrase-file", words).code == 0


def test_a_new_key_file_is_made(place, run, tmp_path):
    done = run("key", "add", "--new-key-file", tmp_path / "second")
    assert done.code == 0
    assert stat.S_IMODE((tmp_path / "second").stat().st_mode) == 0o600
    assert "loses the data" in done.err
    assert run("ls", "--key-file", tmp_path / "second").code == 0
    assert run("key", "add", "--new-key-file", place.path / "third").code == 2


@pytest.mark.slow
def test_a_new_passphrase_is_typed_twice(place, terminal):
    done = terminal("key", "add", "--new-passphrase", typed=(("New passphrase", "one two\n"), ("again", "one two\n")))
    assert done.code == 0
    open_store(place.path, key=Passphrase("one two"), create=False).close()


@pytest.mark.slow
def test_on_a_terminal_the_passphrase_of_the_vault_is_asked_for(place, run, words, terminal, monkeypatch):
    run("key", "add", "--new-passphrase-file", words)
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    done = terminal("ls", "--json", typed=(("Passphrase of the vault", "correct horse\n"),))
    assert done.code == 0
    assert "correct horse" not in done.out
    assert terminal("ls", typed=(("Passphrase of the vault", "wrong\n"),)).code == 12


@pytest.mark.slow
def test_a_slot_is_removed_by_the_front_of_its_id(place, run, words, monkeypatch):
    run("key", "add", "--new-passphrase-file", words)
    first, second = (row["slot"] for row in run("key", "list").rows)
    assert run("key", "remove", second).code == 2
    assert run("key", "remove", second, "--dry-run").code == 0
    assert len(run("key", "list").rows) == 2
    assert run("key", "remove", second[:10], "--yes").code == 0
    assert [row["slot"] for row in run("key", "list").rows] == [first]
    assert run("ls", "--passphrase-file", words).code == 12


@pytest.mark.slow
def test_the_slot_that_opened_it_can_go_and_that_is_told(place, run, words):
    run("key", "add", "--new-passphrase-file", words)
    first = run("key", "list").rows[0]["slot"]
    done = run("key", "remove", first, "--yes")
    assert done.code == 0
    assert "no longer opens" in done.err
    assert run("ls").code == 12
    assert run("ls", "--passphrase-file", words).code == 0


@pytest.mark.parametrize("extra", ["--yes", "--dry-run"])
def test_the_last_slot_stays(extra, place, run):
    (row,) = run("key", "list").rows
    done = run("key", "remove", row["slot"], extra)
    assert done.code == 2
    assert "last" in done.err
    assert run("ls").code == 0


@pytest.mark.parametrize("named", ["ffffffffffffffff", "zz", ""])
def test_a_slot_that_is_not_there_is_2(named, place, run):
    assert run("key", "remove", named, "--yes").code == 2


def test_more_than_one_that_could_be_meant_is_refused(place, run, words):
    for _ in range(17):  # two of them begin with the same digit
        if len({row["slot"][0] for row in run("key", "list").rows}) < len(run("key", "list").rows):
            break
        run("key", "add", "--new-key-file", place.key_file.with_name(f"key{len(run('key', 'list').rows)}"))
    digits = [row["slot"][0] for row in run("key", "list").rows]
    twice = next(digit for digit in digits if digits.count(digit) > 1)
    done = run("key", "remove", twice, "--yes")
    assert done.code == 2
    assert "more than one" in done.err


@pytest.mark.parametrize("options", [(), ("--new-passphrase", "--new-key-file", "x")])
def test_one_new_secret_at_a_time(options, place, run):
    assert run("key", "add", *options).code == 2


def test_a_passphrase_file_that_is_missing_changes_nothing(place, run, tmp_path):
    assert run("key", "add", "--new-passphrase-file", tmp_path / "nothing").code == 12
    assert len(run("key", "list").rows) == 1


@pytest.mark.slow
def test_slots_that_are_an_old_copy_are_not_changed(place, run, words):
    run("key", "list")
    old = {name: (place.path / name).read_bytes() for name in ("keyring", "keyring.bak")}
    run("key", "add", "--new-passphrase-file", words)
    for name, data in old.items():
        (place.path / name).write_bytes(data)
    done = run("key", "add", "--new-passphrase-file", words)
    assert done.code == 6
    assert {name: (place.path / name).read_bytes() for name in old} == old
