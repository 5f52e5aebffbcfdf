"""The vault directory: creation and opening."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time

import orjson
import pytest
from processes import FRESH
from vaults import KEY, OTHER, files, unlock, vault_at

from vaultsession.errors import BackendUnavailable, Conflict, KeyUnavailable, VaultNotFound, WrongKey
from vaultsession.util.disk import Disk
from vaultsession.vault.secret import Passphrase, RawKey

posix = pytest.mark.skipif(os.name == "nt", reason="links, modes and owners of POSIX")


# Creation


def test_a_created_vault_opens(directory, path):
    made = directory.create(KEY, readable_names=False, label="first", now=5)
    opened = unlock(directory)
    assert opened.keyring == made.keyring
    assert (opened.keyring.readable_names, opened.keyring.created) == (False, 5)
    assert (opened.source, opened.counter, opened.findings) == ("key 0", 1, ())
    assert opened.slot == made.slot == opened.slots[0] == directory.slots()[0]
    assert opened.slot.label == "first"


@pytest.mark.parametrize("depth", ["vault", "deep/er/vault"])
def test_the_kind_of_file_system_is_looked_up_once(tmp_path, depth):
    class Asking(Disk):
        asked = 0

        def filesystem(self, path):
            Asking.asked += 1
            return "ext4"

    directory = vault_at(str(tmp_path / depth), Asking())
    directory.create(KEY)
    unlock(directory)
    unlock(directory)
    assert Asking.asked == 1


@posix
def test_a_vault_is_private(directory, made, path):
    assert sorted(os.listdir(path)) == ["keyring", "keyring.bak", "locks", "quarantine", "sessions", "vault.json"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    for name in os.listdir(path):
        entry = path / name
        assert stat.S_IMODE(entry.stat().st_mode) == (0o700 if entry.is_dir() else 0o600)


def test_vault_json_is_one_readable_line_without_secrets(made, path):
    text = (path / "vault.json").read_text()
    assert text.count("\n") == 1
    assert orjson.loads(text) == {
        "format": "vaultsession",
        "version": 1,
        "vault_id": made.keyring.vault_id.hex(),
        "names": "readable",
        "created": "1970-01-01T00:00:00.000005+00:00",
    }


def test_parents_are_made(tmp_path):
    directory = vault_at(str(tmp_path / "a" / "b" / "vault"))
    assert not directory.exists()
    directory.create(KEY)
    assert directory.exists()
    unlock(directory)


def test_an_empty_directory_becomes_a_vault(directory, path):
    path.mkdir()
    directory.create(KEY)
    unlock(directory)


def test_a_function_makes_the_secret_from_the_vault_id(directory):
    asked = []

    def keep(vault_id):
        asked.append(vault_id)
        return OTHER

    made = directory.create(keep)
    assert asked == [made.keyring.vault_id]
    assert unlock(directory, OTHER).keyring == made.keyring


def test_when_no_secret_can_be_kept_there_is_no_vault(directory):
    def fail(_):
        raise KeyUnavailable("nowhere to put it")

    with pytest.raises(KeyUnavailable):
        directory.create(fail)
    assert not directory.exists()
    directory.create(KEY)


@pytest.mark.slow
def test_a_passphrase_opens(directory):
    made = directory.create(Passphrase("words"))
    assert unlock(directory, KEY, Passphrase("words")).keyring == made.keyring


def test_a_vault_is_not_made_twice(directory, made, path):
    before = files(path)
    with pytest.raises(Conflict, match="open it"):
        directory.create(lambda _: pytest.fail("asked"))
    assert files(path) == before


@pytest.mark.parametrize("name", ["notes.txt", "index.sqlite", ".git", "keyring.old"])
def test_a_directory_of_something_else_is_never_made_a_vault(directory, path, name):
    path.mkdir()
    (path / name).write_text("mine")
    with pytest.raises(VaultNotFound, match="is not empty"):
        directory.create(KEY)
    assert os.listdir(path) == [name]


@pytest.mark.parametrize("kept", ["sessions/x.vss", "quarantine/torn-tail"])
def test_a_vault_that_lost_its_vault_json_is_not_made_again(directory, made, path, kept):
    (path / "vault.json").unlink()
    (path / kept).write_bytes(b"x")
    before = files(path)
    with pytest.raises(VaultNotFound, match="restore"):
        directory.create(OTHER)
    assert files(path) == before


def test_a_half_made_vault_is_made_again_and_its_keyring_kept_aside(directory, made, path):
    keyring = (path / "keyring").read_bytes()
    (path / "vault.json").rename(path / "vault.json.new")
    assert not directory.exists()
    again = directory.create(OTHER)
    assert again.keyring != made.keyring
    assert unlock(directory, OTHER).keyring == again.keyring
    kept = [(path / "quarantine" / name).read_bytes() for name in os.listdir(path / "quarantine")]
    assert kept == [keyring, keyring]
    (path / "vault.json").unlink()
    directory.create(KEY)
    assert len(os.listdir(path / "quarantine")) == 4


def test_a_file_does_not_become_a_vault(directory, path):
    path.write_text("mine")
    for attempt in (lambda: directory.create(KEY), lambda: unlock(directory)):
        with pytest.raises(VaultNotFound, match="is a file"):
            attempt()
    assert not directory.exists()
    with pytest.raises(VaultNotFound, match="is a file"):
        vault_at(str(path / "below")).create(KEY)
    assert path.read_text() == "mine"


def test_a_relative_path_is_the_directory_of_that_moment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    directory = vault_at("vault")
    directory.create(KEY)
    monkeypatch.chdir(os.sep)
    unlock(directory)
    assert directory.path == str(tmp_path / "vault")


def test_of_two_threads_that_create_one_makes_the_vault(directory):
    asked, made, refused = [], [], []
    start = threading.Barrier(6)

    def keep(vault_id):
        asked.append(vault_id)
        time.sleep(0.02)
        return KEY

    def attempt():
        start.wait()
        try:
            made.append(directory.create(keep))
        except Conflict:
            refused.append(unlock(directory))

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(asked), len(made), len(refused)) == (1, 1, 5)
    assert {opened.keyring.vault_id for opened in refused} == {made[0].keyring.vault_id}


def create_in_a_process(path, key, go, results):
    go.wait()
    try:
        results.put(vault_at(path).create(key).keyring.vault_id)
    except Conflict:
        results.put(unlock(vault_at(path), key).keyring.vault_id)


@pytest.mark.slow
def test_processes_that_create_at_once_end_with_one_vault(path):
    context = FRESH
    go, results = context.Event(), context.Queue()
    processes = [context.Process(target=create_in_a_process, args=(str(path), KEY, go, results)) for _ in range(3)]
    for process in processes:
        process.start()
    go.set()
    found = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1


# Opening


def test_candidates_are_asked_for_one_by_one(directory, made):
    def candidates():
        yield "wrong", OTHER
        yield "right", KEY
        pytest.fail("asked although the vault was open")

    assert directory.unlock(candidates()).source == "right"


def test_wrong_keys_are_named(directory, made):
    with pytest.raises(WrongKey, match=r"key file a.*command b") as raised:
        directory.unlock([("key file a", OTHER), ("command b", RawKey.generate())])
    assert len(raised.value.tried) == 2


def test_no_candidate_is_no_key(directory, made):
    with pytest.raises(KeyUnavailable) as raised:
        directory.unlock([])
    assert not isinstance(raised.value, WrongKey)


def test_what_a_candidate_raises_passes_through(directory, made):
    def candidates():
        raise KeyUnavailable("nothing answered", tried=("a", "b"))
        yield

    with pytest.raises(KeyUnavailable, match="nothing answered"):
        directory.unlock(candidates())


def test_there_is_no_vault(directory, path):
    for look in (directory.identity, directory.slots, lambda: unlock(directory)):
        with pytest.raises(VaultNotFound, match="no vault at"):
            look()
    path.mkdir()
    with pytest.raises(VaultNotFound, match=r"no vault\.json"):
        unlock(directory)
    assert os.listdir(path) == []


def test_no_key_is_asked_for_where_there_is_no_vault(directory):
    with pytest.raises(VaultNotFound):
        directory.unlock(pytest.fail("asked") for _ in range(1))


def test_a_vault_opened_read_only_is_not_written(directory, made, path):
    before = files(path)

    class ReadOnly(Disk):
        def open(self, path, flags, mode=0o777):
            assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            return os.open(path, flags, mode)

        def mkdir(self, path, mode):
            pytest.fail("written")

        rename = unlink = mkdir

    unlock(vault_at(str(path), ReadOnly()))
    assert files(path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_damaged_copy_in_a_read_only_directory_does_not_keep_the_vault_shut(directory, made, path):
    (path / "keyring").write_bytes(b"torn")
    for place in (path / "locks", path / "quarantine", path):
        place.chmod(0o500)
    (path / "locks" / "vault").chmod(0o400)
    try:
        assert unlock(directory).findings == ("keyring: not a keyring file (4 bytes)",)
        with pytest.raises(BackendUnavailable):
            directory.add_slot(made, OTHER)
    finally:
        for place in (path, path / "locks", path / "quarantine"):
            place.chmod(0o700)
    assert (path / "keyring").read_bytes() == b"torn"


@posix
def test_the_path_may_be_a_link_to_the_vault(directory, made, tmp_path):
    (tmp_path / "link").symlink_to(directory.path)
    linked = vault_at(str(tmp_path / "link"))
    linked.add_slot(unlock(linked), OTHER)
    assert unlock(directory, OTHER).counter == 2


def test_directories_that_a_backup_left_out_are_made_again(directory, made, path):
    shutil.rmtree(path / "locks")
    (path / "sessions").rmdir()
    assert unlock(directory).findings == ("sessions/: was missing", "locks/: was missing")
    assert unlock(directory).findings == ()
