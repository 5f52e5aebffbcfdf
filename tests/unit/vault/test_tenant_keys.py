"""The file of a tenant's keys: what it gives back, what it refuses, and that a destroyed key is gone."""

from __future__ import annotations

import pytest

from vaultsession.errors import Damaged, TooLarge, UnknownKey, UnsupportedFormat
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.vault.tenant_keys import State, TenantKeys, name_of, sealed_under

KEYRING = Keyring.generate(tenant_keys=True)
FIRST, SECOND = b"master-1", b"master-2"


def alices() -> TenantKeys:
    return TenantKeys(TenantKeys.digest_of(KEYRING, "alice")).grown(FIRST)


def again(held: TenantKeys, keyring: Keyring = KEYRING) -> TenantKeys:
    return TenantKeys.decode(held.encode(KEYRING), keyring, held.name)


def test_keys_come_back_as_they_were() -> None:
    held = alices().grown(SECOND)
    assert again(held) == held
    assert held.encode(KEYRING) != held.encode(KEYRING), "a nonce was used twice"


def test_a_key_is_found_by_the_name_that_its_id_begins_with() -> None:
    held = alices().grown(SECOND)
    assert {name_of(key.master.id) for key in held.keys} == {held.name}
    assert held.find(held.keys[0].master.id) == held.keys[0]
    assert held.find(b"anything") is None


def test_another_first_master_key_asks_for_a_new_key_and_retires_the_old() -> None:
    held = alices()
    assert held.sealing(FIRST) == held.keys[0].master
    assert held.sealing(SECOND) is None
    grown = held.grown(SECOND)
    assert grown.sealing(SECOND) == grown.keys[1].master
    assert grown.keys[0].state is State.RETIRED
    assert grown.keys[0].master.secret == held.keys[0].master.secret


def test_a_destroyed_key_leaves_its_id_and_nothing_of_its_secret() -> None:
    held = alices()
    secret = held.keys[0].master.secret
    gone = again(held.destroyed())
    assert [key.state for key in gone.keys] == [State.DESTROYED]
    assert gone.keys[0].master.id == held.keys[0].master.id
    assert secret not in repr(gone).encode() + gone.keys[0].master.secret
    assert gone.sealing(FIRST) is None


def test_a_tenant_that_comes_back_gets_a_key_of_a_new_id() -> None:
    back = alices().destroyed().grown(FIRST)
    assert [key.state for key in back.keys] == [State.DESTROYED, State.SEALS]
    assert len({key.master.id for key in back.keys}) == 2
    assert again(back) == back


def test_no_secret_is_shown() -> None:
    held = alices()
    assert held.keys[0].master.secret.hex() not in repr(held)
    assert repr(held.keys[0].master.secret) not in repr(held)
    assert held.keys[0].master.secret not in held.encode(KEYRING)


def test_every_flipped_byte_is_damage() -> None:
    held = alices()
    data = held.encode(KEYRING)
    for at in range(len(data)):
        forged = bytearray(data)
        forged[at] ^= 1
        with pytest.raises(UnknownKey if 40 <= at < 48 else (Damaged, UnsupportedFormat)):
            TenantKeys.decode(bytes(forged), KEYRING, held.name)
    for size in range(len(data)):
        with pytest.raises(Damaged):
            TenantKeys.decode(data[:size], KEYRING, held.name)


def test_a_later_version_is_told_apart() -> None:
    data = bytearray(alices().encode(KEYRING))
    data[4] = 2
    with pytest.raises(UnsupportedFormat):
        TenantKeys.decode(bytes(data), KEYRING, alices().name)


def test_a_file_under_the_name_of_another_tenant_is_damage() -> None:
    with pytest.raises(Damaged, match="not what this package writes"):
        TenantKeys.decode(alices().encode(KEYRING), KEYRING, name_of(TenantKeys.digest_of(KEYRING, "bob")))


def test_a_file_of_another_vault_is_damage() -> None:
    with pytest.raises(Damaged):
        again(alices(), Keyring.generate())
    with pytest.raises(Damaged):
        again(alices(), KEYRING._replace(vault_id=bytes(16)))


def test_the_number_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaultsession.vault.tenant_keys.MOST_KEYS", 300)
    held = alices()
    for _ in range(299):
        held = held.grown(FIRST)
    assert again(held) == held, "a tenant's life is longer than 256 rotations"
    with pytest.raises(TooLarge):
        held.grown(FIRST)


def test_a_file_lies_under_the_first_master_key_and_opens_as_long_as_that_is_held() -> None:
    held = alices()
    new = MasterKey.generate()
    rotated = KEYRING._replace(masters=(new, KEYRING.first._replace(retired=True)))
    pruned = KEYRING._replace(masters=(new,))
    assert again(held, rotated) == held
    with pytest.raises(UnknownKey, match="after the keys were rotated"):
        again(held, pruned)
    assert TenantKeys.decode(held.encode(rotated), pruned, held.name) == held
    assert sealed_under(held.encode(rotated)) == new.id


# Two files of one tenant


def test_two_first_keys_of_one_tenant_have_ids_of_their_own() -> None:
    one, other = alices(), alices()
    assert one.name == other.name
    assert one.keys[0].master.id != other.keys[0].master.id


def test_two_files_that_went_on_apart_are_merged() -> None:
    start = alices()
    ours, theirs = start.grown(SECOND), start.grown(SECOND)
    merged = again(ours.merged(theirs))
    assert merged.sealing(SECOND) == ours.keys[-1].master
    for key in (*ours.keys, *theirs.keys):
        found = merged.find(key.master.id)
        assert found is not None
        assert found.master.secret == key.master.secret
    assert len(merged.keys) == 3
    assert merged.merged(theirs) == merged


def test_what_one_of_two_files_destroyed_is_destroyed() -> None:
    start = alices()
    for merged in (start.merged(start.destroyed()), start.destroyed().merged(start)):
        assert [key.state for key in again(merged).keys] == [State.DESTROYED]


def test_an_id_with_two_secrets_is_damage() -> None:
    held = alices()
    (key,) = held.keys
    forged = held._replace(keys=(key._replace(master=key.master._replace(secret=bytes(range(32)))),))
    with pytest.raises(Damaged, match="two secrets"):
        held.merged(forged)
