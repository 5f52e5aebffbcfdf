"""LossyDisk itself: what a medium may hold after a power cut, and what it must."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaultsession import RawKey, open_store
from vaultsession.testing.disk_image import DiskWrite, Kind, patched
from vaultsession.testing.lossy_disk import Crashed, LossyDisk
from vaultsession.testing.powercut import SECTOR
from vaultsession.util.disk import CREATE, CREATE_NEW, READ_WRITE, replace_file, write_new

KEY = RawKey(bytes(range(7, 39)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "vault").mkdir(mode=0o700)
    return tmp_path / "vault"


@pytest.fixture
def disk(root: Path) -> Iterator[LossyDisk]:
    disk = LossyDisk(root)
    yield disk
    disk.forget()


def left(disk: LossyDisk, name: str) -> set[bytes | None]:
    """What a file may be after a power cut at this moment; None: it is not there."""
    found: set[bytes | None] = set()
    for crashed in disk.power_cut(bound=200):
        file = Path(crashed) / name
        found.add(file.read_bytes() if file.exists() else None)
    return found


def written(disk: LossyDisk, root: Path, data: bytes, *, flush: bool) -> int:
    fd = disk.open(str(root / "file"), CREATE, 0o600)
    disk.pwrite(fd, data, 0)
    if flush:
        disk.fsync(fd)
    return fd


def test_what_was_flushed_with_its_name_is_all_there(disk: LossyDisk, root: Path) -> None:
    disk.close(written(disk, root, b"all of it", flush=True))
    disk.sync_directory(str(root))
    assert left(disk, "file") == {b"all of it"}


def test_a_flushed_file_may_have_no_name(disk: LossyDisk, root: Path) -> None:
    disk.close(written(disk, root, b"all of it", flush=True))
    assert left(disk, "file") == {b"all of it", None}


def test_a_name_says_nothing_of_the_data(disk: LossyDisk, root: Path) -> None:
    disk.close(written(disk, root, b"all of it", flush=False))
    disk.sync_directory(str(root))
    found = left(disk, "file")
    assert {b"", b"all of it", bytes(9), b"all ", b"all \0\0\0\0\0"} <= found
    assert None not in found


def test_a_record_behind_what_was_flushed_leaves_that_alone(disk: LossyDisk, root: Path) -> None:
    before, record = b"x" * 700, b"y" * 1500
    fd = written(disk, root, before, flush=True)
    disk.sync_directory(str(root))
    disk.pwrite(fd, record, len(before))
    found = left(disk, "file")
    disk.close(fd)
    assert before in found
    assert before + record in found
    assert all(data is not None and data.startswith(before) for data in found)
    sectors = before + record[: 2 * SECTOR - 700]
    assert sectors in found  # torn at a sector
    assert sectors.ljust(2200, b"\0") in found  # the size of all, and the data of the first sector
    assert any(data and data.endswith(b"y") and b"\0" in data for data in found)  # a hole


def test_writes_that_were_not_flushed_come_in_any_order(disk: LossyDisk, root: Path) -> None:
    fd = written(disk, root, b"....", flush=True)
    disk.sync_directory(str(root))
    disk.pwrite(fd, b"a", 0)
    disk.pwrite(fd, b"b", 1)
    found = left(disk, "file")
    disk.close(fd)
    assert found == {b"....", b"a...", b".b..", b"ab.."}


def test_a_rename_is_atomic_and_apart_from_the_data(disk: LossyDisk, root: Path) -> None:
    replace_file(disk, str(root / "new"), str(root / "file"), b"old")
    position = disk.position
    replace_file(disk, str(root / "new"), str(root / "file"), b"new", flush=False)
    during = set()
    for crashed in disk.crash_states(since=position):
        during.add((Path(crashed) / "file").read_bytes())
    assert {b"old", b"new", b""} <= during
    disk.sync_directory(str(root))
    assert left(disk, "file") >= {b"new", b""}
    assert b"old" not in left(disk, "file")


def test_what_was_removed_may_come_back(disk: LossyDisk, root: Path) -> None:
    write_new(disk, str(root / "file"), b"data")
    disk.sync_directory(str(root))
    disk.unlink(str(root / "file"))
    assert left(disk, "file") == {b"data", None}
    disk.sync_directory(str(root))
    assert left(disk, "file") == {None}


def test_a_mode_is_flushed_with_the_file_and_not_with_its_data(disk: LossyDisk, root: Path) -> None:
    fd = written(disk, root, b"data", flush=True)
    disk.sync_directory(str(root))
    disk.fchmod(fd, 0o400)

    def modes() -> set[int]:
        return {os.stat(Path(crashed) / "file").st_mode & 0o777 for crashed in disk.power_cut()}

    assert modes() == {0o400, 0o600}
    disk.fdatasync(fd)
    assert modes() == {0o400, 0o600}
    disk.fsync(fd)
    assert modes() == {0o400}
    disk.close(fd)


def test_what_a_failed_flush_has_lost_is_not_brought_back_by_the_next(disk: LossyDisk, root: Path) -> None:
    fd = written(disk, root, b"....", flush=True)
    disk.sync_directory(str(root))
    disk.pwrite(fd, b"a", 0)
    disk.lose(fd)
    disk.pwrite(fd, b"b", 1)
    disk.fsync(fd)
    assert left(disk, "file") == {b".b..", b"ab.."}
    disk.close(fd)


def test_what_was_there_before_is_flushed(root: Path) -> None:
    (root / "inner").mkdir()
    (root / "inner" / "file").write_bytes(b"before")
    disk = LossyDisk(root)
    assert left(disk, "inner/file") == {b"before"}
    fd = disk.open(str(root / "inner" / "file"), READ_WRITE)
    disk.pwrite(fd, b"B", 0)
    disk.close(fd)
    assert left(disk, "inner/file") == {b"before", b"Before"}


def test_a_file_that_came_in_another_way_is_found(disk: LossyDisk, root: Path) -> None:
    (root / "file").write_bytes(b"planted")
    fd = disk.open(str(root / "file"), READ_WRITE)
    disk.pwrite(fd, b"P", 0)
    disk.close(fd)
    assert left(disk, "file") == {b"planted", b"Planted"}


def test_a_directory_is_lost_with_all_that_is_in_it(disk: LossyDisk, root: Path) -> None:
    disk.mkdir(str(root / "inner"), 0o700)
    write_new(disk, str(root / "inner" / "file"), b"data")
    disk.sync_directory(str(root / "inner"))
    assert left(disk, "inner/file") == {b"data", None}
    disk.sync_directory(str(root))
    assert left(disk, "inner/file") == {b"data"}


def test_a_removed_directory_is_gone_when_that_is_flushed(disk: LossyDisk, root: Path) -> None:
    disk.mkdir(str(root / "inner"), 0o700)
    disk.sync_directory(str(root))
    disk.rmdir(str(root / "inner"))
    assert {(Path(crashed) / "inner").is_dir() for crashed in disk.power_cut()} == {True, False}
    disk.sync_directory(str(root))
    assert {(Path(crashed) / "inner").is_dir() for crashed in disk.power_cut()} == {False}


def test_a_vault_that_is_made_may_not_be_there_at_all(tmp_path: Path) -> None:
    disk = LossyDisk(tmp_path / "new")
    disk.mkdir(str(tmp_path / "new"), 0o700)
    assert {Path(crashed).exists() for crashed in disk.power_cut()} == {True, False}
    disk.sync_directory(str(tmp_path))
    assert {Path(crashed).exists() for crashed in disk.power_cut()} == {True}


def test_the_same_events_and_seed_give_the_same_states(tmp_path: Path) -> None:
    told = []
    for number in range(2):
        root = tmp_path / f"{number}"
        root.mkdir()
        disk = LossyDisk(root, seed=5)
        for name in "abcdef":
            disk.close(disk.open(str(root / name), CREATE_NEW, 0o600))
            replace_file(disk, str(root / "new"), str(root / name), name.encode() * 3000, flush=name > "d")
        told.append([(crashed.after, crashed.told) for crashed in disk.crash_states(bound=9)])
    assert told[0] == told[1]
    assert len(told[0]) == disk.explored > 50


def test_bounds_hold_and_no_state_comes_twice(disk: LossyDisk, root: Path) -> None:
    for name in "abc":
        disk.close(disk.open(str(root / name), CREATE_NEW, 0o600))
    assert len(list(disk.power_cut(bound=4))) == 4
    assert len(list(disk.crash_states(most=7))) == 7
    every = [frozenset(os.listdir(crashed)) for crashed in disk.crash_states()]
    assert len(every) == len(set(every)) == 8


def test_notes_tell_what_had_happened_before_the_cut(disk: LossyDisk, root: Path) -> None:
    disk.note("begun")
    write_new(disk, str(root / "file"), b"data")
    disk.sync_directory(str(root))
    disk.note("done")
    for crashed in disk.crash_states():
        if "done" in crashed.notes:
            assert (Path(crashed) / "file").read_bytes() == b"data"
    assert crashed.notes == ("begun", "done")
    assert "done" in str(crashed)


def test_a_crashed_vault_is_gone_when_the_next_one_is_asked_for(disk: LossyDisk, root: Path) -> None:
    disk.close(disk.open(str(root / "a"), CREATE_NEW, 0o600))
    states = disk.crash_states()
    first: Crashed = next(states)
    assert Path(first).is_dir()
    second = next(states)
    assert not Path(first).exists()
    assert Path(second).is_dir()
    list(states)
    assert os.listdir(f"{root}.crashed") == []


def test_zeros_stand_where_nobody_has_written() -> None:
    assert patched(b"ab", [DiskWrite(1, 4, b"x")]) == b"ab\0\0x"
    assert Kind(directory=False, mode=0o600).data == b""


@pytest.mark.slow
def test_the_index_may_be_gone_older_or_cut_until_it_is_flushed(tmp_path: Path) -> None:
    disk = LossyDisk(tmp_path / "vault")
    with open_store(tmp_path / "vault", disk=disk, key=KEY) as store:
        for name in "abc":
            store.create(name)
            store.count()
        logs, gone = set(), 0
        for crashed in disk.power_cut(bound=200):
            log = Path(crashed) / "index.sqlite-wal"
            logs.add(log.stat().st_size if log.exists() else None)
            gone += not (Path(crashed) / "index.sqlite").exists()
    disk.forget()
    assert len(logs) > 5
    assert gone >= 1
    after = {(Path(crashed) / "index.sqlite").exists() for crashed in disk.power_cut(bound=200)}
    assert after == {True, False}
    for crashed in disk.power_cut(bound=200):
        if (Path(crashed) / "index.sqlite").exists():
            with open_store(crashed, key=KEY) as store:
                assert [info.id for info in store.list(order="oldest")] == ["a", "b", "c"]


@pytest.mark.slow
def test_three_lines_cut_the_power(tmp_path: Path) -> None:
    """As the README shows it, with the threads of a real store."""
    path = tmp_path / "agent"
    disk = LossyDisk(path)
    with open_store(path, disk=disk, key=KEY) as store:
        store.create("chat")
        for number in range(3):
            store.append("chat", {"role": "user", "content": f"message {number}"})
            disk.note(number)
    states = 0
    for crashed in disk.crash_states(bound=4):
        with open_store(crashed, key=KEY) as store:
            told = len(crashed.notes)
            there = len(store.messages("chat")) if store.exists("chat") else 0
            assert told <= there <= told + 1
        states += 1
    assert states == disk.explored > 50


def test_an_index_that_was_found_is_lost_by_no_later_cut(tmp_path: Path) -> None:
    """A second cut once took back what the medium held before the recording began."""
    with open_store(tmp_path / "vault", key=KEY) as store:
        store.create("a")
        store.delete("a")
        store.create("b")
        store.count()
    disk = LossyDisk(tmp_path / "vault")
    with open_store(tmp_path / "vault", disk=disk, key=KEY) as store:
        store.append("b", {"n": 1})
        store.count()
    states = 0
    for crashed in disk.crash_states(since=0, bound=40):
        states += 1
        with contextlib.closing(sqlite3.connect(Path(crashed) / "index.sqlite")) as index:
            assert index.execute("SELECT count(*) FROM sessions").fetchone() == (1,)
            assert index.execute("SELECT count(*) FROM tombstones").fetchone() == (1,)
    disk.forget()
    assert states > 20
