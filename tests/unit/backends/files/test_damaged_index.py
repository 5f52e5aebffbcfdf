"""The index may be deleted, damaged or forged at any time: it is rebuilt, and no session is lost."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files_lab import session_path
from sql_servers import sqlite_file

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import index_queries, index_schema, rebuild
from vaultsession.backends.files.index import Index
from vaultsession.errors import BackendUnavailable, RollbackDetected
from vaultsession.format.sealed import IndexRow, Query
from vaultsession.testing.sealer import Sealer

Opening = Callable[..., FilesBackend]


@pytest.fixture
def keys(opening: Opening, scribe: Sealer) -> list[str]:
    """A vault of a dozen sessions, closed."""
    backend = opening(durability="os")
    keys = [scribe.key(f"session {number}") for number in range(12)]
    for number, key in enumerate(keys):
        backend.commit(key, scribe.create(key, updated=number, user_id="alice", expires=number or None))
        backend.commit(key, scribe.append())
    backend.close()
    return keys


def index(path: Path) -> Path:
    return path / "index.sqlite"


def agrees(backend: FilesBackend, keys: list[str]) -> bool:
    rows = {row.key: row.version for row in backend.scan(Query())}
    return rows == {key: backend.head(key).version for key in keys}


def garbage(path: Path) -> None:
    index(path).write_bytes(os.urandom(8192))


def empty(path: Path) -> None:
    index(path).write_bytes(b"")


def cut(path: Path) -> None:
    index(path).write_bytes(index(path).read_bytes()[:10_000])


def gone(path: Path) -> None:
    index(path).unlink()


def triggered(path: Path) -> None:
    with sqlite_file(index(path)) as connection:
        connection.execute("CREATE TRIGGER planted AFTER INSERT ON sessions BEGIN DELETE FROM tombstones; END")
    connection.close()


def foreign(path: Path) -> None:
    with sqlite_file(index(path)) as connection:
        connection.execute("PRAGMA application_id = 7")
    connection.close()


def newer(path: Path) -> None:
    with sqlite_file(index(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def mistyped(path: Path) -> None:
    with sqlite_file(index(path)) as connection:
        connection.execute("UPDATE sessions SET version = 'text', seq = x'00'")
    connection.close()


def misnamed(path: Path) -> None:
    with sqlite_file(index(path)) as connection:
        connection.execute("UPDATE sessions SET key = '../../' || locator || 'x'")
    connection.close()


def not_utf8(path: Path) -> None:
    with sqlite_file(index(path)) as connection:
        connection.execute("UPDATE sessions SET key = CAST(x'ff' || key AS TEXT)")
    connection.close()


def linked(path: Path) -> None:
    outside = path.parent / "outside"
    index(path).rename(outside)
    index(path).symlink_to(outside)


def hard_linked(path: Path) -> None:
    os.link(index(path), path.parent / "outside")


def log_linked(path: Path) -> None:
    (path.parent / "outside").write_bytes(b"untouched")
    (path / "index.sqlite-wal").symlink_to(path.parent / "outside")


def fifo(path: Path) -> None:
    index(path).unlink()
    os.mkfifo(index(path), 0o600)


DAMAGES = [
    garbage, empty, cut, gone, triggered, foreign, newer, mistyped, misnamed, not_utf8, linked, hard_linked, log_linked, fifo,
]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_rebuilt(
    path: Path, keys: list[str], opening: Opening, damage: Callable[[Path], None]
) -> None:
    damage(path)
    outside = path.parent / "outside"
    before = outside.read_bytes() if outside.exists() else b""
    backend = opening()
    assert agrees(backend, keys)
    backend.close()
    again = opening()
    assert agrees(again, keys)
    assert again.health() == {"files": None, "index": None}
    assert (outside.read_bytes() if outside.exists() else b"") == before


@pytest.mark.sampled(3)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_under_a_store_that_is_open_heals(
    path: Path, keys: list[str], opening: Opening, scribe: Sealer, damage: Callable[[Path], None]
) -> None:
    backend, other = opening(), opening()
    assert agrees(backend, keys)
    assert agrees(other, keys)
    if damage is log_linked:
        (path / "index.sqlite-wal").unlink(missing_ok=True)
    if damage in (garbage, empty, cut):  # what overwrites a file that SQLite has mapped does so as another file
        index(path).rename(path / "old")
        (path / "old").unlink()
        index(path).touch(0o600)
    damage(path)
    backend.commit(keys[3], scribe.append("after"))
    other.commit(keys[4], scribe.append("after"))
    for _ in range(2):
        assert agrees(other, keys)
        assert agrees(backend, keys)
    assert scribe.texts(other, keys[3]) == ["first", "more", "after"]


@pytest.mark.slow
def test_a_byte_flipped_anywhere_never_harms_a_session(path: Path, keys: list[str], opening: Opening) -> None:
    whole = index(path).read_bytes()
    for at in range(0, len(whole), 89):
        for side in ("-wal", "-shm"):
            (path / f"index.sqlite{side}").unlink(missing_ok=True)
        index(path).unlink()
        index(path).touch(0o600)
        index(path).write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        backend = opening(durability="os")
        rows = list(backend.scan(Query()))
        list(backend.scan(Query(expired_at=5)))
        backend.count(Query(alive_at=5))
        assert all(isinstance(row, IndexRow) for row in rows)
        # A flipped bit may make a row into another row. What lists opens each, and asks for this if one is forged:
        backend.reindex()
        assert agrees(backend, keys), at
        backend.close()


def test_the_damaged_file_is_kept_aside(path: Path, keys: list[str], opening: Opening) -> None:
    garbage(path)
    backend = opening()
    assert agrees(backend, keys)
    assert [name for _, _, name in backend.quarantine.entries() if name.startswith("index.sqlite")]
    assert backend.stats()["quarantined"] == 1


def test_a_rebuilt_index_is_a_witness_of_what_it_was_derived_from(
    path: Path, keys: list[str], opening: Opening, scribe: Sealer
) -> None:
    there = opening().head(keys[0])
    gone(path)
    backend = opening()
    assert there is not None
    assert backend.witness_of(keys[0]) == there.witness
    row = backend.commit(keys[0], scribe.append()).after
    assert backend.witness_of(keys[0]) == row.witness


def test_a_rebuild_keeps_the_witness_and_the_tombstones(
    path: Path, keys: list[str], opening: Opening, scribe: Sealer
) -> None:
    backend = opening()
    row = backend.commit(keys[0], scribe.append()).after
    grave = backend.commit(keys[1], scribe.remove(keys[1])).after
    backend.reindex()
    assert backend.witness_of(keys[0]) == row.witness
    assert backend.stats()["tombstones"] == 1
    backend.close()
    seen: list[Any] = []
    opening().commit(keys[1], seen.append)
    assert seen == [grave]


def test_what_was_acknowledged_is_remembered(path: Path, opening: Opening, scribe: Sealer) -> None:
    key = scribe.key("a")
    backend = opening()
    backend.commit(key, scribe.create(key))
    old = session_path(path, key).read_bytes()
    backend.commit(key, scribe.append())
    backend.close()
    session_path(path, key).write_bytes(old)
    other = opening()
    with pytest.raises(RollbackDetected):
        other.head(key)
    with pytest.raises(RollbackDetected):
        other.commit(key, scribe.append())
    assert session_path(path, key).read_bytes() == old


def test_a_store_that_is_open_notices_a_rollback_in_place(path: Path, files: FilesBackend, scribe: Sealer) -> None:
    key = scribe.key("a")
    files.commit(key, scribe.create(key))
    old = session_path(path, key).read_bytes()
    files.commit(key, scribe.append())
    session_path(path, key).write_bytes(old)  # the same inode
    with pytest.raises(RollbackDetected):
        files.head(key)


def test_a_file_that_came_back_reads_as_absent(path: Path, opening: Opening, scribe: Sealer) -> None:
    key = scribe.key("a")
    backend = opening()
    backend.commit(key, scribe.create(key))
    old = session_path(path, key).read_bytes()
    grave = backend.commit(key, scribe.remove(key)).after
    session_path(path, key).touch(0o600)
    session_path(path, key).write_bytes(old)
    assert backend.head(key) is None
    seen: list[Any] = []
    backend.commit(key, seen.append)
    assert seen == [grave]
    assert session_path(path, key).exists()  # never unlinked on the row's word
    backend.commit(key, scribe.create(key, "anew"))
    assert scribe.texts(backend, key) == ["anew"]
    assert len(backend.quarantine.entries()) == 1


@pytest.mark.parametrize("slug", ["", "other~"])
def test_a_session_is_found_under_whatever_slug_its_file_has(
    path: Path, opening: Opening, scribe: Sealer, slug: str
) -> None:
    """One that came from a server has none: no second file is made for it, whichever way it is asked for."""
    key, name = scribe.key("a"), slug + scribe.key("a")[-32:]
    backend = opening()
    backend.commit(key, scribe.create(key, "first"))
    session_path(path, key).rename(session_path(path, name))
    backend.reindex()
    again = opening(describe=Sealer(scribe.keyring).describe)
    again.commit(key, scribe.append("more"))
    again.commit(key, scribe.create(key, "anew"))
    assert scribe.texts(again, key) == scribe.texts(again, name) == ["anew"]
    assert [row.key for row in again.scan(Query())] == [name]
    assert [entry.name for entry in (path / "sessions").iterdir()] == [f"{name}.vss"]
    again.commit(key, scribe.remove(key))
    assert list((path / "sessions").iterdir()) == []
    assert again.head(name) is None


def test_numbers_are_remembered(opening: Opening) -> None:
    backend = opening()
    assert backend.remembered().get("counter") is None
    backend.remember("counter", 7)
    backend.remember("counter", 8)
    assert backend.remembered()["counter"] == 8
    backend.close()
    assert opening().remembered()["counter"] == 8


def test_without_an_index_a_store_for_reading_lists_the_files_and_says_so(
    path: Path, keys: list[str], opening: Opening, scribe: Sealer
) -> None:
    gone(path)
    backend = opening(writable=False)
    assert scribe.texts(backend, keys[0]) == ["first", "more"]
    assert {row.key for row in backend.scan(Query())} == set(keys)
    assert "gone" in str(backend.health()["index"])
    assert not index(path).exists()


# -- a vault larger than what is held at once --------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches of three; what is given is how many names were asked for at once."""
    monkeypatch.setattr(rebuild, "BATCH", 3)
    asked: list[int] = []
    summaries = index_queries.summaries

    def noted(connection: Any, locators: list[str]) -> Any:
        asked.append(len(locators))
        return summaries(connection, locators)

    monkeypatch.setattr(index_queries, "summaries", noted)
    return asked


@pytest.mark.parametrize("everything", [False, True])
def test_rows_are_rebuilt_and_removed_over_many_batches(
    opening: Opening, scribe: Sealer, keys: list[str], path: Path, small_batches: list[int], everything: bool
) -> None:
    backend = opening(durability="os")
    gone, unreadable = keys[::3], keys[1]
    for key in gone:
        session_path(path, key).unlink()
    session_path(path, unreadable).write_bytes(b"no container")
    changed = keys[2]
    with sqlite_file(index(path)) as connection:
        connection.execute("UPDATE sessions SET size = size + 1 WHERE key = ?", (changed,))
    (path / "sessions" / f".{keys[0].split('~')[-1]}.{'0' * 16}.tmp").write_bytes(b"")
    report = backend.reindex(everything=everything)
    assert (report.scanned, report.removed, report.unreadable, report.temporaries) == (8, 4, 1, 1)
    assert report.changed == (7 if everything else 1)
    assert max(small_batches) == 3
    assert {row.key for row in backend.scan(Query())} == set(keys) - set(gone)
    assert backend.head(changed).size == session_path(path, changed).stat().st_size


def test_a_damaged_session_under_another_name_keeps_its_row_and_its_witness(
    opening: Opening, keys: list[str], path: Path, small_batches: list[int]
) -> None:
    backend = opening()
    file = session_path(path, keys[4])
    file.unlink()
    (file.parent / f"other~{keys[4].split('~')[-1]}{file.suffix}").write_bytes(b"what nobody can read")
    before = backend.witness_of(keys[4])
    report = backend.reindex(everything=False)
    assert (report.removed, report.unreadable) == (0, 1)
    assert len(list(backend.scan(Query()))) == len(keys)
    assert backend.witness_of(keys[4]) == before
    assert small_batches


def test_what_is_not_listed_is_found_a_batch_at_a_time(
    opening: Opening, keys: list[str], path: Path, small_batches: list[int]
) -> None:
    backend = opening(durability="os")
    with sqlite_file(index(path)) as connection:
        connection.executemany("DELETE FROM sessions WHERE key = ?", [(key,) for key in keys[5:]])
    assert sorted(backend.unindexed()) == sorted(keys[5:])
    assert max(small_batches) == 3


def by_owner(backend: FilesBackend, scribe: Sealer) -> list[str]:
    return [row.key for row in backend.scan(Query((scribe.user("alice"),)))]


def tags(path: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as connection:
        return connection.execute("SELECT * FROM tags").fetchall()


@pytest.fixture
def owned(opening: Opening, scribe: Sealer) -> list[str]:
    """Sessions of alice, some with more labels than are tagged in one statement."""
    backend = opening()
    made = []
    for number in range(12):
        key = scribe.key(f"owned-{number}")
        labels = {f"label-{each}": "x" for each in range(number)}
        facts = {"user_id": "alice", "labels": labels, "expires": 10**18 if number % 3 else None}
        backend.commit(key, scribe.create(key, updated=5 + number % 4, **facts))
        made.append(key)
    backend.close()
    return sorted(made)


def test_the_tags_of_a_new_index_are_those_that_were_written_one_by_one(
    path: Path, owned: list[str], opening: Opening, scribe: Sealer
) -> None:
    before = tags(path)
    assert len(before) == 12 + sum(range(12))
    gone(path)
    rebuilt = opening()
    assert sorted(by_owner(rebuilt, scribe)) == owned
    rebuilt.close()
    assert tags(path) == before
    again = opening()
    again.reindex()
    again.close()
    assert tags(path) == before


def test_an_index_that_was_left_without_its_tags_gets_them_at_the_next_opening(
    path: Path, owned: list[str], opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died when all rows were written: each then agrees with its container, and was left alone."""
    gone(path)
    with monkeypatch.context() as patched:
        patched.setattr(Index, "rebuild_tags", lambda _: os._exit(0))
        if (child := os.fork()) == 0:
            opening()
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    assert tags(path) == []
    backend = opening()
    assert sorted(by_owner(backend, scribe)) == owned
    assert index_schema.UNTAGGED not in backend.remembered()


def test_tags_that_could_not_be_written_are_written_when_the_store_is_closed(
    path: Path, owned: list[str], opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone(path)

    def full(_: object) -> None:
        raise BackendUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Index, "rebuild_tags", full)
        backend = opening()
        assert by_owner(backend, scribe) == []
    backend.close()
    assert sorted(by_owner(opening(), scribe)) == owned


def test_what_is_rebuilt_in_part_is_tagged(
    path: Path, owned: list[str], opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else sessions that are listed would belong to no user."""
    gone(path)
    with monkeypatch.context() as patched:
        patched.setattr(rebuild.IndexRebuild, "_remove_rows", lambda *_, **__: os.stat("nothing of that name"))
        backend = opening()
        assert sorted(by_owner(backend, scribe)) == owned


def test_a_session_that_changes_while_its_index_has_no_tags_yet_is_listed_once(
    path: Path, owned: list[str], opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opening()
    gone(path)
    real = Index.rebuild_tags

    def meanwhile(inner: Index) -> None:
        other.commit(owned[0], scribe.append(updated=99))
        other._index.flush()
        real(inner)

    monkeypatch.setattr(Index, "rebuild_tags", meanwhile)
    backend = opening()
    assert by_owner(backend, scribe)[0] == owned[0]
    assert sorted(by_owner(backend, scribe)) == owned
