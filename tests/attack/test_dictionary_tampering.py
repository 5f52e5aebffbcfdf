"""The dictionaries of a vault removed, swapped, altered, set back and planted: locked sessions, never other data."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vaults import vault_at

from vaultsession import RawKey, UnknownDictionary, VaultError, open_store
from vaultsession.admin.doctor import Remedy, Severity, examine
from vaultsession.admin.repair import Repair, RepairOutcome
from vaultsession.format.dictionaries import MOST_DICTIONARIES
from vaultsession.testing.clock import ManualClock

KEY = RawKey(bytes(range(160, 192)))
CANDIDATES = [("the key", KEY)]
TONGUES = [
    line.split()
    for line in (
        "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore",
        "zwölf boxkämpfer jagen viktor quer über den großen sylter deich und essen dabei fisch mit kartoffeln",
    )
]


def message(tongue: int, number: int) -> dict[str, Any]:
    chance = random.Random(number)
    return {"role": "user", "content": f"{tongue}: " + " ".join(chance.choices(TONGUES[tongue], k=50))}


EXPECTED = {
    "plain": [{"n": 1}],
    "first": [message(0, -1)],
    "second": [message(1, -1)],
}
NEEDS = {"first": 0, "second": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A vault that learned two dictionaries, and a session that needs each."""
    path, numbers, clock = tmp_path_factory.mktemp("made") / "vault", [], ManualClock()
    with open_store(path, key=KEY, clock=clock, durability="os") as store:
        store.create("plain", messages=EXPECTED["plain"])
        for tongue, name in enumerate(NEEDS):
            for number in range(15):
                messages = [message(tongue, number * 50 + each) for each in range(15)]
                store.create(f"{name} {number}", user_id=name, messages=messages)
            numbers.append(store.train(user_id=name).number or 0)
            store.create(name, messages=EXPECTED[name])
            clock.advance("1h")
    return path, numbers


@pytest.fixture
def vault(made: tuple[Path, list[int]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "vault"))


@pytest.fixture
def numbers(made: tuple[Path, list[int]]) -> list[int]:
    return made[1]


def copies(vault: Path, number: int) -> list[Path]:
    return [vault / "dictionaries" / f"{number}{suffix}" for suffix in (".vsd", ".bak")]


def seen(vault: Path) -> dict[str, Any]:
    """What each session is to a store that is opened now; every other one opens or is locked as well."""
    found: dict[str, Any] = {}
    with open_store(vault, key=KEY, cache_bytes=0) as store:
        for info in store.list():
            try:
                loaded = store.load(info.id).messages
            except VaultError as error:
                loaded = type(error)
            if info.id in EXPECTED:
                found[info.id] = loaded
    return found


def write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)


def flipped(vault: Path, numbers: list[int], which: int) -> None:
    for path in copies(vault, numbers[which]):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        write(path, bytes(data))


def removed(vault: Path, numbers: list[int], which: int) -> None:
    for path in copies(vault, numbers[which]):
        path.unlink()


def emptied(vault: Path, numbers: list[int], which: int) -> None:
    for path in copies(vault, numbers[which]):
        write(path, b"")


def swapped(vault: Path, numbers: list[int], which: int) -> None:
    for path, other in zip(copies(vault, numbers[which]), copies(vault, numbers[1 - which]), strict=True):
        write(path, other.read_bytes())


def linked(vault: Path, numbers: list[int], which: int) -> None:
    for path in copies(vault, numbers[which]):
        path.rename(vault.parent / path.name)
        path.symlink_to(vault.parent / path.name)


TAMPERINGS = {each.__name__: each for each in (flipped, removed, emptied, swapped, linked)}
Tampering = Callable[[Path, list[int], int], None]


def test_untouched_each_session_is_what_it_was(vault: Path) -> None:
    assert seen(vault) == EXPECTED


@pytest.mark.parametrize("name", NEEDS)
@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_dictionary_that_was_tampered_with_locks_its_sessions_and_no_others(
    vault: Path, numbers: list[int], tampering: str, name: str
) -> None:
    TAMPERINGS[tampering](vault, numbers, NEEDS[name])
    found = seen(vault)
    locked = found.pop(name)
    assert issubclass(locked, VaultError)
    assert locked is UnknownDictionary or tampering == "linked"
    assert found == {other: messages for other, messages in EXPECTED.items() if other != name}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_new_sessions_are_written_and_read_whatever_became_of_the_newest(
    vault: Path, numbers: list[int], tampering: str
) -> None:
    TAMPERINGS[tampering](vault, numbers, 1)
    with open_store(vault, key=KEY, cache_bytes=0) as store:
        store.create("new", messages=[message(1, 77)])
        store.append("plain", message(0, 78))
        assert store.load("new").messages == [message(1, 77)]
        assert store.load("plain").messages == [{"n": 1}, message(0, 78)]


def test_of_another_vault_it_is_none(vault: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    vault_at(str(other)).create(KEY)
    shutil.copytree(vault / "dictionaries", other / "dictionaries")
    with open_store(other, key=KEY) as store:
        store.create("a", messages=[message(0, 5)])
    shutil.rmtree(other / "dictionaries")
    with open_store(other, key=KEY) as store:
        assert store.load("a").messages == [message(0, 5)]


def test_a_heap_of_planted_ones_is_not_looked_through(vault: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2_000_000_000, 2_000_000_000 + 5 * MOST_DICTIONARIES):
        write(vault / "dictionaries" / f"{number}.vsd", b"VSD1" + bytes(200))
    assert seen(vault) == EXPECTED
    with open_store(vault, key=KEY) as store:  # who writes chooses one
        store.create("new", messages=[message(1, 77)])
    assert 1 <= len(caplog.records) <= MOST_DICTIONARIES


def test_set_back_to_a_copy_of_the_past_what_came_later_is_locked(vault: Path, numbers: list[int]) -> None:
    """And a dictionary that is trained then gets a number of its own."""
    removed(vault, numbers, 1)
    with open_store(vault, key=KEY, cache_bytes=0, clock=ManualClock()) as store:  # the clock of the first training
        for number in range(20):
            store.create(f"again {number}", user_id="again", messages=[message(1, -100 * each) for each in range(20)])
        assert store.train(user_id="again").number not in numbers
        store.create("third", messages=[message(1, 5)])
        assert store.load("third").messages == [message(1, 5)]
    assert seen(vault)["second"] is UnknownDictionary


# -- doctor and repair -------------------------------------------------------------------------------------------------


def findings(vault: Path) -> list[Any]:
    return [each for each in examine(str(vault), CANDIDATES) if each.severity > Severity.INFO]


def test_there_is_nothing_to_say_of_whole_ones(vault: Path) -> None:
    assert findings(vault) == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("harm", ["removed", "flipped", "of the other"])
def test_one_copy_is_found_and_mended_from_the_other(vault: Path, numbers: list[int], copy: int, harm: str) -> None:
    path = copies(vault, numbers[0])[copy]
    before = path.read_bytes()
    if harm == "removed":
        path.unlink()
    else:
        write(
            path,
            bytes([before[0] ^ 1]) + before[1:] if harm == "flipped" else copies(vault, numbers[1])[copy].read_bytes(),
        )
    assert seen(vault) == EXPECTED
    (found,) = findings(vault)
    assert (found.name, found.place, found.remedy) == ("dictionary-copy", f"dictionaries/{path.name}", Remedy.LEVEL)
    repair = Repair(str(vault), CANDIDATES)
    assert RepairOutcome.PLANNED in {each.outcome for each in repair.plan([found])}
    result = repair.act(repair.look())
    assert [each.outcome for each in result.repaired if each.finding.name == "dictionary-copy"] == [
        RepairOutcome.MENDED
    ]
    assert findings(vault) == []
    assert path.read_bytes() == before


def test_one_that_is_lost_is_told_and_nothing_is_done_about_its_sessions(vault: Path, numbers: list[int]) -> None:
    flipped(vault, numbers, 0)
    names = [each.name for each in findings(vault)]
    assert names.count("dictionary-lost") == 2
    assert names.count("locked") == 1
    sessions = {path: path.read_bytes() for path in vault.glob("sessions/*")}
    repair = Repair(str(vault), CANDIDATES, quarantine_damaged=True)
    repair.act(repair.look())
    assert {path: path.read_bytes() for path in vault.glob("sessions/*")} == sessions
    assert [each.name for each in findings(vault)] == names


def test_foreign_files_and_modes_among_them_are_told(vault: Path, numbers: list[int]) -> None:
    (vault / "dictionaries" / "notes.txt").write_text("mine")
    (vault / "dictionaries" / f"{numbers[0]}.vsd.new").write_bytes(b"half")
    copies(vault, numbers[0])[0].chmod(0o644)
    found = {(each.name, each.place) for each in examine(str(vault), CANDIDATES)}
    assert ("foreign-file", "dictionaries/notes.txt") in found
    assert ("left-over", f"dictionaries/{numbers[0]}.vsd.new") in found
    assert ("mode", f"dictionaries/{numbers[0]}.vsd") in found
    repair = Repair(str(vault), CANDIDATES)
    repair.act(repair.look())
    assert copies(vault, numbers[0])[0].stat().st_mode & 0o777 == 0o600
