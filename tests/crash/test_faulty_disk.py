"""FaultyDisk itself: it fails where a test says so, and nowhere else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vaultsession.testing.faulty_disk import CALLS, ERRNOS, FaultyDisk
from vaultsession.testing.lossy_disk import LossyDisk
from vaultsession.util.disk import CREATE_NEW, Disk, read_file, write_all, write_new


def test_without_a_number_nothing_fails_and_every_call_is_counted(tmp_path: Path) -> None:
    disk = FaultyDisk()
    write_new(disk, str(tmp_path / "a"), b"data")
    assert disk.calls == ["open", "pwrite", "fsync", "close"]
    assert not disk.failed


@pytest.mark.parametrize("code", ERRNOS)
def test_the_kth_call_fails_with_the_error_and_the_next_does_not(tmp_path: Path, code: int) -> None:
    disk = FaultyDisk(2, errno=code)
    disk.stat(str(tmp_path))
    assert not disk.failed
    with pytest.raises(OSError, match=os.strerror(code)) as raised:
        disk.stat(str(tmp_path))
    assert raised.value.errno == code
    assert disk.failed
    disk.stat(str(tmp_path))
    assert disk.calls == ["stat"] * 3


def test_several_calls_in_a_row_may_fail(tmp_path: Path) -> None:
    disk = FaultyDisk(2, times=2)
    outcomes = []
    for _ in range(4):
        try:
            disk.listdir(str(tmp_path))
        except OSError:
            outcomes.append("failed")
        else:
            outcomes.append("passed")
    assert outcomes == ["passed", "failed", "failed", "passed"]


def test_only_some_kinds_of_calls_may_be_counted(tmp_path: Path) -> None:
    disk = FaultyDisk(1, only=("fsync",))
    with pytest.raises(OSError, match="Input/output"):
        write_new(disk, str(tmp_path / "a"), b"data")
    assert disk.calls == ["fsync"]
    assert os.listdir(tmp_path) == []


def test_it_can_be_told_later(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.stat(str(tmp_path))
    disk.fail(2)
    disk.stat(str(tmp_path))
    with pytest.raises(OSError, match="Input/output"):
        disk.stat(str(tmp_path))
    disk.fail(0)
    disk.stat(str(tmp_path))


def test_what_failed_was_not_done_but_a_descriptor_is_closed(tmp_path: Path) -> None:
    disk = FaultyDisk(1)
    with pytest.raises(OSError, match="Input/output"):
        disk.mkdir(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == []
    fd = disk.open(str(tmp_path / "b"), CREATE_NEW, 0o600)
    disk.fail(1)
    with pytest.raises(OSError, match="Input/output"):
        disk.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_short_write_that_fails_has_taken_half(tmp_path: Path) -> None:
    disk = FaultyDisk(1, errno=errno.ENOSPC, short=True, only=("pwrite",))
    fd = disk.open(str(tmp_path / "a"), CREATE_NEW, 0o600)
    with pytest.raises(OSError, match="No space"):
        disk.pwrite(fd, b"12345678", 0)
    disk.close(fd)
    assert (tmp_path / "a").read_bytes() == b"1234"


def test_a_write_may_be_short_and_not_fail(tmp_path: Path) -> None:
    disk = FaultyDisk(1, errno=None, only=("pwrite",))
    fd = disk.open(str(tmp_path / "a"), CREATE_NEW, 0o600)
    write_all(disk, fd, b"12345678", 0)
    disk.close(fd)
    assert disk.calls == ["pwrite", "pwrite"]
    assert (tmp_path / "a").read_bytes() == b"12345678"


def test_without_an_error_other_calls_are_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    (tmp_path / "a").chmod(0o600)
    assert read_file(FaultyDisk(1, errno=None, times=100), str(tmp_path / "a"), limit=10) == b"data"


def test_a_lossy_disk_below_is_told_of_flushes_that_failed(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    lossy = LossyDisk(tmp_path / "vault")
    disk = FaultyDisk(1, only=("fsync",), under=lossy)
    fd = disk.open(str(tmp_path / "vault" / "a"), CREATE_NEW, 0o600)
    disk.pwrite(fd, b"data", 0)
    with pytest.raises(OSError, match="Input/output"):
        disk.fsync(fd)
    disk.fsync(fd)
    disk.close(fd)
    disk.sync_directory(str(tmp_path / "vault"))
    found = {(Path(crashed) / "a").read_bytes() for crashed in lossy.power_cut()}
    assert {b"", b"data"} <= found


def test_every_call_of_a_disk_is_one_that_may_fail() -> None:
    helpers = {"fcntl", "replace", "sync_directory", "filesystem"}
    hints = {"sync", "begin_flush", "begin_read", "index_flushed", "boot", "has_room"}  # they never fail
    assert {
        name for name in dir(Disk) if not name.startswith("_") and callable(getattr(Disk, name))
    } - helpers - hints == set(CALLS)
