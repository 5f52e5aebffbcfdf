"""Erasing: what is shredded, what destroyed keys reach, and what is left to say of a session that cannot be read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sql_servers import sqlite_file

from vaultsession import (
    BackendUnavailable,
    Damaged,
    InvalidSetting,
    RawKey,
    SessionNotFound,
    SessionStore,
    UnknownKey,
    open_store,
)
from vaultsession.admin.doctor import Severity, examine
from vaultsession.engine.erasure import NOT_COVERED
from vaultsession.util.disk import Disk

Opening = Callable[..., SessionStore]

SECRET = b"nobody may ever read this again"


def furnished(store: SessionStore) -> None:
    for n in range(3):
        store.create(f"a{n}", tenant_id="acme", state={"n": n}, messages=[{"text": SECRET.decode()}])
    store.create("b", tenant_id="other", state={"n": 1})
    store.create("c", state={"n": 2})


def copied(tmp_path: Path, name: str, *, but: tuple[str, ...] = ()) -> Path:
    """A backup of the vault as it is, without some of it."""
    target = tmp_path / name
    shutil.copytree(tmp_path / "vault", target, ignore=lambda *_: set(but))
    return target


# -- the keys of a tenant ----------------------------------------------------------------------------------------------


def test_the_sessions_of_the_tenant_are_gone_and_all_others_are_as_they_were(open_one: Opening) -> None:
    store = open_one(tenant_keys=True)
    furnished(store)
    receipt = store.destroy_tenant("acme")
    assert (receipt.removed, receipt.under_vault_key, len(receipt.keys)) == (3, 0, 1)
    assert sorted(info.id for info in store.list()) == ["b", "c"]
    assert [store.load(name).state["n"] for name in "bc"] == [1, 2]
    with pytest.raises(SessionNotFound):
        store.load("a0")
    store.create("a0", tenant_id="acme", state={"new": True})
    assert store.load("a0").state == {"new": True}, "a tenant may come back, under a new key"


def test_backups_of_the_sessions_are_unreadable_afterwards(open_files: Opening, tmp_path: Path) -> None:
    """The point of it all: sessions and keyring were backed up, the keys of tenants were not."""
    store = open_files(tenant_keys=True)
    furnished(store)
    store.close()
    backup = copied(tmp_path, "backup", but=("tenants", "index.sqlite"))
    store = open_files()
    store.destroy_tenant("acme")
    store.close()
    shutil.copytree(tmp_path / "vault" / "tenants", backup / "tenants")
    store = open_store(backup, key=RawKey(bytes(range(200, 232))))
    with store:
        for n in range(3):
            with pytest.raises(UnknownKey, match="destroyed") as caught:
                store.load(f"a{n}")
            assert caught.value.destroyed
        assert store.load("b").state == {"n": 1}
        assert store.load("c").state == {"n": 2}
        assert sorted(info.id for info in store.list()) == ["b", "c"]
        assert not store.exists("a0")
        assert store.delete("a0"), "what nobody can read may be removed"
        assert not store.delete("a0")
        with pytest.raises(SessionNotFound):
            store.load("a0")
        assert store.save("a1", state={"new": 1}).state == {"new": 1}, "and written over"
        assert store.load("a1").state == {"new": 1}


def test_a_backup_without_the_keys_of_tenants_is_locked_and_not_removable(open_files: Opening, tmp_path: Path) -> None:
    """Not destroyed, only not there: nothing may be lost that the right file would open."""
    store = open_files(tenant_keys=True)
    furnished(store)
    store.close()
    backup = copied(tmp_path, "backup", but=("tenants",))
    key = RawKey(bytes(range(200, 232)))
    with open_store(backup, key=key) as store:
        with pytest.raises(UnknownKey) as caught:
            store.load("a0")
        assert not caught.value.destroyed
        with pytest.raises(UnknownKey):
            store.delete("a0")
        with pytest.raises(UnknownKey):
            store.save("a0", state={})
    shutil.copytree(tmp_path / "vault" / "tenants", backup / "tenants")
    with open_store(backup, key=key) as store:
        assert store.load("a0").messages == [{"text": SECRET.decode()}]


@pytest.mark.parametrize("index", ["kept", "gone"])
def test_a_tenant_whose_file_is_gone_gets_no_new_first_key(open_files: Opening, tmp_path: Path, index: str) -> None:
    """A restore without ``tenants/``: the next write made another key of the same id, and one side's sessions were lost."""
    store = open_files(tenant_keys=True)
    furnished(store)
    store.close()
    away = tmp_path / "away"
    (tmp_path / "vault/tenants").rename(away)
    if index == "gone":
        (tmp_path / "vault/index.sqlite").unlink()
    store = open_files()
    for _ in range(2):
        with pytest.raises(UnknownKey, match="restore it from its own copy"):
            store.create("a9", tenant_id="acme")
    assert not list((tmp_path / "vault").glob("tenants/*"))
    store.create("new", tenant_id="third", state={"n": 9})
    store.close()
    for path in away.iterdir():
        path.rename(tmp_path / "vault/tenants" / path.name)
    store = open_files()
    store.create("a9", tenant_id="acme")
    assert store.load("a0").state == {"n": 0}
    assert store.load("new").state == {"n": 9}


def test_an_old_copy_of_the_key_file_does_open_them_and_the_receipt_says_so(
    open_files: Opening, tmp_path: Path
) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    store.close()
    backup = copied(tmp_path, "backup")
    with open_files() as store:
        receipt = store.destroy_tenant("acme")
    with open_store(backup, key=RawKey(bytes(range(200, 232)))) as store:
        assert store.load("a0").messages == [{"text": SECRET.decode()}]
    assert any("key file" in said for said in receipt.not_covered)


def test_another_store_that_has_it_all_cached_finds_nothing(open_files: Opening) -> None:
    store, other = open_files(tenant_keys=True), open_files()
    furnished(store)
    assert other.load("a0").messages
    assert other.load_if_warm("a0") is not None
    store.destroy_tenant("acme")
    assert other.load_if_warm("a0") is None
    with pytest.raises(SessionNotFound):
        other.load("a0")
    with pytest.raises(SessionNotFound):
        other.append("a0", {"late": True})
    other.create("a9", tenant_id="acme", state={"n": 9})
    assert store.load("a9").state == {"n": 9}


def test_the_bytes_of_the_key_are_nowhere_in_the_vault(open_files: Opening, tmp_path: Path) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    (name,) = (
        path for path in (tmp_path / "vault/tenants").iterdir() if len(path.read_bytes()) and _is_acme(store, path)
    )
    before = name.read_bytes()
    held = os.open(name, os.O_RDONLY)
    try:
        store.destroy_tenant("acme")
        overwritten = os.pread(held, 4096, 0)
    finally:
        os.close(held)
    assert len(overwritten) == len(before)
    assert overwritten[-32:] != before[-32:], "the old file was only unlinked"
    for path in (tmp_path / "vault").rglob("*"):
        if path.is_file():
            assert before[52:84] not in path.read_bytes()


def _is_acme(store: SessionStore, path: Path) -> bool:
    known, data = store._operations._reader.keys._of_tenant("acme")
    return data is not None and path.name == known.name


def test_the_receipt_is_a_document(open_files: Opening) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    receipt = json.loads(json.dumps(store.destroy_tenant("acme").document()))
    assert receipt["not_covered"] == list(NOT_COVERED)
    assert receipt["removed"] == 3
    assert "acme" not in json.dumps(receipt)
    assert set(receipt) == {
        "vault", "tenant", "destroyed_at", "keys", "removed", "under_vault_key", "dictionaries", "not_covered",
    }  # fmt: skip


def test_repeated_it_removes_what_was_left(open_files: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)

    def full(*_: Any) -> Any:
        raise BackendUnavailable("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(store._backend, "commit", full)
        with pytest.raises(BackendUnavailable):
            store.destroy_tenant("acme")
    store.close()
    store = open_files()
    with pytest.raises(UnknownKey, match="destroyed"):
        store.load("a0")
    assert store.destroy_tenant("acme").removed == 3
    assert not list(store.list(tenant_id="acme"))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("verb", ["destroy_tenant", "key_usage", "prune_keys", "rotate_key"])
def test_an_index_that_was_tampered_with_is_derived_anew(open_files: Opening, tmp_path: Path, verb: str) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    store.rotate_key()
    store.close()
    with sqlite_file(tmp_path / "vault/index.sqlite") as index:
        assert index.execute("UPDATE sessions SET blob = zeroblob(100)").rowcount
    index.close()
    store = open_files()
    if verb == "destroy_tenant":
        assert store.destroy_tenant("acme").removed == 3
        assert sorted(info.id for info in store.list()) == ["b", "c"]
    elif verb == "rotate_key":
        assert store.rotate_key().left == ()
        assert {use.state: use.sessions for use in store.key_usage()}["seals"] == 1
    else:
        assert getattr(store, verb)()
        assert store.count() == 5


def test_a_clock_that_stands_behind_the_sessions_keeps_none_of_them(open_files: Opening) -> None:
    """A session of a later generation than the moment of its removal stayed listed, and no second removal took it."""
    store = open_files(tenant_keys=True)
    store.create("a", tenant_id="acme")
    store.rotate_key()  # a container in place of another is of a later generation
    assert open_files().destroy_tenant("acme").removed == 1
    assert open_files().count() == 0
    store.create("a", tenant_id="acme")
    assert store.load("a").id == "a"


def test_a_vault_without_tenant_keys_refuses(open_one: Opening) -> None:
    store = open_one()
    furnished(store)
    with pytest.raises(InvalidSetting, match="tenant_keys"):
        store.destroy_tenant("acme")
    assert store.load("a0").state == {"n": 0}


def test_a_tenant_that_nobody_knows_is_refused(open_one: Opening) -> None:
    store = open_one(tenant_keys=True)
    furnished(store)
    with pytest.raises(InvalidSetting, match="nobody"):
        store.destroy_tenant("nobody")
    assert store.count() == 5


@pytest.mark.slow
def test_a_session_whose_tenant_changes_is_sealed_under_the_key_of_the_new_one(open_files: Opening) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    with store.edit("b") as draft:
        draft.tenant_id = "acme"
    store.destroy_tenant("acme")
    assert not store.exists("b")
    store.create("d", tenant_id="acme", state={"n": 4})
    with store.edit("d") as draft:
        draft.tenant_id = None
    store.destroy_tenant("acme")
    assert store.load("d").state == {"n": 4}


def test_the_doctor_does_not_call_it_damage(open_files: Opening, tmp_path: Path, vault_key: RawKey) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    store.close()
    files = {path: path.read_bytes() for path in tmp_path.glob("vault/sessions/a0*")}
    with open_files() as store:
        store.destroy_tenant("acme")
    for path, data in files.items():
        path.write_bytes(data)
        path.chmod(0o600)
    (tmp_path / "vault/index.sqlite").unlink()
    with open_files() as store:
        assert store.count() == 2
    found = {finding.name: finding.severity for finding in examine(str(tmp_path / "vault"), [("it", vault_key)])}
    assert found == {"one-slot": Severity.INFO, "erased": Severity.INFO}


def test_the_keys_of_tenants_are_private_files_that_doctor_knows(
    open_files: Opening, tmp_path: Path, vault_key: RawKey
) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    store.close()
    directory = tmp_path / "vault/tenants"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    found = examine(str(tmp_path / "vault"), [("it", vault_key)])
    assert [finding.name for finding in found] == ["one-slot"]
    directory.chmod(0o777)
    with open_files() as store, pytest.raises(BackendUnavailable, match="yours alone"):
        store.load("a0")


def test_a_damaged_key_file_is_told_as_such_and_replaced_by_nobody(open_files: Opening, tmp_path: Path) -> None:
    store = open_files(tenant_keys=True)
    furnished(store)
    store.close()
    before = {}
    for path in (tmp_path / "vault/tenants").iterdir():
        path.write_bytes(path.read_bytes()[:-1])
        before[path] = path.read_bytes()
    store = open_files()
    for verb in (lambda: store.load("a0"), lambda: store.create("a9", tenant_id="acme")):
        with pytest.raises(Damaged, match="tenants/"):
            verb()
    assert {path: path.read_bytes() for path in before} == before
    assert store.load("c").state == {"n": 2}


# -- shredding ---------------------------------------------------------------------------------------------------------


class WatchfulDisk(Disk):
    """Keeps a descriptor of each file that loses its name, and so sees what was in it then."""

    def __init__(self) -> None:
        self.last: dict[str, bytes] = {}

    def unlink(self, path: str) -> None:  # type: ignore[override]  # a function in the base
        if path.endswith((".gone", ".shred", ".vss")) or "quarantine" in path:
            self.last[path] = Path(path).read_bytes()
        os.unlink(path)


@pytest.mark.parametrize("shred", [True, False])
def test_a_shredded_file_is_overwritten_before_it_goes(tmp_path: Path, vault_key: RawKey, shred: bool) -> None:
    disk = WatchfulDisk()
    with open_store(tmp_path / "vault", key=vault_key, disk=disk, compression="none") as store:
        store.create("a", messages=[{"text": "x" * 5000}])
        (path,) = tmp_path.glob("vault/sessions/*.vss")
        written = path.read_bytes()
        kept = tmp_path / "vault/quarantine" / f"{path.stem}.80.{'0' * 16}"
        kept.touch(mode=0o600)
        kept.write_bytes(written)
        assert store.delete("a", shred=shred)
        assert not store.exists("a")
    assert list(tmp_path.glob("vault/sessions/*")) == list(tmp_path.glob("vault/quarantine/*")) == []
    assert len(disk.last) == 2
    for data in disk.last.values():
        assert len(data) == len(written)
        assert (data == written) is not shred
        assert not shred or data[:4] != b"VSF1"


def test_a_spoiled_file_is_shredded_too(open_files: Opening, tmp_path: Path) -> None:
    store = open_files()
    store.create("a")
    store.close()
    (path,) = tmp_path.glob("vault/sessions/*.vss")
    path.chmod(0o400)
    assert open_files().delete("a", shred=True)
    assert list(tmp_path.glob("vault/sessions/*")) == []


def test_shredding_what_is_not_there_is_false(open_one: Opening) -> None:
    assert not open_one().delete("a", shred=True)
