"""What somebody reads who has the server: every byte that an engine keeps of a vault whose names are readable.

Slugs of session ids stand in the names of files and nowhere else. Once they stood in each row of a Redis and of every
database, mirrors included: who talks with the assistant, and about what, could be read there by anybody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis_lab import Place

from vaultsession import RawKey, SessionStore, open_store

KEY = RawKey(bytes(range(32)))
IDS = ("Canary-alice@example.org", "canary/removed", "canary: has a lease")
CANARIES = (b"canary", b"alice", b"removed", b"has-a-lease")
HELLO = {"role": "user", "content": "a canary sings of alice"}


def lived(store: SessionStore) -> None:
    """Every verb that leaves something behind."""
    for name in IDS:
        store.create(name, messages=[HELLO], title="canary", user_id="alice", labels={"canary": "alice"}, ttl="30d")
        store.append(name, HELLO)
        store.touch(name)
    session = store.load(IDS[0])
    session.state["canary"] = "alice"
    store.save(session)
    store.delete(IDS[1])
    with store.lease(IDS[2]):
        store.append(IDS[2], HELLO)
    store.reindex()
    assert [info.id for info in store.list()] != []


def of_database(url: str) -> bytes:
    """Every value of every table, as the database has it."""
    engine = sa.create_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = [row for table in tables.sorted_tables for row in connection.execute(sa.select(table))]
    engine.dispose()
    assert len(rows) > len(IDS)
    return b"\n".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for row in rows for value in row
    )


def of_redis(place: Place) -> bytes:
    """Every key and every value."""
    kept = []
    for name in place.keys():  # noqa: SIM118 - it is no dict
        kind = place.bare.type(name)
        values = [place.bare.get(name)] if kind == b"string" else place.bare.zrange(name, 0, -1)
        kept += [name, *values]
    assert len(kept) > len(IDS)
    return b"\n".join(kept)


def assert_tells_nothing(kept: bytes) -> None:
    told = [canary for canary in CANARIES if canary in kept.lower()]
    assert not told, f"the server can read {told}"


def mirrored_to(url: str, tmp_path: Path) -> None:
    """Containers and removals as a mirror gets them, from a vault on disk whose file names do have slugs."""
    with open_store(tmp_path / "vault", key=KEY, mirror=url, mirror_drain="30s") as store:
        lived(store)
    assert [path for path in (tmp_path / "vault" / "sessions").iterdir() if "canary" in path.name]


HOW: dict[str, Callable[[str, Path], None]] = {
    "as the vault": lambda url, _: _used(url),
    "as the mirror": mirrored_to,
}


def _used(url: str) -> None:
    with open_store(url, key=KEY) as store:
        lived(store)


@pytest.mark.parametrize("how", HOW)
def test_a_database_file_tells_nothing_of_ids(how: str, tmp_path: Path) -> None:
    path = tmp_path / "kept" / "sessions.db"
    path.parent.mkdir(mode=0o700)
    HOW[how](f"sqlite:///{path}", tmp_path)
    assert_tells_nothing(b"".join(file.read_bytes() for file in path.parent.iterdir()))


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_a_database_tells_nothing_of_ids(how: str, any_url: str, tmp_path: Path) -> None:
    HOW[how](any_url, tmp_path)
    assert_tells_nothing(of_database(any_url))


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
def test_a_redis_tells_nothing_of_ids(how: str, place: Place, tmp_path: Path) -> None:
    HOW[how](place.url, tmp_path)
    assert_tells_nothing(of_redis(place))


def test_the_tombstone_in_an_index_does_not_say_what_its_session_was_called(tmp_path: Path) -> None:
    """The name of a session goes with its file."""
    _used(str(tmp_path / "vault"))
    connection = sqlite3.connect(tmp_path / "vault" / "index.sqlite")
    tombstones = connection.execute("SELECT * FROM tombstones").fetchall()
    connection.close()
    assert len(tombstones) == 1
    assert_tells_nothing(repr(tombstones).encode())


def test_a_slug_in_the_bytes_is_found(tmp_path: Path) -> None:
    """The check can fail: the names of the files of a vault on disk do say it."""
    _used(str(tmp_path / "vault"))
    names = b"\n".join(path.name.encode() for path in (tmp_path / "vault" / "sessions").iterdir())
    with pytest.raises(AssertionError, match="alice"):
        assert_tells_nothing(names)
