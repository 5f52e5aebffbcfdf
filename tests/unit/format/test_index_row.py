"""Rows and tombstones prove themselves: whatever an index gives back changed is not believed."""

from __future__ import annotations

import hmac
import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from shelf import KEYRING, Shelf

from vaultsession.errors import Damaged
from vaultsession.format import IndexRowCipher, head_size
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


def test_rows_and_tombstones_are_laid_out_as_the_text_says(shelf, row):
    columns = struct.pack(
        "<QQ16sqqQH", row.generation, row.seq, row.version, row.updated, row.expires, row.size, len(row.tags)
    )
    columns += b"".join(row.tags) + row.key.encode()
    opened = AESGCM(KEYRING.index_key).decrypt(row.blob[:12], row.blob[12:], b"row" + columns)
    assert opened == shelf.data[:80] + encode(shelf.states[-1].head)
    text = b"tombstone" + struct.pack("<Q", 5) + row.key[-32:].encode()
    assert (
        ROWS.tombstone(row.key, 5).mac
        == hmac.digest(KEYRING.first.subkey(b"tombstone", KEYRING.vault_id), text, "sha512")[:16]
    )


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
        IndexRowCipher(replace(KEYRING, vault_id=bytes(16))).open(row)


def test_torn_is_an_observation_and_not_sealed(row):
    assert ROWS.open(row._replace(torn=True)) == ROWS.open(row)


def test_a_tombstone_is_for_a_locator_and_a_generation():
    tombstone = ROWS.tombstone("slug~" + "0" * 32, 5)
    assert ROWS.is_genuine(tombstone)
    assert ROWS.is_genuine(tombstone._replace(key="other~" + "0" * 32))
    assert not ROWS.is_genuine(tombstone._replace(key="1" * 32))
    assert not ROWS.is_genuine(tombstone._replace(generation=6))
    assert not IndexRowCipher(replace(KEYRING, masters=(MasterKey.generate(),))).is_genuine(tombstone)
    assert not IndexRowCipher(replace(KEYRING, vault_id=bytes(16))).is_genuine(tombstone)


def test_a_tombstone_is_genuine_as_long_as_the_key_that_signed_it_is_held():
    tombstone = ROWS.tombstone("0" * 32, 5)
    new = MasterKey.generate()
    rotated = IndexRowCipher(replace(KEYRING, masters=(new, *KEYRING.masters)))
    pruned = IndexRowCipher(replace(KEYRING, masters=(new,)))
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
    assert rows.is_genuine(IndexRowCipher(replace(KEYRING, masters=(new,))).tombstone("0" * 32, 5))


@pytest.mark.parametrize("generation", [-1, 1 << 64])
def test_a_generation_that_none_has_is_not_genuine(generation):
    assert not ROWS.is_genuine(Tombstone("0" * 32, generation, bytes(16)))


def test_a_row_tells_how_long_its_head_is_without_being_opened(shelf, row):
    assert head_size(row) == len(encode(shelf.states[-1].head))
