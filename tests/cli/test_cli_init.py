"""``vaultsession init``."""

from __future__ import annotations

import stat

import pytest

from vaultsession import Passphrase, open_store


def test_a_new_vault_says_where_it_is_and_where_its_key_is(run, tmp_path, home):
    done = run("init", "--vault", tmp_path / "v", "--json")
    assert done.code == 0
    assert done.json["vault"] == str(tmp_path / "v")
    assert done.json["names"] == "readable"
    (key_file,) = home.glob("config/vaultsession/keys/*.key")
    assert key_file.stem == done.json["vault_id"]
    assert key_file.name in done.json["key"]
    assert "loses the data" in done.err
    assert run("ls", "--vault", tmp_path / "v").code == 0


def test_the_path_may_also_be_an_argument_or_the_default(run, tmp_path, home):
    assert run("init", tmp_path / "v").code == 0
    assert (tmp_path / "v" / "vault.json").exists()
    assert run("init").code == 0
    assert (home / "data" / "vaultsession" / "vault.json").exists()
    assert run("init", tmp_path / "w", "--vault", tmp_path / "w").code == 2


@pytest.mark.slow
def test_where_there_is_a_vault_nothing_is_changed_and_it_is_5(run, spawn, place):
    before = {path: path.read_bytes() for path in place.path.iterdir() if path.is_file()}
    done = spawn("init")
    assert (done.code, done.out) == (5, "")
    assert "already" in done.err
    assert {path: path.read_bytes() for path in place.path.iterdir() if path.is_file()} == before


def test_a_directory_with_something_else_in_it_is_refused(run, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("mine")
    done = run("init", tmp_path / "d")
    assert done.code == 10
    assert (tmp_path / "d" / "thesis.txt").read_text() == "mine"


def test_a_key_file_is_made_where_it_is_missing_and_used_where_it_is_not(run, tmp_path):
    key_file = tmp_path / "k"
    assert run("init", tmp_path / "v", "--key-file", key_file).code == 0
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    made = key_file.read_text()
    assert run("init", tmp_path / "w", "--key-file", key_file).code == 0
    assert key_file.read_text() == made
    for vault in ("v", "w"):
        assert run("ls", "-V", tmp_path / vault, "--key-file", key_file).code == 0


def test_a_key_within_the_vault_is_refused(run, tmp_path):
    done = run("init", tmp_path / "v", "--key-file", tmp_path / "v" / "key")
    assert done.code == 2
    assert not (tmp_path / "v" / "key").exists()
    assert not (tmp_path / "v" / "vault.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_passphrase_from_a_file_opens_it(by, run, tmp_path, monkeypatch):
    words = tmp_path / "words"
    words.touch(mode=0o600)
    words.write_text("correct horse battery staple\n")
    if by == "environment":
        monkeypatch.setenv("VAULTSESSION_PASSPHRASE_FILE", str(words))
        done = run("init", tmp_path / "v", "--passphrase")
    else:
        done = run("init", tmp_path / "v", "--passphrase", "--passphrase-file", words)
    assert done.code == 0, done.err
    open_store(tmp_path / "v", key=Passphrase("correct horse battery staple"), create=False).close()


@pytest.mark.slow
def test_a_passphrase_is_typed_twice_on_a_terminal(terminal, tmp_path):
    typed = (("New passphrase", "one two\n"), ("again", "one two\n"))
    done = terminal("init", tmp_path / "v", "--passphrase", typed=typed)
    assert done.code == 0, done.out
    assert "one two" not in done.out
    open_store(tmp_path / "v", key=Passphrase("one two"), create=False).close()


def test_two_passphrases_that_differ_make_nothing(terminal, tmp_path):
    done = terminal("init", tmp_path / "v", "--passphrase", typed=(("New passphrase", "one\n"), ("again", "two\n")))
    assert done.code == 2
    assert not (tmp_path / "v").exists()


def test_without_a_terminal_a_passphrase_cannot_be_asked_for(run, tmp_path):
    done = run("init", tmp_path / "v", "--passphrase")
    assert done.code == 12
    assert not (tmp_path / "v").exists()


def test_two_ways_in_at_once_are_refused(run, tmp_path):
    assert run("init", tmp_path / "v", "--passphrase", "--key-file", tmp_path / "k").code == 2


def test_private_names_tell_nothing_of_the_ids(run, tmp_path):
    assert run("init", tmp_path / "v", "--private-names", "--json").json["names"] == "private"
    assert run("append", "alice", "--content", "hi", "--create", "-V", tmp_path / "v").code == 0
    (file,) = (tmp_path / "v" / "sessions").iterdir()
    assert "alice" not in file.name


def test_a_key_in_the_same_home_as_the_vault_is_said_to_be_no_protection_of_it(tmp_path, run, monkeypatch):
    monkeypatch.delenv("VAULTSESSION_KEY_FILE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    done = run("init", tmp_path / "v")
    assert done.code == 0, done.err
    assert "no protection from who gets that home" in " ".join(done.err.split())
    found = run("doctor", "-V", tmp_path / "v", "--json").json["findings"]
    assert [each["name"] for each in found if "home" in each["sentence"]] == ["key-in-same-home"]
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    other = run("init", tmp_path / "w", "--key-file", tmp_path / "key")
    assert "no protection" not in other.err
