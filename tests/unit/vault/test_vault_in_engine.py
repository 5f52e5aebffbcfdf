"""A vault whose metadata lies in an engine: here one that is a dict, so that each race can be played."""

from __future__ import annotations

import pytest
from dict_engine import DictEngine
from vaults import CHEAP

from vaultsession import Passphrase, RawKey
from vaultsession.errors import Conflict, Damaged, KeyUnavailable, RollbackDetected, VaultNotFound, WrongKey
from vaultsession.format.keys import MasterKey
from vaultsession.vault import Vault
from vaultsession.vault.engine_metadata import EngineMetadata

KEY = RawKey(bytes(range(32)))
OTHER = RawKey(bytes(range(1, 33)))


@pytest.fixture
def engine() -> DictEngine:
    return DictEngine()


@pytest.fixture
def vault(engine: DictEngine) -> Vault:
    return Vault(EngineMetadata(engine))


def test_what_was_made_opens_with_its_key_and_no_other(vault: Vault) -> None:
    assert not vault.exists()
    made = vault.create(KEY, readable_names=False, label="mine", now=7)
    assert vault.exists()
    assert vault.identity().vault_id == made.keyring.vault_id
    assert [slot.label for slot in vault.slots()] == ["mine"]
    opened = vault.unlock([("a wrong one", OTHER), ("the right one", KEY)])
    assert (opened.keyring, opened.source) == (made.keyring, "the right one")
    with pytest.raises(WrongKey, match="engine://here does not open with a wrong one"):
        vault.unlock([("a wrong one", OTHER)])
    with pytest.raises(KeyUnavailable):
        vault.unlock([])


def test_the_candidates_may_depend_on_which_vault_it_is(vault: Vault) -> None:
    made, asked = vault.create(KEY), []

    def candidates(vault_id: bytes) -> list[tuple[str, RawKey]]:
        asked.append(vault_id)
        return [("key", KEY)]

    assert vault.unlock(candidates).keyring == made.keyring
    assert asked == [made.keyring.vault_id]


def test_there_is_one_creator(vault: Vault, engine: DictEngine) -> None:
    def slowly(vault_id: bytes) -> RawKey:
        Vault(EngineMetadata(engine)).create(OTHER)
        return KEY

    with pytest.raises(Conflict, match="another process made a vault"):
        vault.create(slowly)
    with pytest.raises(Conflict, match="already"):
        vault.create(KEY)
    vault.unlock([("the quicker one's", OTHER)])


def test_slots_and_keys_change_and_others_see_it(vault: Vault) -> None:
    made = vault.create(KEY)
    elsewhere = vault.unlock([("key", KEY)])
    changed = vault.add_slot(made, Passphrase("correct horse battery", CHEAP), label="words", now=1)
    assert [slot.label for slot in vault.slots()] == ["", "words"]
    fresh = MasterKey.generate()
    vault.replace_keys(elsewhere, lambda masters: [fresh, *masters])  # made of the newest, not of what it knew
    now = vault.reload(changed)
    assert now.keyring.first == fresh
    assert len(now.slots) == 2
    fewer = vault.remove_slot(now, now.slots[0].id)
    assert [slot.label for slot in fewer.slots] == ["words"]
    with pytest.raises(WrongKey):
        vault.unlock([("key", KEY)])


def test_metadata_that_was_set_back_is_told(vault: Vault, engine: DictEngine) -> None:
    made = vault.create(KEY)
    old = dict(engine.kept)
    changed = vault.add_slot(made, OTHER)
    engine.kept = old
    with pytest.raises(RollbackDetected, match="from change 2 to 1"):
        vault.reload(changed)
    with pytest.raises(RollbackDetected):
        vault.add_slot(changed, OTHER)


def test_no_altered_byte_of_the_metadata_is_believed(vault: Vault, engine: DictEngine) -> None:
    vault.create(KEY)
    good = engine.kept["vault"]
    for place in range(len(good)):
        engine.kept["vault"] = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        with pytest.raises((Damaged, WrongKey)):
            vault.unlock([("key", KEY)])
    for size in range(0, len(good), 7):
        engine.kept["vault"] = good[:size]
        with pytest.raises(Damaged):
            vault.unlock([("key", KEY)])


def test_metadata_of_two_vaults_do_not_mix(engine: DictEngine) -> None:
    one, two = DictEngine(), DictEngine()
    Vault(EngineMetadata(one)).create(KEY)
    Vault(EngineMetadata(two)).create(KEY)
    facts, slots = one.kept["vault"].split(b"\n", 1)[0], two.kept["vault"].split(b"\n", 1)[1]
    engine.kept["vault"] = facts + b"\n" + slots
    with pytest.raises(Damaged, match="another vault"):
        Vault(EngineMetadata(engine)).unlock([("key", KEY)])


def test_without_metadata_there_is_no_vault(vault: Vault) -> None:
    for verb in (vault.identity, vault.slots, lambda: vault.unlock([("key", KEY)])):
        with pytest.raises(VaultNotFound, match="engine://here"):
            verb()
