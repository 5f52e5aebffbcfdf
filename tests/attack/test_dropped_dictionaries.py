"""Text that a dictionary was trained on goes when it shall: with the keys of its tenant, or by a rotation that drops it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dictionary_lab import SAID, learned, numbers
from vaults import full_after, vault_at

from vaultsession import (
    BackendUnavailable,
    Damaged,
    InvalidSetting,
    RawKey,
    SessionStore,
    UnknownDictionary,
    open_store,
)
from vaultsession.engine.writer import Writer
from vaultsession.format.dictionaries import SHIPPED, Dictionaries
from vaultsession.vault.key_store import VaultKeyStore
from vaultsession.vault.live_keyring import LiveKeyring

KEY = RawKey(bytes(range(160, 192)))


def opened(path: Path, **settings: Any) -> SessionStore:
    return open_store(path, key=KEY, **settings)


def everything(store: SessionStore) -> dict[str, Any]:
    return {info.id: (store.load(info.id).state, store.load(info.id).messages) for info in store.list()}


# -- of a tenant -------------------------------------------------------------------------------------------------------


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[tuple[SessionStore, int]]:
    with opened(tmp_path / "vault", tenant_keys=True) as store:
        store.create("before", tenant_id="acme", messages=SAID)
        number = learned(store, "acme")
        store.create("theirs", tenant_id="acme", messages=SAID)
        store.append("before", *SAID)
        store.create("other", tenant_id="other", messages=SAID)
        store.create("nobody's", messages=SAID)
        yield store, number


def test_training_for_all_tenants_at_once_is_refused(tenants: tuple[SessionStore, int]) -> None:
    with pytest.raises(InvalidSetting, match="train for one of them"):
        tenants[0].train()


def test_a_dictionary_of_a_tenant_serves_its_sessions_and_no_others(tenants: tuple[SessionStore, int]) -> None:
    store, number = tenants
    assert number in numbers(store, "theirs")
    assert number in numbers(store, "before")
    for name in ("other", "nobody's"):
        assert numbers(store, name) <= {SHIPPED}
    with store.edit("theirs") as draft:
        draft.tenant_id = "other"
    assert numbers(store, "theirs") <= {SHIPPED}
    with store.edit("other") as draft:
        draft.tenant_id = "acme"
    store.append("other", *SAID)
    assert number in numbers(store, "other")


def test_another_store_writes_with_the_dictionary_of_the_tenant_of_each_session(
    tenants: tuple[SessionStore, int], tmp_path: Path
) -> None:
    with opened(tmp_path / "vault") as other:
        other.create("theirs again", tenant_id="acme", messages=SAID)
        other.create("others again", tenant_id="other", messages=SAID)
        assert tenants[1] in numbers(other, "theirs again")
        assert numbers(other, "others again") <= {SHIPPED}


@pytest.mark.parametrize("rotated", [False, True])
def test_it_goes_with_the_keys_of_its_tenant(tenants: tuple[SessionStore, int], tmp_path: Path, rotated: bool) -> None:
    store, number = tenants
    if rotated:
        store.rotate_key()
        store.prune_keys()
    before = everything(store)
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path / "vault/dictionaries", backup)
    receipt = store.destroy_tenant("acme")
    assert receipt.dictionaries == (number,)
    assert not list((tmp_path / "vault/dictionaries").iterdir())
    assert everything(store) == {name: before[name] for name in ("other", "nobody's")}
    vault = vault_at(str(tmp_path / "vault"))
    unlocked = vault.unlock([("it", KEY)])
    keys = LiveKeyring(unlocked.keyring, VaultKeyStore(vault, unlocked))
    for path in backup.iterdir():
        with pytest.raises(UnknownDictionary, match="destroyed"):
            Dictionaries(keys).open(number, path.read_bytes())
    store.create("again", tenant_id="acme", messages=SAID)
    assert numbers(store, "again") <= {SHIPPED}


def test_an_erasure_that_was_cut_is_gone_on_with(
    tenants: tuple[SessionStore, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, number = tenants

    def cut(*_: Any) -> None:
        raise BackendUnavailable("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Dictionaries, "delete", cut)
        with pytest.raises(BackendUnavailable):
            store.destroy_tenant("acme")
    with opened(tmp_path / "vault") as again:
        assert again.destroy_tenant("acme").dictionaries == (number,)
    assert not list((tmp_path / "vault/dictionaries").iterdir())


def test_a_copy_that_names_the_key_of_a_tenant_takes_no_other_with_it(tmp_path: Path) -> None:
    """Somebody without a key wrote the id of a tenant's key into one copy of a dictionary that all use."""
    with opened(tmp_path / "vault", tenant_keys=True) as store:
        store.create("theirs", tenant_id="acme")
        number = learned(store)
        store.create("all", messages=SAID)
        key_id = store._operations._reader.keys.sealing("acme").id
        (path,) = (tmp_path / "vault/dictionaries").glob("*.vsd")
        data = path.read_bytes()
        path.write_bytes(data[:8] + key_id + data[16:])
        assert store.destroy_tenant("acme").dictionaries == ()
    with opened(tmp_path / "vault") as store:
        assert number in numbers(store, "all")
        assert store.load("all").messages == SAID


def test_the_receipt_names_what_is_out_of_reach(tmp_path: Path) -> None:
    """Ids in file names of backups; and a dictionary under the vault's own key, of a vault that was migrated."""
    with opened(tmp_path / "vault", tenant_keys=True) as store:
        store.create("theirs", tenant_id="acme")
        number = learned(store)
        said = "\n".join(store.destroy_tenant("acme").not_covered)
    assert "file names" in said
    assert f"drops number {number}" in said


# -- dropped by a rotation ---------------------------------------------------------------------------------------------


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    with opened(path) as store:
        store.create("plain", state={"n": 1})
        learned(store)
        store.create("long", messages=SAID * 40, state={"n": 2})
        for message in SAID:
            store.append("long", message)
        store.create("short", messages=SAID)
    return path


def only(path: Path) -> int:
    (number,) = vault_at(str(path)).dictionaries()
    return number


def test_sessions_are_sealed_without_it_and_it_is_gone(vault: Path) -> None:
    with opened(vault) as store:
        before, number = everything(store), only(vault)
        assert number in numbers(store, "short")
        done = store.rotate_key(drop_dictionaries=[number])
        assert (done.replaced, done.left) == (3, ())
        assert not list((vault / "dictionaries").iterdir())
    with opened(vault) as store:
        assert everything(store) == before
        for name in before:
            assert numbers(store, name) <= {SHIPPED}
        store.prune_keys()


def test_a_store_that_had_chosen_it_writes_with_another_from_then_on(vault: Path) -> None:
    number = only(vault)
    with opened(vault) as other, opened(vault) as store:
        other.append("short", {"n": 1})
        store.rotate_key(progress=lambda *_: other.append("long", SAID[0]), drop_dictionaries=[number])
        other.append("short", *SAID)
        other.append("plain", *SAID)
        other.create("new", messages=SAID)
        with other.edit("long") as draft:
            draft.state["late"] = SAID
        written = everything(other)
    with opened(vault) as store:
        assert everything(store) == written


def test_a_store_that_would_go_on_with_it_is_seen(vault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that the test above is there for."""
    monkeypatch.setattr(Writer, "_fitting", lambda _self, body, _cipher: body)
    with pytest.raises(UnknownDictionary):
        test_a_store_that_had_chosen_it_writes_with_another_from_then_on(vault)


@pytest.mark.slow
def test_one_that_was_cut_is_gone_on_with(vault: Path) -> None:
    number = only(vault)
    with opened(vault) as store:
        before = everything(store)
        with full_after(store, 2), pytest.raises(BackendUnavailable):
            store.rotate_key(drop_dictionaries=[number])
    with opened(vault) as store:
        assert everything(store) == before
        store.create("meanwhile", messages=SAID)
        assert numbers(store, "meanwhile") <= {SHIPPED}, "it is retired"
        done = store.rotate_key()
        assert done.resumed
        store.prune_keys()
        assert {key: everything(store)[key] for key in before} == before
        assert only(vault) == number
        store.rotate_key(drop_dictionaries=[number])
        assert not vault_at(str(vault)).dictionaries()
    with opened(vault) as store:
        assert {key: everything(store)[key] for key in before} == before


def test_a_session_that_cannot_be_read_keeps_it(vault: Path) -> None:
    number = only(vault)
    (path,) = vault.glob("sessions/short~*")
    data = bytearray(path.read_bytes())
    data[120] ^= 1
    path.write_bytes(data)
    with opened(vault) as store:
        done = store.rotate_key(drop_dictionaries=[number])
        assert len(done.left) == 1
        assert only(vault) == number
    data[120] ^= 1
    path.write_bytes(data)
    with opened(vault) as store:
        assert store.load("short").messages == SAID


def test_a_dictionary_that_is_not_there_is_refused_before_anything_happens(vault: Path) -> None:
    with opened(vault) as store:
        for number in (only(vault) + 1, SHIPPED, -1):
            with pytest.raises(InvalidSetting, match="no dictionary"):
                store.rotate_key(drop_dictionaries=[number])
        assert [use.state for use in store.key_usage()] == ["seals"]


def test_a_damaged_dictionary_keeps_the_old_keys(vault: Path) -> None:
    with opened(vault) as store:
        store.rotate_key()
    kept = {path: path.read_bytes() for path in (vault / "dictionaries").iterdir()}
    for path, data in kept.items():
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with opened(vault) as store:
        with pytest.raises(Exception, match="cannot be opened") as raised:
            store.prune_keys()
        assert not isinstance(raised.value, Damaged)
    for path, data in kept.items():
        path.write_bytes(data)
    with opened(vault) as store:
        store.prune_keys()
        assert store.load("short").messages == SAID
