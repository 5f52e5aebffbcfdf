"""What a session's file may turn out to be."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files_lab import AfterTheNextStart, descriptors, session_path

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import open_files
from vaultsession.errors import BackendUnavailable, Damaged
from vaultsession.format.sealed import Current, IndexRow, Query, Tombstone
from vaultsession.testing.sealer import Sealer
from vaultsession.util.descriptors import Budget
from vaultsession.util.disk import Disk

Opening = Callable[..., FilesBackend]


def test_files_are_private(path: Path, files: FilesBackend, scribe: Sealer) -> None:
    key = scribe.key("a")
    files.commit(key, scribe.create(key))
    list(files.scan(Query()))
    for file in path.rglob("*"):
        expected = 0o700 if file.is_dir() else 0o600
        assert stat.S_IMODE(file.stat().st_mode) == expected, file


@pytest.mark.parametrize("plant", ["symlink", "fifo", "directory", "shared"])
def test_what_is_not_ours_alone_is_not_read(path: Path, opening: Opening, scribe: Sealer, plant: str) -> None:
    key = scribe.key("a")
    backend = opening()
    backend.commit(key, scribe.create(key))
    file, outside = session_path(path, key), path.parent / "outside"
    if plant == "symlink":
        file.rename(outside)
        file.symlink_to(outside)
    elif plant == "shared":
        file.chmod(0o666)
    else:
        file.unlink()
        os.mkfifo(file) if plant == "fifo" else file.mkdir()
    before = outside.read_bytes() if outside.exists() else b""
    for instance in (backend, opening()):
        if plant == "shared" and instance is backend:
            continue  # an open descriptor is the proof there
        with pytest.raises(BackendUnavailable):
            instance.head(key)
        with pytest.raises(BackendUnavailable):
            instance.read(key)
        with pytest.raises(BackendUnavailable):
            instance.commit(key, scribe.append())
    assert (outside.read_bytes() if outside.exists() else b"") == before


def test_a_file_with_a_second_name_is_read_and_never_written_to(path: Path, opening: Opening, scribe: Sealer) -> None:
    """A backup by hard links: it keeps what it has, whoever goes on."""
    key = scribe.key("a")
    backend = opening()
    backend.commit(key, scribe.create(key))
    file, backup = session_path(path, key), path.parent / "backup"
    os.link(file, backup)
    before = backup.read_bytes()
    for number, instance in enumerate((backend, opening())):
        head = instance.head(key)
        assert head is not None
        assert not head.torn
        assert instance.read(key) is not None
        instance.commit(key, scribe.append(f"{number}"))
        assert file.stat().st_nlink == 1
    assert backup.read_bytes() == before
    assert scribe.texts(backend, key)[-1] == "1"
    assert backend.quarantine.entries() == []


class Watched(Disk):
    """Writes down what the thread that made it asks of the disk; the index is written by another."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        thread = threading.get_ident()

        def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def noted(*args: Any) -> Any:
                if threading.get_ident() == thread:
                    self.calls.append(name)
                return call(*args)

            return noted

        for name in ("open", "close", "stat", "look", "fstat", "pread", "pwrite", "fsync", "fdatasync"):
            setattr(self, name, watched(name, getattr(self, name)))


def test_an_append_is_four_calls_and_six_behind_what_another_process_wrote(opening: Opening, scribe: Sealer) -> None:
    """A header is never modified in place: of a container that grew, its new end is looked for and read."""
    disk, key = Watched(), scribe.key("a")
    one, other = opening(disk=disk), opening()
    one.commit(key, scribe.create(key))
    for writer in (one, other, one):  # the first record of all has nothing before it that was seen
        writer.commit(key, scribe.append())
    disk.calls.clear()
    one.commit(key, scribe.append())
    assert disk.calls == ["look", "pread", "pwrite", "fdatasync"]
    other.commit(key, scribe.append())
    disk.calls.clear()
    one.commit(key, scribe.append())
    assert disk.calls == ["look", "pread", "pread", "pread", "pwrite", "fdatasync"]


def test_a_small_container_is_opened_and_read_in_four_calls_and_known_again_by_one(
    path: Path, opening: Opening, scribe: Sealer
) -> None:
    disk, key = Watched(), scribe.key("a")
    reader, writer = opening(disk=disk), opening()
    point = writer.commit(key, scribe.create(key)).after.witness
    disk.calls.clear()
    container = reader.read(key)
    assert container.header + container.data == session_path(path, key).read_bytes()
    assert disk.calls == ["stat", "open", "fstat", "pread"]
    assert reader.is_newest(key, point)  # by a look at its end
    disk.calls.clear()
    assert reader.is_newest(key, point)
    assert disk.calls == ["stat"]
    newest = writer.commit(key, scribe.append()).after.witness
    assert not reader.is_newest(key, point)
    assert reader.read(key).data.startswith(container.data)
    assert reader.is_newest(key, newest)
    assert not reader.is_newest(key, point)


@pytest.mark.parametrize("key", ["../outside", "", "a~short", "UPPER~" + "0" * 32, "0" * 31, "/etc/passwd"])
def test_what_is_no_key_never_becomes_a_path(files: FilesBackend, key: str) -> None:
    with pytest.raises(ValueError, match=r"not the key of a session|invalid literal"):
        files.head(key)
    with pytest.raises(ValueError, match=r"not the key of a session|invalid literal"):
        files.read(key)
    with pytest.raises(ValueError, match=r"not the key of a session|invalid literal"):
        files.commit(key, lambda _: None)


def test_a_torn_tail_is_kept_aside_and_replaced(path: Path, opening: Opening, scribe: Sealer) -> None:
    key = scribe.key("a")
    backend = opening()
    created = backend.commit(key, scribe.create(key)).after
    with session_path(path, key).open("ab") as file:
        file.write(b"half a record")
    for instance in (backend, opening()):
        row = instance.head(key)
        assert (row.version, row.torn, row.size) == (created.version, True, created.size)
    appended = backend.commit(key, scribe.append("next")).after
    assert isinstance(appended, IndexRow)
    assert not appended.torn
    ((_, size, name),) = backend.quarantine.entries()
    assert (size, name.startswith(key)) == (13, True)
    assert (path / "quarantine" / name).read_bytes() == b"half a record"
    assert opening().head(key).version == appended.version
    assert backend.quarantine.forget(key[-32:]) == 1
    assert backend.quarantine.entries() == []


def test_a_torn_tail_with_a_record_behind_it_is_refused(path: Path, files: FilesBackend, scribe: Sealer) -> None:
    key = scribe.key("a")
    newest = files.commit(key, scribe.create(key)).after
    with session_path(path, key).open("ab") as file:
        file.write(b"half a record")
    with pytest.raises(ValueError, match="follow"):
        files.commit(key, lambda _: scribe.append()(newest))


def test_a_file_shorter_than_a_header_is_damaged(path: Path, opening: Opening, scribe: Sealer) -> None:
    key = scribe.key("a")
    backend = opening()
    session_path(path, key).touch(0o600)
    session_path(path, key).write_bytes(b"VSF1 and no more")
    container = backend.read(key)
    assert (container.header, container.offset, container.data) == (b"VSF1 and no more", 16, b"")
    with pytest.raises(Damaged):
        backend.head(key)
    with pytest.raises(Damaged):
        backend.commit(key, scribe.append())
    assert session_path(path, key).exists()


def test_bytes_changed_before_the_end_are_noticed_by_the_next_append(
    path: Path, files: FilesBackend, scribe: Sealer
) -> None:
    key = scribe.key("a")
    files.commit(key, scribe.create(key))
    row = files.commit(key, scribe.append()).after
    with session_path(path, key).open("r+b") as file:
        file.seek(row.size - 20)
        file.write(b"xxxx")
    with pytest.raises(Damaged):
        files.commit(key, scribe.append())


def test_a_body_that_nobody_acknowledged_is_opened_before_anything_is_written_behind_it(
    path: Path, opening: Opening, scribe: Sealer
) -> None:
    key = scribe.key("a")
    backend = opening(durability="os")
    backend.commit(key, scribe.create(key))
    first = backend.head(key)
    backend.commit(key, scribe.append("a body"))
    backend.close()
    with session_path(path, key).open("r+b") as file:
        file.seek(first.size + 34)
        file.write(b"x")
    other = opening(disk=AfterTheNextStart())
    assert not other.head(key).torn  # the head is authentic, and says what the body was
    seen: list[Current] = []
    other.commit(key, seen.append)
    assert isinstance(seen[0], IndexRow)
    assert (seen[0].torn, seen[0].version) == (True, first.version)


def test_a_spoiled_file_is_replaced_by_the_next_writer(path: Path, opening: Opening, scribe: Sealer) -> None:
    key = scribe.key("a")
    backend, other = opening(), opening()
    backend.commit(key, scribe.create(key))
    assert not other.head(key).torn
    session_path(path, key).chmod(0o400)
    for instance in (backend, other):
        assert instance.head(key).torn
        assert instance.read(key).spoiled
    seen: list[Current] = []
    other.commit(key, lambda newest: (seen.append(newest), scribe.append("new")(newest))[1])
    assert isinstance(seen[0], IndexRow)
    assert seen[0].torn
    assert scribe.texts(backend, key) == ["new"]
    assert not backend.head(key).torn


def test_few_descriptors_are_kept(path: Path, opening: Opening, scribe: Sealer, monkeypatch: Any) -> None:
    backend = opening(durability="os")
    backend._containers.open_files = states = open_files.OpenFiles(Budget(8))
    backend._open_file = states.get
    keys = [scribe.key(f"{number}") for number in range(40)]
    for key in keys:
        backend.commit(key, scribe.create(key))
    assert len([name for name in descriptors(path) if name.endswith(".vss")]) == 8
    for key in keys:
        backend.commit(key, scribe.append())
        assert backend.head(key).seq == 1
    assert len(states) == 8


def test_a_reader_keeps_its_file_while_it_is_replaced(files: FilesBackend, scribe: Sealer) -> None:
    key = scribe.key("a")
    files.commit(key, scribe.create(key, "x" * 100_000))
    state = files._containers.open_files.get(key)
    files.commit(key, scribe.create(key, "y"))
    os.fstat(state.descriptor.fd)  # still open: no other file has got its number
    number = state.descriptor.fd
    del state
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_nothing_is_open_after_closing(path: Path, opening: Opening, scribe: Sealer) -> None:
    backend = opening()
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    assert descriptors(path) != []
    backend.close()
    assert descriptors(path) == []
    assert (path / "locks" / "writer-00").read_bytes()[:1] == b"0"


def test_what_is_erased_leaves_no_copy_in_quarantine(path: Path, opening: Opening, scribe: Sealer) -> None:
    backend, key, other = opening(), scribe.key("a"), scribe.key("b")
    for each in (key, other):
        backend.commit(each, scribe.create(each))
    with open(path / "sessions" / f"{key}.vss", "ab") as file:
        file.write(b"a torn tail")
    backend.commit(key, scribe.create(key))  # replaces, since nothing can be written behind a torn tail
    assert [name for _, _, name in backend.quarantine.entries()] != []
    backend.commit(other, scribe.remove(other))
    assert [name for _, _, name in backend.quarantine.entries()] != []
    backend.commit(key, scribe.remove(key))
    assert backend.quarantine.entries() == []


def test_an_id_made_again_by_another_store_is_not_buried_by_a_tombstone_that_comes_late(
    opening: Opening, scribe: Sealer
) -> None:
    """Two stores, a clock that stands still: one removes a session, the other makes it again at once.

    The tombstone used to wait for the next batch of the index. The new life then had a generation that was not above
    it, and read as absent from the moment on when the batch had landed.
    """
    one, other, key = opening(), opening(), scribe.key("a")
    one.commit(key, scribe.create(key))
    one.commit(key, scribe.remove(key))
    seen: list[Current] = []
    other.commit(key, seen.append)
    assert isinstance(seen[0], Tombstone)
    other.commit(key, scribe.create(key, "again"))
    one.count(Query())
    other.count(Query())
    assert scribe.texts(opening(), key) == ["again"]
