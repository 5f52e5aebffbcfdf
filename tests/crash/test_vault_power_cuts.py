"""The power is cut while a vault is made, and while its key slots and master keys change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_lab import KEY, explored
from effort import EFFORT
from memory import QuickDisk
from vaults import vault_at

from vaultsession import RawKey, open_store
from vaultsession.admin.doctor import Severity, examine
from vaultsession.format.keys import MasterKey
from vaultsession.testing.lossy_disk import Crashed, LossyDisk
from vaultsession.vault import UnlockedVault

OTHER, THIRD, FOURTH = (RawKey(bytes(range(start, start + 32))) for start in (1, 2, 3))
SECRETS = [("first", KEY), ("other", OTHER), ("third", THIRD)]

pytestmark = pytest.mark.usefixtures("late_index")


def facts(vault: UnlockedVault) -> tuple[Any, ...]:
    """What a change of the keyring changes."""
    return vault.counter, tuple(slot.id for slot in vault.slots), tuple(vault.keyring.masters), vault.keyring.vault_id


def rotated(masters: tuple[MasterKey, ...]) -> tuple[MasterKey, ...]:
    return (MasterKey.generate(), *(master._replace(retired=True) for master in masters))


def a_life_of_keys(disk: Any, path: Path) -> list[tuple[Any, ...]]:
    """Every change of a keyring; the facts after each."""
    directory = vault_at(str(path), disk)
    vault = directory.create(KEY, label="first")
    told = [facts(vault)]
    disk.note(0)
    changes = (
        lambda: directory.add_slot(vault, OTHER, label="other"),
        lambda: directory.add_slot(vault, THIRD),
        lambda: directory.remove_slot(vault, vault.slots[0].id),
        lambda: directory.replace_keys(directory.unlock(SECRETS), rotated),
        lambda: directory.unlock(SECRETS),
    )
    for number, change in enumerate(changes, 1):
        vault = change()
        told.append(facts(vault))
        disk.note(number)
    return told


def keys_survived(crashed: Crashed, told: list[tuple[Any, ...]]) -> None:
    last = max((note for note in crashed.notes if isinstance(note, int)), default=None)
    directory = vault_at(os.fspath(crashed), QuickDisk())
    if last is None and not directory.exists():
        directory.create(KEY)
    vault = directory.unlock(SECRETS)
    if last is not None:
        assert facts(vault) in told[last : last + 2]
    elif vault.keyring.vault_id == told[0][-1]:
        assert facts(vault) == told[0]
    changed = directory.add_slot(vault, FOURTH)
    assert changed.counter == vault.counter + 1
    assert directory.unlock([("fourth", FOURTH)]).findings == ()
    found = examine(os.fspath(crashed), [("fourth", FOURTH)])
    assert [finding for finding in found if finding.severity > Severity.INFO] == []


def explore_keys(where: Path, name: str, disk: Any = LossyDisk, *, bound: int) -> int:
    lossy = disk(where / "vault", images=where / "images")
    told = a_life_of_keys(lossy, where / "vault")
    for crashed in lossy.crash_states(bound=bound):
        try:
            keys_survived(crashed, told)
        except BaseException as error:
            error.add_note(str(crashed))
            raise
    explored[name] += lossy.explored
    return lossy.explored


@pytest.mark.slow
def test_every_power_cut_while_keys_change_leaves_the_old_or_the_new(where: Path) -> None:
    assert explore_keys(where, "slow: a life of keys", bound=16 * EFFORT) >= 120


def explore_creation(where: Path, name: str, *, bound: int) -> int:
    path = where / "vault"
    disk = LossyDisk(path, images=where / "images")
    with open_store(path, disk=disk, key=KEY) as store:
        disk.note("made")
        store.create("a", state={"n": 1})
        disk.note("created")
    vault_id = vault_at(str(path)).identity().vault_id
    for crashed in disk.crash_states(bound=bound):
        made = "made" in crashed.notes
        with open_store(crashed, key=KEY, create=not made, disk=QuickDisk()) as store:
            assert store.exists("a") or "created" not in crashed.notes, str(crashed)
            store.save("b", state={"n": 2})
        if made:
            assert vault_at(os.fspath(crashed)).identity().vault_id == vault_id
        with open_store(crashed, key=KEY, create=False, disk=QuickDisk()) as store:
            assert store.load("b").state == {"n": 2}
        found = examine(os.fspath(crashed), [("the key", KEY)])
        assert [finding for finding in found if finding.severity > Severity.INFO] == [], str(crashed)
    explored[name] += disk.explored
    return disk.explored


@pytest.mark.slow
def test_every_power_cut_while_a_vault_is_made_leaves_it_or_lets_it_be_made(where: Path) -> None:
    assert explore_creation(where, "slow: a vault is made", bound=16 * EFFORT) >= 120


class OpenedMeanwhile(LossyDisk):
    """Lets someone open the vault before the entries of its directory are flushed."""

    act: Callable[[], None] | None = None

    def sync_directory(self, path: str) -> None:
        if path == self.root and self.act is not None:
            act, self.act = self.act, None
            act()
        super().sync_directory(path)


@pytest.mark.slow
def test_whoever_opens_a_vault_while_its_keys_change_does_not_remember_what_may_be_taken_back(where: Path) -> None:
    """The index remembered the number of a change that a power cut took back: the vault then refused to open at all."""
    path = where / "vault"
    disk = OpenedMeanwhile(path, images=where / "images")
    with open_store(path, disk=disk, key=KEY) as store:
        store.create("a")
    directory = vault_at(str(path), disk)
    vault = directory.unlock(SECRETS)
    since = disk.position
    disk.act = lambda: open_store(path, disk=disk, key=KEY).close()
    directory.add_slot(vault, OTHER)
    assert disk.act is None
    for crashed in disk.crash_states(since=since, bound=24):
        try:
            with open_store(crashed, key=KEY, create=False, disk=QuickDisk()) as store:
                assert store.exists("a")
        except BaseException as error:
            error.add_note(str(crashed))
            raise
    explored["quick: opened while keys change"] += disk.explored
    assert disk.explored >= 20
