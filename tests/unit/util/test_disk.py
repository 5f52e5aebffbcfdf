"""The system calls and what is built on them: whole or not at all, never through a link, and only what is ours."""

from __future__ import annotations

import errno
import os
import stat
import threading

import pytest

from vaultsession.util import disk as disk_module
from vaultsession.util.disk import (
    CREATE_NEW,
    READ,
    Disk,
    filesystem_in,
    opened,
    read_all,
    read_file,
    replace_file,
    why_not_private,
    write_all,
    write_new,
)


class Scripted(Disk):
    """A disk whose calls fail or do less where a test says so."""

    def __init__(self, **script) -> None:
        self.script = script
        self.calls: list[str] = []
        for name in ("fsync", "rename", "unlink", "sync_directory", "pwrite", "pread"):
            setattr(self, name, self._watched(name, getattr(super(), name)))

    def _watched(self, name, real):
        def call(*args):
            self.calls.append(name)
            instead = self.script.get(name)
            return instead(*args) if instead else real(*args)

        return call


def refuse(code: int):
    def call(*_args):
        raise OSError(code, os.strerror(code))

    return call


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file")


def test_a_new_file_is_private_whole_and_flushed(path):
    disk = Scripted()
    old = os.umask(0)
    try:
        write_new(disk, path, b"content")
    finally:
        os.umask(old)
    assert read_file(disk, path, limit=100) == b"content"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert disk.calls[:2] == ["pwrite", "fsync"]


def test_a_file_that_must_be_new_is_never_another_one(path, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        write_new(Disk(), path, b"new")
    os.unlink(path)
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(FileExistsError):
        write_new(Disk(), path, b"new")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("failing", ["pwrite", "fsync"])
def test_a_new_file_that_could_not_be_written_is_gone_again(path, failing):
    with pytest.raises(OSError, match="No space"):
        write_new(Scripted(**{failing: refuse(errno.ENOSPC)}), path, b"content")
    assert not os.path.lexists(path)


def test_a_replacement_is_written_flushed_renamed_and_its_name_flushed(path):
    disk = Scripted()
    replace_file(disk, path + ".new", path, b"one")
    assert disk.calls == ["pwrite", "fsync", "rename", "sync_directory", "fsync"]
    replace_file(disk, path + ".new", path, b"two")
    assert read_file(disk, path, limit=10) == b"two"
    assert not os.path.exists(path + ".new")


def test_without_flush_nothing_is_flushed(path):
    disk = Scripted()
    replace_file(disk, path + ".new", path, b"one", flush=False)
    assert disk.calls == ["pwrite", "rename"]


@pytest.mark.parametrize("failing", ["pwrite", "fsync", "rename"])
def test_a_replacement_that_fails_leaves_the_old_file_alone(path, failing):
    replace_file(Disk(), path + ".new", path, b"old")
    with pytest.raises(OSError, match="Input/output"):
        replace_file(Scripted(**{failing: refuse(errno.EIO)}), path + ".new", path, b"new")
    assert read_file(Disk(), path, limit=10) == b"old"
    assert os.listdir(os.path.dirname(path)) == ["file"]


def test_a_short_write_is_continued(path):
    written: list[int] = []

    def three_bytes(fd, data, offset):
        written.append(offset)
        return os.pwrite(fd, data[:3], offset)

    write_new(Scripted(pwrite=three_bytes), path, b"0123456789")
    assert written == [0, 3, 6, 9]
    assert read_file(Disk(), path, limit=10) == b"0123456789"


def test_a_medium_that_takes_nothing_is_an_error(path):
    with opened(Disk(), path, CREATE_NEW) as fd, pytest.raises(OSError, match="wrote 0 of 4"):
        write_all(Scripted(pwrite=lambda *_: 0), fd, b"0123", 0)


def test_a_short_read_is_continued_and_the_end_is_the_end(path):
    write_new(Disk(), path, b"0123456789")
    disk = Scripted(pread=lambda fd, size, offset: os.pread(fd, min(size, 4), offset))
    with opened(disk, path) as fd:
        assert read_all(disk, fd, 10, 0) == b"0123456789"
        assert read_all(disk, fd, 99, 7) == b"789"
        assert read_all(disk, fd, 5, 50) == b""
        assert read_all(disk, fd, 0, 0) == b""


def test_nothing_is_opened_through_a_link(path, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink(tmp_path / "secret", path)
    with pytest.raises(OSError, match=r"."):
        read_file(Disk(), path, limit=100)


def test_a_fifo_is_refused_without_waiting_for_its_other_end(path):
    os.mkfifo(path)
    outcome: list[BaseException] = []

    def read() -> None:
        try:
            read_file(Disk(), path, limit=100)
        except OSError as error:
            outcome.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(30)
    assert "not a regular file" in str(outcome[0])


def test_a_file_beyond_the_limit_is_not_read(path):
    write_new(Disk(), path, b"0123456789")
    assert read_file(Disk(), path, limit=10) == b"0123456789"
    with pytest.raises(ValueError, match="10 bytes; the bound is 9"):
        read_file(Disk(), path, limit=9)


def test_what_others_may_write_or_name_is_not_private(path, tmp_path):
    write_new(Disk(), path, b"x")
    assert why_not_private(os.lstat(path)) is None
    os.link(path, tmp_path / "second")
    assert "2 names" in (why_not_private(os.lstat(path)) or "")
    os.unlink(tmp_path / "second")
    for mode in (0o620, 0o602, 0o666):
        os.chmod(path, mode)
        assert "writable by group or others" in (why_not_private(os.lstat(path)) or "")
    os.chmod(path, 0o644)
    assert why_not_private(os.lstat(path)) is None


def test_a_directory_is_none_of_ours_unless_one_is_asked_for(tmp_path):
    tmp_path.chmod(0o700)
    assert why_not_private(os.lstat(tmp_path)) == "not a regular file"
    assert why_not_private(os.lstat(tmp_path), directory=True) is None
    (tmp_path / "link").symlink_to(tmp_path)
    assert why_not_private(os.lstat(tmp_path / "link"), directory=True) == "not a directory"


def test_the_owner_matters_to_whoever_is_not_root(path, monkeypatch):
    write_new(Disk(), path, b"x")
    status = os.lstat(path)
    monkeypatch.setattr(os, "geteuid", lambda: status.st_uid + 1)
    foreign = os.stat_result((status.st_mode, 1, 1, 1, status.st_uid + 7, 0, 0, 0, 0, 0))
    assert "owned by user" in (why_not_private(foreign) or "")
    roots = os.stat_result((status.st_mode, 1, 1, 1, 0, 0, 0, 0, 0, 0))
    assert why_not_private(roots) is None


def test_descriptors_are_closed_whatever_happens(path):
    write_new(Disk(), path, b"x")
    with pytest.raises(KeyError), opened(Disk(), path, READ) as fd:
        raise KeyError
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_descriptors_are_not_inherited(path):
    write_new(Disk(), path, b"x")
    with opened(Disk(), path) as fd:
        assert not os.get_inheritable(fd)


def test_the_flush_of_macos_goes_through_its_drive():
    disk = Disk()
    asked: list[tuple[int, int]] = []
    disk.platform = "darwin"  # type: ignore[misc]  # simulated
    disk.fcntl = lambda fd, command: asked.append((fd, command))  # type: ignore[method-assign]  # as above
    disk.fsync(5)
    disk.fdatasync(6)
    assert asked == [(5, 51), (6, 51)]


def test_a_replacement_that_a_reader_refuses_is_tried_again_for_a_while(monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(disk_module.time, "monotonic", lambda: next(ticks) * 0.1)
    monkeypatch.setattr(disk_module.time, "sleep", lambda _: None)
    disk, refusals = Disk(), [3]
    disk.platform = "win32"  # type: ignore[misc]  # simulated

    def rename(_source, _target):
        refusals[0] -= 1
        if refusals[0] >= 0:
            raise PermissionError

    disk.rename = rename  # type: ignore[assignment]  # simulated
    disk.replace("a", "b")
    refusals[0] = 10**6
    with pytest.raises(PermissionError):
        disk.replace("a", "b")
    assert refusals[0] > 10**6 - 100
    disk.platform = "linux"  # type: ignore[misc]  # simulated
    refusals[0] = 1
    with pytest.raises(PermissionError):
        disk.replace("a", "b")


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path):
    assert Disk().filesystem("/proc") in ("proc", "")
    assert Disk().filesystem(str(tmp_path)) == Disk().filesystem(str(tmp_path / "not yet there"))


def test_the_innermost_mount_is_found_whatever_stands_in_its_name():
    """Names beyond Latin-1 once came out as question marks, and what lay on such a mount had the type of its parent."""
    table = "".join(
        f"{number} 1 0:{number} / {mount} rw,relatime shared:1 - {kind} none rw\n"
        for number, (mount, kind) in enumerate(
            [
                ("/", "ext4"),
                ("/home", "xfs"),
                ("/home/me/net\\040share", "nfs4"),
                ("/home/me/共有", "cifs"),
                ("/home/me/共有", "btrfs"),
            ]
        )
    ).encode()

    def kind(path: str) -> str:
        return filesystem_in(table, path.encode())

    assert [kind("/"), kind("/hom"), kind("/home"), kind("/homes/x")] == ["ext4", "ext4", "xfs", "ext4"]
    assert [kind("/home/me/net share/vault"), kind("/home/me/net")] == ["nfs4", "xfs"]
    assert kind("/home/me/共有/vault") == "btrfs", "of two mounts at one place the later one is on top"
    assert filesystem_in(b"", b"/home") == ""


def test_a_file_that_is_replaced_while_it_is_opened_is_read_in_its_new_form(tmp_path):
    """Two threads of a rotation renewed the keys of one tenant, and one of them was refused: the file is not private.

    It had opened the file just before the other replaced it: what it looked at had no name any more.
    """
    path = tmp_path / "keys"
    for name in ("keys", "other"):
        (tmp_path / name).touch(mode=0o600)
    path.write_bytes(b"old")
    (tmp_path / "other").write_bytes(b"new")

    class Raced(Disk):
        def open(self, path: str, flags: int, mode: int = 0o600) -> int:
            fd = super().open(path, flags, mode)
            if (tmp_path / "other").exists():
                os.replace(tmp_path / "other", path)
            return fd

    assert read_file(Raced(), str(path), limit=10) == b"new"
