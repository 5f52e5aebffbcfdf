"""The power is cut while a vault is copied, of which nothing is flushed before the end; then it is copied again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crash_lab import KEY, explored
from effort import some
from memory import QuickDisk
from vaults import container_in

from vaultsession import open_store
from vaultsession.admin.migrate import Trouble, migrate
from vaultsession.testing.clock import ManualClock
from vaultsession.testing.lossy_disk import LossyDisk
from vaultsession.vault.location import VaultLocation

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("late_index")]

NAMES = ("a", "b", "c")


def filled(path: Path) -> dict[str, bytes]:
    with open_store(path, key=KEY, clock=ManualClock(), disk=QuickDisk()) as store:
        for name in NAMES:
            store.create(name, messages=[{"content": name * 30}])
        store.append("b", {"content": "more"})
        store.create("gone")
        store.delete("gone")
    return contents(path)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: container_in(file) for file in path.glob("sessions/*.vss")}


@pytest.mark.parametrize("key", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_after_the_end_all_survives_and_before_it_the_copy_is_repeated(where: Path, *, key: bool) -> None:
    whole = filled(where / "source")
    source = VaultLocation.at(str(where / "source"), QuickDisk(), durability="os")
    vault = source.vault.unlock([("key", KEY)])
    disk = LossyDisk(where / "vault", images=where / "images")
    report = migrate(source, VaultLocation.at(str(where / "vault"), disk, durability="os"), vault)
    assert report.problems == []
    disk.note("done")
    for crashed in some(disk.crash_states(), 3):
        explored["a copy of a vault" + ("" if key else ", without its key")] += 1
        path = Path(os.fspath(crashed))
        if "done" in crashed.notes:
            assert contents(path) == whole, crashed
        again = migrate(source, VaultLocation.at(str(path), QuickDisk(), durability="os"), vault if key else None)
        if not key:  # what is neither whole nor a beginning takes one
            assert {problem.trouble for problem in again.problems} <= {Trouble.LOCKED}, crashed
            if again.problems:
                again = migrate(source, VaultLocation.at(str(path), QuickDisk(), durability="os"), vault)
        assert again.problems == [], (crashed, again.problems)
        assert again.verified == len(NAMES), crashed
        assert contents(path) == whole, crashed
        with open_store(path, key=KEY, create=False, disk=QuickDisk(), clock=ManualClock()) as store:
            assert sorted(info.id for info in store.list()) == list(NAMES), crashed
            assert not store.exists("gone")
