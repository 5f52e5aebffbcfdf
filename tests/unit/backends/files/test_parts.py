"""Layout, locks, markers, the buffer of the index, quarantine and the rows of the index, each by itself."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import pytest
from files_lab import NoDirectoryFlush

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import index, index_queries, index_schema, index_thread, locks, writers
from vaultsession.backends.files.index import IndexBuffer
from vaultsession.backends.files.index_schema import IndexEntry
from vaultsession.backends.files.layout import STRIPES, FilesLayout, key_in, stripe_of, temporary_in
from vaultsession.backends.files.open_files import DirectoryFlush
from vaultsession.backends.files.quarantine import Quarantine
from vaultsession.backends.files.writers import WriterMarkers
from vaultsession.errors import BackendUnavailable
from vaultsession.format.sealed import IndexRow, Query, Tombstone, Witness
from vaultsession.testing.faulty_disk import FaultyDisk
from vaultsession.testing.sealer import Sealer
from vaultsession.util import deadline
from vaultsession.util.disk import Disk

Opening = Callable[..., FilesBackend]
LOCATOR = "0123456789abcdefghijklmnopqrstuv"


def row(generation: int = 1, seq: int = 0, *, name: str = "", **fields: Any) -> IndexRow:
    version = generation.to_bytes(8, "big") + seq.to_bytes(8, "big")
    made = IndexRow(name + LOCATOR, generation, seq, version, 5, None, 100, (), b"blob")
    return made._replace(**fields)


def entry(generation: int = 1, seq: int = 0, *, flushed: bool = True, **fields: Any) -> IndexEntry:
    made = row(generation, seq, **fields)
    return IndexEntry(made, None, made.witness if flushed else None)


def deleted(generation: int) -> IndexEntry:
    return IndexEntry(None, Tombstone(LOCATOR, generation, b"mac"), None)


# -- names -------------------------------------------------------------------------------------------------------------


def test_only_our_own_names_are_understood(path: Path) -> None:
    layout = FilesLayout(str(path))
    key = f"a-slug~{LOCATOR}"
    assert key_in(os.path.basename(layout.session(key))) == key
    assert temporary_in(os.path.basename(layout.temporary(LOCATOR))) == LOCATOR
    for name in (
        "x.vss",
        f"{LOCATOR}.vsf",
        f"{LOCATOR}.vss.bak",
        f"../{LOCATOR}.vss",
        f".{LOCATOR}.vss",
        "",
        ".",
        ".vss",
    ):
        assert key_in(name) is None
    for name in (f".{LOCATOR}.tmp", f".{LOCATOR}.zz.tmp", f"{LOCATOR}.vss", ".swp"):
        assert temporary_in(name) is None


def test_stripes_spread_evenly() -> None:
    scribe = Sealer()
    counts = [0] * STRIPES
    for number in range(64 * 100):
        counts[stripe_of(scribe.key(str(number))[-32:])] += 1
    assert min(counts) > 50
    assert max(counts) < 150


def test_the_stripe_of_a_session_is_one_lock_for_all_threads(tmp_path: Path) -> None:
    """A mutex stands beside each file lock; two objects for one stripe would let two threads in."""
    stripes = locks.Stripes(Disk(), FilesLayout(str(tmp_path)))
    for number in range(STRIPES):
        locator = f"{number:02d}" + LOCATOR[2:]
        start, found = threading.Barrier(4), []

        def look(locator: str = locator, start: threading.Barrier = start, found: list[object] = found) -> None:
            start.wait()
            found.append(stripes.of(locator))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, found))) == 1


# -- flushes of the directory ------------------------------------------------------------------------------------------


class SlowDirectory(Disk):
    """Flushes of which the first takes until it is let go; those in ``failing``, by number, fail."""

    def __init__(self, *failing: int) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.flushes = 0
        self._failing = failing

    def sync_directory(self, path: str) -> None:
        self.flushes += 1
        number = self.flushes
        self.begun.set()
        assert self.let_go.wait(60)
        if number in self._failing:
            raise OSError(errno.EIO, "no")


def flushed_by_threads(disk: SlowDirectory, count: int) -> list[str]:
    """What became of so many flushes that are asked for while a first one is under way, and of one afterwards."""
    flush, outcomes = DirectoryFlush(disk, "sessions"), []

    def ask() -> None:
        try:
            flush()
        except OSError:
            outcomes.append("failed")
        else:
            outcomes.append("flushed")

    threads = [threading.Thread(target=ask) for _ in range(1 + count)]
    threads[0].start()
    assert disk.begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    while flush._asked <= count:
        time.sleep(0.0005)
    disk.let_go.set()
    for thread in threads:
        thread.join(60)
    ask()
    return outcomes


def test_threads_share_a_flush_of_the_directory_that_began_after_their_change() -> None:
    disk = SlowDirectory()
    assert flushed_by_threads(disk, 5) == ["flushed"] * 7
    assert disk.flushes == 3  # the one that had begun before, one for the five, and the one afterwards


def test_a_flush_of_the_directory_that_failed_failed_for_all_that_it_would_have_covered() -> None:
    disk = SlowDirectory(2)
    assert sorted(flushed_by_threads(disk, 5)[:-1]) == ["failed"] * 5 + ["flushed"]
    assert disk.flushes == 3


# -- locks -------------------------------------------------------------------------------------------------------------


class NoFlock:
    """A disk of a system without flock."""

    def __init__(self) -> None:
        real = Disk()
        for name in ("open", "close", "stat", "fstat", "pread", "pwrite"):
            setattr(self, name, getattr(real, name))


@pytest.mark.parametrize("disk", [Disk(), NoFlock()], ids=["flock", "filelock"])
def test_a_lock_keeps_others_out(tmp_path: Path, disk: Any) -> None:
    path = str(tmp_path / "lock")
    one, other = locks.PathLock(disk, path), locks.PathLock(disk, path)
    inside: list[str] = []
    with one.mutex, one:
        descriptor = locks.open_lock(disk, path)
        assert not locks.try_lock(disk, descriptor.fd)

        def wait() -> None:
            with other.mutex, other:
                inside.append("other")

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.1)
        assert inside == []
        inside.append("one")
    thread.join()
    assert inside == ["one", "other"]
    assert locks.try_lock(disk, descriptor.fd)
    locks.unlock(disk, descriptor.fd)
    assert filelock.lock_descriptor(descriptor.fd, blocking=False)


def test_a_planted_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    os.link(tmp_path / "outside", tmp_path / "hard")
    for name in ("link", "hard"):
        lock = locks.PathLock(Disk(), str(tmp_path / name))
        with pytest.raises(BackendUnavailable), lock.mutex, lock:
            pass
        assert not lock.is_ours()


def test_a_lock_that_cannot_be_had_is_let_go(tmp_path: Path) -> None:
    disk = FaultyDisk(only=("open",))
    lock = locks.PathLock(disk, str(tmp_path / "lock"))
    disk.fail(1, times=100)
    with pytest.raises(BackendUnavailable), lock.mutex, lock:
        pass
    disk.fail(0)
    with lock.mutex, lock:
        pass


def test_a_lock_that_is_free_in_a_moment_is_waited_for_without_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = locks.open_lock(Disk(), str(tmp_path / "lock"))
    assert locks.try_lock(Disk(), held.fd)
    monkeypatch.setattr(locks.time, "sleep", lambda _: locks.unlock(Disk(), held.fd))
    monkeypatch.setattr(locks, "within", pytest.fail)
    waiting = locks.PathLock(Disk(), str(tmp_path / "lock"))
    with waiting.mutex, waiting:
        assert not locks.try_lock(Disk(), held.fd)


@pytest.mark.parametrize("disk", [Disk(), NoFlock()], ids=["flock", "filelock"])
def test_a_lock_whose_holder_was_stopped_is_waited_for_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, disk: Any
) -> None:
    """A process got SIGSTOP while it held a stripe. Its lock is held for as long, and others waited for ever."""
    monkeypatch.setattr(locks, "PATIENCE", 0.02)
    monkeypatch.setattr(deadline, "ANNOUNCED", 0.01)
    path = str(tmp_path / "lock")
    stopped = locks.open_lock(disk, path)
    assert locks.try_lock(disk, stopped.fd)
    waiting = locks.PathLock(disk, path)
    said = r"lock: (process \d+|another process) has held this lock for more than 0\.02 s"
    with pytest.raises(BackendUnavailable, match=said), waiting.mutex, waiting:
        pytest.fail("two held it at once")
    assert f"waiting for the lock {path}" in caplog.text
    monkeypatch.setattr(locks, "PATIENCE", 60.0)
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable, match="has held this lock"), waiting.mutex, waiting:  # at once, this time
        pytest.fail("two held it at once")
    assert time.monotonic() - begun < 30
    given_up = waiting._given_up
    assert given_up is not None
    locks.unlock(disk, stopped.fd)
    while not given_up.is_over:
        time.sleep(0.001)
    with waiting.mutex, waiting:  # what was granted to the one that gave up is not held
        assert not locks.try_lock(disk, stopped.fd)
    assert locks.try_lock(disk, stopped.fd)


def test_a_wait_for_a_lock_may_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "lock")
    holder = locks.open_lock(Disk(), path)
    assert locks.try_lock(Disk(), holder.fd)
    waiting = locks.PathLock(Disk(), path)

    def interrupted(_seconds: float, _what: str, _ask: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(locks, "within", interrupted)
    with pytest.raises(KeyboardInterrupt), waiting.mutex, waiting:
        pytest.fail("two held it at once")
    locks.unlock(Disk(), holder.fd)
    with waiting.mutex, waiting:
        assert not locks.try_lock(Disk(), holder.fd)


def test_a_lock_is_had_where_no_thread_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "lock")
    holder = locks.open_lock(Disk(), path)
    assert locks.try_lock(Disk(), holder.fd)

    def refused(_thread: object) -> None:
        locks.unlock(Disk(), holder.fd)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    lock = locks.PathLock(Disk(), path)
    with lock.mutex, lock:
        assert not locks.try_lock(Disk(), holder.fd)


def test_a_lock_that_is_seldom_asked_for_is_waited_for_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.01)
    path = str(tmp_path / "lock")
    holder, other = locks.open_lock(Disk(), path), locks.open_lock(Disk(), path)
    assert locks.try_lock(Disk(), holder.fd)
    with pytest.raises(BackendUnavailable, match="has held this lock"):
        locks.lock_rarely(Disk(), other.fd, path)
    threading.Timer(0.005, locks.unlock, (Disk(), holder.fd)).start()
    monkeypatch.setattr(locks, "PATIENCE", 60)
    locks.lock_rarely(Disk(), other.fd, path)


# -- markers -----------------------------------------------------------------------------------------------------------


def marked(path: Path) -> WriterMarkers:
    (path / "locks").mkdir(exist_ok=True)
    return WriterMarkers(Disk(), FilesLayout(str(path)), durable=True)


def test_a_marker_is_dirty_while_it_is_held(path: Path) -> None:
    one, other = marked(path), marked(path)
    assert one.take()
    assert one.take()
    assert other.take()
    first, second = path / "locks" / "writer-00", path / "locks" / "writer-01"
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"1")
    assert marked(path).dead() == []
    one.release(clean=True)
    other.release(clean=False)
    assert (first.read_bytes(), second.read_bytes()) == (b"0", b"1")
    dead = marked(path).dead()
    assert len(dead) == 1
    assert marked(path).dead() == []  # one at a time
    third = marked(path)
    third.clear(dead)
    assert second.read_bytes() == b"0"
    assert third.take()
    assert not (path / "locks" / "writer-02").exists()


def test_a_marker_is_flushed_before_the_first_session(opening: Opening, scribe: Sealer) -> None:
    disk = FaultyDisk()
    backend = opening(disk=disk)
    disk.calls.clear()
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    writes = [name for name in disk.calls if name in {"pwrite", "fsync", "fdatasync", "rename"}]
    assert writes == ["pwrite", "fsync", "fsync", "pwrite", "fsync", "fsync", "rename"]


def test_a_marker_whose_flush_failed_is_not_flushed_again(path: Path) -> None:
    """Two threads began a store's first write at once, and each saw to the marker.

    The first flush failed, the second one said yes: a flush after a failed one says nothing about the bytes, and the
    next session would have been written before the marker that must be there first.
    """
    (path / "locks").mkdir()
    disk = FaultyDisk(1, only=("fsync",))
    marker = WriterMarkers(disk, FilesLayout(str(path)), durable=True)
    assert marker.take()
    assert marker.take()
    marker.flush()
    marker.flush()
    with pytest.raises(OSError):
        marker.wait()
    assert not marker.held
    assert marker.take()
    marker.flush()
    marker.wait()
    assert (path / "locks" / "writer-01").read_bytes() == b"1"


def test_more_writers_than_markers_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "WRITERS", 3)
    held = [marked(path) for _ in range(3)]
    for each in held:
        each.take()
    with pytest.raises(BackendUnavailable, match="3 stores are writing"):
        marked(path).take()
    held[1].release(clean=False)
    assert not marked(path).take()  # only that of a dead writer is left


def test_markers_of_dead_writers_are_used_again_after_a_rebuild(
    path: Path, opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "WRITERS", 2)
    backend, dead = opening(), [marked(path), marked(path)]
    for each in dead:
        each.take()
    for each in dead:
        each.release(clean=False)
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    assert [(path / "locks" / f"writer-0{number}").read_bytes() for number in range(2)] == [b"1", b"0"]


# -- buffer ------------------------------------------------------------------------------------------------------------


def test_the_newest_entry_wins_and_the_witness_only_moves_forward() -> None:
    buffer = IndexBuffer()
    buffer.add(LOCATOR, entry(1, 4))
    buffer.add(LOCATOR, entry(1, 5, flushed=False))
    buffer.add(LOCATOR, entry(1, 3))
    found = buffer.get(LOCATOR)
    assert found is not None
    assert (found.row, found.witness) == (row(1, 5), row(1, 4).witness)


def test_a_tombstone_ends_what_is_not_above_it() -> None:
    buffer = IndexBuffer()
    buffer.add(LOCATOR, entry(3, 4))
    buffer.add(LOCATOR, deleted(3))
    buffer.add(LOCATOR, entry(2, 9))
    assert buffer.get(LOCATOR) == IndexEntry(None, deleted(3).tombstone, None)
    buffer.add(LOCATOR, entry(4))
    assert buffer.get(LOCATOR) == IndexEntry(row(4), deleted(3).tombstone, row(4).witness)


def test_what_was_not_written_waits_again() -> None:
    buffer = IndexBuffer()
    assert not buffer
    buffer.add(LOCATOR, entry(1, 1))
    assert list(buffer.take()) == [LOCATOR]
    assert buffer
    buffer.add(LOCATOR, entry(1, 2, flushed=False))
    expected = IndexEntry(row(1, 2), None, row(1, 1).witness)
    assert buffer.get(LOCATOR) == expected
    buffer.restore()
    assert buffer.take() == {LOCATOR: expected}
    buffer.written()
    assert not buffer


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def connection(tmp_path: Path) -> Any:
    path = str(tmp_path / "index.sqlite")
    index_schema.create(Disk(), path)
    connection, *_ = index_schema.connect(Disk(), path, writable=True)
    yield connection
    connection.close()


def stored(connection: sqlite3.Connection) -> tuple[list[IndexRow], Witness | None, list[int]]:
    rows = [
        index_schema.row_from(found)
        for found in connection.execute(f"SELECT locator, {index_schema.COLUMNS} FROM sessions")
    ]
    witness = connection.execute("SELECT witness FROM sessions").fetchone()
    tombstones = [found[0] for found in connection.execute("SELECT generation FROM tombstones")]
    return rows, index_schema.unpack_witness(witness[0]) if witness else None, tombstones


def test_rows_are_written_in_version_order(connection: sqlite3.Connection) -> None:
    tagged = {"tags": (b"t" * 16, b"u" * 16), "expires": 9}
    index_schema.apply(connection, LOCATOR, entry(2, 3, **tagged))
    index_schema.apply(connection, LOCATOR, entry(2, 1))
    index_schema.apply(connection, LOCATOR, entry(1, 9))
    assert stored(connection) == ([row(2, 3, **tagged)], row(2, 3).witness, [])
    index_schema.apply(connection, LOCATOR, entry(2, 4, flushed=False, updated=6, tags=(b"u" * 16,)))
    assert stored(connection) == ([row(2, 4, updated=6, tags=(b"u" * 16,))], row(2, 3).witness, [])
    assert connection.execute("SELECT * FROM tags").fetchall() == [(b"u" * 16, 6, LOCATOR, None)]
    index_schema.apply(connection, LOCATOR, IndexEntry(row(2, 1), None, row(2, 4).witness))
    assert stored(connection)[1] == row(2, 4).witness


def test_a_row_can_be_set_back_to_what_the_container_says(connection: sqlite3.Connection) -> None:
    index_schema.apply(connection, LOCATOR, entry(2, 3, flushed=False))
    index_schema.apply(connection, LOCATOR, IndexEntry(row(2, 1), None, None, replacing=b"another version."))
    assert stored(connection)[0] == [row(2, 3)]
    index_schema.apply(connection, LOCATOR, IndexEntry(row(2, 1), None, None, replacing=row(2, 3).version))
    assert stored(connection)[0] == [row(2, 1)]


def test_a_tombstone_removes_what_is_not_above_it(connection: sqlite3.Connection) -> None:
    index_schema.apply(connection, LOCATOR, entry(2, 3, tags=(b"t" * 16,)))
    index_schema.apply(connection, LOCATOR, deleted(1))
    assert stored(connection)[0] != []
    index_schema.apply(connection, LOCATOR, deleted(2))
    assert stored(connection) == ([], None, [2])
    assert connection.execute("SELECT * FROM tags").fetchall() == []
    index_schema.apply(connection, LOCATOR, entry(2, 9))
    index_schema.apply(connection, LOCATOR, deleted(1))
    assert stored(connection) == ([], None, [2])
    index_schema.apply(connection, LOCATOR, entry(3))
    assert stored(connection)[0] == [row(3)]


@pytest.mark.parametrize(
    "query",
    [
        Query(tags=(b"t" * 16,), alive_at=5),
        Query(tags=(b"t" * 16, b"u" * 16)),
        Query(expired_at=5),
        Query(alive_at=5),
        Query(),
        Query(tags=(b"t" * 16,), after=(7, LOCATOR), newest_first=False),
    ],
)
def test_no_listing_scans_a_table_or_sorts_what_is_stored_in_order(
    connection: sqlite3.Connection, query: Query
) -> None:
    text, values = index_queries.page_statement(query, query.after, 50, 0)
    plan = [found[3] for found in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    assert not [step for step in plan if step.startswith("SCAN") and "USING" not in step], plan
    if query.expired_at is None:
        assert not [step for step in plan if "TEMP B-TREE" in step], plan


# -- the index, written behind -----------------------------------------------------------------------------------------


def test_the_index_is_written_behind_and_by_itself(opening: Opening, scribe: Sealer) -> None:
    backend, other, key = opening(), opening(), scribe.key("a")
    backend.commit(key, scribe.create(key))
    done = threading.Event()
    for _ in range(200):
        if other.count(Query()):
            break
        done.wait(0.02)
    assert other.count(Query()) == 1


def test_an_index_that_cannot_be_written_is_reported_and_tried_again(
    opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, key = opening(), scribe.key("a")
    monkeypatch.setattr(index_thread, "BATCH_SECONDS", 0.01)
    real = index.connect

    def refused(*how: Any, fall_back: bool, **more: Any) -> Any:
        if fall_back is reading:
            raise BackendUnavailable("the disk is full")
        return real(*how, fall_back=fall_back, **more)

    reading = True
    monkeypatch.setattr(index, "connect", refused)
    backend._index._reader.close()
    with pytest.raises(BackendUnavailable, match="full"):
        backend.commit(key, scribe.create(key))  # what was acknowledged cannot be asked
    reading = False
    backend.commit(key, scribe.create(key))
    backend._index._writer.close()
    backend.commit(key, scribe.append())
    assert str(backend.health()["index"]).startswith("the disk is full; ")
    assert scribe.texts(backend, key) == ["first", "more"]
    monkeypatch.setattr(index, "connect", real)
    assert backend.health() == {"files": None, "index": None}
    assert backend.count(Query()) == 1


def test_a_store_that_failed_leaves_its_marker_for_the_next(path: Path, opening: Opening, scribe: Sealer) -> None:
    disk = NoDirectoryFlush()
    backend, key = opening(disk=disk), scribe.key("a")
    backend.commit(key, scribe.create(key))
    disk.refuses = True
    with pytest.raises(Exception, match="directory"):
        backend.commit(key, scribe.create(key, "new"))
    disk.refuses = False
    backend.close()
    assert (path / "locks" / "writer-00").read_bytes() == b"1"
    other = opening()
    assert (path / "locks" / "writer-00").read_bytes() == b"0"
    assert [found.version for found in other.scan(Query())] == [other.head(key).version]


def test_rows_without_a_file_are_removed(path: Path, opening: Opening, scribe: Sealer) -> None:
    backend = opening()
    keys = [scribe.key(name) for name in "abc"]
    for key in keys:
        backend.commit(key, scribe.create(key))
    (path / "sessions" / f"{keys[1]}.vss").unlink()
    (path / "sessions" / "a stranger").touch()
    assert backend.count(Query()) == 3
    report = backend.reindex(everything=False)
    assert (report.scanned, report.changed, report.removed, report.unreadable) == (2, 0, 1, 0)
    assert sorted(found.key for found in backend.scan(Query())) == sorted([keys[0], keys[2]])


def test_what_cannot_be_read_stays_and_so_does_its_row(path: Path, opening: Opening, scribe: Sealer) -> None:
    backend = opening()
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    backend.close()
    file = path / "sessions" / f"{key}.vss"
    file.write_bytes(b"VSF1" + bytes(200))
    other = opening()
    seen: list[tuple[int, int]] = []
    report = other.reindex(lambda done, total: seen.append((done, total)))
    assert (report.unreadable, report.removed) == (1, 0)
    assert seen == [(0, 1), (1, 1)]
    assert other.count(Query()) == 1
    assert file.exists()


# -- quarantine --------------------------------------------------------------------------------------------------------


def test_the_quarantine_is_bounded_and_the_oldest_go_first(path: Path) -> None:
    (path / "quarantine").mkdir()
    quarantine = Quarantine(Disk(), FilesLayout(str(path)), durable=True, max_bytes=100, max_entries=3)
    file = path / "data"
    for number in range(5):
        file.write_bytes(bytes([number]) * 30)
        with file.open("rb") as opened:
            state: Any = SimpleNamespace(size=30, descriptor=SimpleNamespace(fd=opened.fileno()))
            quarantine.keep(f"{number}", state, 10)
        name = next(name for _, _, name in quarantine.entries() if name.startswith(f"{number}."))
        os.utime(path / "quarantine" / name, ns=(number, number))
    assert [name[0] for _, _, name in quarantine.entries()] == ["2", "3", "4"]
    file.write_bytes(b"x" * 1000)
    with file.open("rb") as opened:
        state = SimpleNamespace(size=1000, descriptor=SimpleNamespace(fd=opened.fileno()))
        quarantine.keep("large", state, 0)
    assert [(size, name[:5]) for _, size, name in quarantine.entries()] == [(100, "large")]
    file.write_bytes(b"x" * 50)
    quarantine.take(str(file))
    assert not file.exists()
    quarantine.take(str(file))
    file.write_bytes(b"x" * 500)
    quarantine.take(str(file))
    assert not file.exists()
    assert sum(size for _, size, _ in quarantine.entries()) == 50


def test_witnesses_are_compared_as_they_are_stored() -> None:
    one, other = Witness(1, 2, b"b" * 16), Witness(1, 3, b"a" * 16)
    assert index_schema.newest_witness(None, None) is None
    assert index_schema.newest_witness(one, None) == one == index_schema.newest_witness(None, one)
    assert index_schema.newest_witness(one, other) == other == index_schema.newest_witness(other, one)
    assert index_schema.unpack_witness(index_schema.pack_witness(other)) == other
    assert index_schema.pack_witness(one) < index_schema.pack_witness(other)


def test_an_erasure_goes_on_where_one_copy_has_gone_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process made room just then, and the other copies of a session that was erased stayed behind."""
    (path / "quarantine").mkdir()
    disk = Disk()
    quarantine = Quarantine(disk, FilesLayout(str(path)), durable=True)
    locator = "0" * 32
    names = [f"{slug}{locator}.80.{number}" for slug in ("", "a~") for number in range(2)]
    for name in (*names, "1" * 32 + ".80.0"):
        (path / "quarantine" / name).write_bytes(b"x")
    listed = disk.listdir
    gone = path / "quarantine" / names[0]

    def raced(directory: str) -> list[str]:
        found = sorted(listed(directory))
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(disk, "listdir", raced)
    quarantine.forget(locator)
    assert [entry.name for entry in (path / "quarantine").iterdir()] == ["1" * 32 + ".80.0"]
