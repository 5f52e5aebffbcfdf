"""What the index lists: at once what another store writes, and nothing that has expired since."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import backend as files_backend
from vaultsession.format.sealed import Query
from vaultsession.testing.sealer import Sealer

Opening = Callable[..., FilesBackend]


def keys(backend: FilesBackend, query: Query) -> list[str]:
    return [row.key for row in backend.scan(query)]


def write(backend: FilesBackend, scribe: Sealer, *names: str, **facts: object) -> list[str]:
    found = [scribe.key(name) for name in names]
    for key in found:
        backend.commit(key, scribe.create(key, **facts))
    backend._index.flush()
    return found


def test_what_another_store_writes_is_listed_at_once(opening: Opening, scribe: Sealer) -> None:
    ours, theirs = opening(), opening()
    query = Query(alive_at=0, limit=50)
    made = write(ours, scribe, "a")
    for name in "bcd":
        assert (sorted(keys(ours, query)), ours.count(query)) == (sorted(made), len(made))
        made += write(theirs, scribe, name)
    assert (sorted(keys(ours, query)), ours.count(query)) == (sorted(made), len(made))


def test_a_session_that_expires_leaves_the_page_although_nobody_has_written(
    files: FilesBackend, scribe: Sealer
) -> None:
    (staying,) = write(files, scribe, "a")
    (going,) = write(files, scribe, "b", expires=1000)
    for now, living in ((10, {staying, going}), (999, {staying, going}), (1000, {staying}), (10, {staying, going})):
        query = Query(alive_at=now, limit=50)
        assert (set(keys(files, query)), files.count(query)) == (living, len(living)), now


def test_an_index_that_another_store_rebuilds_is_read_again(path: Path, opening: Opening, scribe: Sealer) -> None:
    made = write(opening(), scribe, "a", "b")
    ours, query = opening(), Query(alive_at=0, limit=50)
    assert sorted(keys(ours, query)) == sorted(made)
    assert ours.count(query) == len(made)
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (path / name).unlink(missing_ok=True)
    os.unlink(next((path / "sessions").glob(f"{made[0]}*")))
    opening()._index._writer.close()
    assert keys(ours, query) == made[1:]
    assert ours.count(query) == 1


def test_a_row_that_is_forged_meanwhile_is_read(path: Path, files: FilesBackend, scribe: Sealer) -> None:
    write(files, scribe, "a")
    query = Query(alive_at=0, limit=50)
    before = next(files.scan(query))
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as other, other:
        other.execute("UPDATE sessions SET size = size + 1")
    assert next(files.scan(query)) == before._replace(size=before.size + 1)


def test_totals_follow_what_is_written(opening: Opening, scribe: Sealer) -> None:
    ours, theirs = opening(), opening()
    for number in range(1, 4):
        write(theirs, scribe, str(number))
        assert ours.stats()["sessions"] == theirs.stats()["sessions"] == number
        assert ours.stats()["bytes"] == sum(row.size for row in ours.scan(Query()))
    key = scribe.key("1")
    theirs.commit(key, scribe.remove(key))
    assert (ours.stats()["sessions"], ours.stats()["tombstones"]) == (2, 1)


def test_without_a_usable_index_each_session_is_read_twice_at_most(
    path: Path, opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows were derived anew for every page: a listing of ten thousand sessions read each of them twenty times."""
    monkeypatch.setattr(files_backend, "_PAGE", 2)
    writer = opening()
    made = write(writer, scribe, *"abcdefghij")
    writer.close()
    (path / "index.sqlite").unlink()
    read: list[str] = []
    backend = opening(writable=False)
    head = backend._rebuild._standby._head
    monkeypatch.setattr(backend._rebuild._standby, "_head", lambda key: (read.append(key), head(key))[1])
    assert sorted(keys(backend, Query())) == sorted(made)
    assert len(read) <= 2 * len(made)
    assert len(keys(backend, Query(limit=3))) == 3
