"""The power is cut while a dictionary is trained, and while others use it already: no record is left without its own."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_lab import KEY, explored
from effort import EFFORT, some
from memory import QuickDisk

from vaultsession import SessionStore, UnknownDictionary, open_store
from vaultsession.admin.doctor import Severity, examine
from vaultsession.format.dictionaries import SHIPPED
from vaultsession.testing.lossy_disk import LossyDisk
from vaultsession.vault.directory import Files, VaultDirectory

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("late_index")]

TEXT = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore"
WORDS = TEXT.split()


def message(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    return {"role": "assistant", "content": "The weather report says: " + " ".join(chance.choices(WORDS, k=60))}


def filled(store: SessionStore) -> None:
    for number in range(12):
        store.create(f"{number}", messages=[message(number * 100 + each) for each in range(12)])


class Meanwhile(LossyDisk):
    """Lets another process look whenever a name was made or flushed."""

    act: Callable[[], None] | None = None

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        if "dictionaries" in target:
            self._look()

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        if path.endswith("dictionaries"):
            self._look()

    def _look(self) -> None:
        if self.act is not None:
            act, self.act = self.act, None
            act()
            self.act = act


def explore(where: Path, name: str, *, bound: int, every: int = 1) -> int:
    """A vault is trained while another store is opened at each step, and appends with what it finds."""
    path = where / "vault"
    disk = Meanwhile(path, images=where / "images")
    appended: list[str] = []
    numbers: set[int] = set()

    def appends() -> None:
        with open_store(path, disk=disk, key=KEY) as other:
            name = f"meanwhile {len(appended)}"
            other.create(name, messages=[message(len(appended))])
            numbers.add(other._operations._reader.dictionaries.current[0].number)
            appended.append(name)
            disk.note(name)

    with open_store(path, disk=disk, key=KEY) as store:
        filled(store)
        since = disk.position
        disk.act = appends
        number = store.train(size=4096).number
        disk.act = None
        store.create("after", messages=[message(999)])
        disk.note("after")
        assert store._operations._reader.dictionaries.current[0].number == number
    assert number in numbers, "nobody looked in time"
    for count, crashed in enumerate(some(disk.crash_states(since=since, bound=bound), every)):
        try:
            survived(crashed, appended, retrain=count % 20 == 0 and newest_in(crashed) == SHIPPED)
        except BaseException as error:
            error.add_note(str(crashed))
            raise
        explored[name] += 1
    return disk.explored


def newest_in(crashed: Any) -> int:
    with open_store(crashed, key=KEY, disk=QuickDisk()) as store:
        return store._operations._reader.dictionaries.current[0].number


def survived(crashed: Any, appended: list[str], *, retrain: bool) -> None:
    with open_store(crashed, key=KEY, disk=QuickDisk(), cache_bytes=0) as store:
        for each in crashed.notes:
            expected = message(999) if each == "after" else message(appended.index(each))
            assert store.load(each).messages == [expected]
        for info in store.list():
            store.load(info.id)
        store.create("again", messages=[message(1)])
        if retrain:
            assert store.train(size=4096).number is not None
        assert store.load("again").messages == [message(1)]
    found = [each for each in examine(os.fspath(crashed), [("key", KEY)]) if each.severity > Severity.INFO]
    assert {each.name for each in found} <= {"dictionary-copy"}


def test_every_power_cut_while_a_dictionary_is_trained_leaves_every_session_readable(where: Path) -> None:
    assert explore(where, "slow: a dictionary is trained", bound=16 * EFFORT, every=3) >= 120


# -- tests of the test -------------------------------------------------------------------------------------------------


def no_flush_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    sync = Meanwhile.sync_directory

    def skipped(self: Any, path: str) -> None:
        if not path.endswith("dictionaries"):
            sync(self, path)

    monkeypatch.setattr(Meanwhile, "sync_directory", skipped)


def one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    of = Files.of
    monkeypatch.setattr(
        Files, "of", lambda name: of(name) if name == "vault" else of(name)._replace(names=of(name).names[:1])
    )


def seen_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    names = VaultDirectory.names
    monkeypatch.setattr(VaultDirectory, "names", lambda self, prefix, **_: names(self, prefix, begun=True))


def no_flush_of_the_directory_above(monkeypatch: pytest.MonkeyPatch) -> None:
    sync = Meanwhile.sync_directory

    def skipped(self: Any, path: str) -> None:
        if path != self.root or self.act is None:
            sync(self, path)

    monkeypatch.setattr(Meanwhile, "sync_directory", skipped)


@pytest.mark.parametrize(
    "mutant",
    [no_flush_of_names, one_copy, seen_too_early, no_flush_of_the_directory_above],
    ids=lambda each: each.__name__,
)
def test_a_store_that_trains_in_another_way_is_found_out(
    where: Path, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)
    with pytest.raises(UnknownDictionary):
        explore(where, "mutants", bound=6)
