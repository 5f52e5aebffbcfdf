"""The file of a tenant's keys: what it gives back, what it refuses, and that a destroyed key is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vaultsession.errors import Damaged, TooLarge, UnsupportedFormat
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.vault.tenant_keys import MOST_KEYS, State, TenantKeys, name_of

KEYRING = Keyring.generate(tenant_keys=True)
FIRST, SECOND = b"master-1", b"master-2"


VECTOR = bytes.fromhex(
    "5653543101000300000102030405060708090a0b0c0d0e0f580f5169090f98ab6f9b52b81e194cbf040b121920272e353c434a51ffaa9b46"
    "5b96e2e8dcea124541b9e00fe85fc01bf8102b7023e8c7668f3b089c0ab0da26bcc36f79fa4d8b8ac76d76798b6ea8eb5d76f4b8a58b9601"
    "fa086947e0a407bf906fef5c8f07a712076f20ef2be2eb3d797e80d484f701c6b4c53e255a9e271867035746d53e7b96ffb87a7e2f3087de"
    "206a82b543f69c894c5586a2789466f174f428a440b15ff2f18dc3f9d4b71a93202e5a0a20e4dcfe4b990e7fa18710"
)
"""Made once, and never again: what version 1 reads for ever."""


def test_a_file_of_this_version_reads_for_ever() -> None:
    master = MasterKey(b"vsf1-new", bytes(range(64, 96)))
    keyring = Keyring(bytes(range(16)), True, 1_700_000_000_000_000, bytes(range(32, 64)), (master,), True)
    held = TenantKeys.decode(VECTOR, keyring, "580f5169090f98")
    assert held.digest == TenantKeys.digest_of(keyring, "acme")
    assert [(key.master.id.hex()[-2:], key.made_under, key.state.name) for key in held.keys] == [
        ("00", b"vsf1-old", "DESTROYED"),
        ("01", b"vsf1-old", "RETIRED"),
        ("02", b"vsf1-new", "SEALS"),
    ]
    assert [key.master.secret[:4].hex() for key in held.keys] == ["00000000", "02091017", "030a1118"]
    assert [key.master.retired for key in held.keys] == [True, True, False]


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
        with pytest.raises((Damaged, UnsupportedFormat)):
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
        again(alices(), replace(KEYRING, vault_id=bytes(16)))


def test_the_number_of_keys_is_bounded() -> None:
    held = alices()
    for _ in range(MOST_KEYS - 1):
        held = held.grown(FIRST)
    assert again(held) == held
    with pytest.raises(TooLarge):
        held.grown(FIRST)
