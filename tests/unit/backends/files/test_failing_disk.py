"""The medium says no at any one call: what was acknowledged stands, the rest is old or new, and nothing is left lying."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from effort import some
from files_lab import NoDirectoryFlush, descriptors, preallocate_early, session_path
from memory import QuickDisk

from vaultsession.backends import FilesBackend
from vaultsession.backends.files.layout import FilesLayout
from vaultsession.backends.files.writers import WriterMarkers
from vaultsession.errors import BackendUnavailable, DurabilityUnknown
from vaultsession.format.sealed import Current, IndexRow, Query
from vaultsession.testing.faulty_disk import CALLS, FaultyDisk
from vaultsession.testing.sealer import Sealer

COUNTED = tuple(name for name in CALLS if name != "close")

WRITES = ("mkdir", "unlink", "rename", "pwrite", "fchmod")


class OpenedForReading(QuickDisk):
    """Opens nothing for writing."""

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return super().open(path, flags, mode)


def work(scribe: Sealer, key: str) -> list[tuple[Any, Any]]:
    """Commits, and what the session is after each."""
    return [
        (scribe.create(key, "a"), ["a"]),
        (scribe.append("b"), ["a", "b"]),
        (scribe.append("c"), ["a", "b", "c"]),
        (scribe.create(key, "d"), ["d"]),
        (scribe.append("e"), ["d", "e"]),
        (scribe.remove(key), None),
        (scribe.create(key, "f"), ["f"]),
    ]


def run(backend: FilesBackend, scribe: Sealer, key: str) -> tuple[Any, Any, bool]:
    """Commit until one fails: what was acknowledged, what was attempted, whether it failed."""
    acknowledged = attempted = None
    for update, after in work(scribe, key):
        attempted = after
        try:
            backend.commit(key, update)
        except (BackendUnavailable, DurabilityUnknown):
            return acknowledged, attempted, True
        acknowledged = after
    return acknowledged, attempted, False


def calls_of_all(path: Path, scribe: Sealer, only: str) -> int:
    disk = FaultyDisk(only=(only,) if only else COUNTED, under=QuickDisk())
    backend = FilesBackend(str(path), disk=disk, describe=scribe.describe)
    run(backend, scribe, scribe.key("a"))
    backend.close()
    return len(disk.calls)


@pytest.mark.sampled(9)
@pytest.mark.parametrize("roomy", [False, True], ids=["", "with room"])
@pytest.mark.parametrize("repeat", [0, 1, 3, 10_000])
@pytest.mark.parametrize(
    ("only", "short"), [("", False), ("pwrite", False), ("pwrite", True), ("fsync", False), ("fdatasync", False)]
)
def test_a_failure_at_any_call_leaves_old_or_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: str, short: bool, repeat: int, roomy: bool
) -> None:
    if roomy:
        preallocate_early(monkeypatch)
    total = calls_of_all(tmp_path, Sealer(), only)
    assert total > (3 if only else 60)
    for number in some(range(1, total + 1), 2):
        scribe = Sealer()
        key = scribe.key("a")
        path = tmp_path / f"{number}"
        for directory in ("sessions", "locks", "quarantine"):
            (path / directory).mkdir(parents=True, mode=0o700)
        counted = (only,) if only else COUNTED
        disk = FaultyDisk(number, times=1 + repeat, only=counted, short=short, under=QuickDisk())
        try:
            backend = FilesBackend(str(path), disk=disk, describe=scribe.describe)
        except (BackendUnavailable, OSError):
            continue
        acknowledged, attempted, failed = run(backend, scribe, key)
        disk.fail(0)
        here = scribe.texts_before_torn(backend, key)
        assert here in (acknowledged, attempted), (number, disk.calls[number - 1])
        backend.close()
        assert descriptors(path) == []
        assert [name for name in os.listdir(path / "sessions") if name.endswith((".tmp", ".new"))] == [] or repeat
        again = FilesBackend(str(path), disk=QuickDisk(), describe=Sealer(scribe.keyring).describe)
        assert scribe.texts_before_torn(again, key) == here
        listed = [row.version for row in again.scan(Query())]
        row = again.head(key)
        assert listed == ([] if row is None else [row.version]), (number, disk.calls[number - 1])
        assert [name for name in os.listdir(path / "sessions") if name.endswith((".tmp", ".new"))] == []
        if failed:  # the next store goes on from there
            update = scribe.append("next") if isinstance(row, IndexRow) else scribe.create(key, "next")
            again.commit(key, update)
            assert scribe.texts(again, key)[-1] == "next"
        again.close()
        assert descriptors(path) == []


@pytest.mark.parametrize("clean", [False, True])
def test_a_marker_that_cannot_be_unlocked_is_closed_although_the_error_is_kept(path: Path, clean: bool) -> None:
    for directory in ("sessions", "locks"):
        (path / directory).mkdir(parents=True, mode=0o700)
    disk = FaultyDisk(only=("flock", "fdatasync", "pwrite"), under=QuickDisk())
    markers = WriterMarkers(disk, FilesLayout(str(path)), durable=True)
    assert markers.take()
    assert len(descriptors(path)) == 1
    disk.fail(1, times=10_000)
    kept: list[OSError] = []
    try:
        markers.release(clean=clean)
    except OSError as error:
        kept.append(error)
    assert bool(kept) is clean
    assert descriptors(path) == []


def test_a_full_disk_leaves_the_file_alone(path: Path, scribe: Sealer, opening: Any) -> None:
    key = scribe.key("a")
    disk = FaultyDisk(only=("pwrite",), errno=errno.ENOSPC)
    backend = opening(disk=disk)
    backend.commit(key, scribe.create(key))
    before = session_path(path, key).stat()
    disk.fail(1, times=100)
    with pytest.raises(BackendUnavailable, match="No space"):
        backend.commit(key, scribe.append())
    after = session_path(path, key).stat()
    assert (after.st_ino, after.st_size, after.st_mode) == (before.st_ino, before.st_size, before.st_mode)
    disk.fail(0)
    backend.commit(key, scribe.append("then"))
    assert scribe.texts(backend, key) == ["first", "then"]


def test_a_record_whose_flush_failed_is_written_anew_on_another_inode(path: Path, scribe: Sealer, opening: Any) -> None:
    key = scribe.key("a")
    disk = FaultyDisk(only=("fdatasync",))
    backend = opening(disk=disk)
    backend.commit(key, scribe.create(key))
    before = session_path(path, key).stat().st_ino
    disk.fail(1)
    backend.commit(key, scribe.append())
    after = session_path(path, key).stat()
    assert after.st_ino != before
    assert stat.S_IMODE(after.st_mode) == 0o600
    assert scribe.texts(backend, key) == scribe.texts(opening(), key) == ["first", "more"]
    assert len(disk.calls) == disk.number  # never a second flush of what failed once


def test_what_can_neither_be_flushed_nor_replaced_is_marked(path: Path, scribe: Sealer, opening: Any) -> None:
    key = scribe.key("a")
    disk = FaultyDisk(only=("fsync", "fdatasync"))
    backend = opening(disk=disk)
    backend.commit(key, scribe.create(key))
    disk.fail(1, times=100)
    with pytest.raises(DurabilityUnknown):
        backend.commit(key, scribe.append())
    assert stat.S_IMODE(session_path(path, key).stat().st_mode) == 0o400
    disk.fail(0)
    seen: list[Current] = []
    before = session_path(path, key).stat().st_ino
    backend.commit(key, lambda newest: (seen.append(newest), scribe.append("next")(newest))[1])
    assert isinstance(seen[0], IndexRow)
    assert seen[0].torn
    assert session_path(path, key).stat().st_ino != before
    assert stat.S_IMODE(session_path(path, key).stat().st_mode) == 0o600


def test_a_directory_that_cannot_be_flushed_says_that_nobody_knows(scribe: Sealer, opening: Any) -> None:
    key = scribe.key("a")
    disk = NoDirectoryFlush()
    backend = opening(disk=disk)
    backend.commit(key, scribe.create(key))
    disk.refuses = True
    with pytest.raises(DurabilityUnknown, match="directory"):
        backend.commit(key, scribe.create(key, "replaced"))
    with pytest.raises(DurabilityUnknown, match="directory"):
        backend.commit(key, scribe.remove(key))
    assert backend.head(key) is None


def test_a_vault_that_cannot_be_written_can_be_read(path: Path, scribe: Sealer, opening: Any) -> None:
    key = scribe.key("a")
    backend = opening()
    backend.commit(key, scribe.create(key))
    backend.close()
    other = opening(disk=FaultyDisk(1, times=1 << 30, errno=errno.EROFS, only=WRITES, under=OpenedForReading()))
    assert scribe.texts(other, key) == ["first"]
    assert other.count(Query()) == 1
    with pytest.raises(BackendUnavailable):
        other.commit(key, scribe.append())


def test_opened_for_reading_only_nothing_is_written(path: Path, scribe: Sealer, opening: Any) -> None:
    key = scribe.key("a")
    backend = opening()
    backend.commit(key, scribe.create(key))
    backend.close()
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    other = opening(writable=False)
    assert scribe.texts(other, key) == ["first"]
    assert [row.key for row in other.scan(Query())] == [key]
    with pytest.raises(BackendUnavailable, match="reading only"):
        other.commit(key, scribe.append())
    other.close()
    after = {file: file.stat().st_mtime_ns for file in path.rglob("*") if not file.name.startswith("index.sqlite-")}
    assert {file: time for file, time in after.items() if file != path} == before


def test_a_failed_flush_is_never_followed_by_another_of_the_same_file(scribe: Sealer, opening: Any) -> None:
    """A second fsync after a failed one returned success with 43 % of the data gone: the kernel reports an error once."""
    key = scribe.key("a")
    disk = FaultyDisk(only=("fdatasync",))
    backend = opening(disk=disk)
    backend.commit(key, scribe.create(key))
    backend.commit(key, scribe.append())
    descriptor = backend._containers.open_files.get(key).descriptor
    disk.fail(1)
    descriptor.written += 1
    for _ in range(2):
        with pytest.raises(OSError, match=r"error|failed"):
            descriptor.flush(descriptor.written)
    assert len(disk.calls) == disk.number


def test_threads_share_a_flush_that_began_after_their_writes(scribe: Sealer, opening: Any) -> None:
    key = scribe.key("a")
    disk = FaultyDisk(only=("fdatasync",))
    backend = opening(disk=disk)
    backend.commit(key, scribe.create(key))
    backend.commit(key, scribe.append())
    descriptor = backend._containers.open_files.get(key).descriptor
    before = len(disk.calls)
    descriptor.written += 200
    descriptor.flush(descriptor.written - 100)  # covers all that was written when it began
    descriptor.flush(descriptor.written)
    assert len(disk.calls) == before + 1
    descriptor.written += 1
    descriptor.flush(descriptor.written)
    assert len(disk.calls) == before + 2
