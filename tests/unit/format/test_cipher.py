"""Sealing and opening: what one vault, name, key and place sealed opens there and nowhere else."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from shelf import KEYRING, container

from vaultsession.errors import Damaged, TooLarge, UnknownKey, UnsupportedFormat
from vaultsession.format import ContainerCipher
from vaultsession.format import record as v1
from vaultsession.format.cipher import padme
from vaultsession.format.keys import MasterKey

PLACE, OTHER = "0" * 32, "1" * 32
SUITES = [v1.SUITE_AES_GCM, v1.SUITE_CHACHA, v1.SUITE_AES_GCM_SIV]


def made(**how):
    return ContainerCipher.create(KEYRING, PLACE, generation=7, **how)


def sealed(cipher, *bodies, head=b"head"):
    """A container of these bodies; None is a record without one."""
    data, link = cipher.header, v1.first_link(cipher.header)
    for seq, body in enumerate(bodies):
        data += cipher.seal(v1.HEAD if body is None else v1.DELTA, seq, len(data), link, head, body=body)
        link = data[-24:-8]
    return list(v1.records_from(container(data), 80))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("suite", SUITES)
@given(body=st.none() | st.binary(max_size=200), head=st.binary(max_size=50))
def test_every_suite_gives_back_what_it_sealed(suite, padded, body, head):
    cipher = made(suite=suite, padded=padded)
    again = ContainerCipher.open(cipher.header, KEYRING, PLACE)
    (record,) = sealed(cipher, body, head=head)
    assert again.open_head(record) == head
    assert again.open_body(record) == (body or b"")
    assert (again.generation, again.padded, again.header) == (7, padded, cipher.header)


def elsewhere(record, *, bound=None, offset=None, link=None):
    """The record as it would be read in another place."""
    offset = record.offset if offset is None else offset
    return record._replace(offset=offset, bound=bound or record.bound, link=link or record.link)


def test_keys_and_associated_data_are_those_of_the_text():
    cipher = made()
    header, master = cipher.header, KEYRING.first.secret
    info = b"vaultsession/file/v1\0" + header[:24] + KEYRING.vault_id + PLACE.encode()
    extracted = hmac.digest(header[24:48], master, "sha512")
    first = hmac.digest(extracted, info + b"\x01", "sha512")
    derived = (first + hmac.digest(extracted, first + info + b"\x02", "sha512"))[:96]
    assert header[48:80] == derived[64:]
    one, two = sealed(cipher, b"body one", b"body two", head=b"the head")
    for record, link in ((one, header[48:64]), (two, one.head[-16:])):
        place = record.bound + record.offset.to_bytes(8, "little") + link
        opened = AESGCM(derived[:32]).decrypt(record.nonce, record.head, b"h" + place + record.body[-16:])
        assert opened == b"the head"
        AESGCM(derived[32:64]).decrypt(record.nonce, record.body, b"b" + place)


def test_no_two_containers_or_records_share_salt_keys_or_nonce():
    ciphers = [made() for _ in range(20)]
    assert len({cipher.header[24:48] for cipher in ciphers}) == 20
    assert len({record.nonce for record in sealed(ciphers[0], *[b"same"] * 20)}) == 20


@pytest.mark.parametrize(
    ("keyring", "place"),
    [
        (KEYRING, OTHER),
        (KEYRING._replace(vault_id=bytes(16)), PLACE),
        (KEYRING._replace(masters=(MasterKey(KEYRING.first.id, bytes(32)),)), PLACE),
    ],
    ids=["another name", "another vault", "another key of the same id"],
)
def test_a_header_fits_one_key_one_vault_and_one_name(keyring, place):
    with pytest.raises(Damaged, match="does not fit"):
        ContainerCipher.open(made().header, keyring, place)


def test_a_key_that_is_not_held_is_unknown_and_not_damage():
    with pytest.raises(UnknownKey):
        ContainerCipher.open(made().header, KEYRING._replace(masters=KEYRING.masters[1:]), PLACE)


def test_every_flipped_bit_of_a_header_is_refused():
    header = made().header
    for bit in range(8 * 80):
        flipped = bytearray(header)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Damaged, UnknownKey, UnsupportedFormat)):
            ContainerCipher.open(bytes(flipped), KEYRING, PLACE)


@pytest.mark.parametrize("suite", SUITES)
def test_a_record_opens_at_its_place_in_the_chain_only(suite):
    cipher = made(suite=suite)
    first, second = sealed(cipher, b"one", b"two")
    for forged in (
        elsewhere(second, link=first.link),
        elsewhere(second, bound=first.bound),
        second._replace(nonce=first.nonce),
        elsewhere(second, offset=first.offset),
        second._replace(head=first.head),
        second._replace(body=first.body),
        second._replace(body=b""),
        second._replace(body=second.head, head=second.body),
    ):
        with pytest.raises(Damaged, match="does not authenticate"):
            cipher.open_head(forged)
    body_flipped = second._replace(body=bytes([second.body[0] ^ 1]) + second.body[1:])
    with pytest.raises(Damaged, match="body of record 1"):
        cipher.open_body(body_flipped)


def test_a_record_of_another_generation_does_not_open():
    (record,) = sealed(made(), b"one")
    with pytest.raises(Damaged):
        made().open_head(elsewhere(record, link=v1.first_link(made().header)))


@pytest.mark.parametrize("kind", [0, 4, 255])
def test_an_authentic_record_of_another_kind_is_of_another_version(kind):
    cipher = made()
    data = cipher.header + cipher.seal(kind, 0, 80, v1.first_link(cipher.header), b"head")
    (record,) = v1.records_from(container(data), 80)
    with pytest.raises(UnsupportedFormat) as raised:
        cipher.open_head(record)
    assert raised.value.found == kind
    with pytest.raises(Damaged):
        cipher.open_head(elsewhere(record, bound=v1.FRAME.pack(20, 0, kind, 0, 0, 1, b"")[: v1.BOUND_SIZE]))


@pytest.mark.parametrize(
    ("size", "padded"), [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (1000, 1024), (2**20 + 1, 1081344)]
)
def test_padme_is_that_of_the_paper(size, padded):
    assert padme(size) == padded


@given(st.integers(0, 2**32))
def test_padme_adds_at_most_an_eighth_and_keeps_few_bits(size):
    padded = padme(size)
    assert size <= padded <= size + size * 0.12 + 1
    assert padme(padded) == padded
    significant = (padded >> ((padded & -padded).bit_length() - 1)).bit_length() if padded else 0
    assert significant <= padded.bit_length().bit_length() + 1


def test_padding_hides_the_length_behind_the_length():
    cipher = made(padded=True)
    sizes = {len(sealed(cipher, bytes(size))[0].body) for size in range(1000, 1020)}
    assert sizes == {1024 + 16}


@pytest.mark.parametrize(
    "plain", [b"", b"\x01", b"\xff\xff\xff\xff", b"\x05\0\0\0body", (1).to_bytes(4, "little") + b"x" + bytes(9)]
)
def test_padding_that_this_package_does_not_write_is_damage(plain):
    padded = made(padded=True)
    unpadded = ContainerCipher(padded.header, v1.parse_header(padded.header), bytes(64))
    unpadded.padded = False
    (record,) = sealed(unpadded, plain)
    unpadded.padded = True
    if plain == b"":
        record = record._replace(body=record.body)
    with pytest.raises(Damaged, match="padding"):
        unpadded.open_body(record)


def test_a_body_beyond_the_bound_is_refused_before_it_is_sealed(monkeypatch):
    monkeypatch.setattr("vaultsession.format.cipher.LARGEST_RECORD", 20_000)
    cipher = made()
    with pytest.raises(TooLarge):
        cipher.seal(v1.FULL, 0, 80, bytes(16), b"", body=bytes(4000))
    assert cipher.seal(v1.FULL, 0, 80, bytes(16), b"", body=bytes(3000))
