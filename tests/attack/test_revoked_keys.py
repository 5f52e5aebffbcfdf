"""Someone kept a copy of the keyring and a secret that opened it; the secret was replaced and the keys were rotated."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from vaults import vault_at

from vaultsession import Damaged, RawKey, RollbackDetected, UnknownDictionary, UnknownKey, WrongKey, open_store
from vaultsession.format import ContainerCipher, IndexRowCipher, record
from vaultsession.format.dictionaries import Dictionaries, shipped
from vaultsession.format.head import encode
from vaultsession.format.ids import locator_of
from vaultsession.format.keys import MasterKey
from vaultsession.format.sealed import Query
from vaultsession.vault import keyring_file
from vaultsession.vault.keyring_file import UnlockedKeyring
from vaultsession.vault.tenant_keys import TenantKeys

OLD, NEW, SERVICE = RawKey.generate(), RawKey.generate(), RawKey.generate()
COPIES = ("keyring", "keyring.bak")


class Case:
    """A vault of which ``before`` is a copy; ``known`` is what the copy and the old secret give."""

    def __init__(self, where: Path) -> None:
        self.path, self.before = where / "vault", where / "before"
        with open_store(self.path, key=OLD, tenant_keys=True) as store:
            store.create("before", state={"n": 1}, user_id="alice")
            store.create("theirs", tenant_id="acme")
            store._operations._reader.dictionaries.keep(shipped().content, 0)
            store.create("gone")
            store.delete("gone")
        vault = vault_at(str(self.path))
        opened = vault.add_slot(vault.unlock([("old", OLD)]), SERVICE, label="service")
        shutil.copytree(self.path, self.before)
        self.known = keyring_file.parse((self.before / "keyring").read_bytes()).unlock(OLD)
        opened = vault.add_slot(opened, NEW, label="new")
        vault.remove_slot(opened, self.known.slot.id)
        with open_store(self.path, key=NEW) as store:
            store.rotate_key()
            store.prune_keys()
            store.create("after", state={"n": 2}, user_id="alice")
            self.rows = list(store._backend.scan(Query()))
            self.tombstones = list(store._backend.tombstones())

    def put(self, data: bytes) -> None:
        for name in COPIES:
            (self.path / name).write_bytes(data)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_the_copy_reads_what_was_sealed_before_and_nothing_later(case: Case) -> None:
    with open_store(case.before, key=OLD) as store:
        assert store.load("before").state == {"n": 1}
    with pytest.raises(WrongKey):
        case.known.reopen(keyring_file.parse((case.path / "keyring").read_bytes()))
    with pytest.raises(WrongKey):
        open_store(case.path, key=OLD)
    held = {master.id for master in case.known.keyring.masters}
    files = list((case.path / "sessions").iterdir())
    assert len(files) == 3
    for file in files:
        assert file.read_bytes()[record.KEY_ID] not in held
    rows = IndexRowCipher(case.known.keyring)
    assert len(case.rows) == 3
    for row in case.rows:
        with pytest.raises(Damaged):
            rows.open(row)
    assert len(case.tombstones) == 1
    assert not any(map(rows.is_genuine, case.tombstones))
    (file,) = (case.path / "tenants").iterdir()
    with pytest.raises(UnknownKey):
        TenantKeys.decode(file.read_bytes(), case.known.keyring, file.name)
    for file in (case.path / "dictionaries").iterdir():
        with pytest.raises(UnknownDictionary):
            Dictionaries(case.known.keyring).open(int(file.stem), file.read_bytes())
    with open_store(case.path, key=NEW) as store:
        now = {master.secret for master in store._operations._reader.keyring.masters}
        assert not now & {master.secret for master in case.known.keyring.masters}


def test_what_is_forged_with_the_old_keys_is_not_believed(case: Case) -> None:
    """A row, a tombstone, a file of a tenant and a container, sealed with everything that the copy gives."""
    forger = IndexRowCipher(case.known.keyring)
    with open_store(case.path, key=NEW) as store:
        reader = store._operations._reader
        row = case.rows[0]
        header, head = reader.rows.open(row)
        with pytest.raises(Damaged):
            reader.rows.open(forger.seal(row.key, header, *row[1:4], row.size, head, encode(head)))
        assert not reader.rows.is_genuine(forger.tombstone(row.key, row.generation))
        tenant = TenantKeys(TenantKeys.digest_of(case.known.keyring, "acme"))
        forged = tenant.grown(case.known.keyring.first.id).encode(case.known.keyring)
        with pytest.raises(UnknownKey):
            TenantKeys.decode(forged, reader.keyring, tenant.name)
        with pytest.raises(UnknownKey):
            ContainerCipher.open(
                ContainerCipher.create(case.known.keyring, locator_of(row.key), generation=1).header,
                reader.keys,
                locator_of(row.key),
            )


def a_slot_again(known: UnlockedKeyring) -> bytes:
    return known.add_slot(OLD, label="again")


def a_rotation(known: UnlockedKeyring) -> bytes:
    old = (master._replace(retired=True) for master in known.keyring.masters)
    return known.replace_masters([MasterKey.generate(), *old])


def the_copy(known: UnlockedKeyring) -> bytes:
    return known.data


def a_counter_that_is_high(known: UnlockedKeyring, make: Callable[[UnlockedKeyring], bytes]) -> bytes:
    for _ in range(20):
        known = known.reopen(keyring_file.parse(make(known)))
    return known.data


FORGERIES = {
    "the copy": the_copy,
    "a slot again": a_slot_again,
    "a rotation": a_rotation,
    "many slots": lambda known: a_counter_that_is_high(known, a_slot_again),
    "many rotations": lambda known: a_counter_that_is_high(known, a_rotation),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("forged", FORGERIES)
def test_no_slot_comes_back_in_a_vault_with_its_index(case: Case, forged: str) -> None:
    case.put(FORGERIES[forged](case.known))
    with pytest.raises((WrongKey, RollbackDetected)):
        open_store(case.path, key=NEW)
    with pytest.raises(RollbackDetected, match="old copy"):
        open_store(case.path, key=SERVICE)  # its slot was there then: the index remembers the keys


@pytest.mark.sampled(3)
@pytest.mark.parametrize("forged", FORGERIES)
def test_no_slot_comes_back_in_a_store_that_is_open(case: Case, forged: str) -> None:
    with open_store(case.path, key=SERVICE) as store:
        case.put(FORGERIES[forged](case.known))
        with pytest.raises(Damaged):  # RollbackDetected is one
            store.create("sealed for whom?")
        assert store.load("after").state == {"n": 2}


def test_a_store_that_was_opened_by_the_removed_slot_seals_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    with open_store(path, key=OLD) as mine, open_store(path, key=OLD) as theirs:
        vault = vault_at(str(path))
        theirs.create("a", state={"n": 1})
        opened = vault.unlock([("old", OLD)])
        vault.remove_slot(vault.add_slot(opened, NEW), opened.slot.id)
        theirs.create("b")  # as long as the keys are the same
        with open_store(path, key=NEW) as other:
            other.rotate_key()
        with pytest.raises(WrongKey, match="removed"):
            theirs.create("c")
        with pytest.raises(WrongKey, match="removed"):
            mine.rotate_key()
    with open_store(path, key=NEW) as store:
        assert store.load("a").state == {"n": 1}
        assert not store.exists("c")


@pytest.mark.parametrize("change", ["rotate", "prune", "destroy"])
def test_a_change_of_keys_is_remembered_when_it_returns(tmp_path: Path, change: str) -> None:
    path = tmp_path / "vault"
    with open_store(path, key=SERVICE, tenant_keys=True) as store:
        store.create("a", tenant_id="acme")
        if change == "prune":
            store.rotate_key()
        before = (path / "keyring").read_bytes()
        store.destroy_tenant("acme") if change == "destroy" else getattr(
            store, f"{change}_key{'s' * (change == 'prune')}"
        )()
        after = (path / "keyring").read_bytes()
    for name in COPIES:
        (path / name).write_bytes(before)
    with pytest.raises(RollbackDetected, match="old copy"):
        open_store(path, key=SERVICE)
    for name in COPIES:
        (path / name).write_bytes(after)
    open_store(path, key=SERVICE).close()
