"""Findings: each provoked by itself in a vault that is well otherwise, and reported with its severity and its fix."""

from __future__ import annotations

import fcntl
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sql_servers import sqlite_file
from vaults import CHEAP, container_in, vault_at

from vaultsession import Passphrase, RawKey, open_store
from vaultsession.admin.doctor import (
    Finding,
    ReadOnlyDisk,
    Severity,
    examine,
    known_keys,
    opened_read_only,
    structure,
    structure_of,
)
from vaultsession.backends.files.layout import FilesLayout, stripe_of
from vaultsession.engine.verify import Verdict, check
from vaultsession.errors import KeyUnavailable, VaultNotFound, WrongKey
from vaultsession.format.keys import MasterKey

KEY = RawKey(bytes(range(7, 39)))
CANDIDATES = [("the key of the test", KEY)]


@pytest.fixture
def vault(tmp_path):
    """A vault with two slots and two sessions, of which nothing is to be said."""
    path = tmp_path / "vault"
    directory = vault_at(str(path))
    directory.create(KEY)
    directory.add_slot(directory.unlock(CANDIDATES), RawKey.generate())
    with open_store(path, key=KEY, create=False) as store:
        for name in ("one", "two"):
            store.create(name, messages=[{"role": "user", "content": name}])
            store.append(name, {"role": "assistant", "content": name})
    return path


def found(vault, candidates=CANDIDATES, **options):
    return list(examine(str(vault), candidates, **options))


def names(findings):
    return [finding.name for finding in findings]


def only(vault, candidates=CANDIDATES, **options):
    """The one finding that there is."""
    (finding,) = found(vault, candidates, **options)
    return finding


def session(vault, slug="one"):
    (path,) = vault.glob(f"sessions/{slug}~*.vss")
    return path


def flip(path, place):
    data = bytearray(container_in(path))
    data[place] ^= 1
    path.write_bytes(data)


def snapshot(vault):
    """Every file, its bytes and its mode."""
    return {path: (path.stat().st_mode, path.read_bytes() if path.is_file() else None) for path in vault.rglob("*")}


# -- a vault that is well ----------------------------------------------------------------------------------------------


def test_of_a_vault_that_is_well_nothing_is_said(vault):
    assert found(vault) == []


def test_without_a_key_only_that_is_said(vault):
    assert only(vault, None) == Finding("no-key", Severity.INFO, "only the structure was looked at: no key was given")


def test_a_new_vault_without_sessions_is_well(tmp_path):
    vault_at(str(tmp_path / "new")).create(KEY)
    assert names(found(tmp_path / "new")) == ["one-slot"]


def test_where_there_is_none_it_says_so(tmp_path):
    with pytest.raises(VaultNotFound):
        found(tmp_path)


def test_a_store_that_is_writing_is_no_reason_for_a_finding(vault):
    with open_store(vault, key=KEY, create=False) as store:
        store.append("one", {"n": 1})
        assert found(vault) == []
        store.append("one", {"n": 2})


def test_looking_changes_nothing_whatever_is_wrong(vault):
    flip(session(vault), -60)
    (vault / "keyring").write_bytes(b"")
    (vault / "sessions" / "stranger").touch()
    (vault / "sessions" / f".{'0' * 32}.{'0' * 16}.tmp").touch(mode=0o600)
    (vault / "locks" / "writer-00").write_bytes(b"1")
    before = snapshot(vault)
    assert len(found(vault)) >= 5
    assert found(vault, None) != []
    assert snapshot(vault) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_vault_that_cannot_be_written_can_be_looked_at(vault):
    for path in (vault, *vault.iterdir()):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o500)
    assert found(vault) == []


def test_the_disk_that_only_reads_refuses_everything_else(tmp_path):
    disk, path = ReadOnlyDisk(), str(tmp_path / "file")
    for act in (
        lambda: disk.mkdir(path, 0o700),
        lambda: disk.rmdir(path),
        lambda: disk.unlink(path),
        lambda: disk.replace(path, path),
        lambda: disk.fchmod(0, 0o600),
        lambda: disk.pwrite(0, b"", 0),
        lambda: disk.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600),
        lambda: disk.open(path, os.O_RDWR | os.O_CREAT, 0o600),
    ):
        with pytest.raises(OSError, match=r"Read-only|No such file"):
            act()
    assert list(tmp_path.iterdir()) == []


# -- structure ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "mode", "name", "severity"),
    [
        ("", 0o750, "mode", Severity.WARNING),
        ("", 0o770, "not-private", Severity.ERROR),
        ("sessions", 0o755, "mode", Severity.WARNING),
        ("locks", 0o777, "not-private", Severity.ERROR),
        ("keyring", 0o640, "mode", Severity.WARNING),
        ("vault.json", 0o644, "mode", Severity.WARNING),
        ("locks/stripe", 0o644, "mode", Severity.WARNING),
        ("sessions/one", 0o644, "mode", Severity.WARNING),
    ],
)
def test_modes(place, mode, name, severity, vault):
    path = next((each for each in vault.rglob("*") if place and str(each.relative_to(vault)).startswith(place)), vault)
    path.chmod(mode)
    finding = next(finding for finding in found(vault) if finding.name == name)
    assert finding.severity is severity
    os.system(finding.fix)
    assert found(vault) == []


@pytest.mark.slow
def test_a_link_in_the_place_of_a_session(vault, tmp_path):
    target = session(vault).rename(tmp_path / "elsewhere")
    path = vault / "sessions" / "x"
    (vault / "sessions" / "two").symlink_to(target)
    assert "foreign-file" in names(found(vault))
    (vault / "sessions" / "two").unlink()
    path = session(vault, "two")
    path.unlink()
    path.symlink_to(target)
    assert {"link", "refused", "session-lost"} == set(names(found(vault)))


def test_a_hard_link_to_a_session(vault, tmp_path):
    os.link(session(vault), tmp_path / "other")
    finding = found(vault)[0]
    assert (finding.name, finding.severity, finding.fix) == ("linked", Severity.INFO, None)
    assert "2 names" in finding.sentence


@pytest.mark.parametrize("place", ["notes.txt", "sessions/notes.txt", "locks/notes.txt", "sessions/UPPER.vss"])
def test_foreign_files(place, vault):
    (vault / place).touch(mode=0o600)
    finding = only(vault)
    assert (finding.name, finding.severity, finding.place) == ("foreign-file", Severity.WARNING, place)


@pytest.mark.parametrize("name", ["vault.json.new", "keyring.new", "index.sqlite.new"])
def test_left_overs_mean_nothing(name, vault):
    (vault / name).touch(mode=0o600)
    finding = only(vault)
    assert (finding.name, finding.severity) == ("left-over", Severity.INFO)


def test_a_temporary_that_nobody_writes_is_an_orphan(vault):
    locator = session(vault).stem[-32:]
    temporary = vault / "sessions" / f".{locator}.{'0' * 16}.tmp"
    temporary.touch(mode=0o600)
    assert only(vault).name == "orphan-temporary"
    with open(FilesLayout(str(vault)).stripe(stripe_of(locator))) as stripe:
        fcntl.flock(stripe, fcntl.LOCK_EX)
        assert list(structure.sessions(ReadOnlyDisk(), str(vault), FilesLayout(str(vault)))) == []


def test_a_directory_that_is_missing(vault):
    (vault / "quarantine").rmdir()
    finding = only(vault)
    assert (finding.name, finding.place) == ("directory-missing", "quarantine")
    open_store(vault, key=KEY, create=False).close()
    assert found(vault) == []


def test_a_network_file_system(vault):
    class Remote(ReadOnlyDisk):
        def filesystem(self, path):
            return "nfs4"

    assert only(vault, disk=Remote()).name == "network-file-system"


def test_a_second_file_for_one_session(vault):
    path = session(vault)
    other = path.with_name("another~" + path.name.partition("~")[2])
    other.write_bytes(path.read_bytes())
    other.chmod(0o600)
    assert "second-file" in names(found(vault))
    assert "second-file" in names(found(vault, None))


def test_a_file_that_was_renamed_within_its_locator(vault):
    path = session(vault)
    path.rename(path.with_name("another~" + path.name.partition("~")[2]))
    assert "foreign-slug" in names(found(vault))


@pytest.mark.parametrize("content", [None, b"", b"VSK1 and then nothing of it"])
@pytest.mark.parametrize("copy", ["keyring", "keyring.bak"])
def test_a_copy_of_the_keyring_that_is_gone_or_damaged(copy, content, vault):
    (vault / copy).unlink() if content is None else (vault / copy).write_bytes(content)
    finding = only(vault)
    assert (finding.name, finding.severity, finding.place) == ("keyring-copy", Severity.WARNING, copy)
    open_store(vault, key=KEY, create=False).close()
    assert "keyring-copy" not in names(found(vault))


def test_a_copy_of_the_keyring_that_is_behind(vault):
    before = (vault / "keyring").read_bytes()
    directory = vault_at(str(vault))
    directory.add_slot(directory.unlock(CANDIDATES), RawKey.generate())
    (vault / "keyring").write_bytes(before)
    assert only(vault).place == "keyring"
    assert only(vault).name == "keyring-copy"


def test_key_slots_that_are_an_old_copy(vault):
    copies = {vault / copy: (vault / copy).read_bytes() for copy in ("keyring", "keyring.bak")}
    directory = vault_at(str(vault))
    directory.add_slot(directory.unlock(CANDIDATES), RawKey.generate())
    open_store(vault, key=KEY, create=False).close()
    for path, data in copies.items():
        path.write_bytes(data)
    assert (only(vault).name, only(vault).severity) == ("keyring-set-back", Severity.ERROR)


def test_no_copy_of_the_keyring(vault):
    for copy in ("keyring", "keyring.bak"):
        (vault / copy).write_bytes(b"")
    assert {"keyring-lost", "keyring-copy", "not-opened"} == set(names(found(vault)))


def test_a_keyring_of_which_only_the_mode_is_wrong_is_not_lost(vault):
    for copy in ("keyring", "keyring.bak"):
        (vault / copy).chmod(0o664)
    assert "keyring-lost" not in names(found(vault))
    refused = [each for each in found(vault) if each.name == "keyring-refused"]
    assert [each.place for each in refused] == ["keyring", "keyring.bak"]
    assert "mode 0664" in refused[0].sentence
    assert next(each.fix for each in found(vault) if each.name == "not-private").startswith("chmod 600")


def test_the_facts_of_the_vault_are_damaged(vault):
    (vault / "vault.json").write_bytes(b"{}")
    assert only(vault).name == "vault-facts"


@pytest.mark.parametrize(
    ("secret", "fix"), [(KEY, "--new-passphrase"), (Passphrase("words", CHEAP), "--new-key-file FILE")]
)
def test_a_single_slot_is_worth_a_second(secret, fix, tmp_path):
    vault_at(str(tmp_path / "v")).create(secret)
    finding = only(tmp_path / "v", [("it", secret)])
    assert (finding.name, finding.severity, finding.fix) == ("one-slot", Severity.INFO, f"vaultsession key add {fix}")


def test_a_writer_that_died(vault):
    (vault / "locks" / "writer-00").write_bytes(b"1")
    finding = only(vault)
    assert (finding.name, finding.severity) == ("dead-writer", Severity.INFO)
    open_store(vault, key=KEY, create=False).close()
    assert found(vault) == []


def test_a_quarantine_in_use_and_one_that_fills_up(vault):
    for number in range(206):
        (vault / "quarantine" / f"piece.{number}").touch(mode=0o600)
        if number == 0:
            assert (only(vault).name, only(vault).severity) == ("quarantine", Severity.INFO)
    assert (only(vault).name, only(vault).severity) == ("quarantine-full", Severity.WARNING)


def test_key_files(vault, tmp_path):
    mine, inside, link = tmp_path / "mine", vault / "quarantine" / "key", tmp_path / "link"
    for path in (mine, inside):
        path.touch(mode=0o600)
    link.symlink_to(mine)
    assert found(vault, key_files=[str(mine), str(tmp_path / "missing")])[1:] == []
    mine.chmod(0o640)
    told = {finding.name: finding for finding in found(vault, key_files=map(str, (link, mine, inside)))}
    assert told.keys() == {"quarantine", "key-file-mode", "key-beside-data"}
    assert told["key-file-mode"].severity is told["key-beside-data"].severity is Severity.ERROR
    assert told["key-file-mode"].fix == f"chmod 600 {mine}"


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_wrong_key_leaves_the_structure(vault):
    finding = only(vault, [("another", RawKey.generate())])
    assert (finding.name, finding.severity) == ("no-key", Severity.WARNING)


def test_no_source_that_answers_leaves_the_structure(vault):
    def nobody():
        raise KeyUnavailable("nobody was there")
        yield

    assert "nobody was there" in only(vault, nobody()).sentence


def test_facts_that_disagree_with_their_sealed_copy(vault):
    facts = (vault / "vault.json").read_bytes()
    (vault / "vault.json").write_bytes(facts.replace(b"readable", b"private"))
    assert "not-opened" in names(found(vault))


def test_opening_for_reading_needs_a_key_that_fits(vault):
    with pytest.raises(WrongKey), opened_read_only(str(vault), [("another", RawKey.generate())]):
        pass


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_damaged_session(vault):
    flip(session(vault), -60)
    finding = only(vault)
    assert (finding.name, finding.severity, finding.place) == ("damaged", Severity.ERROR, session(vault).stem)


def test_a_session_that_was_set_back(vault):
    path = session(vault)
    data = path.read_bytes()
    with open_store(vault, key=KEY, create=False) as store:
        store.append("one", {"n": 1})
    path.write_bytes(data)
    finding = only(vault)
    assert finding.name == "damaged"
    assert "rolled back" in finding.sentence


def test_a_torn_tail(vault):
    with session(vault).open("ab") as stream:
        stream.write(b"torn")
    for candidates in (CANDIDATES, None):
        torn = [finding for finding in found(vault, candidates) if finding.name != "no-key"]
        assert [(each.name, each.severity) for each in torn] == [("torn", Severity.WARNING)]


def test_a_session_of_another_format_is_locked(vault):
    flip(session(vault), 4)
    assert "locked" in names(found(vault))
    assert "locked" in names(found(vault, None))


def test_a_file_that_came_back(vault):
    path = session(vault)
    data = path.read_bytes()
    with open_store(vault, key=KEY, create=False) as store:
        store.delete("one")
    path.write_bytes(data)
    path.chmod(0o600)
    assert "came-back" in names(found(vault))


@given(st.binary(max_size=300))
def test_whatever_bytes_there_are_the_structure_is_told(data):
    told = list(structure_of("x", b"VSF1\x01\x01\x00\x00" + data))
    assert [finding.name for finding in told] == ["damaged"]


def test_checkups_say_what_was_read(vault):
    with opened_read_only(str(vault), CANDIDATES) as opened:
        keys = known_keys(opened.backend)
        checkups = [check(opened.backend, opened.reader, key) for key in keys]
        assert [(each.head.id, each.records, each.verdict) for each in checkups] == [("one", 2, "ok"), ("two", 2, "ok")]
        assert [each.size for each in checkups] == [len(container_in(session(vault, name))) for name in ("one", "two")]
        assert check(opened.backend, opened.reader, "0" * 32).verdict is Verdict.MISSING


@pytest.mark.parametrize(("cut_until_settled", "verdict"), [(True, Verdict.OK), (False, Verdict.DAMAGED)])
def test_a_writer_that_is_half_way_is_waited_for(cut_until_settled, verdict, vault):
    class HalfWay:
        """A record is being written: a reader that does not wait sees a part of it."""

        def __init__(self, backend):
            self.backend = backend

        def read(self, key, start=0, *, settled=False):
            container = self.backend.read(key, start)
            whole = settled and cut_until_settled
            return container if whole else container._replace(data=container.data[:-30])

    with opened_read_only(str(vault), CANDIDATES) as opened:
        assert check(HalfWay(opened.backend), opened.reader, session(vault).stem).verdict is verdict


@pytest.mark.parametrize("place", range(0, 500, 31))
def test_every_flipped_byte_is_met(place, vault):
    flip(session(vault), place % len(container_in(session(vault))))
    with opened_read_only(str(vault), CANDIDATES) as opened:
        assert check(opened.backend, opened.reader, session(vault).stem).verdict is not Verdict.OK


# -- the index ---------------------------------------------------------------------------------------------------------


def change_index(vault, statement):
    with sqlite_file(vault / "index.sqlite") as index:
        index.execute(statement)
    index.close()


def test_a_session_whose_file_is_gone(vault):
    path = session(vault)
    path.unlink()
    finding = only(vault)
    assert (finding.name, finding.severity, finding.place) == ("session-lost", Severity.ERROR, path.stem)


def test_a_session_that_is_not_listed(vault):
    change_index(vault, "DELETE FROM sessions WHERE key LIKE 'one~%'")
    finding = only(vault)
    assert (finding.name, finding.fix) == ("unlisted", "vaultsession reindex")
    with open_store(vault, key=KEY, create=False) as store:
        store.reindex()
    assert found(vault) == []


def test_a_row_that_is_behind(vault):
    with open_store(vault, key=KEY, create=False) as store:
        before = (vault / "index.sqlite").read_bytes()
        store.append("one", {"n": 1})
    (vault / "index.sqlite").write_bytes(before)
    for side in ("-wal", "-shm"):
        (vault / f"index.sqlite{side}").unlink(missing_ok=True)
    assert only(vault).name == "row-behind"


def test_a_row_that_was_forged(vault):
    change_index(vault, "UPDATE sessions SET updated = updated + 1 WHERE key LIKE 'one~%'")
    finding = only(vault)
    assert (finding.name, finding.severity) == ("row-forged", Severity.ERROR)


def test_an_index_that_is_damaged_and_one_that_is_missing(vault):
    (vault / "index.sqlite").write_bytes(b"SQLite format 3\0" + bytes(4000))
    assert only(vault).name == "index-damaged"
    (vault / "index.sqlite").unlink()
    assert only(vault).name == "index-missing"
    open_store(vault, key=KEY, create=False).close()
    assert found(vault) == []


# -- values ------------------------------------------------------------------------------------------------------------


def test_severities_are_ordered_and_findings_are_values():
    assert Severity.INFO < Severity.WARNING < Severity.ERROR
    finding = Finding("name", Severity.ERROR, "It is so.", "place", "do this")
    assert finding.fields() == {
        "name": "name",
        "severity": "error",
        "sentence": "It is so.",
        "place": "place",
        "fix": "do this",
    }
    assert finding == Finding("name", Severity.ERROR, "It is so.", "place", "do this")


# -- master keys -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_rotation_that_was_not_completed_is_told(vault):
    directory = vault_at(str(vault))
    directory.replace_keys(directory.unlock(CANDIDATES), lambda masters: [MasterKey.generate(), *masters])
    with open_store(vault, key=KEY, create=False) as store:
        store.create("three")
        finding = only(vault)
        assert (finding.name, finding.severity) == ("rotation-unfinished", Severity.WARNING)
        assert finding.sentence.startswith("a rotation was begun and not completed: 2 sessions")
        assert finding.fix == "vaultsession key rotate"
        store.rotate_key()
    assert names(found(vault)) == ["retired-key"]


@pytest.mark.slow
def test_a_retired_key_is_told_and_whether_a_session_needs_it(vault):
    old = session(vault).read_bytes()
    with open_store(vault, key=KEY, create=False) as store:
        store.rotate_key()
        finding = only(vault)
        assert (finding.name, finding.severity, finding.fix) == (
            "retired-key",
            Severity.INFO,
            "vaultsession key prune",
        )
    session(vault).write_bytes(old)
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (vault / name).unlink(missing_ok=True)
    with open_store(vault, key=KEY, create=False) as store:
        store.count()
    finding = only(vault)
    assert (finding.name, finding.severity, finding.fix) == (
        "retired-key-in-use",
        Severity.WARNING,
        "vaultsession key rotate",
    )
    assert finding.sentence.startswith("1 session lies under the retired key")
    with open_store(vault, key=KEY, create=False) as store:
        store.rotate_key()
    assert "retired-key-in-use" not in names(found(vault))


def begun(vault, name, *, size=None):
    """A power cut has undone the last rename of a session, and cut its file."""
    file = session(vault, name)
    first = file.rename(file.with_name(f".{file.stem}.new"))
    if size is not None:
        os.truncate(first, size)
    return first


def test_a_session_that_was_being_made_has_a_file_where_it_is_whole(vault):
    first = begun(vault, "one")
    with opened_read_only(str(vault), CANDIDATES) as opened:
        key = opened.reader.key("one")
        assert opened.backend.has_file(key)
        assert key in known_keys(opened.backend)
        assert check(opened.backend, opened.reader, key).verdict is Verdict.OK
    assert [(finding.name, finding.place) for finding in examine(str(vault), CANDIDATES)] == [
        ("creation-unfinished", f"sessions/{first.name}")
    ]


def test_half_of_a_session_that_was_being_made_is_none(vault):
    """It was acknowledged to nobody: nothing is damaged, lost or missing by it."""
    begun(vault, "one", size=100)
    (vault / "index.sqlite").unlink()
    with opened_read_only(str(vault), CANDIDATES) as opened:
        key = opened.reader.key("one")
        assert not opened.backend.has_file(key)
        assert known_keys(opened.backend) == [opened.reader.key("two")]
    names = [finding.name for finding in examine(str(vault), CANDIDATES)]
    assert sorted(names) == ["creation-unfinished", "index-missing"]


def test_half_of_one_that_was_acknowledged_is_a_lost_session(vault):
    begun(vault, "one", size=100)
    names = [finding.name for finding in examine(str(vault), CANDIDATES)]
    assert sorted(names) == ["creation-unfinished", "session-lost"]
