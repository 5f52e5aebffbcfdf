"""Zeros behind the last record: they are no part of the container, and what is written into them is seen by everyone."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from files_lab import preallocate_early, session_path

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import preallocation
from vaultsession.errors import BackendUnavailable
from vaultsession.format import record
from vaultsession.format.sealed import IndexRow, Query
from vaultsession.testing.faulty_disk import FaultyDisk
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

LONG = "x" * 50_000


@pytest.fixture
def long(files: FilesBackend, scribe: Sealer) -> str:
    """The key of a session that is long enough to have room."""
    key = scribe.key("long")
    files.commit(key, scribe.create(key, LONG))
    return key


def room_of(path: Path, key: str, row: object) -> int:
    assert isinstance(row, IndexRow)
    return session_path(path, key).stat().st_size - row.size


def test_a_long_session_is_given_room_and_most_records_change_no_size(
    path: Path, files: FilesBackend, scribe: Sealer, long: str
) -> None:
    sizes = set()
    for number in range(40):
        row = files.commit(long, scribe.append(f"turn {number}")).after
        left = room_of(path, long, row)
        assert 0 <= left <= row.size // preallocation.SHARE
        sizes.add(row.size + left)
    assert len(sizes) <= 4
    assert all(size % preallocation.BLOCK == 0 for size in sizes)
    assert scribe.texts(files, long) == [LONG, *(f"turn {number}" for number in range(40))]


def test_a_short_session_is_given_the_rest_of_its_last_block(path: Path, files: FilesBackend, scribe: Sealer) -> None:
    key = scribe.key("short")
    files.commit(key, scribe.create(key))
    sizes = set()
    for number in range(20):
        row = files.commit(key, scribe.append(f"turn {number}")).after
        sizes.add(row.size + room_of(path, key, row))
        assert room_of(path, key, row) < preallocation.BLOCK
    assert len(sizes) <= 3
    assert scribe.texts(files, key) == ["first", *(f"turn {number}" for number in range(20))]


def test_a_record_that_would_fill_the_room_at_once_is_given_none(
    path: Path, files: FilesBackend, scribe: Sealer, long: str
) -> None:
    assert room_of(path, long, files.commit(long, scribe.append("y" * 5_000)).after) == 0


def test_without_flushes_there_is_no_room(path: Path, opening: Any, scribe: Sealer) -> None:
    key = scribe.key("long")
    backend = opening(durability="os")
    backend.commit(key, scribe.create(key, LONG))
    assert room_of(path, key, backend.commit(key, scribe.append()).after) == 0


def test_what_another_store_writes_into_the_room_is_seen_at_once(
    path: Path, files: FilesBackend, opening: Any, scribe: Sealer, long: str
) -> None:
    """Neither inode nor size shows it: only the bytes behind the last record do."""
    other = opening()
    files.commit(long, scribe.append("0"))
    size = session_path(path, long).stat().st_size
    for number, (writer, reader) in enumerate([(other, files), (files, other)] * 5, 1):
        row = writer.commit(long, scribe.append(str(number))).after
        assert reader.head(long)[:-2] == row[:-2]
        assert session_path(path, long).stat().st_size == size
    assert scribe.texts(files, long) == [LONG, *map(str, range(11))]


def test_the_next_opening_finds_the_end_and_lists_it(
    path: Path, files: FilesBackend, opening: Any, scribe: Sealer, long: str
) -> None:
    row = files.commit(long, scribe.append()).after
    assert room_of(path, long, row) > 0
    files.close()
    again = opening(describe=Sealer(scribe.keyring).describe)
    assert again.head(long).witness == row.witness
    assert again.head(long).size == row.size
    assert not again.head(long).torn
    container = again.read(long)
    assert container.size == row.size
    assert not any(again.reindex(everything=False)[1:])


def test_a_record_that_was_written_into_preallocated_bytes_is_listed_by_a_rebuild(
    files: FilesBackend, opening: Any, scribe: Sealer, long: str
) -> None:
    other = opening()
    files.commit(long, scribe.append("one"))
    assert len(list(files.scan(Query()))) == 1
    row = files.commit(long, scribe.append("two")).after
    files._index._buffer.take()  # it dies before the index is written
    files._index._buffer.written()
    assert other.reindex(everything=False).changed == 1
    assert [each.version for each in other.scan(Query())] == [row.version]


def test_garbage_in_the_room_is_a_torn_tail(
    path: Path, files: FilesBackend, opening: Any, scribe: Sealer, long: str
) -> None:
    row = files.commit(long, scribe.append()).after
    with session_path(path, long).open("r+b") as file:
        file.seek(row.size)
        file.write(b"half a record")
    for backend in (files, opening()):
        assert backend.head(long).torn
        assert backend.head(long).size == row.size
    assert not files.commit(long, scribe.append("next")).after.torn
    ((_, size, name),) = files.quarantine.entries()
    assert (path / "quarantine" / name).read_bytes() == b"half a record"
    assert size == 13
    assert not opening().head(long).torn


def test_zeros_that_nobody_of_us_wrote_are_a_torn_tail(
    path: Path, files: FilesBackend, scribe: Sealer, long: str
) -> None:
    row = files.commit(long, scribe.append()).after
    os.truncate(session_path(path, long), row.size + preallocation.LIMIT + 1)
    assert files.head(long).torn


def test_a_container_that_was_replaced_has_no_room(path: Path, files: FilesBackend, scribe: Sealer, long: str) -> None:
    files.commit(long, scribe.append())
    row = files.commit(long, scribe.create(long, LONG)).after
    assert room_of(path, long, row) == 0


@pytest.mark.parametrize("short", [False, True])
def test_a_medium_without_room_takes_the_record_all_the_same(
    path: Path, opening: Any, scribe: Sealer, long: str, short: bool
) -> None:
    class Full(Disk):
        """Takes records and no zeros, or half of them."""

        def pwrite(self, fd: int, data: bytes, offset: int) -> int:
            if not any(data):
                if short and len(data) > 1:
                    return Disk.pwrite(fd, data[: len(data) // 2], offset) if len(data) > 1500 else self._refused()
                self._refused()
            return Disk.pwrite(fd, data, offset)

        def _refused(self) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    backend = opening(disk=Full())
    for number in range(3):
        row = backend.commit(long, scribe.append(str(number))).after
        assert backend.head(long)[:-2] == row[:-2]
    assert (room_of(path, long, row) > 0) is short
    assert scribe.texts(backend, long) == [LONG, "0", "1", "2"]


def test_a_write_into_the_room_that_fails_half_way_is_taken_back(
    path: Path, opening: Any, scribe: Sealer, long: str
) -> None:
    disk = FaultyDisk(only=("pwrite",), short=True)
    backend = opening(disk=disk)
    row = backend.commit(long, scribe.append("one")).after
    assert room_of(path, long, row) > 0
    inode = session_path(path, long).stat().st_ino
    disk.fail(1)
    with pytest.raises(BackendUnavailable, match="the session is as it was"):
        backend.commit(long, scribe.append("two"))
    assert session_path(path, long).stat().st_ino != inode
    assert backend.head(long).version == row.version
    backend.commit(long, scribe.append("three"))
    assert scribe.texts(backend, long) == [LONG, "one", "three"]


def test_a_write_into_the_room_that_is_refused_leaves_the_file_alone(
    path: Path, opening: Any, scribe: Sealer, long: str
) -> None:
    disk = FaultyDisk(only=("pwrite",), errno=errno.ENOSPC)
    backend = opening(disk=disk)
    backend.commit(long, scribe.append("one"))
    before = session_path(path, long).read_bytes()
    disk.fail(1, times=100)
    with pytest.raises(BackendUnavailable, match="No space"):
        backend.commit(long, scribe.append("two"))
    assert session_path(path, long).read_bytes() == before


def test_two_stores_that_do_not_look_into_the_room_lose_a_record(
    path: Path, opening: Any, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the test above: this is what it would miss."""
    preallocate_early(monkeypatch)
    monkeypatch.setattr(preallocation, "is_empty", lambda *_: True)
    one, other, key = opening(), opening(), scribe.key("a")
    one.commit(key, scribe.create(key))
    one.commit(key, scribe.append("one"))
    other.head(key)
    one.commit(key, scribe.append("two"))
    assert other.head(key) != one.head(key)


def test_the_end_of_any_file_is_found(tmp_path: Path) -> None:
    disk, name = Disk(), tmp_path / "file"
    for content in (0, 1, record.HEADER_SIZE, 500, preallocation.BLOCK, 200_000):
        for zeros in (0, 1, preallocation.BLOCK - 1, preallocation.BLOCK, preallocation.LIMIT, preallocation.LIMIT + 1):
            data = b"\xff" * content + bytes(zeros)
            name.write_bytes(data)
            with name.open("rb") as file:
                end = preallocation.end_of(disk, file.fileno(), len(data))
            expected = content if content >= record.HEADER_SIZE and zeros <= preallocation.LIMIT else len(data)
            assert (end, len(preallocation.without(data))) == (expected, expected), (content, zeros)
