"""Two copies of the keyring file: either serves, the other is mended, and a forged one helps no attacker."""

from __future__ import annotations

import os

import pytest
from vaults import KEY, OTHER, files, patched, resealed, unlock, vault_at

from vaultsession.errors import Damaged, RollbackDetected, UnsupportedFormat, WrongKey
from vaultsession.format.keys import MasterKey
from vaultsession.util.disk import Disk


@pytest.mark.parametrize("name", ["keyring", "keyring.bak"])
@pytest.mark.parametrize("harm", ["gone", "cut", "flipped", "empty", "huge", "foreign", "old"])
def test_one_copy_serves_and_the_other_is_mended(directory, made, path, tmp_path, name, harm):
    old = (path / name).read_bytes()
    opened = directory.add_slot(made, OTHER)
    good = (path / name).read_bytes()
    copy = path / name
    if harm == "gone":
        copy.unlink()
    elif harm == "cut":
        copy.write_bytes(good[:-1])
    elif harm == "flipped":
        copy.write_bytes(good[:100] + bytes([good[100] ^ 4]) + good[101:])
    elif harm == "empty":
        copy.write_bytes(b"")
    elif harm == "huge":
        copy.write_bytes(bytes(70_000))
    elif harm == "foreign":
        vault_at(str(tmp_path / "other")).create(KEY)
        copy.write_bytes((tmp_path / "other" / "keyring").read_bytes())
    else:
        copy.write_bytes(old)
    harmed = copy.read_bytes() if harm != "gone" else None
    assert directory.slots() == opened.slots
    again = unlock(directory, OTHER)
    assert again.keyring == made.keyring
    assert len(again.findings) == 1
    assert again.findings[0].startswith(f"{name}: ")
    assert copy.read_bytes() == good
    kept = path / "quarantine" / f"{name}.damaged"
    assert kept.exists() is (harm not in ("gone", "old"))
    if kept.exists():
        assert kept.read_bytes() == harmed
    assert unlock(directory).findings == ()


def test_no_copy_left_is_damaged(directory, made, path):
    (path / "keyring").write_bytes(b"garbage")
    (path / "keyring.bak").unlink()
    with pytest.raises(Damaged, match=r"keyring: not a keyring file.*keyring\.bak: is gone.*backup"):
        unlock(directory)


def test_a_copy_that_the_medium_cannot_read_is_a_damaged_copy(made, path):
    class BadSector(Disk):
        def open(self, name, flags, mode=0o777):
            if name.endswith("keyring"):
                raise OSError(5, "Input/output error")
            return os.open(name, flags, mode)

    opened = unlock(vault_at(str(path), BadSector()))
    assert "medium" in opened.findings[0]


def test_a_forged_copy_with_a_high_counter_does_not_serve(directory, made, path):
    good = (path / "keyring").read_bytes()
    for offset, field in ((8, b"\xff"), (32 + 96, bytes(32)), (32 + 128, bytes(32)), (32 + 32, b"\0forged")):
        forged = patched(patched(good, 8, b"\x63"), offset, field)
        (path / "keyring").write_bytes(forged)
        try:
            opened = unlock(directory)
        except Damaged:
            pytest.fail("the other copy is good")
        assert opened.counter == 1
        assert (path / "keyring").read_bytes() == good
        assert (path / "quarantine" / "keyring.damaged").read_bytes() == forged


def rotated(masters):
    return (MasterKey.generate(), *(master._replace(retired=True) for master in masters))


def test_a_removed_key_does_not_open_through_a_copy_from_before_a_rotation(directory, made, path):
    added = directory.add_slot(made, OTHER)
    directory.remove_slot(added, made.slot.id)
    opened = unlock(directory, OTHER)
    (path / "keyring").write_bytes((path / "keyring.bak").read_bytes())
    before = (path / "keyring").read_bytes()
    directory.replace_keys(opened, rotated)
    after = (path / "keyring").read_bytes()
    for name in ("keyring", "keyring.bak"):
        for each in ("keyring", "keyring.bak"):
            (path / each).write_bytes(before if each == name else after)
        with pytest.raises(WrongKey):
            unlock(directory)
        assert (path / name).read_bytes() == before
        assert unlock(directory, OTHER).keyring.masters[0] != opened.keyring.masters[0]
        assert (path / name).read_bytes() == after


@pytest.mark.parametrize("name", ["keyring", "keyring.bak"])
def test_a_copy_from_before_a_rotation_is_mended_and_kept_nowhere(directory, made, path, name):
    before = (path / name).read_bytes()
    directory.replace_keys(made, rotated)
    after = (path / name).read_bytes()
    (path / name).write_bytes(before)
    assert len(unlock(directory).findings) == 1
    assert (path / name).read_bytes() == after
    assert not list((path / "quarantine").iterdir()), "an old copy leads to old keys"


def test_two_copies_from_before_a_rotation_are_a_rollback(directory, made, path):
    before = (path / "keyring").read_bytes()
    later = directory.replace_keys(made, rotated)
    for name in ("keyring", "keyring.bak"):
        (path / name).write_bytes(before)
    with pytest.raises(RollbackDetected):
        directory.reload(later)


def test_a_removed_key_does_not_open_through_the_copy_that_is_behind(directory, made, path):
    old = (path / "keyring").read_bytes()
    added = directory.add_slot(made, OTHER)
    directory.remove_slot(added, made.slot.id)
    for name in ("keyring", "keyring.bak"):
        kept = (path / name).read_bytes()
        (path / name).write_bytes(old)
        with pytest.raises(WrongKey):
            unlock(directory, KEY)
        assert (path / name).read_bytes() == old  # a wrong key mends nothing
        (path / name).write_bytes(kept)


def test_copies_that_were_changed_apart_are_for_people_to_decide(directory, made, path):
    old = (path / "keyring").read_bytes()
    directory.replace_keys(made, lambda masters: (MasterKey.generate(), *masters))
    one = (path / "keyring").read_bytes()
    for name in ("keyring", "keyring.bak"):
        (path / name).write_bytes(old)
    directory.replace_keys(made, lambda masters: (MasterKey.generate(), *masters))
    (path / "keyring").write_bytes(one)
    before = files(path)
    for attempt in (lambda: unlock(directory), lambda: directory.add_slot(made, OTHER)):
        with pytest.raises(Damaged, match="changed apart"):
            attempt()
    assert files(path) == before


def test_mending_does_not_wait_for_whoever_is_changing_the_keyring(directory, made, path):
    (path / "keyring.bak").unlink()
    with directory.storage.locked():
        assert unlock(directory).findings
        assert not (path / "keyring.bak").exists()
    assert unlock(directory).findings
    assert (path / "keyring.bak").exists()


def test_a_copy_of_a_later_version_is_neither_used_nor_mended(directory, made, path):
    later = resealed(b"VSK1\x02" + bytes(300))
    (path / "keyring.bak").write_bytes(later)
    with pytest.raises(UnsupportedFormat):
        unlock(directory)
    assert (path / "keyring.bak").read_bytes() == later
