"""Sweeps among writers of other processes, and killed sweeps: what was extended lives, what is gone is reported."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from processes import FRESH

from vaultsession.backends import FilesBackend
from vaultsession.backends.files.container_store import ContainerStore
from vaultsession.errors import Conflict
from vaultsession.format.keys import Keyring
from vaultsession.format.sealed import Current, Delete, IndexRow, Query, Tombstone
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

SESSIONS = 150
NOW = 1000


def opened(path: str, keyring: Keyring, disk: Disk | None = None) -> tuple[FilesBackend, Sealer]:
    scribe = Sealer(keyring)
    return FilesBackend(path, disk=disk or Disk(), describe=scribe.describe), scribe


def swept(backend: FilesBackend, scribe: Sealer) -> list[str]:
    """The keys that a sweep of all that is listed as expired has removed."""

    def update(key: str, newest: Current) -> Delete | None:
        if not isinstance(newest, IndexRow):
            return None
        expires = scribe.reader.opened(newest).head.expires
        if expires is None or expires > NOW:
            return None
        buried.add(key)
        return Delete(scribe.reader.rows.tombstone(key, newest.generation), flush=False)

    buried: set[str] = set()
    rows = list(backend.scan(Query(expired_at=NOW)))
    outcomes = backend.delete_many([row.key for row in rows], update)
    return [key for key in buried if isinstance(getattr(outcomes[key], "after", None), Tombstone)]


def filled(path: Path) -> tuple[Keyring, list[str]]:
    keyring = Keyring.generate()
    backend, scribe = opened(str(path), keyring)
    keys = [scribe.key(f"s{number}") for number in range(SESSIONS)]
    for key in keys:
        backend.commit(key, scribe.create(key, expires=1))
    backend.close()
    return keyring, keys


def sweep_all(path: str, keyring: Keyring, start: Any, results: Any) -> None:
    backend, scribe = opened(path, keyring)
    start.wait()
    results.put(swept(backend, scribe))
    backend.close()


def sweep_late(path: str, keyring: Keyring, read: Any, extended: Any, results: Any, mutate: bool) -> None:
    """Between the listing of what has expired and its removal another process writes."""
    backend, scribe = opened(path, keyring)
    rows = {row.key: row for row in backend.scan(Query())}
    if mutate:
        ContainerStore.newest = lambda _, key: (None, rows[key])  # type: ignore[method-assign]  # the mutant
    delete_many = backend.delete_many

    def late(*args: Any) -> Any:
        read.set()
        extended.wait(60)
        return delete_many(*args)

    backend.delete_many = late  # type: ignore[method-assign]  # the moment that a race would have to hit
    results.put(swept(backend, scribe))
    backend.close()


def extend_all(keys: list[str], backend: FilesBackend, scribe: Sealer) -> list[str]:
    """Those that were extended in time."""
    extended = []
    for key in keys:
        try:
            backend.commit(key, scribe.append("used again", expires=NOW + 1))
        except Conflict:
            continue
        extended.append(key)
    return extended


@pytest.mark.slow
def test_of_two_processes_that_sweep_and_one_that_extends_each_session_has_one_end(tmp_path: Path) -> None:
    keyring, keys = filled(tmp_path)
    context = FRESH
    start, results = context.Barrier(3), context.Queue()
    sweepers = [context.Process(target=sweep_all, args=(str(tmp_path), keyring, start, results)) for _ in range(2)]
    for each in sweepers:
        each.start()
    backend, scribe = opened(str(tmp_path), keyring)
    start.wait()
    extended = extend_all(keys[::-1], backend, scribe)
    removed = [results.get(timeout=60) for _ in sweepers]
    for each in sweepers:
        each.join()
    assert sorted([*extended, *removed[0], *removed[1]]) == sorted(keys)
    for key in keys:
        assert scribe.texts(backend, key) == (["first", "used again"] if key in extended else None)
    assert {row.key for row in backend.scan(Query())} == set(extended)
    backend.close()


@pytest.mark.parametrize("mutate", [False, True])
def test_only_the_file_tells_what_was_extended_since_the_row_was_read(tmp_path: Path, mutate: bool) -> None:
    """The mutant believes the row, and removes what another process has extended with success."""
    keyring, keys = filled(tmp_path)
    context = FRESH
    read, done, results = context.Event(), context.Event(), context.Queue()
    sweeper = context.Process(target=sweep_late, args=(str(tmp_path), keyring, read, done, results, mutate))
    sweeper.start()
    backend, scribe = opened(str(tmp_path), keyring)
    assert read.wait(60)
    extended = extend_all(keys[::2], backend, scribe)
    assert extended == keys[::2]
    done.set()
    removed = results.get(timeout=60)
    sweeper.join()
    lost = [key for key in extended if scribe.texts(backend, key) is None]
    backend.close()
    assert lost == (extended if mutate else [])
    assert sorted(removed) == sorted(keys if mutate else keys[1::2])


class Deadly(Disk):
    """Kills the process at the removal of so many sessions."""

    left = 100

    def replace(self, source: str, target: str) -> None:
        if source.endswith(".vss"):
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
        super().replace(source, target)


def die_sweeping(path: str, keyring: Keyring) -> None:
    swept(*opened(path, keyring, Deadly()))


@pytest.mark.slow
def test_a_sweep_that_is_killed_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    keyring, keys = filled(tmp_path)
    child = FRESH.Process(target=die_sweeping, args=(str(tmp_path), keyring))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    backend, scribe = opened(str(tmp_path), keyring)
    left = [key for key in keys if scribe.texts(backend, key) == ["first"]]
    assert len(left) == SESSIONS - 99
    assert {row.key for row in backend.scan(Query())} == set(left)
    assert sorted(swept(backend, scribe)) == sorted(left)
    assert backend.count(Query()) == 0
    seen: list[Current] = []
    for key in left:
        backend.commit(key, seen.append)
    assert all(isinstance(newest, Tombstone) for newest in seen)
    for key in keys:
        backend.commit(key, scribe.create(key, "again"))
    assert backend.count(Query()) == SESSIONS
    backend.close()
