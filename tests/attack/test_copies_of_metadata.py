"""Key slots, dictionaries and keys of tenants that somebody without a key put into a vault reach no copy of it."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest
from dict_engine import DictEngine
from vaults import vault_at

from vaultsession import RawKey
from vaultsession.backends.replication import Outcome
from vaultsession.errors import Damaged
from vaultsession.format.dictionaries import FIRST, Dictionaries, numbered, shipped
from vaultsession.format.keys import MasterKey
from vaultsession.util.disk import Disk
from vaultsession.vault import UnlockedVault, Vault
from vaultsession.vault.engine_metadata import EngineMetadata
from vaultsession.vault.metadata import OLDER, VAULT, split
from vaultsession.vault.replication import (
    follow_metadata,
    follow_tenants,
    lacking_dictionaries,
    level_dictionaries,
)
from vaultsession.vault.tenant_keys import State, TenantKeys

KEY = RawKey(bytes(range(32)))
SEALED = b"VSD1" + bytes(200)


def at(place: str, path: Path) -> Vault:
    if place == "directory":
        return vault_at(str(path), Disk())
    return Vault(EngineMetadata(DictEngine()))  # type: ignore[arg-type]  # metadata is all that is asked of it


@pytest.fixture(params=["directory", "engine"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    return at(request.param, tmp_path / "source")


@pytest.fixture(params=["directory", "engine"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    return at(request.param, tmp_path / "target")


@pytest.fixture
def opened(source: Vault, target: Vault) -> UnlockedVault:
    made = source.create(KEY, now=7, tenant_keys=True)
    follow_metadata(source, target, made)
    return made


def raised(keyring: bytes) -> bytes:
    """The counter raised and the checksum put right: it takes no key."""
    (counter,) = struct.unpack_from("<Q", keyring, 8)
    body = keyring[:8] + struct.pack("<Q", counter + 100) + keyring[16:-16]
    return body + hashlib.sha512(body).digest()[:16]


def forge(vault: Vault) -> None:
    """Every copy of the keyring."""
    copies = vault.storage.read(VAULT)
    facts, keyring = split(copies[0].data or b"")
    assert vault.storage.put_if(VAULT, facts + raised(keyring), copies)


def test_a_raised_keyring_is_not_sent(source: Vault, target: Vault, opened: UnlockedVault) -> None:
    before = target.metadata()
    forge(source)
    with pytest.raises(Damaged, match="authentic"):
        follow_metadata(source, target, opened)
    assert target.metadata() == before
    assert target.unlock([("the key", KEY)]).keyring == opened.keyring


def test_of_two_copies_the_authentic_one_is_sent(tmp_path: Path) -> None:
    source, target = (vault_at(str(tmp_path / name), Disk()) for name in ("source", "target"))
    opened = source.create(KEY, now=7)
    (tmp_path / "source" / "keyring").write_bytes(raised((tmp_path / "source" / "keyring").read_bytes()))
    assert follow_metadata(source, target, opened) is Outcome.REPLACED
    assert target.unlock([("the key", KEY)]).findings == ()


def test_a_raised_keyring_at_the_target_is_not_believed_to_be_newer(
    source: Vault, target: Vault, opened: UnlockedVault
) -> None:
    forge(target)
    assert follow_metadata(source, target) is Outcome.AHEAD  # without a key nobody can tell
    assert follow_metadata(source, target, opened) is Outcome.REPLACED
    assert target.metadata() == source.metadata()


def test_a_dictionary_that_the_vault_did_not_seal_is_not_sent(
    source: Vault, target: Vault, opened: UnlockedVault
) -> None:
    source.add_dictionary(FIRST, SEALED)
    follow_metadata(source, target, opened)
    assert target.dictionaries() == ()


def test_a_dictionary_that_was_replaced_at_the_target_is_put_right(
    source: Vault, target: Vault, opened: UnlockedVault
) -> None:
    genuine = Dictionaries(opened.keyring).seal(numbered(shipped().content, FIRST))
    source.add_dictionary(FIRST, genuine)
    target.add_dictionary(FIRST, SEALED)
    assert lacking_dictionaries(source, target, opened) == [FIRST]
    follow_metadata(source, target, opened)
    level_dictionaries(source, target, opened)
    assert set(target.dictionary(FIRST)) == {genuine}
    assert lacking_dictionaries(source, target, opened) == []


def test_keys_of_a_tenant_that_the_vault_did_not_seal_replace_none(
    source: Vault, target: Vault, opened: UnlockedVault
) -> None:
    digest = TenantKeys.digest_of(opened.keyring, "acme")
    name = TenantKeys(digest).name
    genuine = TenantKeys(digest).grown(opened.keyring.first.id).encode(opened.keyring)
    assert source.put_tenant(name, genuine, None)
    follow_tenants(source, target, opened)
    assert source.put_tenant(name, genuine[:-1] + b"\0", genuine) or genuine.endswith(b"\0")
    with pytest.raises(Damaged, match="does not authenticate"):
        follow_tenants(source, target, opened)
    assert target.tenant(name) == genuine


def test_two_files_of_a_tenant_that_went_on_apart_are_merged_where_a_vault_moves(
    source: Vault, target: Vault, opened: UnlockedVault
) -> None:
    """The target had other keys of the same tenant: what lay under them was lost when its file was replaced."""
    for vault in (source, target):
        name = TenantKeys(TenantKeys.digest_of(opened.keyring, "acme")).name
        made = TenantKeys(TenantKeys.digest_of(opened.keyring, "acme")).grown(opened.keyring.first.id)
        assert vault.put_tenant(name, made.encode(opened.keyring), None)
    ours, theirs = (TenantKeys.decode(vault.tenant(name), opened.keyring, name) for vault in (source, target))
    follow_tenants(source, target, opened)
    merged = TenantKeys.decode(target.tenant(name), opened.keyring, name)
    assert {key.master.secret for key in merged.keys} == {ours.keys[0].master.secret, theirs.keys[0].master.secret}
    assert merged.sealing(opened.keyring.first.id) == ours.keys[0].master
    before = target.tenant(name)
    source.put_tenant(name, merged.destroyed().encode(opened.keyring), source.tenant(name))
    follow_tenants(source, target, opened)
    assert target.tenant(name) != before
    gone = TenantKeys.decode(target.tenant(name), opened.keyring, name)
    assert {key.state for key in gone.keys} == {State.DESTROYED}


def test_a_dictionary_of_a_tenant_is_proved_by_the_file_of_its_keys(
    source: Vault, target: Vault, opened: UnlockedVault
) -> None:
    tenant = TenantKeys(TenantKeys.digest_of(opened.keyring, "acme")).grown(opened.keyring.first.id)
    source.put_tenant(tenant.name, tenant.encode(opened.keyring), None)
    made = Dictionaries(opened.keyring).seal(numbered(shipped().content, FIRST), tenant.keys[0].master)
    source.add_dictionary(FIRST, made)
    follow_metadata(source, target, opened)
    assert set(target.dictionary(FIRST)) == {made}
    assert target.tenant(tenant.name) is None


def test_a_dictionary_at_the_target_follows_a_rotation(source: Vault, target: Vault, opened: UnlockedVault) -> None:
    source.add_dictionary(FIRST, Dictionaries(opened.keyring).seal(numbered(shipped().content, FIRST)))
    follow_metadata(source, target, opened)
    later = source.replace_keys(opened, lambda masters: (MasterKey.generate(), *masters))
    resealed = Dictionaries(later.keyring).seal(numbered(shipped().content, FIRST))
    source.level_dictionary(FIRST, resealed)
    pruned = source.replace_keys(later, lambda masters: masters[:1])
    assert follow_metadata(source, target, opened) is Outcome.REPLACED, "a process that knows the first keys only"
    assert set(target.dictionary(FIRST)) == {resealed}
    assert lacking_dictionaries(source, target, pruned) == []


@pytest.mark.parametrize("place", ["directory", "engine"])
def test_a_target_keeps_the_keyring_that_it_had_before(
    source: Vault, opened: UnlockedVault, tmp_path: Path, place: str
) -> None:
    target = at(place, tmp_path / "another")
    follow_metadata(source, target, opened)
    for number in range(3):
        before = target.metadata()
        opened = source.add_slot(opened, RawKey(bytes(range(100 + number, 132 + number))))
        assert follow_metadata(source, target, opened) is Outcome.REPLACED
        if place == "directory":
            kept = (tmp_path / "another/quarantine/keyring.older").read_bytes()
            assert [path.name for path in (tmp_path / "another/quarantine").iterdir()] == ["keyring.older"]
        else:
            kept = split(target.storage.engine.kept[OLDER])[1]
        assert kept == split(before)[1]
