"""What somebody without a key puts into a vault reaches no copy of it: tombstones, containers, key slots, dictionaries."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mirror_lab import Shaky, compare, contents, eventually, is_level, mirrored

from vaultsession import RawKey, open_store
from vaultsession.backends import MemoryBackend
from vaultsession.backends.replication import Outcome, follow
from vaultsession.engine.proof import is_proved
from vaultsession.format.sealed import Delete, Tombstone

KEY = RawKey(bytes(range(32)))
NAMES = ("a", "b", "c")

Forge = Callable[[MemoryBackend, str], object]


class Scene:
    """A store in memory, as somebody with its storage sees it, and a copy of it that is good."""

    def __init__(self) -> None:
        self.store = open_store("memory://")
        self.vault: Any = self.store._backend
        self.reader = self.store._operations._reader
        self.accept = partial(is_proved, self.reader)
        self.copy = Shaky()
        for name in NAMES:
            for text in ("first", "second", "third"):
                self.store.append(name, {"role": "user", "content": text}, create=True)
            assert follow(self.vault, self.copy, self.store._key(name), accept=self.accept) is Outcome.REPLACED
        self.keys = [self.store._key(name) for name in NAMES]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def tombstone(vault: MemoryBackend, key: str) -> None:
    forged = Tombstone(key, 1 << 62, os.urandom(16))
    vault.commit(key, lambda _: Delete(forged))


def newer_row(vault: MemoryBackend, key: str) -> None:
    session = vault._sessions[key]
    session.row = session.row._replace(generation=session.row.generation + 1)


def rubbish_under_an_authentic_row(vault: MemoryBackend, key: str) -> None:
    """The row and the end of the container are as they were: the records in front of the end are not."""
    session = vault._sessions[key]
    session.data[100:-60] = os.urandom(len(session.data) - 160)


FORGERIES = [tombstone, newer_row, rubbish_under_an_authentic_row]


@pytest.mark.parametrize("forge", FORGERIES)
@pytest.mark.parametrize("anew", [False, True])
def test_a_forgery_replaces_nothing_at_a_copy(scene: Scene, forge: Forge, anew: bool) -> None:
    before = contents(scene.copy)
    for key in scene.keys:
        forge(scene.vault, key)
        outcome = follow(scene.vault, scene.copy, key, anew=anew, accept=scene.accept)
        assert outcome in (Outcome.UNPROVED, Outcome.CURRENT)
    assert contents(scene.copy) == before


def test_forged_tombstones_empty_no_running_mirror_and_health_says_so(scene: Scene) -> None:
    before = contents(scene.copy)
    store = mirrored(scene.vault, scene.copy, accept=scene.accept)
    eventually(lambda: store.mirror.status().succeeded)
    for key in scene.keys:
        tombstone(scene.vault, key)
    compare(store.mirror)
    eventually(lambda: set(store.mirror.status().refused) == set(scene.keys))
    assert "not made with its keys" in (store.health()["mirror"] or "")
    assert contents(scene.copy) == before
    store.mirror.close()


def test_what_the_keys_made_still_travels(scene: Scene) -> None:
    a, b, c = scene.keys
    scene.store.delete("a")
    scene.store.append("b", {"role": "user", "content": "fourth"})
    scene.store.rotate_key()
    assert follow(scene.vault, scene.copy, a, accept=scene.accept) is Outcome.REMOVED
    assert follow(scene.vault, scene.copy, b, accept=scene.accept) is Outcome.REPLACED
    assert follow(scene.vault, scene.copy, c, accept=scene.accept) is Outcome.REPLACED
    assert contents(scene.copy) == contents(scene.vault)


@pytest.mark.slow
def test_a_store_opened_with_a_mirror_proves_what_it_sends(tmp_path: Path) -> None:
    place, copy = f"sqlite:///{tmp_path}/vault.db", tmp_path / "mirror"
    with open_store(place, key=KEY, mirror=str(copy)) as store:
        store.create("a")
        assert is_level(store._backend.mirror, 30)
        key = store._key("a")
    with open_store(place, key=KEY, mirror=None) as store:
        tombstone(store._backend, key)  # type: ignore[arg-type]  # every backend commits alike
    with open_store(place, key=KEY, mirror=str(copy)) as store:
        eventually(lambda: store._backend.mirror.status().refused)
    assert list(copy.glob("sessions/*.vss"))
