"""A restored copy, and what a sync client leaves: doctor says what happened, and one command takes what is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.doctor import Finding, Severity, examine
from vaultsession.admin.repair import Repair, Repaired, RepairOutcome
from vaultsession.errors import BackendUnavailable, Damaged, RollbackDetected, SessionNotFound

KEY = RawKey(bytes(range(100, 132)))
CANDIDATES = [("the key", KEY)]
COMMAND = "vaultsession repair --accept-restored"


def said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def opened(vault: Path) -> SessionStore:
    return open_store(vault, key=KEY, create=False)


def serious(vault: Path) -> list[Finding]:
    return [each for each in examine(str(vault), CANDIDATES) if each.severity > Severity.INFO]


def mend(vault: Path, **how: bool) -> list[Repaired]:
    repair = Repair(str(vault), CANDIDATES, **how)
    return repair.act(repair.look()).repaired


def index_of(vault: Path) -> list[Path]:
    return sorted(vault.glob("index.sqlite*"))


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    """A copy of which the index was taken last, while three sessions were written, one was made and one removed."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    with open_store(live, key=KEY) as store:
        for name in ("a", "b", "c", "removed"):
            store.create(name, messages=[said("hello")])
    shutil.copytree(live, copy)
    with opened(live) as store:
        for name in ("a", "b", "c"):
            store.append(name, said("while the copier was at work"))
        store.create("made", messages=[said("hello")])
        store.delete("removed")
    for file in index_of(copy):
        file.unlink()
    for file in index_of(live):
        shutil.copy2(file, copy)
    return copy


def test_doctor_tells_what_happened_and_both_ways_on(restored: Path) -> None:
    damaged = [each for each in serious(restored) if each.name == "damaged"]
    assert len(damaged) == 3
    for finding in damaged:
        assert "took its index later than its sessions" in finding.sentence
        assert "Restore the newer one, or accept this one" in finding.sentence
        assert finding.fix == COMMAND


def test_one_command_takes_what_is_there_and_says_what_it_gives_up(restored: Path) -> None:
    with opened(restored) as store, pytest.raises(RollbackDetected):
        store.load("a")
    untouched = mend(restored)
    assert RepairOutcome.MENDED not in {each.outcome for each in untouched if each.finding.name == "damaged"}
    assert any("--accept-restored" in each.sentence for each in untouched)
    repaired = mend(restored, accept_restored=True)
    accepted = [each for each in repaired if each.finding.fix == COMMAND]
    assert {each.outcome for each in accepted} == {RepairOutcome.MENDED}
    assert all("nothing proves" in each.sentence for each in accepted)
    assert [each for each in serious(restored) if each.severity is Severity.ERROR] == []
    with opened(restored) as store:
        assert {info.id: info.message_count for info in store.list()} == {"a": 1, "b": 1, "c": 1}
        assert store.append("a", said("and on")).message_count == 2
        assert store.verify().ok
        assert store.health()["ok"]


@pytest.mark.slow
def test_a_session_that_is_lost_can_be_accepted_as_lost(tmp_path: Path) -> None:
    with open_store(tmp_path / "vault", key=KEY) as store:
        store.create("a")
        store.create("b")
    next((tmp_path / "vault" / "sessions").glob("a~*")).unlink()
    (finding,) = serious(tmp_path / "vault")
    assert (finding.name, finding.fix) == ("session-lost", COMMAND)
    mend(tmp_path / "vault", accept_restored=True)
    assert serious(tmp_path / "vault") == []
    with opened(tmp_path / "vault") as store:
        with pytest.raises(SessionNotFound):
            store.load("a")
        assert store.verify().ok


def test_key_slots_that_were_set_back_can_be_accepted(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with open_store(vault, key=KEY) as store:
        store.create("a")
    old = {name: (vault / name).read_bytes() for name in ("keyring", "keyring.bak")}
    with opened(vault) as store:
        store.rotate_key()
        store.delete("a")
    for name, data in old.items():
        (vault / name).write_bytes(data)
    with pytest.raises(RollbackDetected):
        opened(vault)
    mend(vault, accept_restored=True)
    with opened(vault) as store:
        store.create("b")
    assert [each for each in serious(vault) if each.severity is Severity.ERROR] == []


# -- what a sync client leaves -----------------------------------------------------------------------------------------


@pytest.fixture
def computers(tmp_path: Path) -> tuple[Path, Path]:
    """A vault on two computers, which both know one session."""
    desk, laptop = tmp_path / "desk", tmp_path / "laptop"
    with open_store(desk, key=KEY) as store:
        store.create("note", messages=[said("both know this")], title="A note", labels={"team": "red"})
    shutil.copytree(desk, laptop)
    return desk, laptop


def note(vault: Path) -> Path:
    return next((vault / "sessions").glob("note~*"))


def left_beside(desk: Path, laptop: Path, naming: str = "{} (conflicted copy 2026-11-30).vss") -> Path:
    copy = desk / "sessions" / naming.format(note(desk).stem)
    shutil.copy(note(laptop), copy)
    copy.chmod(0o600)
    return copy


NAMINGS = {
    "Dropbox": "{} (Ann's conflicted copy 2026-11-30).vss",
    "Syncthing": "{}.sync-conflict-20261130-101112-ABCDEFG.vss",
    "OneDrive": "{}-LAPTOP.vss",
    "Google Drive": "{} (1).vss",
}


@pytest.mark.parametrize("naming", NAMINGS.values(), ids=NAMINGS)
def test_a_conflict_copy_of_two_that_went_on_becomes_a_session_of_its_own(
    computers: tuple[Path, Path], naming: str
) -> None:
    desk, laptop = computers
    with opened(laptop) as store:
        store.append("note", said("on the train"), said("and more"))
    with opened(desk) as store:
        store.append("note", said("at the desk"))
    copy = left_beside(desk, laptop, naming)
    (finding,) = serious(desk)
    assert (finding.name, finding.fix) == ("conflict-copy", "vaultsession repair")
    (repaired,) = [each for each in mend(desk) if each.finding.name == "conflict-copy"]
    assert repaired.outcome is RepairOutcome.MENDED
    assert not copy.exists()
    assert len(os.listdir(desk / "quarantine")) == 1
    assert serious(desk) == []
    with opened(desk) as store:
        assert [each["content"] for each in store.messages("note")] == ["both know this", "at the desk"]
        fork = store.load("note-conflict")
        assert [each["content"] for each in fork.messages] == ["both know this", "on the train", "and more"]
        assert (fork.title, dict(fork.labels)) == ("A note", {"team": "red"})
        assert len(store.list(labels={"team": "red"})) == 2


def test_a_conflict_copy_that_went_on_from_the_session_takes_its_place(computers: tuple[Path, Path]) -> None:
    desk, laptop = computers
    with opened(laptop) as store:
        store.append("note", said("on the train"))
    left_beside(desk, laptop)
    mend(desk)
    assert serious(desk) == []
    with opened(desk) as store:
        assert [info.id for info in store.list()] == ["note"]
        assert store.load("note").message_count == 2
        assert store.append("note", said("at the desk")).message_count == 3


def test_a_conflict_copy_with_nothing_new_is_put_aside(computers: tuple[Path, Path]) -> None:
    desk, laptop = computers
    with opened(desk) as store:
        store.append("note", said("at the desk"))
    left_beside(desk, laptop)
    mend(desk)
    assert serious(desk) == []
    with opened(desk) as store:
        assert [info.id for info in store.list()] == ["note"]
        assert store.load("note").message_count == 2


def test_a_conflict_copy_of_a_session_that_was_removed_becomes_one_of_its_own(computers: tuple[Path, Path]) -> None:
    desk, laptop = computers
    with opened(desk) as store:
        store.delete("note")
    left = desk / "sessions" / f"{note(laptop).stem} (1).vss"
    shutil.copy(note(laptop), left)
    left.chmod(0o600)
    mend(desk)
    with opened(desk) as store:
        assert [info.id for info in store.list()] == ["note-conflict"]


@pytest.mark.parametrize("spoil", ["a byte", "another session", "torn"])
def test_a_copy_that_does_not_authenticate_is_left_where_it_is(computers: tuple[Path, Path], spoil: str) -> None:
    desk, laptop = computers
    with opened(laptop) as store:
        store.create("other", messages=[said("elsewhere")])
    copy = left_beside(desk, laptop)
    if spoil == "a byte":
        data = bytearray(copy.read_bytes())
        data[-40] ^= 1
        copy.write_bytes(data)
    elif spoil == "another session":
        shutil.copy(next((laptop / "sessions").glob("other~*")), copy)
    else:
        copy.write_bytes(copy.read_bytes() + b"torn")
    before = copy.read_bytes()
    (repaired,) = [each for each in mend(desk) if each.finding.name == "conflict-copy"]
    assert repaired.outcome is RepairOutcome.FAILED
    assert copy.read_bytes() == before
    with opened(desk) as store:
        assert [info.id for info in store.list()] == ["note"]


def test_where_the_client_replaced_the_file_it_can_be_accepted(computers: tuple[Path, Path]) -> None:
    desk, laptop = computers
    for vault, text in ((laptop, "on the train"), (desk, "at the desk")):
        with opened(vault) as store:
            store.append("note", said(text))
    shutil.copy(note(laptop), note(desk))
    with opened(desk) as store, pytest.raises(Damaged):
        store.load("note")
    (finding,) = serious(desk)
    assert finding.fix == COMMAND
    mend(desk, accept_restored=True)
    assert serious(desk) == []
    with opened(desk) as store:
        assert store.messages("note")[-1]["content"] == "on the train"


# -- a backup by hard links --------------------------------------------------------------------------------------------


def test_a_backup_by_hard_links_and_its_vault_are_read_and_the_backup_keeps_what_it_has(tmp_path: Path) -> None:
    vault, backup = tmp_path / "vault", tmp_path / "backup"
    with open_store(vault, key=KEY) as store:
        for name in ("a", "b"):
            store.create(name, messages=[said("before")])
    shutil.copytree(vault, backup, copy_function=os.link, ignore=shutil.ignore_patterns("locks", "index.sqlite*"))
    (backup / "locks").mkdir(mode=0o700)
    with opened(vault) as store:
        assert store.load("a").message_count == 1
        assert store.append("a", said("after")).message_count == 2
        assert store.verify().ok
    with opened(backup) as store:
        assert store.load("a").message_count == 1
        assert store.append("b", said("elsewhere")).message_count == 2
    with opened(vault) as store:
        assert {info.id: info.message_count for info in store.list()} == {"a": 2, "b": 1}
    assert serious(vault) == []


def test_with_its_locks_linked_as_well_a_vault_is_read(tmp_path: Path) -> None:
    vault, backup = tmp_path / "vault", tmp_path / "backup"
    with open_store(vault, key=KEY) as store:
        store.create("a", messages=[said("before")])
    shutil.copytree(vault, backup, copy_function=os.link)
    for place in (vault, backup):
        with opened(place) as store:
            assert store.load("a").message_count == 1
            assert [info.id for info in store.list()] == ["a"]
            with pytest.raises(BackendUnavailable, match="2 names"):
                store.append("a", said("after"))
    shutil.rmtree(backup / "locks")
    with opened(vault) as store:
        assert store.append("a", said("after")).message_count == 2
