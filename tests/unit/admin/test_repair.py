"""Repair: each finding that has a remedy is made, mended, and not found again; what has none is left as it was."""

from __future__ import annotations

import fcntl
import os
import stat

import pytest
from shelf import container
from sql_servers import sqlite_file
from vaults import container_in, tear, vault_at

from vaultsession import RawKey, SessionNotFound, open_store
from vaultsession.admin.doctor import Remedy, Severity, examine
from vaultsession.admin.repair import Repair, RepairOutcome
from vaultsession.backends.files.layout import FilesLayout, stripe_of
from vaultsession.errors import Damaged, RollbackDetected
from vaultsession.format import record as v1

KEY = RawKey(bytes(range(7, 39)))
CANDIDATES = [("the key of the test", KEY)]


def opened(vault, **settings):
    return open_store(vault, key=KEY, create=False, **settings)


@pytest.fixture
def vault(tmp_path):
    """A vault with two slots and two sessions, of which nothing is to be said."""
    path = tmp_path / "vault"
    directory = vault_at(str(path))
    directory.create(KEY)
    directory.add_slot(directory.unlock(CANDIDATES), RawKey.generate())
    with opened(path) as store:
        for name in ("one", "two"):
            store.create(name, state={"of": name}, messages=[{"n": 0}], title="T", labels={"a": "b"})
            store.append(name, {"n": 1})
            store.append(name, {"n": 2})
    return path


def session(vault, slug="one"):
    (path,) = vault.glob(f"sessions/{slug}~*.vss")
    return path


def flip(path, place):
    data = bytearray(container_in(path))
    data[place] ^= 1
    path.write_bytes(data)


def ends(path):
    """Where each record of a container ends."""
    return [record.end for record in v1.records_from(container(path.read_bytes()), v1.HEADER_SIZE)]


def findings(vault, candidates=CANDIDATES):
    return list(examine(str(vault), candidates))


def snapshot(vault):
    return {path: (path.stat().st_mode, path.read_bytes() if path.is_file() else None) for path in vault.rglob("*")}


def mend(vault, candidates=CANDIDATES, **options):
    repair = Repair(str(vault), candidates, **options)
    return repair.act(repair.look())


def serious(found):
    return [finding for finding in found if finding.severity > Severity.INFO]


def only(result, name=None):
    """What became of the one finding, or of the one of that name."""
    (repaired,) = [each for each in result.repaired if name in (None, each.finding.name)]
    return repaired


def well(store, *, slug="one", upto=3):
    loaded = store.load(slug)
    assert (loaded.state, loaded.messages) == ({"of": slug}, [{"n": n} for n in range(upto)])
    assert (loaded.title, loaded.labels) == ("T", {"a": "b"})
    return loaded


# -- each remedy -------------------------------------------------------------------------------------------------------


def orphan(vault):
    temporary = vault / "sessions" / f".{session(vault).stem[-32:]}.{'0' * 16}.tmp"
    temporary.write_bytes(b"half of somethi")
    temporary.chmod(0o600)


def change_index(vault, statement):
    with sqlite_file(vault / "index.sqlite") as index:
        index.execute(statement)
    index.close()


def behind(vault):
    before = (vault / "index.sqlite").read_bytes()
    with opened(vault) as store:
        store.update("two", {"more": True})
        store.update("two", {"more": False})
    (vault / "index.sqlite").write_bytes(before)
    for side in ("-wal", "-shm"):
        (vault / f"index.sqlite{side}").unlink(missing_ok=True)


def keyring_behind(vault):
    before = (vault / "keyring").read_bytes()
    directory = vault_at(str(vault))
    directory.add_slot(directory.unlock(CANDIDATES), RawKey.generate())
    (vault / "keyring").write_bytes(before)


def foreign_keyring(vault):
    vault_at(str(vault.parent / "other")).create(KEY)
    (vault / "keyring").write_bytes((vault.parent / "other" / "keyring").read_bytes())


def torn(vault):
    tear(session(vault))


HARMS = {
    "others read the vault": ("mode", lambda vault: vault.chmod(0o755)),
    "others write to the vault": ("not-private", lambda vault: vault.chmod(0o777)),
    "others write to sessions": ("not-private", lambda vault: (vault / "sessions").chmod(0o770)),
    "others read a session": ("mode", lambda vault: session(vault).chmod(0o644)),
    "others write to a session": ("not-private", lambda vault: session(vault).chmod(0o666)),
    "others read the keyring": ("mode", lambda vault: (vault / "keyring").chmod(0o640)),
    "others write to the keyring": ("not-private", lambda vault: (vault / "keyring").chmod(0o622)),
    "others write to vault.json": ("not-private", lambda vault: (vault / "vault.json").chmod(0o660)),
    "others write to a lock": ("not-private", lambda vault: (vault / "locks" / "index").chmod(0o622)),
    "others write to the index": ("not-private", lambda vault: (vault / "index.sqlite").chmod(0o662)),
    "an orphan": ("orphan-temporary", orphan),
    "a dead writer": ("dead-writer", lambda vault: (vault / "locks" / "writer-00").write_bytes(b"1")),
    "no quarantine": ("directory-missing", lambda vault: (vault / "quarantine").rmdir()),
    "a keyring that is gone": ("keyring-copy", lambda vault: (vault / "keyring").unlink()),
    "a keyring that is damaged": ("keyring-copy", lambda vault: flip(vault / "keyring", 50)),
    "a backup that is cut": ("keyring-copy", lambda vault: (vault / "keyring.bak").write_bytes(b"VSK1")),
    "a keyring that is behind": ("keyring-copy", keyring_behind),
    "a keyring of another vault": ("keyring-copy", foreign_keyring),
    "a torn tail": ("torn", torn),
    "a spoiled container": ("torn", lambda vault: session(vault).chmod(0o400)),
    "no index": ("index-missing", lambda vault: (vault / "index.sqlite").unlink()),
    "a damaged index": ("index-damaged", lambda vault: (vault / "index.sqlite").write_bytes(bytes(4000))),
    "an unlisted session": (
        "unlisted",
        lambda vault: change_index(vault, "DELETE FROM sessions WHERE key LIKE 'one~%'"),
    ),
    "a row that is behind": ("row-behind", behind),
    "a forged row": ("row-forged", lambda vault: change_index(vault, "UPDATE sessions SET updated = updated + 1")),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("harm", HARMS)
def test_what_can_be_mended_is_mended_and_not_found_again(harm, vault):
    name, make = HARMS[harm]
    make(vault)
    assert name in [finding.name for finding in findings(vault)]
    result = mend(vault)
    assert {each.outcome for each in result.repaired} == {RepairOutcome.MENDED}
    assert serious(result.remaining) == []
    assert serious(findings(vault)) == []
    with opened(vault) as store:
        well(store)
        assert sorted(info.id for info in store.list()) == ["one", "two"]
        store.append("one", {"n": 3})
    assert serious(findings(vault)) == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("harm", HARMS)
def test_a_plan_changes_nothing(harm, vault):
    HARMS[harm][1](vault)
    before = snapshot(vault)
    repair = Repair(str(vault), CANDIDATES)
    planned = repair.plan(repair.look())
    assert RepairOutcome.PLANNED in {each.outcome for each in planned}
    assert snapshot(vault) == before


def test_all_harms_at_once_are_mended(vault):
    for name, make in HARMS.values():
        if (
            name not in {"index-missing", "index-damaged", "unlisted", "row-behind", "row-forged"}
            and make is not foreign_keyring
        ):
            make(vault) if make is not keyring_behind and "keyring" not in name else None
    (vault / "keyring").unlink()
    result = mend(vault)
    assert serious(result.remaining) == []
    with opened(vault) as store:
        well(store)


def test_a_vault_that_is_well_is_left_as_it_is(vault):
    before = snapshot(vault)
    assert mend(vault) == ([], [])
    assert snapshot(vault) == before


def test_without_a_key_modes_and_orphans_are_mended_and_the_rest_is_told(vault):
    torn(vault)
    orphan(vault)
    (vault / "locks" / "writer-00").write_bytes(b"1")
    session(vault, "two").chmod(0o644)
    outcomes = {each.finding.name: each.outcome for each in mend(vault, None).repaired}
    assert outcomes["mode"] is outcomes["orphan-temporary"] is RepairOutcome.MENDED
    assert outcomes["torn"] is outcomes["dead-writer"] is RepairOutcome.LEFT
    assert serious(mend(vault).remaining) == []


# -- modes -------------------------------------------------------------------------------------------------------------


def test_a_spoiled_container_that_others_read_stays_spoiled_until_it_is_replaced(vault):
    session(vault).chmod(0o444)
    mend(vault, None)
    assert stat.S_IMODE(session(vault).stat().st_mode) == 0o400
    assert only(mend(vault)).finding.name == "torn"
    assert stat.S_IMODE(session(vault).stat().st_mode) == 0o600


def test_what_has_a_second_name_is_not_touched(vault, tmp_path):
    os.link(session(vault), tmp_path / "other")
    session(vault).chmod(0o666)
    repaired = [each for each in mend(vault).repaired if each.finding.name == "not-private"]
    assert [each.outcome for each in repaired] == [RepairOutcome.LEFT]
    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0o666


def test_nothing_is_restricted_through_a_link(vault, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (vault / "sessions").rename(elsewhere)
    (vault / "sessions").symlink_to(elsewhere)
    for path in elsewhere.iterdir():
        path.chmod(0o644)
    result = mend(vault)
    assert RepairOutcome.MENDED not in {each.outcome for each in result.repaired}
    assert {stat.S_IMODE(path.stat().st_mode) for path in elsewhere.iterdir()} == {0o644}


# -- orphans -----------------------------------------------------------------------------------------------------------


def test_a_temporary_whose_stripe_is_held_is_nobody_s_orphan(vault):
    orphan(vault)
    repair = Repair(str(vault), CANDIDATES)
    found = repair.look()
    with open(FilesLayout(str(vault)).stripe(stripe_of(session(vault).stem[-32:]))) as stripe:
        fcntl.flock(stripe, fcntl.LOCK_EX)
        repair.act(found)
        assert len(list(vault.glob("sessions/.*.tmp"))) == 1
    assert only(mend(vault)).outcome is RepairOutcome.MENDED
    assert list(vault.glob("sessions/.*.tmp")) == []


def test_a_directory_named_like_a_temporary_is_not_removed(vault):
    name = f".{session(vault).stem[-32:]}.{'0' * 16}.tmp"
    (vault / "sessions" / name).mkdir()
    assert only(mend(vault)).outcome is RepairOutcome.FAILED
    assert (vault / "sessions" / name).is_dir()


# -- torn tails --------------------------------------------------------------------------------------------------------


def test_the_tail_of_a_torn_container_lies_in_quarantine(vault):
    torn(vault)
    with opened(vault) as store:
        version = store.load("one").version
    result = mend(vault)
    (piece,) = vault.glob("quarantine/*")
    assert piece.read_bytes() == b"torn"
    assert [finding.name for finding in result.remaining] == ["quarantine"]
    with opened(vault) as store:
        assert well(store).version == version  # the document is the same: a caller that loaded it can save it


@pytest.mark.parametrize(
    "settings", [{"suite": "chacha20-poly1305"}, {"padding": True}, {"compression": "none"}], ids=str
)
def test_a_container_is_replaced_as_it_was_sealed(settings, vault):
    with opened(vault, **settings) as store:
        store.save("three", state={"a": "b" * 4000})
    with session(vault, "three").open("ab") as stream:
        stream.write(b"torn")
    before = v1.parse_header(session(vault, "three").read_bytes())
    mend(vault)
    after = v1.parse_header(session(vault, "three").read_bytes())
    assert (after.suite, after.flags) == (before.suite, before.flags)
    assert (session(vault, "three").stat().st_size > 4000) is ("compression" in settings)
    assert after.generation == before.generation + 1


def test_where_quarantine_has_no_room_nothing_is_replaced(vault, monkeypatch):
    torn(vault)
    (vault / "quarantine" / "kept").write_bytes(b"somebody's")
    (vault / "quarantine" / "kept").chmod(0o600)
    before = session(vault).read_bytes()
    monkeypatch.setattr("vaultsession.admin.repair.sessions.MAX_ENTRIES", 1)
    repaired = only(mend(vault), "torn")
    assert repaired.outcome is RepairOutcome.FAILED
    assert "no room" in repaired.sentence
    assert session(vault).read_bytes() == before
    assert (vault / "quarantine" / "kept").read_bytes() == b"somebody's"


# -- damaged sessions --------------------------------------------------------------------------------------------------


def test_a_damaged_session_is_left_as_it_is_unless_more_is_asked_for(vault):
    flip(session(vault), -60)
    before = snapshot(vault)
    repaired = only(mend(vault))
    assert (repaired.finding.remedy, repaired.outcome) == (Remedy.ON_REQUEST, RepairOutcome.LEFT)
    assert "--recover" in repaired.sentence
    assert session(vault).read_bytes() == before[session(vault)][1]


def test_on_request_a_damaged_session_is_moved_to_quarantine_whole(vault):
    flip(session(vault), 100)
    data, name = session(vault).read_bytes(), session(vault).name
    repaired = only(mend(vault, quarantine_damaged=True))
    assert repaired.outcome is RepairOutcome.MENDED
    (piece,) = vault.glob("quarantine/*")
    assert piece.name.startswith(name)
    assert piece.read_bytes() == data
    assert serious(findings(vault)) == []
    with opened(vault) as store:
        assert [info.id for info in store.list()] == ["two"]
        with pytest.raises(SessionNotFound):
            store.load("one")
        store.create("one", state={"new": True})
    assert serious(findings(vault)) == []


def test_what_only_the_index_contradicts_is_not_moved(vault):
    data = session(vault).read_bytes()
    with opened(vault) as store:
        store.append("one", {"n": 3})
    session(vault).write_bytes(data)
    repaired = only(mend(vault, quarantine_damaged=True))
    assert repaired.outcome is RepairOutcome.FAILED
    assert "every record of it authenticates" in repaired.sentence
    assert session(vault).read_bytes() == data


@pytest.mark.parametrize("verdict", ["locked", "refused"])
def test_what_is_locked_or_refused_is_never_moved(verdict, vault, tmp_path):
    if verdict == "locked":
        flip(session(vault), 9)
    else:
        session(vault).symlink_to(session(vault).rename(tmp_path / "other"))
    data = session(vault).read_bytes()
    result = mend(vault, quarantine_damaged=True)
    assert only(result, verdict).outcome is RepairOutcome.LEFT
    assert session(vault).read_bytes() == data


def test_where_quarantine_has_no_room_nothing_is_moved(vault, monkeypatch):
    flip(session(vault), 100)
    monkeypatch.setattr("vaultsession.admin.repair.sessions.MAX_BYTES", 10)
    assert only(mend(vault, quarantine_damaged=True)).outcome is RepairOutcome.FAILED
    assert session(vault).exists()


# -- recovery ----------------------------------------------------------------------------------------------------------


def recovered(vault, slug="one"):
    repair = Repair(str(vault), CANDIDATES)
    repair.recover = frozenset({repair.key_named(slug)})
    return repair.act(repair.look())


@pytest.mark.parametrize("broken", [1, 2])
def test_a_damaged_session_is_recovered_to_its_last_authentic_record(broken, vault):
    path = session(vault)
    flip(path, ends(path)[broken - 1] + 40)
    tail = path.read_bytes()[ends(path)[broken - 1] :]
    with opened(vault) as store, pytest.raises(Damaged):
        store.load("one")
    repaired = only(recovered(vault))
    assert repaired.outcome is RepairOutcome.MENDED
    assert f"{broken} messages" in repaired.sentence
    (piece,) = vault.glob("quarantine/*")
    assert piece.read_bytes() == tail
    with opened(vault) as store:
        well(store, upto=broken)
        store.append("one", {"n": broken})
        well(store, upto=broken + 1)
    assert serious(findings(vault)) == []


def test_a_session_that_was_set_back_is_recovered_where_that_is_meant(vault):
    path = session(vault)
    path.write_bytes(path.read_bytes()[: ends(path)[1]])
    with opened(vault) as store, pytest.raises(RollbackDetected):
        store.load("one")
    assert only(recovered(vault)).outcome is RepairOutcome.MENDED
    with opened(vault) as store:
        well(store, upto=2)
    assert serious(findings(vault)) == []


def test_a_session_set_back_by_generations_is_recovered_above_all_of_them(vault):
    data = session(vault).read_bytes()
    with opened(vault) as store:
        for _ in range(3):
            store.clear("one")
            store.append("one", {"cleared": True})
    newest = v1.parse_header(session(vault).read_bytes()).generation
    session(vault).write_bytes(data)
    assert only(recovered(vault)).outcome is RepairOutcome.MENDED
    assert v1.parse_header(session(vault).read_bytes()).generation == newest + 1
    with opened(vault) as store:
        well(store)
    assert serious(findings(vault)) == []


def test_a_session_that_came_back_after_its_removal_is_recovered_where_that_is_meant(vault):
    data, path = session(vault).read_bytes(), session(vault)
    with opened(vault) as store:
        store.delete("one")
    path.write_bytes(data)
    path.chmod(0o600)
    assert only(mend(vault)).outcome is RepairOutcome.LEFT
    assert only(recovered(vault)).outcome is RepairOutcome.MENDED
    with opened(vault) as store:
        well(store)
    assert serious(findings(vault)) == []


def test_a_session_of_many_operations_is_recovered_with_all_of_them(vault):
    with opened(vault) as store:
        store.pop("one", 2)
        store.append("one", {"n": 1}, {"n": 2})
        store.update("one", {"extra": 1})
        store.append("one", {"n": 3})
        expected = store.load("one")
    data = session(vault).read_bytes()
    with opened(vault) as store:
        store.append("one", {"lost": True})
    session(vault).write_bytes(data)
    recovered(vault)
    with opened(vault) as store:
        loaded = store.load("one")
        assert (loaded.state, loaded.messages) == (expected.state, expected.messages)
        assert store.list()[0].message_count == len(expected.messages)


def test_where_nothing_authenticates_nothing_is_recovered(vault):
    flip(session(vault), 60)
    data = session(vault).read_bytes()
    assert only(recovered(vault)).outcome is RepairOutcome.FAILED
    assert session(vault).read_bytes() == data


def test_a_memory_that_cannot_be_is_no_reason_for_a_generation_that_cannot_be(vault):
    forged = (1 << 63).to_bytes(8, "big") + bytes(24)
    with sqlite_file(vault / "index.sqlite") as index:
        index.execute("UPDATE sessions SET witness = ? WHERE key LIKE 'one~%'", (forged,))
    index.close()
    data = session(vault).read_bytes()
    repaired = only(recovered(vault), "damaged")
    assert repaired.outcome is RepairOutcome.FAILED
    assert "delete index.sqlite" in repaired.sentence
    assert session(vault).read_bytes() == data
    (vault / "index.sqlite").unlink()
    mend(vault)
    with opened(vault) as store:
        well(store)


def test_a_session_is_named_by_its_id_or_by_its_key(vault):
    repair = Repair(str(vault), CANDIDATES)
    assert repair.key_named("one") == repair.key_named(session(vault).stem) == session(vault).stem
    with pytest.raises(SessionNotFound):
        repair.key_named("three")


# -- what is left ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["notes.txt", "sessions/notes.txt", "locks/notes.txt", "keyring.new"])
def test_foreign_files_are_left_alone(place, vault):
    (vault / place).write_bytes(b"mine")
    (vault / place).chmod(0o600)
    torn(vault)
    result = mend(vault, quarantine_damaged=True)
    assert only(result, "torn").outcome is RepairOutcome.MENDED
    assert next(each for each in result.repaired if each.finding.place == place).outcome is RepairOutcome.LEFT
    assert (vault / place).read_bytes() == b"mine"


def test_under_an_old_copy_of_the_key_slots_nothing_is_written(vault):
    copies = {vault / copy: (vault / copy).read_bytes() for copy in ("keyring", "keyring.bak")}
    directory = vault_at(str(vault))
    directory.add_slot(directory.unlock(CANDIDATES), RawKey.generate())
    opened(vault).close()
    for path, data in copies.items():
        path.write_bytes(data)
    torn(vault)
    data = session(vault).read_bytes()
    assert {each.outcome for each in mend(vault).repaired} == {RepairOutcome.LEFT}
    assert session(vault).read_bytes() == data


@pytest.mark.slow
def test_a_vault_is_mended_while_it_is_in_use(vault):
    with opened(vault) as store:
        store.append("one", {"n": 3})
        torn(vault)
        orphan(vault)
        assert serious(mend(vault).remaining) == []
        well(store, upto=4)
        store.append("one", {"n": 4})
        well(store, upto=5)
    assert serious(findings(vault)) == []
