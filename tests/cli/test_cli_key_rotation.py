"""``vaultsession key masters, rotate, prune, passphrase, destroy``, and ``rm --shred``."""

from __future__ import annotations

import shutil

import pytest
from dictionary_lab import SAID, learned, numbers

from vaultsession import RawKey, open_store
from vaultsession.vault.key_places import KeyFile

pytestmark = pytest.mark.usefixtures("no_lag")


@pytest.fixture
def furnished(place):
    with place.open() as store:
        for n in range(3):
            store.create(f"s{n}", state={"n": n}, messages=[{"n": n}])
    return place


@pytest.fixture
def tenants(tmp_path, monkeypatch, run):
    """A vault of tenants, which the environment names."""
    monkeypatch.setenv("VAULTSESSION_PATH", str(tmp_path / "shared"))
    monkeypatch.setenv("VAULTSESSION_KEY_FILE", str(tmp_path / "shared-key"))
    made = run("init", "--tenant-keys", "--key-file", tmp_path / "shared-key", "--json")
    assert made.code == 0, made.err
    assert made.json["tenant_keys"] is True
    with open_store(tmp_path / "shared", key=KeyFile(str(tmp_path / "shared-key"))) as store:
        store.create("a", tenant_id="acme")
        store.create("b", tenant_id="other")
    return tmp_path / "shared"


def words_in(path, text):
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def test_a_rotation_puts_a_new_key_in_use_and_keeps_the_old(furnished, run):
    (old,) = run("key", "masters").rows
    assert (old["state"], old["sessions"]) == ("seals", "3")
    done = run("key", "rotate", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert (told["replaced"], told["sessions"], told["left"], told["pruned"]) == (3, 3, [], [])
    assert told["retired"] == [old["key"]]
    assert run("key", "masters").rows == [
        {"key": told["key"], "state": "seals", "sessions": "3"},
        {"key": old["key"], "state": "retired", "sessions": "0"},
    ]
    with furnished.open() as store:
        assert [store.load(f"s{n}").state["n"] for n in range(3)] == [0, 1, 2]


@pytest.mark.slow
def test_old_keys_are_deleted_with_consent_only(furnished, run):
    run("key", "rotate")
    refused = run("key", "prune")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert len(run("key", "masters").rows) == 2
    done = run("key", "prune", "--yes")
    assert done.code == 0
    assert "backups" in done.err
    assert len(run("key", "masters").rows) == 1
    assert run("key", "prune", "--yes", "--json").json == {"pruned": []}


@pytest.mark.slow
def test_a_rotation_may_delete_the_old_keys_at_once(furnished, run):
    assert run("key", "rotate", "--prune").code == 2
    assert [row["state"] for row in run("key", "masters").rows] == ["seals"], "nothing was begun without consent"
    assert run("key", "rotate", "--prune", "--yes").code == 0
    assert [row["state"] for row in run("key", "masters").rows] == ["seals"]
    assert run("verify").code == 0


def test_what_cannot_be_read_is_left_and_told(furnished, run):
    path = furnished.file("s1")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    done = run("key", "rotate", "--prune", "--yes", "--json")
    assert done.code == 3
    assert [name.partition("~")[0] for name in done.json["left"]] == ["s1"]
    assert done.json["pruned"] == []
    assert "doctor" in done.err
    assert run("key", "prune", "--yes").code == 5
    assert path.read_bytes() == data


@pytest.mark.slow
def test_on_a_terminal_it_is_told_in_words(furnished, terminal):
    done = terminal("key", "rotate", columns=100)
    assert done.code == 0
    assert "a new key is in use" in done.out
    assert "3 sessions sealed under it" in done.out
    assert "key prune" in done.out
    assert "retired" in terminal("key", "masters").out
    asked = terminal("key", "prune", typed=(("for good?", "n\n"),))
    assert asked.code == 1
    assert "nothing was done" in asked.out
    assert "deleted" in terminal("key", "prune", typed=(("for good?", "y\n"),)).out


@pytest.mark.parametrize("verb", [("masters",), ("rotate",), ("prune", "--yes"), ("destroy", "--tenant", "x", "--yes")])
def test_with_a_wrong_key_nothing_happens(verb, furnished, run, tmp_path):
    before = (furnished.path / "keyring").read_bytes()
    wrong = words_in(tmp_path / "wrong", RawKey.generate().text())
    assert run("key", *verb, "--key-file", wrong).code == 12
    assert run("key", *verb, "--vault", tmp_path / "nothing").code == 10
    assert (furnished.path / "keyring").read_bytes() == before


# -- a passphrase ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_passphrase_is_changed_at_once(furnished, run, tmp_path, monkeypatch):
    old, new = words_in(tmp_path / "old", "old words\n"), words_in(tmp_path / "new", "new words\n")
    run("key", "add", "--new-passphrase-file", old, "--label", "mine")
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    sessions = {path: path.read_bytes() for path in furnished.path.glob("sessions/*")}
    done = run("key", "passphrase", "--passphrase-file", old, "--new-passphrase-file", new, "--json")
    assert done.code == 0, done.err
    assert [slot["label"] for slot in done.json["slots"]] == ["mine"]
    assert run("ls", "--passphrase-file", old).code == 12
    assert len(run("ls", "--passphrase-file", new).rows) == 3
    assert len(run("key", "list").rows) == 2
    assert {path: path.read_bytes() for path in furnished.path.glob("sessions/*")} == sessions


@pytest.mark.slow
def test_a_passphrase_is_changed_on_a_terminal(furnished, terminal, run, tmp_path, monkeypatch):
    run("key", "add", "--new-passphrase-file", words_in(tmp_path / "old", "old words\n"))
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    typed = (
        ("Passphrase of the vault", "old words\n"),
        ("New passphrase", "newer words\n"),
        ("The same again", "newer words\n"),
    )
    done = terminal("key", "passphrase", typed=typed)
    assert done.code == 0, done.out
    assert "was changed" in done.out
    assert run("ls", "--passphrase-file", words_in(tmp_path / "new", "newer words\n")).code == 0


def test_a_vault_that_a_key_opened_has_no_passphrase_to_change(furnished, run, tmp_path):
    done = run("key", "passphrase", "--new-passphrase-file", words_in(tmp_path / "new", "new\n"))
    assert done.code == 2
    assert "no passphrase opens this vault: add one" in done.err
    assert len(run("key", "list").rows) == 1


# -- erasing -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_tenant_is_destroyed_and_a_receipt_given(tenants, run):
    assert run("key", "destroy", "--tenant", "acme").code == 2
    assert len(run("ls").rows) == 2
    done = run("key", "destroy", "--tenant", "acme", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json["removed"] == 1
    assert len(done.json["not_covered"]) >= 4
    assert [row["id"] for row in run("ls").rows] == ["b"]
    assert [row["state"] for row in run("key", "masters").rows] == ["seals", "tenant"]
    assert run("show", "a").code == 4


def test_a_destroyed_session_that_comes_back_is_told_as_such_and_can_be_removed(tenants, run):
    (path,) = tenants.glob("sessions/a~*.vss")
    backup = path.read_bytes()
    run("key", "destroy", "--tenant", "acme", "--yes")
    path.touch(mode=0o600)
    path.write_bytes(backup)
    (tenants / "index.sqlite").unlink()
    shown = run("show", "a")
    assert shown.code == 12
    assert "destroyed" in shown.err
    checked = run("verify", "--json")
    assert checked.json["erased"] == 1
    assert checked.json["damaged"] == 0
    assert run("rm", "a", "--yes").code == 0
    assert not path.exists()


@pytest.mark.slow
def test_on_a_terminal_it_says_what_is_beyond_its_reach(tenants, terminal):
    typed = (("for good?", "y\n"),)
    done = terminal("key", "destroy", "--tenant", "acme", typed=typed, columns=100)
    assert done.code == 0
    assert "Beyond its reach" in done.out


def test_a_vault_without_keys_of_tenants_says_so(furnished, run):
    done = run("key", "destroy", "--tenant", "acme", "--yes")
    assert done.code == 2
    assert "tenant_keys" in done.err


def test_a_session_is_shredded(furnished, run):
    assert run("rm", "s1", "--shred", "--yes").code == 0
    assert [row["id"] for row in run("ls").rows] == ["s2", "s0"]
    assert len(list(furnished.path.glob("sessions/*"))) == 2


@pytest.mark.slow
def test_a_key_changes_the_only_passphrase(furnished, run, tmp_path):
    old, new = words_in(tmp_path / "old", "old words\n"), words_in(tmp_path / "new", "new words\n")
    run("key", "add", "--new-passphrase-file", old, "--label", "mine")
    done = run("key", "passphrase", "--new-passphrase-file", new, "--json")
    assert done.code == 0, done.err
    assert [slot["label"] for slot in done.json["slots"]] == ["mine"]
    assert run("ls", "--passphrase-file", old).code == 12
    assert run("ls", "--passphrase-file", new).code == run("ls").code == 0
    assert len(run("key", "list").rows) == 2


@pytest.mark.slow
def test_which_of_several_passphrases_is_asked_for(furnished, run, terminal, tmp_path):
    for name in ("first", "second"):
        run("key", "add", "--new-passphrase-file", words_in(tmp_path / name, f"{name} words\n"))
    typed = (("to change", "second words\n"), ("New passphrase", "third words\n"), ("again", "third words\n"))
    done = terminal("key", "passphrase", typed=typed)
    assert done.code == 0, done.out
    assert run("ls", "--passphrase-file", tmp_path / "first").code == 0
    assert run("ls", "--passphrase-file", tmp_path / "second").code == 12
    assert run("ls", "--passphrase-file", words_in(tmp_path / "third", "third words\n")).code == 0
    assert terminal("key", "passphrase", typed=(("to change", "no such words\n"),)).code == 12


def test_a_rotation_drops_a_dictionary(furnished, run):
    with furnished.open() as store:
        number = learned(store)
        store.create("refers", messages=SAID)
        assert number in numbers(store, "refers")
    assert run("key", "rotate", "--drop-dictionary", number + 1).code == 2
    assert run("key", "rotate", "--drop-dictionary", number).code == 0
    assert not list((furnished.path / "dictionaries").iterdir())
    with furnished.open() as store:
        assert store.load("refers").messages == SAID


@pytest.mark.slow
def test_a_leaked_passphrase_is_revoked_by_two_commands(furnished, run, tmp_path, monkeypatch):
    """What `--help` says of it, as run: with the old one and an old copy nothing opens that came later."""
    words, new = words_in(tmp_path / "words", "the leaked one"), words_in(tmp_path / "new", "nobody knows")
    assert run("key", "add", "--new-passphrase-file", words).code == 0
    copy = (furnished.path / "keyring").read_bytes()
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    assert run("key", "passphrase", "--passphrase-file", words, "--new-passphrase-file", new).code == 0
    assert run("key", "rotate", "--prune", "--yes", "--passphrase-file", new).code == 0
    for name in ("keyring", "keyring.bak"):
        (furnished.path / name).write_bytes(copy)
    (furnished.path / "index.sqlite").unlink()
    done = run("show", "s0", "--passphrase-file", words)
    assert done.code != 0
    assert '"n"' not in done.out


def test_keys_of_tenants_are_brought_back_beside_those_that_were_made_since(tenants, run, tmp_path):
    """A copy of ``tenants/`` laid over the newer one took the keys that were made since, and their sessions, away."""
    key = KeyFile(str(tmp_path / "shared-key"))
    copy = tmp_path / "copy"
    shutil.copytree(tenants / "tenants", copy / "tenants")
    with open_store(tenants, key=key) as store:
        store.rotate_key()
        store.create("later", tenant_id="acme")
    for path in (tenants / "tenants").iterdir():
        path.unlink()
    with open_store(tenants, key=key) as store:
        store.create("new", tenant_id="third")
        assert run("key", "restore", copy, "--json").json["tenants"]
        assert store.load("new").id == "new"
    assert run("key", "restore", tmp_path / "nothing").code == 2
    assert len(list((tenants / "tenants").iterdir())) == 3


def test_a_destroyed_tenant_does_not_come_back_from_a_copy(tenants, run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tenants / "tenants", copy / "tenants")
    files = {path: path.read_bytes() for path in (tenants / "sessions").glob("a~*")}
    assert run("key", "destroy", "--tenant", "acme", "--yes").code == 0
    assert run("key", "restore", copy).code == 0
    for path, data in files.items():
        path.write_bytes(data)
    (tenants / "index.sqlite").unlink()
    assert run("show", "a").code != 0
    assert run("show", "b").code == 0
