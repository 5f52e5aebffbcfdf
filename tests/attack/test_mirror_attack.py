"""The operator of a mirror can read nothing, and make nothing worse: swapped, set back, truncated and forged contents.

The vault never reads its mirror; and of what a restore is given it believes what authenticates, session by session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mirror_lab import Shaky, compare, contents, eventually, is_level, mirrored

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.restore import MirroredSession, Proof, restore, verify
from vaultsession.backends import FilesBackend, MemoryBackend
from vaultsession.backends.replication import follow
from vaultsession.format import document
from vaultsession.format.sealed import Query, Tombstone
from vaultsession.util.disk import Disk

NAMES = ("a", "b", "c")

Harm = Callable[[MemoryBackend, str, str], object]


KEY = RawKey(bytes(range(32)))


class Pen:
    """A store, what it holds its keys with, and what it finds in any backend."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.reader = store._operations._reader
        self.describe = self.reader.describe

    def write(self, name: str, text: str) -> None:
        self.store.append(name, {"role": "user", "content": text}, create=True)

    def texts(self, backend: Any, key: str) -> list[str]:
        loaded = self.reader.load(key, partial(backend.read, key))
        assert loaded is not None
        return [message["content"] for message in document.parse(loaded.bodies)[1]]


@pytest.fixture
def pen(tmp_path: Path) -> Iterator[Pen]:
    with open_store(tmp_path / "vault", key=KEY, names="private") as store:  # keys are the mirror's
        yield Pen(store)


@pytest.fixture
def vault(pen: Pen) -> Any:
    return pen.store._backend


@pytest.fixture
def keys(pen: Pen) -> list[str]:
    for name in NAMES:
        for text in (f"first of {name}", "second", "third"):
            pen.write(name, text)
    return [pen.store._key(name) for name in NAMES]


@pytest.fixture
def mirror(vault: Any, keys: list[str]) -> Shaky:
    backend = Shaky()
    for key in keys:
        follow(vault, backend, key)
    return backend


def swapped(mirror: MemoryBackend, a: str, b: str) -> None:
    sessions = mirror._sessions
    sessions[a].data, sessions[b].data = sessions[b].data, sessions[a].data


def swapped_with_rows(mirror: MemoryBackend, a: str, b: str) -> None:
    """The other session, row and all, under this one's key."""
    other = mirror._sessions[b]
    mirror._sessions[a].data = bytearray(other.data)
    mirror._sessions[a].row = other.row._replace(key=a)


def flipped(mirror: MemoryBackend, a: str, b: str) -> None:
    mirror._sessions[a].data[len(mirror._sessions[a].data) // 2] ^= 1


def header_forged(mirror: MemoryBackend, a: str, b: str) -> None:
    mirror._sessions[a].data[16] ^= 1


def emptied(mirror: MemoryBackend, a: str, b: str) -> None:
    del mirror._sessions[a].data[:]


def rubbish(mirror: MemoryBackend, a: str, b: str) -> None:
    mirror._sessions[a].data[:] = b"rubbish " * 100


def row_forged(mirror: MemoryBackend, a: str, b: str) -> None:
    mirror._sessions[a].row = mirror._sessions[a].row._replace(updated=1 << 50, expires=5)


HARMS = [swapped, swapped_with_rows, flipped, header_forged, emptied, rubbish, row_forged]


def proofs(found: Iterator[Proof]) -> dict[str, Proof]:
    return {proof.key: proof for proof in found}


@pytest.mark.parametrize("harm", HARMS)
def test_harm_is_found_by_verifying(vault: Any, mirror: Shaky, keys: list[str], pen: Pen, harm: Harm) -> None:
    harm(mirror, keys[0], keys[1])
    found = proofs(verify(vault, mirror, pen.reader))
    assert found[keys[0]].found in (MirroredSession.DAMAGED, MirroredSession.LOCKED)
    assert found[keys[2]].found is MirroredSession.OK


@pytest.mark.parametrize("harm", HARMS)
def test_harm_is_never_restored(mirror: Shaky, keys: list[str], pen: Pen, tmp_path: Path, harm: Harm) -> None:
    whole = contents(mirror)
    harm(mirror, keys[0], keys[1])
    (tmp_path / "new").mkdir(mode=0o700)
    target = FilesBackend(str(tmp_path / "new"), disk=Disk(), describe=pen.describe)
    found = proofs(restore(mirror, target, pen.reader))
    restored = contents(target)
    assert found[keys[0]].problem
    assert restored[keys[2]] == whole[keys[2]]
    for key, data in restored.items():  # whatever was put in place is what was written under that name
        assert data == whole[key]
    target.close()


def test_a_mirror_that_was_set_back_restores_what_is_authentic_and_a_living_vault_knows_better(
    vault: Any, mirror: Shaky, keys: list[str], pen: Pen
) -> None:
    old = mirror._sessions[keys[0]].row, bytes(mirror._sessions[keys[0]].data)
    pen.write("a", "fourth")
    follow(vault, mirror, keys[0])
    mirror._sessions[keys[0]].row, mirror._sessions[keys[0]].data = old[0], bytearray(old[1])
    found = proofs(verify(vault, mirror, pen.reader))
    assert (found[keys[0]].found, found[keys[0]].problem) == (MirroredSession.BEHIND, "the mirror has an older one")
    told = proofs(restore(mirror, vault, pen.reader))
    assert not told[keys[0]].restored
    assert pen.texts(vault, keys[0]) == ["first of a", "second", "third", "fourth"]


def test_a_truncated_session_is_restored_up_to_where_it_authenticates_and_told(
    mirror: Shaky, keys: list[str], pen: Pen
) -> None:
    whole = bytes(mirror._sessions[keys[0]].data)
    del mirror._sessions[keys[0]].data[-10:]
    mirror._sessions[keys[0]].row = mirror._sessions[keys[0]].row._replace(generation=0, seq=0)  # claims no witness
    target = MemoryBackend()
    found = proofs(restore(mirror, target, pen.reader))
    assert found[keys[0]].problem
    texts = pen.texts(target, keys[0])
    assert texts == ["first of a", "second"]
    assert whole.startswith(contents(target)[keys[0]])


def test_what_was_put_in_place_is_what_was_proved(mirror: Shaky, keys: list[str], pen: Pen) -> None:
    """The story: the mirror answers the second reading otherwise than the first."""

    class TwoFaced(MemoryBackend):
        looks = 0

        def read(self, key: str, start: int = 0, *, settled: bool = False) -> Any:
            container = mirror.read(key, start)
            self.looks += 1
            if container is not None and self.looks % 2 == 0:
                return container._replace(data=b"\0" * len(container.data))
            return container

        def scan(self, query: Query) -> Any:
            return mirror.scan(query)

    target = MemoryBackend()
    assert all(proof.restored for proof in restore(TwoFaced(), target, pen.reader) if not proof.problem)
    for key, data in contents(target).items():
        assert data == contents(mirror)[key]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("harm", HARMS)
def test_a_running_vault_takes_nothing_from_its_mirror(
    vault: Any, mirror: Shaky, keys: list[str], pen: Pen, harm: Harm
) -> None:
    before = contents(vault)
    harm(mirror, keys[0], keys[1])
    store = mirrored(vault, mirror)
    eventually(lambda: store.mirror.status().succeeded)
    compare(store.mirror)
    assert is_level(store.mirror, 30)
    assert contents(vault) == before
    pen.write("a", "goes on")
    assert pen.texts(vault, keys[0])[-1] == "goes on"
    store.mirror.close()


def test_forged_tombstones_and_rows_stop_a_mirror_and_remove_nothing(
    vault: Any, mirror: Shaky, keys: list[str], pen: Pen
) -> None:
    """The worst that it can do is to refuse its own service, and that is reported."""
    before = contents(vault)
    mirror._forget(keys[0])
    mirror._tombstones[keys[0]] = Tombstone(keys[0], (1 << 64) - 1, b"\0" * 16)
    mirror._sessions[keys[1]].row = mirror._sessions[keys[1]].row._replace(generation=1 << 62)
    store = mirrored(vault, mirror)
    for name, key in zip(NAMES, keys, strict=True):
        pen.write(name, "goes on")
        store.mirror.mark(key)
    eventually(lambda: set(store.mirror.status().refused) == {keys[0], keys[1]})
    assert "newer" in (store.health()["mirror"] or "")
    assert contents(vault).keys() == before.keys()
    assert is_level(store.mirror, 30)
    assert pen.texts(mirror, keys[2]) == pen.texts(vault, keys[2])
    store.mirror.close()


def test_nothing_that_the_mirror_was_given_can_be_read(mirror: Shaky, keys: list[str]) -> None:
    held = b"".join(bytes(session.data) + session.row.blob for session in mirror._sessions.values())
    for text in (b"first of", b"second", b"third"):
        assert text not in held
