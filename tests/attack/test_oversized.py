"""A file of any size in the place of a container: it is one damaged session, and ends nothing else."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_lab import Place

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.doctor import examine
from vaultsession.backends.protocol import LARGEST_VALUE
from vaultsession.errors import Damaged, PartialFailure, VaultError
from vaultsession.format.record import LARGEST_CONTAINER
from vaultsession.util.disk import Disk

KEY = RawKey(bytes(range(100, 132)))
HELLO = {"role": "user", "content": "hello"}
SIZES = {"beyond every bound": 20 << 30, "within the bound": LARGEST_CONTAINER - 4096}


class Bounded(Disk):
    """Refuses to read much at once: what is asked for is allocated first."""

    @staticmethod
    def pread(fd: int, size: int, offset: int) -> bytes:
        assert size <= 1 << 20, f"{size} bytes were asked for"
        return os.pread(fd, size, offset)


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> int:
    return SIZES[request.param]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    with open_store(tmp_path / "vault", key=KEY) as store:
        for name in ("alice", "bob"):
            store.create(name, messages=[HELLO])
    return tmp_path / "vault"


@pytest.fixture(params=["in its place", "behind its records"])
def store(vault: Path, size: int, request: pytest.FixtureRequest) -> Iterator[SessionStore]:
    (file,) = (vault / "sessions").glob("alice~*")
    if request.param == "in its place":
        file.write_bytes(b"")
    os.truncate(file, size)
    with open_store(vault, key=KEY, disk=Bounded()) as store:
        yield store


def test_all_others_are_read(store: SessionStore) -> None:
    store.reindex()
    assert store.load("bob").message_count == 1
    assert len(store.list()) == 2  # by the row that was there: nothing is removed on the word of a damage
    for many in (store.search("hello"), store.export()):
        found: list[Any] = []
        with contextlib.suppress(PartialFailure):  # of a file that is damaged, not of one that is torn
            found.extend(many)
        assert found
    assert {str(each.verdict) for each in store.verify().problems} <= {"damaged", "torn"}


def test_it_is_damaged_by_its_size_alone(vault: Path) -> None:
    (file,) = (vault / "sessions").glob("alice~*")
    os.truncate(file, 20 << 30)
    with open_store(vault, key=KEY, disk=Bounded()) as store:
        for verb in (lambda: store.load("alice"), lambda: store.append("alice", HELLO, create=True)):
            with pytest.raises(Damaged, match="no container has more than"):
                verb()


@pytest.mark.parametrize("candidates", [[("the key", KEY)], None], ids=["with the key", "without it"])
def test_doctor_comes_to_an_end(vault: Path, size: int, candidates: Any) -> None:
    (file,) = (vault / "sessions").glob("alice~*")
    file.write_bytes(b"")
    os.truncate(file, size)

    class Looking(Bounded):
        pass

    found = list(examine(str(vault), candidates, disk=Looking()))
    assert [finding.place for finding in found if finding.name == "damaged"] != []


def test_one_that_grows_under_an_open_store_is_damaged(vault: Path) -> None:
    (file,) = (vault / "sessions").glob("alice~*")
    with open_store(vault, key=KEY, disk=Bounded()) as store:
        store.append("alice", HELLO)
        os.truncate(file, 20 << 30)
        with pytest.raises(Damaged, match="no container has more than"):
            store.load("alice")


# -- values of a server ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_value_of_a_database_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    with open_store(url, key=KEY) as store:
        store.create("alice", messages=[HELLO])
    with contextlib.closing(sqlite3.connect(tmp_path / "sessions.db")) as database:
        database.execute(
            "UPDATE vaultsession_metadata SET data = zeroblob(?) WHERE CAST(name AS TEXT) = 'vault'",
            (LARGEST_VALUE + 1,),
        )
        database.commit()
        with pytest.raises(Damaged, match="more than 64 MiB"):
            open_store(url, key=KEY)
        database.execute(
            "UPDATE vaultsession_metadata SET data = zeroblob(300 << 20) WHERE CAST(name AS TEXT) = 'vault'"
        )
        database.commit()
    with pytest.raises(VaultError):
        open_store(url, key=KEY)


@pytest.mark.slow
def test_a_value_of_a_server_is_read_up_to_its_bound(place: Place) -> None:
    with open_store(place.url, key=KEY) as store:
        store.create("alice", messages=[HELLO])
    (row,) = [name for name in place.keys() if b":n:" in name]  # noqa: SIM118 - it is no dict
    place.bare.setrange(row, 20 << 20, b"x")
    with open_store(place.url, key=KEY) as store:
        assert store.load("alice").message_count == 1
        store.reindex()  # such a row is none: it is derived from its container
        store.append("alice", HELLO)
        assert [info.id for info in store.list()] == ["alice"]
    (vault,) = [name for name in place.keys() if name.endswith(b":metadata:vault")]  # noqa: SIM118 - as above
    place.bare.setrange(vault, LARGEST_VALUE, b"x")
    with pytest.raises(Damaged, match="more than 64 MiB"):
        open_store(place.url, key=KEY)
