"""Changes of the key slots and the master keys: kept one and all, and flushed in order."""

from __future__ import annotations

import os
import threading
import time

import pytest
from vaults import KEY, OTHER, files, unlock, vault_at

from vaultsession.errors import InvalidSetting, RollbackDetected, VaultError, WrongKey
from vaultsession.format.keys import MasterKey
from vaultsession.util.disk import Disk
from vaultsession.vault.secret import RawKey


def test_a_slot_is_added_and_removed(directory, made):
    added = directory.add_slot(made, OTHER, label="second", now=9)
    assert added.slots[-1].label == "second"
    assert added.slot == made.slot
    assert added.counter == 2
    for key in (KEY, OTHER):
        assert unlock(directory, key).keyring == made.keyring
    removed = directory.remove_slot(added, made.slot.id)
    assert removed.counter == 3
    assert unlock(directory, OTHER).counter == 3
    with pytest.raises(WrongKey):
        unlock(directory, KEY)
    with pytest.raises(InvalidSetting, match="last"):
        directory.remove_slot(removed, removed.slots[0].id)


def test_both_copies_are_equal_after_a_change(directory, made, path):
    directory.add_slot(made, OTHER)
    assert (path / "keyring").read_bytes() == (path / "keyring.bak").read_bytes()
    assert not [name for name in os.listdir(path) if name.endswith(".new")]


def test_a_change_from_an_old_opening_keeps_what_came_after(directory, made):
    others = [RawKey.generate() for _ in range(3)]
    for other in others:
        directory.add_slot(made, other)
    assert unlock(directory).counter == 4
    for other in others:
        unlock(directory, other)


def test_master_keys_are_made_of_those_of_the_moment(directory, made):
    first, second = MasterKey.generate(), MasterKey.generate()
    directory.replace_keys(made, lambda masters: (first, *masters))
    directory.replace_keys(made, lambda masters: (second, *masters))
    assert unlock(directory).keyring.masters == (second, first, made.keyring.first)
    assert directory.reload(made).keyring.first == second
    assert directory.reload(made).counter == 3


def test_a_keyring_that_went_back_is_a_rollback(directory, made, path):
    old = (path / "keyring").read_bytes()
    added = directory.add_slot(made, OTHER)
    for name in ("keyring", "keyring.bak"):
        (path / name).write_bytes(old)
    for attempt in (lambda: directory.reload(added), lambda: directory.add_slot(added, RawKey.generate())):
        with pytest.raises(RollbackDetected):
            attempt()
    assert unlock(directory).counter == 1  # the caller compares with the counter that it remembers


def test_a_refused_change_changes_nothing(directory, made, path):
    before = files(path)
    for attempt in (
        lambda: directory.remove_slot(made, bytes(8)),
        lambda: directory.add_slot(made, OTHER, label="x" * 100),
        lambda: directory.replace_keys(made, lambda masters: ()),
    ):
        with pytest.raises(VaultError):
            attempt()
    assert files(path) == before


class NoLocks(Disk):
    """A mutant whose locks do not lock, slow enough that two changes meet."""

    def flock(self, fd, operation):
        pass

    def fsync(self, fd):
        time.sleep(0.01)


class Slow(Disk):
    def fsync(self, fd):
        time.sleep(0.01)


def change_at_once(directory, made, count=6):
    keys = [RawKey.generate() for _ in range(count)]
    start = threading.Barrier(count)
    failed = []

    def change(key):
        start.wait()
        try:
            directory.add_slot(made, key)
        except VaultError as error:
            failed.append(error)

    threads = [threading.Thread(target=change, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(failed), unlock(directory).counter


@pytest.mark.slow
def test_changes_at_once_are_all_kept(path, made):
    assert change_at_once(vault_at(str(path), Slow()), made) == (0, 7)


def test_without_locks_a_change_would_be_lost(path, made):
    try:
        outcome = change_at_once(vault_at(str(path), NoLocks()), made)
    except VaultError:
        return
    assert outcome != (0, 7)


# The order of writes


def test_a_change_writes_over_the_only_good_copy_last(directory, made, path):
    class Recording(Disk):
        renamed = ()

        def rename(self, source, target):
            Recording.renamed += (os.path.basename(target),)
            os.replace(source, target)

    recording = vault_at(str(path), Recording())
    recording.add_slot(made, OTHER)
    assert Recording.renamed == ("keyring.bak", "keyring")
    Recording.renamed = ()
    (path / "keyring").unlink()
    recording.add_slot(made, RawKey.generate())
    assert Recording.renamed == ("keyring", "keyring.bak")


class Journal(Disk):
    """Notes what is flushed and renamed, in order."""

    def __init__(self):
        self.notes, self.paths = [], {}

    def open(self, path, flags, mode=0o777):
        fd = os.open(path, flags, mode)
        self.paths[fd] = os.path.basename(path)
        return fd

    def fsync(self, fd):
        self.notes.append(f"flush {self.paths[fd]}")
        os.fsync(fd)

    def rename(self, source, target):
        self.notes.append(f"rename {os.path.basename(target)}")
        os.replace(source, target)


def test_creation_flushes_everything_before_vault_json_has_its_name(path):
    disk = Journal()
    vault_at(str(path), disk).create(KEY)
    assert disk.notes == [
        "flush keyring",
        "flush keyring.bak",
        "flush vault.json.new",
        f"flush {path.parent.name}",
        "flush vault",
        "rename vault.json",
        "flush vault",
    ]


def test_a_change_flushes_one_copy_with_its_name_before_it_touches_the_other(path, made):
    disk = Journal()
    vault_at(str(path), disk).add_slot(made, OTHER)
    assert disk.notes == [
        "flush keyring.bak.new",
        "rename keyring.bak",
        "flush vault",
        "flush keyring.new",
        "rename keyring",
        "flush vault",
    ]


def test_opening_a_healthy_vault_flushes_and_locks_nothing(path, made):
    class Quiet(Journal):
        def flock(self, fd, operation):
            self.notes.append("lock")

    disk = Quiet()
    unlock(vault_at(str(path), disk))
    assert disk.notes == []
    assert sorted(disk.paths.values()) == sorted({*disk.paths.values()})
