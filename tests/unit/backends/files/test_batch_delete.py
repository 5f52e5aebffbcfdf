"""Removing many at once: what decides, what is shared, what is reported of each."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files_lab import NoDirectoryFlush, descriptors, session_path

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import container_store
from vaultsession.errors import BackendUnavailable, Damaged, DurabilityUnknown, VaultError
from vaultsession.format.sealed import Current, Delete, DeleteUpdate, IndexRow, Query, Tombstone
from vaultsession.testing.faulty_disk import FaultyDisk
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

Opening = Callable[..., FilesBackend]

NOW = 1000


def delete_many(backend: FilesBackend, keys: list[str], update: DeleteUpdate) -> dict[str, Current | VaultError]:
    """By key what is newest then, or what failed."""
    outcomes = backend.delete_many(keys, update)
    return {key: each if isinstance(each, VaultError) else each.after for key, each in outcomes.items()}


def expired(scribe: Sealer, *, flush: bool = False, shred: bool = False) -> DeleteUpdate:
    """What a sweep asks: the row is opened, and it says that its time is over."""

    def update(key: str, newest: Current) -> Delete | None:
        if not isinstance(newest, IndexRow):
            return None
        expires = scribe.reader.opened(newest).head.expires
        if expires is None or expires > NOW:
            return None
        return Delete(scribe.reader.rows.tombstone(key, newest.generation), flush, shred)

    return update


def filled(backend: FilesBackend, scribe: Sealer, count: int, **facts: Any) -> list[str]:
    keys = [scribe.key(f"s{number}") for number in range(count)]
    for key in keys:
        backend.commit(key, scribe.create(key, expires=NOW, **facts))
    return keys


@pytest.fixture
def cold(files: FilesBackend, opening: Opening, scribe: Sealer) -> Callable[..., tuple[list[str], FilesBackend]]:
    """So many expired sessions, and a backend that has none of them open."""

    def cold(count: int, **how: Any) -> tuple[list[str], FilesBackend]:
        keys = filled(files, scribe, count)
        files.count(Query())  # the index is written
        return keys, opening(**how)

    return cold


# -- what decides ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flush", [True, False])
@pytest.mark.parametrize("how", ["append", "create"])
def test_an_append_that_extended_a_life_a_moment_ago_wins(
    cold: Any, files: FilesBackend, scribe: Sealer, how: str, flush: bool
) -> None:
    """What is done between the listing and the deletion is seen in the file, of any size."""
    keys, backend = cold(3)
    assert backend.count(Query(expired_at=NOW)) == 3
    facts = {"expires": NOW + 1, "flush": flush}
    files.commit(keys[1], scribe.append(**facts) if how == "append" else scribe.create(keys[1], **facts))
    outcomes = delete_many(backend, keys, expired(scribe))
    assert [isinstance(outcomes[key], IndexRow) for key in keys] == [False, True, False]
    assert scribe.texts(backend, keys[1]) == (["first", "more"] if how == "append" else ["first"])


def test_an_index_that_was_set_back_removes_nothing(
    files: FilesBackend, opening: Opening, scribe: Sealer, path: Path
) -> None:
    """It says that the session has expired, as was so; the container was touched since."""
    keys = filled(files, scribe, 2)
    files.count(Query())
    files.close()
    shutil.copy(path / "index.sqlite", path.parent / "old")
    again = opening()
    again.commit(keys[0], scribe.append(expires=None))
    again.close()
    for name in ("index.sqlite-wal", "index.sqlite-shm"):
        (path / name).unlink(missing_ok=True)
    shutil.copy(path.parent / "old", path / "index.sqlite")
    outcomes = delete_many(opening(), keys, expired(scribe))
    assert isinstance(outcomes[keys[0]], IndexRow)
    assert isinstance(outcomes[keys[1]], Tombstone)


def test_a_file_that_was_set_back_is_reported_and_left(
    files: FilesBackend, opening: Opening, scribe: Sealer, path: Path
) -> None:
    key = scribe.key("a")
    files.commit(key, scribe.create(key, expires=1))
    old = session_path(path, key).read_bytes()
    files.commit(key, scribe.append())
    files.count(Query())
    session_path(path, key).write_bytes(old)
    outcomes = delete_many(opening(), [key], expired(scribe))
    assert isinstance(outcomes[key], Damaged)
    assert session_path(path, key).read_bytes() == old


def test_zeros_behind_the_last_record_are_no_record(cold: Any, scribe: Sealer, path: Path) -> None:
    keys, backend = cold(3)
    with session_path(path, keys[0]).open("ab") as file:
        file.write(bytes(4096))
    with session_path(path, keys[1]).open("ab") as file:
        file.write(bytes(100) + b"\1")
    outcomes = delete_many(backend, keys, expired(scribe))
    assert all(isinstance(outcomes[key], Tombstone) for key in keys)  # the second on the word of its container


def test_an_index_that_is_gone_is_rebuilt(cold: Any, scribe: Sealer, path: Path) -> None:
    keys, backend = cold(10)
    for file in path.glob("index.sqlite*"):
        file.unlink()
    outcomes = delete_many(backend, keys, expired(scribe))
    assert all(isinstance(outcome, Tombstone) for outcome in outcomes.values())
    assert backend.count(Query()) == 0


# -- what is shared ----------------------------------------------------------------------------------------------------


def test_a_batch_is_one_transaction_of_the_index(
    files: FilesBackend, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = filled(files, scribe, container_store.BATCH)
    files.count(Query())
    flushed: list[int] = []
    real = files._index._flush
    monkeypatch.setattr(files._index, "_flush", lambda *kept, **how: (flushed.append(1), real(*kept, **how))[1])
    delete_many(files, keys, expired(scribe))
    assert len(flushed) <= 4  # the thread that writes behind may have come by


def test_what_was_promised_is_flushed_once_for_all(opening: Opening, scribe: Sealer) -> None:
    disk = FaultyDisk()
    files = opening(disk=disk)
    keys = filled(files, scribe, 20)
    disk.calls.clear()
    delete_many(files, keys[:10], expired(scribe))
    assert disk.calls.count("fsync") == 0
    delete_many(files, keys[10:], expired(scribe, flush=True))
    assert disk.calls.count("fsync") == 1


def test_copies_in_quarantine_go_as_well(files: FilesBackend, scribe: Sealer, path: Path) -> None:
    keys = filled(files, scribe, 3)
    for key in keys:
        (path / "quarantine" / f"{key}.0.0123456789abcdef").write_bytes(b"a copy")
    delete_many(files, keys[:2], expired(scribe))
    assert [entry.name.partition(".")[0] for entry in (path / "quarantine").iterdir()] == [keys[2]]


def test_the_next_create_sees_the_tombstone(files: FilesBackend, opening: Opening, scribe: Sealer) -> None:
    """Also one who waits for its stripe while the others of the batch are still looked at."""
    keys = filled(files, scribe, 30)
    other, seen, threads = opening(), list[Current](), list[threading.Thread]()

    def update(key: str, newest: Current) -> Delete | None:
        if not threads:
            threads.append(threading.Thread(target=lambda: other.commit(key, seen.append)))
            threads[0].start()
            threads[0].join(0.1)  # the time to be wrong, where the stripe is not held
        return expired(scribe)(key, newest)

    delete_many(files, keys, update)
    threads[0].join()
    assert [type(newest) for newest in seen] == [Tombstone]


@pytest.mark.slow
def test_two_that_remove_at_once_never_wait_for_each_other_in_a_circle(
    files: FilesBackend, opening: Opening, scribe: Sealer
) -> None:
    keys = filled(files, scribe, 200)
    others = [opening(), opening(), opening()]
    outcomes: list[dict[str, Any]] = []

    def bury(backend: FilesBackend, keys: list[str]) -> None:
        outcomes.append({**delete_many(backend, keys, expired(Sealer(scribe.keyring)))})

    orders = (keys, keys[::-1], keys[100:] + keys[:100])
    threads = [threading.Thread(target=bury, args=each) for each in zip(others, orders, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(each) for each in outcomes] == [set(keys)] * 3
    assert all(isinstance(outcome, Tombstone) for each in outcomes for outcome in each.values())
    assert files.count(Query()) == 0


# -- what fails --------------------------------------------------------------------------------------------------------


def test_what_cannot_be_removed_holds_up_no_other(opening: Opening, scribe: Sealer, path: Path) -> None:
    disk = FaultyDisk(only=("rename",), errno=errno.EACCES)
    files = opening(disk=disk)
    keys = filled(files, scribe, 12)
    disk.fail(5)
    outcomes = delete_many(files, keys, expired(scribe))
    left = [key for key in keys if isinstance(outcomes[key], BackendUnavailable)]
    assert len(left) == 1
    assert [session_path(path, key).exists() for key in keys] == [key in left for key in keys]
    assert files.count(Query()) == 1
    assert isinstance(delete_many(files, left, expired(scribe))[left[0]], Tombstone)


def test_a_flush_of_the_directory_that_fails_is_reported_of_those_it_was_promised(
    opening: Opening, scribe: Sealer
) -> None:
    disk = NoDirectoryFlush()
    files = opening(disk=disk)
    keys = filled(files, scribe, 3)
    disk.refuses = True
    outcomes = delete_many(files, keys, expired(scribe, flush=True))
    assert [type(outcomes[key]) for key in keys] == [DurabilityUnknown] * 3
    assert [files.head(key) for key in keys] == [None] * 3


def test_an_interrupt_half_way_leaves_nothing_locked_and_nothing_forgotten(
    opening: Opening, scribe: Sealer, path: Path
) -> None:
    class Interrupted(Disk):
        left = 5

        def rename(self, source: str, target: str) -> None:  # type: ignore[override]  # no dir_fd
            if source.endswith(".vss"):
                self.left -= 1
                if not self.left:
                    raise KeyboardInterrupt
            super().rename(source, target)

    files = opening(disk=Interrupted())
    keys = filled(files, scribe, 20)
    with pytest.raises(KeyboardInterrupt):
        delete_many(files, keys, expired(scribe))
    gone = [key for key in keys if not session_path(path, key).exists()]
    assert len(gone) == 4
    assert files.count(Query()) == 16
    outcomes = delete_many(files, keys, expired(scribe))
    assert all(isinstance(outcomes[key], Tombstone) for key in keys)
    files.close()
    assert opening().count(Query()) == 0


def test_a_grave_of_another_session_is_refused(files: FilesBackend, scribe: Sealer) -> None:
    keys = filled(files, scribe, 2)

    def update(_key: str, newest: Current) -> Delete:
        assert isinstance(newest, IndexRow)
        return Delete(scribe.reader.rows.tombstone(keys[0], newest.generation))

    with pytest.raises(ValueError, match="another session"):
        delete_many(files, keys, update)
    assert files.count(Query()) == 2


def test_what_is_to_be_overwritten_is_overwritten(files: FilesBackend, scribe: Sealer, path: Path) -> None:
    keys = filled(files, scribe, 3)
    with session_path(path, keys[0]).open("rb") as file:
        delete_many(files, keys, expired(scribe, flush=True, shred=True))
        assert b"VSF1" not in file.read()
    assert [files.head(key) for key in keys] == [None] * 3


# -- descriptors -------------------------------------------------------------------------------------------------------


def test_no_descriptor_is_left_of_what_was_removed(files: FilesBackend, scribe: Sealer, path: Path) -> None:
    keys = filled(files, scribe, 2 * container_store.BATCH)
    delete_many(files, keys, expired(scribe))
    assert not [name for name in descriptors(path) if ".vss" in name]
