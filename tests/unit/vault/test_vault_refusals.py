"""What is no vault of ours alone is refused: links, owners, modes, network file systems."""

from __future__ import annotations

import os

import pytest
from vaults import KEY, OTHER, unlock, vault_at

from vaultsession.errors import BackendUnavailable
from vaultsession.util.disk import Disk
from vaultsession.util.file_system import LOCAL_FUSE, NETWORK, reach_of

posix = pytest.mark.skipif(os.name == "nt", reason="links, modes and owners of POSIX")


@posix
@pytest.mark.parametrize("name", ["vault.json", "keyring", "keyring.bak"])
@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "shared"])
def test_a_planted_file_is_refused(directory, made, path, tmp_path, name, kind):
    target, real = path / name, tmp_path / "real"
    if kind == "shared":
        target.chmod(0o620)
    else:
        target.rename(real)
        if kind == "symlink":
            target.symlink_to(real)
        elif kind == "fifo":
            os.mkfifo(target, 0o600)
        else:
            target.mkdir()
    with pytest.raises(BackendUnavailable, match=name) as raised:
        unlock(directory)
    assert isinstance(raised.value.__cause__, OSError)
    with pytest.raises(BackendUnavailable):
        directory.add_slot(made, OTHER)


@posix
@pytest.mark.parametrize("name", ["", "sessions", "locks", "quarantine"])
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_is_refused(directory, made, path, name, mode):
    (path / name).chmod(mode)
    with pytest.raises(BackendUnavailable, match="0700"):
        unlock(directory)


@posix
@pytest.mark.parametrize("name", ["sessions", "locks", "quarantine"])
def test_a_planted_directory_is_refused(directory, made, path, tmp_path, name):
    (path / name).rename(tmp_path / "real")
    (path / name).symlink_to(tmp_path / "real")
    for attempt in (lambda: unlock(directory), lambda: directory.add_slot(made, OTHER)):
        with pytest.raises(BackendUnavailable, match=name):
            attempt()


@posix
def test_a_planted_directory_is_refused_at_creation(directory, path, tmp_path):
    path.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (path / "locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendUnavailable, match="locks"):
        directory.create(KEY)
    assert os.listdir(tmp_path / "elsewhere") == []


@posix
@pytest.mark.parametrize("kind", ["symlink", "hard link"])
def test_a_planted_lock_is_refused(directory, made, path, tmp_path, kind):
    (path / "locks" / "vault").unlink()
    (tmp_path / "real").write_text("")
    (os.symlink if kind == "symlink" else os.link)(tmp_path / "real", path / "locks" / "vault")
    with pytest.raises(BackendUnavailable):
        directory.add_slot(made, OTHER)
    assert unlock(directory).counter == 1


@posix
def test_what_another_user_owns_is_refused(made, path, monkeypatch):
    class Foreign(Disk):
        def stat(self, name):
            status = list(os.lstat(name))
            status[4] = 4242
            return os.stat_result(status)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BackendUnavailable, match="owned by user 4242"):
        unlock(vault_at(str(path), Foreign()))


@pytest.mark.parametrize("kind", ["nfs4", "fuse.juicefs", "gpfs", "vboxsf"])
def test_a_network_file_system_is_refused_unless_allowed(path, kind):
    class Network(Disk):
        def filesystem(self, path):
            return kind

    with pytest.raises(BackendUnavailable, match=kind):
        vault_at(str(path), Network()).create(KEY)
    assert not path.exists()
    made = vault_at(str(path), Network(), allow_network=True).create(KEY)
    with pytest.raises(BackendUnavailable, match=kind):
        unlock(vault_at(str(path), Network()))
    assert unlock(vault_at(str(path), Network(), allow_network=True)).keyring == made.keyring


def test_what_is_known_of_file_systems():
    assert {reach_of(kind) for kind in NETWORK} == {"network"}
    assert {"beegfs", "fuse.cephfs", "fuse.JuiceFS", "cifs"} <= NETWORK
    assert {reach_of(kind) for kind in ("", "ext4", "tmpfs", "overlay", "fuseblk", *LOCAL_FUSE)} == {"local"}
    assert {reach_of(kind) for kind in ("fuse.homemade", "virtiofs")} == {"unknown"}


def test_an_unknown_program_behind_a_mount_is_warned_of(path, caplog):
    class Unknown(Disk):
        def filesystem(self, path):
            return "fuse.homemade"

    vault_at(str(path), Unknown()).create(KEY)
    assert "fuse.homemade" in caplog.text


def test_a_local_file_system_is_not(path):
    class Local(Disk):
        def filesystem(self, path):
            return "ext4"

    vault_at(str(path), Local()).create(KEY)
