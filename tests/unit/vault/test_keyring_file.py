"""The keyring file: slots, changes, bounds, and which error says what."""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from types import SimpleNamespace

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given
from hypothesis import strategies as st
from vaults import CHEAP

from vaultsession.errors import Damaged, InvalidSetting, TooLarge, UnsupportedFormat, WrongKey
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.vault import keyring_file
from vaultsession.vault.secret import MOST_MEMORY, Cost, Passphrase, RawKey, SecretKind

KEY = RawKey.generate()
OTHER = RawKey.generate()


@pytest.fixture
def keyring():
    return Keyring.generate(readable_names=False, created=1_700_000_000_000_000)


@pytest.fixture
def unlocked(keyring):
    return keyring_file.parse(keyring_file.create(keyring, KEY, label="laptop", now=7).data).unlock(KEY)


def resealed(data: bytes) -> bytes:
    """The file with a checksum that fits, as an adversary would leave it."""
    return data[:-16] + hashlib.sha512(data[:-16]).digest()[:16]


def test_no_secret_is_in_any_repr(unlocked):
    shown = repr((KEY, Passphrase("hunter2"), unlocked, keyring_file.parse(unlocked.data)))
    for secret in (KEY.secret, unlocked.vault_key, unlocked.keyring.naming_root, unlocked.keyring.first.secret):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    assert "hunter2" not in shown


# Making, unlocking, changing


def test_unlocking_gives_the_keyring_back(keyring):
    file = keyring_file.parse(keyring_file.create(keyring, KEY, label="laptop", now=7).data)
    unlocked = file.unlock(KEY)
    assert unlocked.keyring == keyring
    assert (file.vault_id, file.counter) == (keyring.vault_id, unlocked.counter) == (keyring.vault_id, 1)
    (slot,) = unlocked.slots
    assert unlocked.slot == slot == file.slots[0]
    assert (slot.kind, slot.label, slot.created, slot.takes_passphrase) == (SecretKind.RAW, "laptop", 7, False)
    assert slot.name == slot.id.hex()
    assert len(slot.id) == 8


def test_two_files_of_one_keyring_share_no_bytes_but_the_header(keyring):
    first, second = (keyring_file.create(keyring, KEY).data for _ in range(2))
    assert first[:32] == second[:32]
    assert first[32:40] != second[32:40]
    assert first[-300:] != second[-300:]


def test_another_key_is_a_wrong_key(unlocked):
    with pytest.raises(WrongKey, match="none of the 1 raw key slots"):
        keyring_file.parse(unlocked.data).unlock(OTHER)


def test_a_passphrase_costs_nothing_where_no_slot_takes_one(unlocked):
    with pytest.raises(WrongKey, match="none of the 0 passphrase slots"):
        keyring_file.parse(unlocked.data).unlock(Passphrase("words"))


@pytest.mark.slow
def test_a_passphrase_opens_its_slot_in_every_composition(keyring):
    composed = unicodedata.normalize("NFC", "clé é")
    file = keyring_file.parse(keyring_file.create(keyring, Passphrase(composed)).data)
    assert file.slots[0].takes_passphrase
    assert file.unlock(Passphrase(unicodedata.normalize("NFD", composed))).keyring == keyring


def test_a_wrong_passphrase_is_a_wrong_key_and_the_slot_knows_its_own_cost(keyring):
    file = keyring_file.parse(keyring_file.create(keyring, Passphrase("words", CHEAP)).data)
    with pytest.raises(WrongKey):
        file.unlock(Passphrase("Words"))
    assert file.unlock(Passphrase("words")).keyring == keyring


@pytest.mark.slow
def test_scrypt_serves_where_argon2_is_missing(keyring, monkeypatch):
    monkeypatch.setattr("vaultsession.vault.secret._has_argon2", lambda: False)
    file = keyring_file.parse(keyring_file.create(keyring, Passphrase("words")).data)
    assert file.slots[0].kind is SecretKind.SCRYPT
    assert file.unlock(Passphrase("words")).keyring == keyring


def test_an_argon2_slot_where_argon2_is_missing_is_unsupported(keyring, monkeypatch):
    def missing(**_):
        raise UnsupportedAlgorithm("no")

    file = keyring_file.parse(keyring_file.create(keyring, Passphrase("words", CHEAP)).data)
    monkeypatch.setattr("vaultsession.vault.secret.Argon2id", missing)
    with pytest.raises(UnsupportedFormat, match="Argon2id"):
        file.unlock(Passphrase("words"))


def test_a_slot_is_added_without_the_secret_of_the_others(unlocked):
    data = unlocked.add_slot(OTHER, label="second", now=9)
    for secret, label in ((KEY, "laptop"), (OTHER, "second")):
        again = keyring_file.parse(data).unlock(secret)
        assert again.keyring == unlocked.keyring
        assert again.counter == 2
        assert again.slot.label == label
    assert [slot.label for slot in again.slots] == ["laptop", "second"]


def test_changing_a_secret_is_adding_one_and_removing_one(unlocked):
    added = keyring_file.parse(unlocked.add_slot(OTHER)).unlock(OTHER)
    file = keyring_file.parse(added.remove_slot(unlocked.slot.id))
    assert file.counter == 3
    assert file.unlock(OTHER).keyring == unlocked.keyring
    with pytest.raises(WrongKey):
        file.unlock(KEY)


def test_the_last_slot_is_not_removed(unlocked):
    with pytest.raises(InvalidSetting, match="last"):
        unlocked.remove_slot(unlocked.slot.id)


def test_a_slot_that_is_not_there_is_not_removed(unlocked):
    with pytest.raises(InvalidSetting, match=unlocked.slot.name):
        unlocked.remove_slot(bytes(8))


def test_master_keys_are_replaced_and_the_rest_stays(unlocked):
    first = MasterKey.generate()
    old = unlocked.keyring.first._replace(retired=True)
    again = keyring_file.parse(unlocked.replace_masters([first, old])).unlock(KEY)
    assert again.keyring == unlocked.keyring._replace(masters=(first, old))
    assert again.counter == 2


def test_a_known_keyring_reopens_later_files(unlocked):
    later = unlocked.reopen(keyring_file.parse(unlocked.add_slot(OTHER)))
    assert (later.keyring, later.vault_key, later.slot) == (unlocked.keyring, unlocked.vault_key, unlocked.slot)


def test_an_altered_file_is_reopened_by_nobody(unlocked):
    assert unlocked.proves(keyring_file.parse(unlocked.data))
    altered = keyring_file.parse(patched(unlocked.data, 8, b"\x63"))
    assert not unlocked.proves(altered)
    with pytest.raises(Damaged, match="MAC"):
        unlocked.reopen(altered)


# A new vault key


def rotated(unlocked: keyring_file.UnlockedKeyring) -> keyring_file.KeyringFile:
    first, *old = unlocked.keyring.masters
    return keyring_file.parse(
        unlocked.replace_masters([MasterKey.generate(), first._replace(retired=True), *old]),
    )


def test_a_new_first_master_key_comes_with_a_new_vault_key_for_every_slot(unlocked):
    both = unlocked.reopen(keyring_file.parse(unlocked.add_slot(OTHER, label="second")))
    file = rotated(both)
    opened = [file.unlock(secret) for secret in (KEY, OTHER)]
    assert opened[0].vault_key == opened[1].vault_key != both.vault_key
    assert opened[0].keyring == opened[1].keyring
    assert [slot.label for slot in file.slots] == ["laptop", "second"]
    for secret, again in zip((KEY, OTHER), opened, strict=True):  # and can be rotated again by either
        assert rotated(again).unlock(secret).former == (again.descent_key, both.descent_key)


def test_other_master_keys_behind_the_same_first_leave_the_vault_key(unlocked):
    later = keyring_file.parse(unlocked.replace_masters([*unlocked.keyring.masters, MasterKey.generate()]))
    assert unlocked.reopen(later).vault_key == unlocked.vault_key


def test_a_process_that_slept_over_rotations_opens_the_newest_file(unlocked):
    file = rotated(unlocked.reopen(rotated(unlocked)))
    later = unlocked.reopen(file)
    assert later.vault_key == file.unlock(KEY).vault_key
    assert unlocked.proves(file)
    assert later.is_ancestor(keyring_file.parse(unlocked.data))
    assert not unlocked.is_ancestor(file)


def test_a_slot_that_was_removed_is_told_so_after_the_next_rotation(unlocked):
    both = unlocked.reopen(keyring_file.parse(unlocked.add_slot(OTHER)))
    other = keyring_file.parse(both.data).unlock(OTHER)
    without = other.reopen(keyring_file.parse(other.remove_slot(unlocked.slot.id)))
    assert both.reopen(keyring_file.parse(without.data)).keyring == without.keyring, "until then it goes on"
    with pytest.raises(WrongKey, match="removed"):
        both.reopen(keyring_file.parse(without.data)).replace_masters([MasterKey.generate()])
    file = rotated(without)
    with pytest.raises(WrongKey, match="removed and the keys of the vault were"):
        both.reopen(file)
    assert both.proves(file)


def test_a_vault_key_that_does_not_descend_from_the_known_one_is_refused(unlocked):
    """Both files were made by people who knew the first vault key: of two rotations apart only one is followed."""
    ours, theirs = unlocked.reopen(rotated(unlocked)), rotated(unlocked)
    with pytest.raises(Damaged):
        ours.reopen(theirs)
    assert not ours.proves(theirs)
    assert not ours.proves(rotated(unlocked.reopen(theirs)))


def test_marks_tell_of_this_vault_key_and_of_those_before_it(unlocked):
    later = unlocked.reopen(rotated(unlocked))
    apart = unlocked.reopen(rotated(unlocked))
    assert later.descends_from(later.mark)
    assert later.descends_from(unlocked.mark)
    assert not later.descends_from(apart.mark)
    assert not unlocked.descends_from(later.mark)


def test_the_oldest_of_many_former_vault_keys_is_forgotten(unlocked, monkeypatch):
    monkeypatch.setattr(keyring_file, "MOST_FORMER", 2)
    known = [unlocked]
    for _ in range(3):
        known.append(known[-1].reopen(rotated(known[-1])))
    assert known[-1].former == tuple(each.descent_key for each in known[2:0:-1])


# Bounds


def test_32_slots_fit_and_one_more_does_not(unlocked):
    for number in range(keyring_file.MOST_SLOTS - 1):
        unlocked = keyring_file.parse(unlocked.add_slot(OTHER, label=str(number))).unlock(KEY)
    assert len(unlocked.slots) == 32
    with pytest.raises(TooLarge):
        unlocked.add_slot(OTHER)


def test_1024_master_keys_and_32_slots_fit_into_64_kib(unlocked):
    for _ in range(keyring_file.MOST_SLOTS - 1):
        unlocked = keyring_file.parse(unlocked.add_slot(OTHER)).unlock(KEY)
    masters = [MasterKey.generate() for _ in range(keyring_file.MOST_MASTERS)]
    data = unlocked.replace_masters(masters)
    assert len(data) <= keyring_file.LARGEST_FILE
    assert keyring_file.parse(data).unlock(KEY).keyring.masters == tuple(masters)
    with pytest.raises(TooLarge):
        unlocked.replace_masters([*masters, MasterKey.generate()])


def test_the_passphrase_slots_of_a_file_together_are_bounded(unlocked, monkeypatch):
    quick = SimpleNamespace(derive=lambda _: bytes(32))
    monkeypatch.setattr("vaultsession.vault.secret.Argon2id", lambda **_: quick)
    dear = Passphrase("words", Cost(memory=MOST_MEMORY, passes=8))
    for _ in range(4):
        unlocked = keyring_file.parse(unlocked.add_slot(dear)).unlock(KEY)
    with pytest.raises(TooLarge, match="cost"):
        unlocked.add_slot(dear)


@pytest.mark.parametrize(
    "masters",
    [
        [],
        [MasterKey(bytes(8), bytes(32), retired=True)],
        [MasterKey(bytes(8), bytes(32)), MasterKey(bytes(8), bytes(range(32)))],
        [MasterKey(bytes(7), bytes(32))],
        [MasterKey(bytes(8), bytes(33))],
    ],
)
def test_a_key_set_that_could_not_be_read_is_not_written(unlocked, masters):
    with pytest.raises(InvalidSetting):
        unlocked.replace_masters(masters)


@pytest.mark.parametrize("label", ["x" * 65, "é" * 33, "two\nlines", "\x1b[2J", "\ud800"])
def test_a_label_is_short_printable_text(unlocked, label):
    with pytest.raises(InvalidSetting):
        unlocked.add_slot(OTHER, label=label)


@given(st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=16))
def test_every_short_printable_label_comes_back(label):
    file = keyring_file.parse(keyring_file.create(Keyring.generate(), KEY, label=label).data)
    assert file.slots[0].label == label


def test_a_time_is_one(keyring):
    with pytest.raises(ValueError, match="no time"):
        keyring_file.create(keyring, KEY, now=-1)


# Which error says what


@pytest.mark.parametrize(
    "data", [b"", b"VSK1", b"VSK1" + bytes(16), bytes(400), b"VSK1" * (16 * 1024 + 1), b"garbage" * 50]
)
def test_what_is_no_keyring_file_is_damaged(data):
    with pytest.raises(Damaged):
        keyring_file.parse(data)


def test_a_later_version_is_unsupported_whatever_its_layout():
    with pytest.raises(UnsupportedFormat) as raised:
        keyring_file.parse(resealed(b"VSK1\x02" + bytes(16)))
    assert (raised.value.found, raised.value.supported) == (2, 1)


def patched(data: bytes, offset: int, field: bytes) -> bytes:
    return resealed(data[:offset] + field + data[offset + len(field) :])


@pytest.mark.parametrize(
    ("offset", "field", "error"),
    [
        (5, b"\x00", Damaged),
        (5, b"\x21", Damaged),
        (5, b"\xff", Damaged),
        (6, b"\x01\x00", UnsupportedFormat),
        (8, bytes(8), Damaged),
        (32 + 8, b"\x00", UnsupportedFormat),
        (32 + 8, b"\x04", UnsupportedFormat),
        (32 + 8, b"\x02", UnsupportedFormat),  # Argon2id of no memory
        (32 + 8, b"\x02\x06\x00\x00" + struct.pack("<III", 2**31, 3, 4), UnsupportedFormat),
        (32 + 8, b"\x02\x06\x00\x00" + struct.pack("<III", 65536, 2**31, 4), UnsupportedFormat),
        (32 + 8, b"\x02\x06\x00\x00" + struct.pack("<III", 65536, 3, 2**20), UnsupportedFormat),
        (32 + 8, b"\x03\x06\x00\x00" + struct.pack("<III", 2**31, 8, 1), UnsupportedFormat),
        (32 + 8, b"\x03\x06\x00\x00" + struct.pack("<III", 2**17 + 1, 8, 1), UnsupportedFormat),
        (32 + 8, b"\x03\x06\x00\x00" + struct.pack("<III", 2**17, 2**20, 1), UnsupportedFormat),
        (32 + 8, b"\x03\x06\x00\x00" + struct.pack("<III", 2**17, 8, 2**20), UnsupportedFormat),
        (32 + 8, b"\x03\x06\x00\x00" + struct.pack("<III", 0, 8, 1), UnsupportedFormat),
        (32 + 9, b"\x41", Damaged),
        (32 + 9, b"\x02", Damaged),  # the rest of the label is not padding
        (32 + 10, b"\x01", Damaged),
        (32 + 12, b"\x01", UnsupportedFormat),
        (32 + 24, b"\xff" * 8, Damaged),
        (32 + 32, b"\xff", Damaged),
        (32 + 32, b"\n", Damaged),
        (32 + 364, struct.pack("<I", 2**32 - 1), Damaged),
        (32 + 364, struct.pack("<I", 0), Damaged),
    ],
)
def test_a_field_that_the_encoder_does_not_write_is_refused_before_any_key_is_stretched(
    unlocked, monkeypatch, offset, field, error
):
    monkeypatch.setattr("vaultsession.vault.secret.Stretching.stretched", lambda *_: pytest.fail("stretched"))
    with pytest.raises(error):
        keyring_file.parse(patched(unlocked.data, offset, field))


def test_two_slots_of_one_id_are_damaged(unlocked):
    data = unlocked.add_slot(OTHER)
    with pytest.raises(Damaged, match="same id"):
        keyring_file.parse(patched(data, 32 + 364, data[32:40]))


@pytest.mark.parametrize(
    ("offset", "what"), [(0, "slot id"), (24, "created"), (32, "label"), (160, "nonce"), (180, "wrap")]
)
def test_the_right_key_on_an_altered_slot_is_damaged_never_wrong(unlocked, offset, what):
    altered = bytes([unlocked.data[32 + offset] ^ 1])
    with pytest.raises(Damaged):
        keyring_file.parse(patched(unlocked.data, 32 + offset, altered)).unlock(KEY)


def test_the_right_key_on_an_altered_vault_id_is_damaged_never_wrong(unlocked):
    with pytest.raises(Damaged):
        keyring_file.parse(patched(unlocked.data, 16, bytes(16))).unlock(KEY)


def test_the_counter_is_authentic(unlocked):
    with pytest.raises(Damaged, match="MAC"):
        keyring_file.parse(patched(unlocked.data, 8, b"\x63")).unlock(KEY)


@given(st.integers(0, 363), st.integers(0, 7))
def test_another_key_meets_damage_where_one_slot_was_altered(offset, bit):
    first = keyring_file.parse(keyring_file.create(Keyring.generate(), KEY).data).unlock(KEY)
    data = first.add_slot(OTHER)
    try:
        file = keyring_file.parse(patched(data, 32 + offset, bytes([data[32 + offset] ^ (1 << bit)])))
    except (Damaged, UnsupportedFormat):
        return
    with pytest.raises(Damaged):
        file.unlock(OTHER)


def test_a_slot_of_another_vault_does_not_open_this_one(unlocked):
    foreign = keyring_file.parse(keyring_file.create(Keyring.generate(), OTHER).data).data
    data = unlocked.add_slot(RawKey.generate())
    with pytest.raises(Damaged):
        keyring_file.parse(patched(data, 32 + 364, foreign[32 : 32 + 364])).unlock(OTHER)


def test_the_layout_is_the_table_of_the_docstring(unlocked):
    data = unlocked.data
    assert data[:8] == b"VSK1\x01\x01\x00\x00"
    assert data[8:16] == struct.pack("<Q", 1)
    assert data[16:32] == unlocked.keyring.vault_id
    assert data[64:70] == b"laptop"
    assert struct.unpack_from("<I", data, 396) == (64 + 32 + 41 + 16,)
    assert len(data) == 32 + 364 + 48 + 64 + 32 + 41 + 16 + 32 + 32 + 16
