"""A vault that moves from files to every engine and back: the same bytes, and it opens with the same key everywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from redis_lab import Place
from sql_servers import Server, sqlite_file

from vaultsession import RawKey, Settings, open_store
from vaultsession.admin.migrate import MigrationReport, Trouble, losses, migrate, rekey
from vaultsession.engine.reader import Reader
from vaultsession.errors import BackendUnavailable, Conflict
from vaultsession.format.sealed import GENERATIONS, Delete, Query, Tombstone
from vaultsession.store.inspection import key_of
from vaultsession.testing.clock import ManualClock
from vaultsession.util.disk import Disk
from vaultsession.vault.location import VaultLocation

KEY = RawKey(bytes(range(150, 182)))


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A vault on files: long and short sessions, one that expires, and one that was removed."""
    with open_store(tmp_path / "files", key=KEY, durability="os") as store:
        for number in range(30):
            store.create(
                f"s{number}", user_id=f"u{number % 3}", labels={"n": str(number % 2)}, ttl="7d" if number % 5 else None
            )
            for turn in range(number % 7):
                store.append(f"s{number}", {"content": f"turn {turn} " * (number * 20)})
        store.create("gone")
        store.delete("gone")
    return tmp_path / "files"


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sessions.db"


@pytest.fixture
def mariadb(mariadb_server: Server) -> str:
    return mariadb_server.database()


@pytest.fixture
def postgresql(postgresql_server: Server) -> str:
    return postgresql_server.database()


@pytest.fixture
def redis(place: Place) -> str:
    return place.url


def moved(source: str | Path, target: str | Path, *, key: bool = True) -> MigrationReport:
    ours, theirs = (VaultLocation.at(str(place), Disk(), durability="os") for place in (source, target))
    try:
        return migrate(ours, theirs, ours.vault.unlock([("key", KEY)]) if key else None)
    finally:
        ours.close()
        theirs.close()


def contents(place: str | Path) -> dict[str, bytes]:
    site = VaultLocation.at(str(place), Disk())
    backend = site.backend(Reader(site.vault.unlock([("key", KEY)]).keyring).describe)
    try:
        found = {}
        for row in backend.scan(Query()):
            container = backend.read(row.key)
            assert container is not None
            found[row.key[-32:]] = container.header + container.data
        return found
    finally:
        backend.close()


def documents(place: str | Path) -> dict[str, Any]:
    with open_store(place, key=KEY, create=False) as store:
        return {info.id: (info.facts(), store.load(info.id).messages) for info in store.list()}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("engine", ["sqlite", "redis", "mariadb", "postgresql"])
def test_to_an_engine_and_back(
    request: pytest.FixtureRequest, full: Path, tmp_path: Path, engine: str, *, key: bool
) -> None:
    url = request.getfixturevalue(engine)
    there = moved(full, url, key=key)
    assert (there.copied, there.verified, there.problems) == (30, 30, [])
    assert contents(url) == contents(full)
    assert documents(url) == documents(full)
    again = moved(full, url, key=key)
    assert (again.copied, again.current, again.verified, again.problems) == (0, 30, 30, [])
    back = moved(url, tmp_path / "back", key=key)
    assert (back.copied, back.verified, back.problems) == (30, 30, [])
    assert contents(tmp_path / "back") == contents(full)
    assert documents(tmp_path / "back") == documents(full)


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("engine", ["redis", "sqlite"])
def test_a_session_that_lost_its_row_is_copied_or_named(
    request: pytest.FixtureRequest, place: Place, tmp_path: Path, engine: str, *, anew: bool
) -> None:
    """No listing has it, and it stayed behind without a word. A server of keys reads it all the same, a table does not."""
    url = request.getfixturevalue(engine)
    with open_store(url, key=KEY) as store:
        store.create("lost", messages=[{"content": os.urandom(64 << 10).hex()}])
        store.create("there")
        lost = key_of(store, "lost")[-32:]
    if engine == "redis":
        place.bare.delete(place.of(lost, "n"))
        place.bare.zrem(f"{place.prefix}:{{0}}:all", lost)
    else:
        with sqlite_file(url.removeprefix("sqlite:///")) as database:
            database.execute("DELETE FROM vaultsession_sessions WHERE locator = ?", (lost.encode(),))
    asked, ours, theirs = (
        VaultLocation.at(str(each), Disk(), durability="os") for each in (url, url, tmp_path / "copy")
    )
    vault = ours.vault.unlock([("key", KEY)])
    assert losses(asked, vault) == ["1 sessions are in no listing: they are damaged or locked, or have lost their rows"]
    if anew:
        other = theirs.vault.create(KEY)
        report = rekey(ours, theirs, vault, other, ManualClock(), settings=Settings())
    else:
        report = migrate(ours, theirs, vault)
    ours.close()
    theirs.close()
    assert report.sessions == 2
    named = [(problem.key, "reindex" in problem.reason) for problem in report.problems]
    assert named == ([] if engine == "redis" else [(lost, True)])
    with open_store(tmp_path / "copy", key=KEY, create=False) as store:
        assert {info.id for info in store.list()} == ({"there", "lost"} if engine == "redis" else {"there"})


@pytest.mark.slow
def test_round_by_way_of_two_engines(full: Path, tmp_path: Path, sqlite: str, redis: str) -> None:
    for source, target in ((full, sqlite), (sqlite, redis), (redis, tmp_path / "back")):
        assert moved(source, target).problems == []
    assert contents(tmp_path / "back") == contents(full)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_what_changes_between_two_runs_follows(request: pytest.FixtureRequest, full: Path, engine: str) -> None:
    url = request.getfixturevalue(engine)
    moved(full, url)
    with open_store(full, key=KEY) as store:
        store.append("s1", {"content": "more"})
        store.delete("s2")
        store.create("new")
    report = moved(full, url)
    assert (report.copied, report.updated, report.removed, report.problems) == (1, 1, 0 if report.tombstones else 1, [])
    assert contents(url) == contents(full)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("engine", ["sqlite", "redis", "mariadb", "postgresql"])
def test_removals_leave_an_engine(request: pytest.FixtureRequest, full: Path, tmp_path: Path, engine: str) -> None:
    url = request.getfixturevalue(engine)
    moved(full, url)
    moved(url, tmp_path / "back")
    with open_store(url, key=KEY) as store:
        for number in range(3):
            store.delete(f"s{number}")
        store.delete("s3")
        store.create("s3")  # a later life: its tombstone is no matter any more
    report = moved(url, tmp_path / "back")
    assert report.tombstones == 4  # those of s0 to s2, and of what was removed before it came to the engine
    assert report.problems == []
    assert contents(tmp_path / "back") == contents(url)
    with open_store(tmp_path / "back", key=KEY) as store:
        assert not any(store.exists(f"s{number}") for number in range(3))
        assert store.exists("s3")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("key", [True, False])
@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_a_removed_session_does_not_come_back_by_way_of_an_engine(
    request: pytest.FixtureRequest, full: Path, tmp_path: Path, engine: str, *, key: bool
) -> None:
    """A file that an old backup brings back is as removed as it was, also where the removal came from an engine."""
    url = request.getfixturevalue(engine)
    files = {path.name: path.read_bytes() for path in (full / "sessions").iterdir()}
    moved(full, url)
    with open_store(url, key=KEY) as store:
        store.delete("s4")
    assert moved(url, tmp_path / "back", key=key).tombstones == 2
    for name, data in files.items():
        (tmp_path / "back" / "sessions" / name).write_bytes(data)
    with open_store(tmp_path / "back", key=KEY) as store:
        assert not store.exists("s4")
        assert not store.exists("gone")
        assert store.exists("s5")


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_a_forged_tombstone_of_an_engine_removes_nothing(
    request: pytest.FixtureRequest, full: Path, tmp_path: Path, engine: str
) -> None:
    url = request.getfixturevalue(engine)
    moved(full, url)
    moved(url, tmp_path / "back")
    kept = contents(tmp_path / "back")
    site = VaultLocation.at(url, Disk())
    backend = site.backend(Reader(site.vault.unlock([("key", KEY)]).keyring).describe)
    key = next(key for key in kept if len(kept[key]) > 1000)
    backend.commit(key, lambda newest: Delete(Tombstone(key, GENERATIONS - 1, bytes(16))))
    backend.close()
    report = moved(url, tmp_path / "back")
    assert [(problem.key, problem.trouble) for problem in report.problems] == [(key, Trouble.DAMAGED)]
    assert (report.removed, report.updated) == (0, 0)
    assert contents(tmp_path / "back") == kept


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_an_engine_that_went_on_or_holds_another_vault_is_refused(
    request: pytest.FixtureRequest, full: Path, tmp_path: Path, engine: str
) -> None:
    url = request.getfixturevalue(engine)
    open_store(tmp_path / "other", key=KEY).close()
    moved(full, url)
    with pytest.raises(Conflict, match="another vault"):
        moved(tmp_path / "other", url)
    with open_store(url, key=KEY) as store:
        store.append("s1", {"content": "only here"})
        store.create("extra")
    with pytest.raises(Conflict, match="went on by themselves"):
        moved(full, url)
    report = moved(url, full)
    assert (report.updated, report.copied, report.problems) == (1, 1, [])
    with open_store(full, key=KEY) as store:
        store.create("mine")
    assert [problem.trouble for problem in moved(url, full).problems] == [Trouble.EXTRA]


def test_a_server_that_is_gone_is_told_and_nothing_is_made(full: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"127\.0\.0\.1"):
        moved(full, "redis://127.0.0.1:1/0")
    with pytest.raises(BackendUnavailable):
        moved("redis://127.0.0.1:1/0", tmp_path / "back")
    assert not (tmp_path / "back").exists()
