"""On a full disk sessions are read, listed and removed, and the rest is refused in words that help."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.doctor import ReadOnlyDisk
from vaultsession.backends.files import index_schema
from vaultsession.engine import merge_policy
from vaultsession.errors import BackendUnavailable
from vaultsession.testing.clock import ManualClock
from vaultsession.util.disk import Disk

KEY = RawKey(bytes(range(100, 132)))
HELLO = {"role": "user", "content": "hello"}


class FullDisk(Disk):
    """Takes no new file and no longer one while it is ``full``."""

    full = False
    lets_grow = False

    def _refuse(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:  # type: ignore[override]  # static there
        if self.full and flags & os.O_CREAT and not os.path.exists(path):
            self._refuse()
        return Disk.open(path, flags, mode)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:  # type: ignore[override]  # as above
        if self.full and not self.lets_grow and offset + len(data) > os.fstat(fd).st_size:
            self._refuse()
        return os.pwrite(fd, data, offset)

    def has_room(self, path: str, size: int) -> bool:
        return not self.full and super().has_room(path, size)


@pytest.fixture
def disk() -> FullDisk:
    return FullDisk()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(tmp_path: Path, disk: FullDisk, clock: ManualClock) -> Callable[[], SessionStore]:
    return lambda: open_store(tmp_path / "vault", key=KEY, disk=disk, clock=clock)


@pytest.fixture
def filled(opened: Callable[[], SessionStore], clock: ManualClock) -> Callable[[], SessionStore]:
    with opened() as store:
        for name in ("a", "b", "c"):
            store.create(name, messages=[HELLO])
        store.create("short", ttl=10)
    clock.advance(11)
    return opened


@pytest.fixture
def without_index(monkeypatch: pytest.MonkeyPatch, disk: FullDisk) -> None:
    """What SQLite says on a full disk, where it has no room for its shared memory."""
    real = index_schema._connect

    def connect(path: str, mode: str) -> sqlite3.Connection:
        if disk.full:
            raise sqlite3.OperationalError("disk I/O error")
        return real(path, mode)

    monkeypatch.setattr(index_schema, "_connect", connect)


@pytest.mark.usefixtures("without_index")
def test_a_store_that_is_opened_on_a_full_disk_reads_lists_and_removes(
    filled: Callable[[], SessionStore], disk: FullDisk, tmp_path: Path
) -> None:
    disk.full = True
    with filled() as store:
        assert store.load("a").message_count == 1
        assert sorted(info.id for info in store.list()) == ["a", "b", "c"]
        assert store.count() == 3
        assert len(list(store.export())) == 3
        assert len(list(store.search("hello"))) == 3
        assert store.stats()["sessions"] == 4
        assert store.verify().ok
        with pytest.raises(BackendUnavailable):
            store.append("a", HELLO)
        assert store.delete("a")
        assert store.sweep() == 1
        assert sorted(info.id for info in store.list()) == ["b", "c"]
        health = store.health()
        assert not health["ok"]
        assert "no space left" in health["files"]
        assert "listed from their files" in health["index"]
        disk.full = False  # room was made: the same process goes on
        assert store.health()["ok"]
        assert store.append("b", HELLO).message_count == 2
        assert sorted(info.id for info in store.list()) == ["b", "c"]
    assert len(os.listdir(tmp_path / "vault" / "sessions")) == 2
    with filled() as store:
        assert store.verify().ok
        assert store.get("a") is None
        assert store.health()["ok"]


@pytest.mark.usefixtures("without_index")
def test_a_store_that_was_open_before_goes_on_reading_and_listing(
    filled: Callable[[], SessionStore], disk: FullDisk
) -> None:
    with filled() as store:
        store.append("a", HELLO)
        disk.full = True
        store._backend._index._reader.close()
        store._backend._index._writer.close()
        assert store.load("a").message_count == 2
        assert {info.id: info.message_count for info in store.list()} == {"a": 2, "b": 1, "c": 1}
        assert store.delete("c")
        assert store.count() == 2
        disk.full = False
        assert store.count() == 2
        assert store.get("c") is None


def test_a_record_is_written_where_there_is_no_room_to_join_small_ones(
    filled: Callable[[], SessionStore], disk: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge_policy, "APPENDED_FLOOR", 100)
    monkeypatch.setattr(merge_policy, "RUN", 0)
    with filled() as store:
        for number in range(3):
            store.append("a", HELLO, {"n": number})
        generation = store._backend.head(store._key("a")).generation
        disk.full = disk.lets_grow = True
        for number in range(20):
            assert store.append("a", {"n": number}).message_count == 8 + number
        assert store._backend.head(store._key("a")).generation == generation
        disk.full = False
        store.append("a", HELLO)
        assert store._backend.head(store._key("a")).generation == generation + 1
        assert store.load("a").message_count == 28


def test_what_is_refused_says_what_frees_some(filled: Callable[[], SessionStore], disk: FullDisk) -> None:
    with filled() as store:
        disk.full = True
        with pytest.raises(BackendUnavailable, match=r"no space left.*vaultsession sweep"):
            store.create("new")
        with pytest.raises(BackendUnavailable, match=r"No space left.*the session is as it was"):
            store.append("a", {"content": "x" * 5000})


def test_a_backup_without_an_index_on_a_read_only_medium_is_listed_searched_and_exported(
    filled: Callable[[], SessionStore], tmp_path: Path, clock: ManualClock, caplog: Any
) -> None:
    del filled
    for name in (tmp_path / "vault").glob("index.sqlite*"):
        name.unlink()
    before = sorted(os.listdir(tmp_path / "vault"))
    with open_store(tmp_path / "vault", key=KEY, disk=ReadOnlyDisk(), clock=clock) as store:
        assert sorted(info.id for info in store.list()) == ["a", "b", "c"]
        assert len(store.list(limit=1, order="oldest")) == 1
        assert len(list(store.search("hello"))) == 3
        assert len(list(store.export())) == 3
        assert store.verify().ok
        assert not store.health()["ok"]
    assert sorted(os.listdir(tmp_path / "vault")) == before
    assert caplog.text.count("listed without the index") == 1
