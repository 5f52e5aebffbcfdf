"""What opens a vault: every spelling of a raw key, what is refused as one, and the bounds of a passphrase."""

from __future__ import annotations

import base64
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.errors import InvalidSetting, UnsupportedFormat
from vaultsession.vault.secret import (
    LEAST_MEMORY,
    LEAST_PASSES,
    MOST_LANES,
    MOST_MEMORY,
    MOST_PASSES,
    MOST_WORK,
    Cost,
    Passphrase,
    RawKey,
    SecretKind,
    Stretching,
    key_from,
)

KEY = RawKey.generate()
NOISE = hashlib.sha512(b"noise, the same in every process, since it names tests").digest()


@pytest.mark.parametrize(
    "spell",
    [
        lambda key: key,
        lambda key: key + b"\n",
        lambda key: key.hex(),
        lambda key: key.hex().upper() + "\n",
        lambda key: key.hex().encode() + b"\r\n",
        lambda key: base64.b64encode(key).decode(),
        lambda key: base64.b64encode(key).rstrip(b"=") + b"\n",
        base64.urlsafe_b64encode,
        lambda key: base64.urlsafe_b64encode(key).decode().rstrip("="),
    ],
)
@given(st.binary(min_size=32, max_size=32).filter(lambda key: len(set(key)) >= 8 and max(key) > 0xF7))
def test_every_spelling_of_a_key_is_that_key(spell, key):
    assert RawKey.parse(spell(key)).secret == key


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_raw_key_that_ends_in_a_newline_keeps_it(end):
    key = bytes(range(200, 232))[: -len(end)] + end
    for spelled in (key, key + b"\n"):
        assert RawKey.parse(spelled).secret == key


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "\n",
        "correct horse battery staple",
        "correct horse battery staple abc",  # 32 characters of text
        b"correct horse battery staple abc",
        b"correct horse battery staple ab\n",  # 32 bytes, the newline of a text file included
        "pässwörter für den tresor 12345".encode(),
        b"short",
        NOISE[:31],
        NOISE[:34],
        NOISE[:32].hex()[:-1],
        NOISE[:32].hex() + " ",
        "z" * 64,
        bytes(32),
        b"\xff" * 32,
        (b"\xde\xad\xbe\xef" * 8).hex(),
        base64.b64encode(bytes(32)).decode(),
        base64.b64encode(b"correct horse battery staple abc").decode(),
        base64.b64encode(NOISE[:31]).decode(),
        base64.b64encode(b"\xff" + NOISE[:31]).decode()[:-2] + "/=",  # stray bits in the last digit
        base64.b64encode(NOISE[:32]).decode() + "=",
        "\ud800" * 32,
    ],
)
def test_what_is_no_key_is_refused_and_the_sentence_names_the_passphrase_source(typed):
    with pytest.raises(InvalidSetting, match="passphrase source"):
        RawKey.parse(typed)


def test_a_refusal_does_not_repeat_what_was_given():
    with pytest.raises(InvalidSetting) as raised:
        RawKey.parse("hunter2hunter2")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_raw_key_has_32_bytes(size):
    with pytest.raises(InvalidSetting):
        RawKey(os.urandom(size))


def test_a_generated_key_parses_from_its_text():
    assert RawKey.parse(KEY.text()) == KEY


@pytest.mark.parametrize("words", ["", "x" * 1025, "\ud800"])
def test_a_passphrase_is_bounded_text(words):
    with pytest.raises(InvalidSetting):
        Passphrase(words)


@pytest.mark.parametrize(
    "bad", [{"memory": 1024}, {"memory": 1024 * 1024}, {"passes": 1}, {"passes": 33}, {"lanes": 0}, {"lanes": 17}]
)
def test_the_cost_of_a_passphrase_has_a_floor_and_a_cap(bad):
    with pytest.raises(InvalidSetting):
        Cost(**bad)


def test_one_slot_cannot_be_allowed_minutes_by_memory_and_passes_together():
    with pytest.raises(InvalidSetting):
        Cost(memory=MOST_MEMORY, passes=MOST_PASSES)


def test_no_secret_is_in_any_repr_of_one():
    shown = repr((KEY, Passphrase("hunter2")))
    assert repr(KEY.secret)[2:-1] not in shown
    assert KEY.text() not in shown
    assert "hunter2" not in shown


def test_a_refusal_names_the_source():
    assert key_from("key file x", KEY.text()) == KEY
    with pytest.raises(InvalidSetting, match=r"^key file x: .*passphrase source"):
        key_from("key file x", "hunter2")


@pytest.mark.parametrize("secret", [KEY, Passphrase("words"), Passphrase("words", Cost(LEAST_MEMORY, LEAST_PASSES, 1))])
def test_what_a_new_slot_gets_is_within_the_bounds_of_reading(secret):
    how = Stretching.of(secret)
    assert (how.kind == SecretKind.RAW) is isinstance(secret, RawKey)
    assert how.work() <= MOST_WORK


def test_a_raw_key_is_not_stretched():
    assert Stretching.of(KEY).stretched(KEY, bytes(32)) == KEY.secret
    assert Stretching.of(KEY).work() == 0


@pytest.mark.parametrize("kind", [SecretKind.ARGON2ID, SecretKind.SCRYPT])
def test_the_salt_and_the_words_make_the_key_material(kind):
    how = (
        Stretching(kind, LEAST_MEMORY, LEAST_PASSES, 1)
        if kind is SecretKind.ARGON2ID
        else Stretching(kind, 2**15, 8, 1)
    )
    one, same, other_words, other_salt = (
        how.stretched(Passphrase(words), salt)
        for words, salt in (("a", bytes(32)), ("a", bytes(32)), ("b", bytes(32)), ("a", bytes(range(32))))
    )
    assert one == same
    assert len({one, other_words, other_salt}) == 3


@pytest.mark.parametrize(
    "how",
    [
        Stretching(SecretKind.RAW, 1, 0, 0),
        Stretching(SecretKind.ARGON2ID, LEAST_MEMORY - 1, LEAST_PASSES, 1),
        Stretching(SecretKind.ARGON2ID, MOST_MEMORY + 1, LEAST_PASSES, 1),
        Stretching(SecretKind.ARGON2ID, MOST_MEMORY, MOST_WORK // MOST_MEMORY + 1, 1),
        Stretching(SecretKind.ARGON2ID, LEAST_MEMORY, LEAST_PASSES, MOST_LANES + 1),
        Stretching(SecretKind.SCRYPT, 2**14, 8, 1),
        Stretching(SecretKind.SCRYPT, 2**17, 8, 9),
        Stretching(0, 0, 0, 0),
        Stretching(4, 0, 0, 0),
    ],
)
def test_parameters_beyond_the_bounds_are_unsupported(how):
    with pytest.raises(UnsupportedFormat):
        how.work()


@pytest.mark.parametrize("words", [" ", "\t\n ", "a", "aaaaaaaaaaaa", " abc ", "\u3000\u00a0"])
def test_a_passphrase_that_is_guessed_at_once_makes_no_slot(words):
    """White space, one letter and twelve times the same one made vaults without a word. One that is there still opens."""
    with pytest.raises(InvalidSetting, match="guessed at once"):
        Stretching.of(Passphrase(words))


def test_a_passphrase_that_is_short_is_its_owners_choice():
    assert Stretching.of(Passphrase("word")).kind != SecretKind.RAW
