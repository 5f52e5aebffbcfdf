"""Rows are compared with containers a batch at a time, whatever changes meanwhile."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from files_lab import session_path
from sql_servers import sqlite_file

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import index_queries, rebuild
from vaultsession.format.ids import locator_of
from vaultsession.format.sealed import Query
from vaultsession.testing.faulty_disk import FaultyDisk
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

Opening = Callable[..., FilesBackend]


def filled(backend: FilesBackend, scribe: Sealer) -> list[str]:
    keys = [scribe.key(str(number)) for number in range(150)]
    for key in keys:
        backend.commit(key, scribe.create(key))
    assert len({locator_of(key)[0] for key in keys}) > 20
    return keys


def unlisted(path: Path, backend: FilesBackend, scribe: Sealer) -> list[str]:
    """Twelve sessions, and no index of them."""
    keys = [scribe.key(str(number)) for number in range(12)]
    for key in keys:
        backend.commit(key, scribe.create(key))
    backend.close()
    (path / "index.sqlite").unlink()
    return keys


def test_rows_and_names_are_held_a_batch_at_a_time(opening: Opening, scribe: Sealer, monkeypatch: Any) -> None:
    monkeypatch.setattr(rebuild, "BATCH", 40)
    backend = opening(durability="os")
    keys = filled(backend, scribe)
    assert backend.count(Query()) == len(keys)
    held: list[int] = []
    summaries = index_queries._summaries

    def noted(connection: Any, where: str, values: Any) -> dict[str, Any]:
        found = summaries(connection, where, values)
        held.append(len(found))
        return found

    monkeypatch.setattr(index_queries, "_summaries", noted)
    report = backend.reindex(everything=False)
    assert (report.scanned, report.changed, report.removed) == (len(keys), 0, 0)
    assert max(held) == 40
    assert sum(held) == len(keys)  # beside the names; none is without a container


def test_what_is_missing_on_either_side_is_found(path: Path, opening: Opening, scribe: Sealer) -> None:
    backend = opening(durability="os")
    keys = filled(backend, scribe)
    backend.close()
    gone, unlisted = set(keys[::3]), set(keys[1::3])
    for key in gone:
        session_path(path, key).unlink()
    with sqlite_file(path / "index.sqlite") as index:
        index.executemany("DELETE FROM sessions WHERE key = ?", [(key,) for key in unlisted])
    index.close()
    other = opening(durability="os")
    report = other.reindex(everything=False)
    assert (report.scanned, report.changed, report.removed) == (100, len(unlisted), len(gone))
    assert {row.key for row in other.scan(Query())} == set(keys) - gone


def test_a_session_that_is_made_while_the_directory_was_being_read_stays_listed(
    opening: Opening, scribe: Sealer
) -> None:
    """Its row is there when the rows are read, and its container was not when the names were."""
    other = opening(durability="os")
    keys = [scribe.key(name) for name in "ab"]
    other.commit(keys[0], scribe.create(keys[0]))
    disk = Disk()
    listed = disk.names

    def raced(directory: str) -> Iterator[str]:
        names = list(listed(directory))
        if directory.endswith("sessions"):
            other.commit(keys[1], scribe.create(keys[1]))
            assert other.count(Query()) == 2  # which writes its row
        return iter(names)

    disk.names = raced  # type: ignore[method-assign]  # one call of this disk alone
    backend = opening(disk=disk, durability="os")
    report = backend.reindex(everything=False)
    assert report.removed == 0
    assert {row.key for row in backend.scan(Query())} == set(keys)


def test_containers_that_are_not_in_memory_are_waited_for_together(
    opening: Opening, scribe: Sealer, monkeypatch: Any
) -> None:
    monkeypatch.setattr(rebuild, "_OPEN_TOGETHER", 4)
    backend = opening(durability="os")
    for key in map(scribe.key, "abcdefghij"):
        backend.commit(key, scribe.create(key))
    backend.close()
    calls: list[str] = []

    class Watched(Disk):
        def begin_read(self, fd: int, size: int, offset: int) -> None:
            calls.append("begin")
            super().begin_read(fd, size, offset)

        @staticmethod
        def pread(fd: int, size: int, offset: int) -> bytes:
            if calls:
                calls.append("read")
            return Disk.pread(fd, size, offset)

    other = opening(disk=Watched(), durability="os")
    assert other.reindex(everything=False).changed == 0
    assert [(name, len(list(group))) for name, group in itertools.groupby(calls)] == [
        ("begin", 4),
        ("read", 8),
        ("begin", 4),
        ("read", 8),
        ("begin", 2),
        ("read", 4),
    ]


@pytest.mark.parametrize("call", ["open", "pread", "fstat", "close"])
def test_a_container_that_cannot_be_compared_is_read_and_the_others_agree(
    call: str, opening: Opening, scribe: Sealer
) -> None:
    disk = FaultyDisk(only={call})
    backend = opening(disk=disk, durability="os")
    keys = [scribe.key(name) for name in "abc"]
    for key in keys:
        backend.commit(key, scribe.create(key))
    assert backend.count(Query()) == 3
    for k in range(1, 8):
        before = len(os.listdir("/proc/self/fd"))
        disk.fail(k)
        report = backend.reindex(everything=False)
        disk.fail(0)
        assert (report.scanned, report.removed, report.unreadable) == (3, 0, 0)
        assert report.changed <= 1
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # that of a container which was read stays open
    assert {row.key for row in backend.scan(Query())} == set(keys)


def test_a_session_whose_file_has_another_slug_than_its_row_keeps_both(
    path: Path, opening: Opening, scribe: Sealer
) -> None:
    backend = opening(durability="os")
    key = scribe.key("alice")
    backend.commit(key, scribe.create(key))
    backend.close()
    session_path(path, key).rename(session_path(path, f"bob~{locator_of(key)}"))
    other = opening(durability="os")
    report = other.reindex(everything=False)
    assert (report.scanned, report.removed, report.unreadable) == (1, 0, 0)
    assert other.count(Query()) == 1


def test_a_row_is_looked_for_only_where_its_container_was_not_met(path: Path, opening: Opening, scribe: Sealer) -> None:
    backend = opening(durability="os")
    keys = filled(backend, scribe)
    backend.close()
    session_path(path, keys[7]).unlink()
    looked: list[str] = []

    class Watched(Disk):
        @staticmethod
        def stat(path: str) -> os.stat_result:
            looked.append(os.path.basename(path))
            return Disk.stat(path)

    report = opening(disk=Watched(), durability="os").reindex(everything=False)
    assert (report.scanned, report.removed) == (len(keys) - 1, 1)
    assert {name for name in looked if name.endswith(".vss")} == {session_path(path, keys[7]).name}


@pytest.mark.parametrize("change", ["version = zeroblob(16)", "size = size - 1", "size = size + 1"])
def test_a_row_is_believed_where_it_names_the_last_record_and_the_size_of_its_container(
    change: str, path: Path, opening: Opening, scribe: Sealer
) -> None:
    backend = opening(durability="os")
    keys = [scribe.key(name) for name in "ab"]
    for key in keys:
        backend.commit(key, scribe.create(key))
    rows = {(row.key, row.version, row.size) for row in backend.scan(Query())}
    backend.close()
    with sqlite_file(path / "index.sqlite") as index:
        index.execute(f"UPDATE sessions SET {change} WHERE key = ?", (keys[0],))
    index.close()
    other = opening(durability="os")
    assert other.reindex(everything=False).changed == 1
    assert {(row.key, row.version, row.size) for row in other.scan(Query())} == rows


def test_what_an_index_is_built_anew_from_is_read_ahead_and_flushed_side_by_side(
    path: Path, opening: Opening, scribe: Sealer
) -> None:
    """Each flush of 10 000 containers waited for the one before: 15 s on ext4 and 40 on XFS, and 3 side by side."""
    keys = unlisted(path, opening(), scribe)
    begun, flushing, together = 0, 0, 0
    mutex = threading.Lock()

    class Slow(Disk):
        def begin_read(self, fd: int, size: int, offset: int) -> None:
            nonlocal begun
            begun += 1
            super().begin_read(fd, size, offset)

        def fdatasync(self, fd: int) -> None:
            nonlocal flushing, together
            with mutex:
                flushing += 1
                together = max(together, flushing)
            time.sleep(0.002)
            with mutex:
                flushing -= 1

    other = opening(disk=Slow())
    assert other.count(Query()) == begun == len(keys)
    assert together > 1
    assert all(other.witness_of(key) is not None for key in keys)


def test_only_what_could_be_flushed_becomes_a_witness(path: Path, opening: Opening, scribe: Sealer) -> None:
    keys = unlisted(path, opening(), scribe)
    other = opening(disk=FaultyDisk(5, times=3, only={"fdatasync"}))
    assert other.count(Query()) == len(keys)
    with sqlite_file(path / "index.sqlite") as index:
        assert index.execute("SELECT count(*) FROM sessions WHERE witness IS NULL").fetchone() == (3,)
    index.close()
