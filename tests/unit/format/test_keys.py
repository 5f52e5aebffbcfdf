"""Derivations: fixed answers for fixed keys, and separation of purposes, vaults and names."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from shelf import KEYRING

from vaultsession.errors import UnknownKey
from vaultsession.format.keys import Keyring, MasterKey, derive, expand


def test_derive_is_hkdf_of_rfc_5869_with_sha_512():
    secret, salt, info = b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA))
    extracted = hmac.digest(salt, secret, "sha512")
    first = hmac.digest(extracted, info + b"\x01", "sha512")
    second = hmac.digest(extracted, first + info + b"\x02", "sha512")
    assert derive(secret, salt, info, 96) == (first + second)[:96]
    assert expand(extracted, info, 96) == (first + second)[:96]


def test_names_and_tags_hang_on_naming_root_purpose_and_vault_id():
    def by_the_text(purpose: bytes) -> bytes:
        info = b"vaultsession/root/v1\0" + purpose + b"\0" + KEYRING.vault_id
        return hmac.digest(KEYRING.naming_root, info + b"\x01", hashlib.sha512)[:32]

    assert KEYRING.naming_key == by_the_text(b"name")
    assert KEYRING.tag_key == by_the_text(b"tag")


def test_what_is_sealed_hangs_on_a_master_key_and_the_vault_id():
    master = KEYRING.first
    expected = derive(master.secret, KEYRING.vault_id, b"vaultsession/master/v1\0index", 32)
    assert master.subkey(b"index", KEYRING.vault_id) == expected
    others = {
        each.subkey(purpose, vault_id)
        for each in KEYRING.masters
        for purpose in (b"index", b"tombstone")
        for vault_id in (KEYRING.vault_id, bytes(16))
    }
    assert len(others) == 8


def test_another_vault_with_the_same_root_has_other_keys():
    other = KEYRING._replace(vault_id=bytes(16))
    purposes = ("naming_key", "tag_key")
    derived = {getattr(keyring, purpose) for keyring in (KEYRING, other) for purpose in purposes}
    assert len(derived) == 4


def test_rotating_masters_leaves_names_and_tags():
    rotated = KEYRING._replace(masters=(MasterKey.generate(), *KEYRING.masters))
    assert rotated.naming_key == KEYRING.naming_key
    assert rotated.tag("user", "", "alice") == KEYRING.tag("user", "", "alice")


def test_tags_are_what_the_text_says_and_tell_kinds_names_and_values_apart():
    expected = hmac.digest(KEYRING.tag_key, b"label\0\x02\0\0\0abcd", "sha512")[:16]
    assert KEYRING.tag("label", "ab", "cd") == expected
    pairs = [
        ("user", "", "alice"),
        ("assistant", "", "alice"),
        ("label", "", "alice"),
        ("label", "a", "lice"),
        ("label", "alice", ""),
    ]
    assert len({KEYRING.tag(*pair) for pair in pairs}) == len(pairs)


def test_every_master_opens_and_the_first_seals():
    assert KEYRING.first is KEYRING.masters[0]
    assert [KEYRING.master(master.id) for master in KEYRING.masters] == list(KEYRING.masters)


def test_an_unknown_key_is_named_with_those_that_are_held():
    with pytest.raises(UnknownKey) as raised:
        KEYRING.master(b"elsewhre")
    for name in (b"elsewhre", *(master.id for master in KEYRING.masters)):
        assert name.hex() in str(raised.value)


def test_generated_keyrings_are_unlike_each_other():
    one, other = Keyring.generate(), Keyring.generate()
    assert one.vault_id != other.vault_id
    assert one.naming_root != other.naming_root
    assert one.first.secret != other.first.secret
    assert len(one.vault_id) == 16
    assert len(one.naming_root) == len(one.first.secret) == 32


def test_no_repr_shows_a_secret():
    shown = repr(KEYRING) + str(KEYRING.first)
    for secret in (KEYRING.naming_root, *(master.secret for master in KEYRING.masters)):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
