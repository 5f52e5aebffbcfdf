"""Rows and tombstones prove themselves: whatever an index gives back changed is not believed."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
from shelf import KEYRING, Shelf

from vaultsession.errors import Damaged
from vaultsession.format import IndexRowCipher, index_row
from vaultsession.format.cipher import aead
from vaultsession.format.head import encode
from vaultsession.format.keys import MasterKey
from vaultsession.format.sealed import Tombstone
from vaultsession.vault.key_store import MemoryKeyStore
from vaultsession.vault.live_keyring import LiveKeyring

ROWS = IndexRowCipher(KEYRING)


@pytest.fixture(scope="module")
def shelf():
    shelf = Shelf()
    shelf.create({"a": 1}, [{"n": 0}], user_id="alice", labels={"x": "y"}, expires=2_000_000_000_000_000)
    return shelf


@pytest.fixture
def row(shelf):
    return shelf.row


def test_a_row_opens_to_the_header_and_the_head(shelf, row):
    header, head = ROWS.open(row)
    assert header == shelf.data[:80]
    assert head == shelf.states[-1].head


def columns(row):
    expires = -1 if row.expires is None else row.expires
    numbers = (row.generation, row.seq, row.version, row.updated, expires, row.size, len(row.tags))
    return struct.pack("<QQ16sqqQH", *numbers) + b"".join(row.tags) + row.key[-32:].encode()


def opened_as_the_text_says(row, suite):
    text = b"\0\0\0\1" + KEYRING.first.subkey(b"index", KEYRING.vault_id) + row.blob[8:88] + row.key[-32:].encode()
    cipher = suite(hashlib.sha512(text).digest()[:32])
    return cipher.decrypt(row.blob[88:100], row.blob[100:], b"row" + columns(row))


def test_rows_and_tombstones_are_laid_out_as_the_text_says(shelf, row):
    assert row.blob[:88] == KEYRING.first.id + shelf.data[:80]
    assert opened_as_the_text_says(row, AESGCM) == encode(shelf.states[-1].head)
    text = b"tombstone" + struct.pack("<Q", 5) + row.key[-32:].encode()
    assert (
        ROWS.tombstone(row.key, 5).mac
        == hmac.digest(KEYRING.first.subkey(b"tombstone", KEYRING.vault_id), text, "sha512")[:16]
    )


@pytest.mark.parametrize(("suite", "cipher"), [(2, ChaCha20Poly1305), (3, AESGCMSIV)])
def test_a_row_is_sealed_in_the_suite_of_its_container(suite, cipher):
    shelf = Shelf(suite=suite)
    shelf.create({}, [])
    assert opened_as_the_text_says(shelf.row, cipher) == encode(shelf.states[-1].head)
    assert ROWS.open(shelf.row) == (shelf.data[:80], shelf.states[-1].head)


def test_a_row_hangs_on_the_first_master_key_and_opens_as_long_as_that_is_held(shelf, row):
    new = MasterKey.generate()
    rotated = IndexRowCipher(KEYRING._replace(masters=(new, *KEYRING.masters)))
    assert rotated.open(row) == ROWS.open(row)
    with pytest.raises(Damaged):
        IndexRowCipher(KEYRING._replace(masters=(new,))).open(row)
    again = rotated.seal(row.key, shelf.data[:80], *row[1:4], row.size, shelf.states[-1].head, b"[]")
    assert index_row.root_of(again) == new.id
    with pytest.raises(Damaged):
        rotated.open(row._replace(blob=new.id + row.blob[8:]))


def test_a_row_under_a_key_of_which_nothing_is_known_yet_is_looked_at_once_more(shelf, row):
    store = MemoryKeyStore(KEYRING._replace(masters=(MasterKey.generate(),)))
    rows = IndexRowCipher(LiveKeyring(store.load(), store, store.etag()))
    store.change(lambda masters: (*KEYRING.masters, *masters))
    assert rows.open(row) == ROWS.open(row)


def test_a_key_seals_the_rows_of_one_container_and_no_other(monkeypatch):
    """One key for all rows of a vault's life runs out of random nonces: at 1 000 rows a second after 50 days."""
    keys = []
    monkeypatch.setattr(index_row, "aead", lambda suite, key: keys.append(key) or aead(suite, key))
    shelves = Shelf("one"), Shelf("other")
    for shelf in shelves:
        shelf.remembers = False
        shelf.create({}, [])
        shelf.append({"n": 1})
        shelf.create({}, [])  # replaced: another salt, another generation
        shelf.append({"n": 2})
    assert len(keys) == len(set(keys)) == 4


def test_a_row_without_a_suite_is_damaged(row):
    for suite in (0, 4, 255):
        with pytest.raises(Damaged):
            ROWS.open(row._replace(blob=row.blob[:5] + bytes([suite]) + row.blob[6:]))


def test_tags_are_those_of_owners_and_labels_in_one_order(shelf, row):
    assert row.tags == tuple(sorted([KEYRING.tag("user", "", "alice"), KEYRING.tag("label", "x", "y")]))


@pytest.mark.parametrize(
    "forged",
    [
        {"key": "0" * 32},
        {"generation": 1},
        {"seq": 1},
        {"version": bytes(16)},
        {"updated": 1},
        {"expires": None},
        {"expires": 1},
        {"size": 1},
        {"tags": ()},
        {"blob": b""},
        {"blob": bytes(5)},
        {"blob": bytes(12)},
        {"blob": bytes(300)},
        {"generation": -1},
        {"seq": "text"},
        {"size": 2**70},
    ],
    ids=repr,
)
def test_a_row_with_another_column_is_damaged(row, forged):
    with pytest.raises(Damaged):
        ROWS.open(row._replace(**forged))


def test_a_longer_version_or_split_tags_are_no_way_around(row):
    with pytest.raises(Damaged):
        ROWS.open(row._replace(version=row.version + b"\0"))
    with pytest.raises(Damaged):
        ROWS.open(row._replace(tags=(b"".join(row.tags),)))
    with pytest.raises(Damaged):
        ROWS.open(row._replace(tags=row.tags[::-1]))


def test_every_flipped_bit_of_a_blob_is_refused(row):
    for place in range(len(row.blob)):
        flipped = bytearray(row.blob)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(Damaged):
            ROWS.open(row._replace(blob=bytes(flipped)))


def test_a_row_of_another_vault_is_damaged(row):
    with pytest.raises(Damaged):
        IndexRowCipher(KEYRING._replace(vault_id=bytes(16))).open(row)


def test_torn_is_an_observation_and_not_sealed(row):
    assert ROWS.open(row._replace(torn=True)) == ROWS.open(row)


def test_a_tombstone_is_for_a_locator_and_a_generation():
    tombstone = ROWS.tombstone("slug~" + "0" * 32, 5)
    assert ROWS.is_genuine(tombstone)
    assert ROWS.is_genuine(tombstone._replace(key="other~" + "0" * 32))
    assert not ROWS.is_genuine(tombstone._replace(key="1" * 32))
    assert not ROWS.is_genuine(tombstone._replace(generation=6))
    assert not IndexRowCipher(KEYRING._replace(masters=(MasterKey.generate(),))).is_genuine(tombstone)
    assert not IndexRowCipher(KEYRING._replace(vault_id=bytes(16))).is_genuine(tombstone)


def test_a_tombstone_is_genuine_as_long_as_the_key_that_signed_it_is_held():
    tombstone = ROWS.tombstone("0" * 32, 5)
    new = MasterKey.generate()
    rotated = IndexRowCipher(KEYRING._replace(masters=(new, *KEYRING.masters)))
    pruned = IndexRowCipher(KEYRING._replace(masters=(new,)))
    assert rotated.is_genuine(tombstone)
    assert not pruned.is_genuine(tombstone)
    again = rotated.resigned(tombstone)
    assert pruned.is_genuine(again)
    assert again[:2] == tombstone[:2]
    assert rotated.resigned(again) is None, "it is under the first key"
    assert pruned.resigned(tombstone) is None, "it is not genuine"


def test_a_tombstone_under_a_key_of_which_nothing_is_known_yet_is_looked_at_once_more():
    store = MemoryKeyStore(KEYRING)
    rows = IndexRowCipher(LiveKeyring(KEYRING, store, store.etag()))
    new = MasterKey.generate()
    store.change(lambda masters: (new, *masters))
    assert rows.is_genuine(IndexRowCipher(KEYRING._replace(masters=(new,))).tombstone("0" * 32, 5))


@pytest.mark.parametrize("generation", [-1, 1 << 64])
def test_a_generation_that_none_has_is_not_genuine(generation):
    assert not ROWS.is_genuine(Tombstone("0" * 32, generation, bytes(16)))


def test_a_row_tells_how_long_its_head_is_without_being_opened(shelf, row):
    assert len(row.blob) - index_row.AROUND == len(encode(shelf.states[-1].head))
