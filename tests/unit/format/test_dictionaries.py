"""A dictionary opens under its own number in its own vault, and a record never with another one."""

from __future__ import annotations

import contextlib
import random
import threading

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultsession.errors import BackendUnavailable, Damaged, TooLarge, TrainingRefused, UnknownDictionary
from vaultsession.format import payload
from vaultsession.format.dictionaries import (
    EPOCH,
    FIRST,
    LARGEST_SEALED,
    LAST,
    MOST_DICTIONARIES,
    SHIPPED,
    Dictionaries,
    numbered,
    shipped,
)
from vaultsession.format.keys import Keyring
from vaultsession.format.payload import CODEC_DICTIONARY, CODEC_NONE, CODEC_ZSTD, Dictionary

KEYRING = Keyring.generate()
LIMIT = 1 << 20
NOW = (EPOCH + 1000) * 1_000_000
NUMBER = FIRST + 1000


def body(number: int, words: str = "what comes next is") -> bytes:
    return payload.body({}, [{"role": "user", "content": f"{words} {number * 7919 % 104729}, as we said before"}])


def trained(words: str = "what comes next is") -> bytes:
    samples = [body(number, words) for number in range(600)]
    return zstandard.train_dictionary(2048, samples, k=64, d=8).as_bytes()


CONTENT, OTHER = trained(), trained("Une autre langue, d'autres mots:")


class Shelf:
    """Where a vault keeps its dictionaries: here a dict of copies."""

    def __init__(self) -> None:
        self.copies: dict[int, list[bytes]] = {}
        self.asked: list[int] = []

    def dictionaries(self):
        return sorted(self.copies)

    def dictionary(self, number):
        self.asked.append(number)
        return list(self.copies.get(number, ()))

    def add_dictionary(self, number, data):
        return self.copies.setdefault(number, [data]) == [data]


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def kept(shelf):
    """The shelf of a vault with one dictionary, which was trained."""
    Dictionaries(KEYRING, shelf).keep(CONTENT, NOW)
    shelf.asked.clear()
    return shelf


def test_what_one_process_keeps_another_finds_by_its_number(kept):
    found = Dictionaries(KEYRING, kept).find(NUMBER)
    assert (found.number, found.content[8:]) == (NUMBER, CONTENT[8:])


def test_what_is_kept_is_not_to_be_read_in_it(kept):
    (data,) = kept.copies[NUMBER]
    assert b"what comes next" in CONTENT
    assert b"what comes next" not in data
    assert CONTENT[100:116] not in data


def test_a_dictionary_is_loaded_once(kept):
    dictionaries = Dictionaries(KEYRING, kept)
    assert dictionaries.find(NUMBER) is dictionaries.find(NUMBER)
    assert kept.asked == [NUMBER]


def test_many_threads_meet_a_new_one_at_once(kept):
    dictionaries, start, found = Dictionaries(KEYRING, kept), threading.Barrier(8), []
    packed = dictionaries.find(NUMBER).compress(body(5), 3)
    fresh = Dictionaries(KEYRING, kept)

    def meet():
        start.wait(30)
        for _ in range(50):
            found.append(payload.unpack(CODEC_DICTIONARY, packed, limit=LIMIT, find=fresh.find))
            found.append(payload.unpack(CODEC_DICTIONARY, fresh.find(NUMBER).compress(body(5), 3), limit=LIMIT, find=fresh.find))  # fmt: skip

    threads = [threading.Thread(target=meet) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [body(5)] * 800
    assert kept.asked.count(NUMBER) == 2


def test_the_one_of_the_package_serves_until_there_is_a_newer_one(shelf):
    dictionaries = Dictionaries(KEYRING, shelf)
    dictionaries.choose()
    assert dictionaries.current[0] is shipped() is dictionaries.find(SHIPPED)
    assert dictionaries.current == (shipped(),)
    first = dictionaries.keep(CONTENT, NOW)
    assert dictionaries.current[0] is first
    assert dictionaries.current == (first, shipped())
    second = dictionaries.keep(OTHER, NOW + 5_000_000)
    assert (first.number, second.number) == (NUMBER, NUMBER + 5)
    again = Dictionaries(KEYRING, shelf)
    again.choose()
    assert again.current[0].number == second.number
    assert again.find(first.number).content == first.content


@pytest.mark.parametrize("now", [0, -(10**15), NOW - 10**12], ids=["1970", "before", "set back"])
def test_numbers_grow_whatever_the_clock_says(kept, now):
    assert Dictionaries(KEYRING, kept).keep(OTHER, now).number == NUMBER + 1


def test_a_number_is_never_given_twice_even_if_its_dictionary_was_lost(kept):
    """A record would inflate with another dictionary than its own, to something else."""
    kept.copies.clear()
    assert Dictionaries(KEYRING, kept).keep(OTHER, NOW + 1_000_000).number != NUMBER


def test_two_that_train_in_the_same_second_get_two_numbers(shelf):
    one, other = Dictionaries(KEYRING, shelf), Dictionaries(KEYRING, shelf)
    shelf.dictionaries = lambda: ()  # neither sees the other's
    assert one.keep(CONTENT, NOW).number == NUMBER
    assert other.keep(OTHER, NOW).number == NUMBER + 1


def test_there_are_only_so_many(shelf):
    dictionaries = Dictionaries(KEYRING, shelf)
    for _ in range(MOST_DICTIONARIES):
        dictionaries.keep(CONTENT, NOW)
    with pytest.raises(TrainingRefused, match="64 dictionaries already"):
        dictionaries.keep(CONTENT, NOW)
    assert len(shelf.copies) == MOST_DICTIONARIES


def test_after_the_last_number_there_is_none(shelf):
    with pytest.raises(TrainingRefused, match="no free number"):
        Dictionaries(KEYRING, shelf).keep(CONTENT, LAST * 1_000_000 + EPOCH * 1_000_000)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


HARM = {
    "magic": lambda data: flipped(data, 0),
    "number": lambda data: flipped(data, 4),
    "nonce": lambda data: flipped(data, 8),
    "first byte": lambda data: flipped(data, 20),
    "last byte": lambda data: flipped(data, len(data) - 1),
    "cut": lambda data: data[:-1],
    "cut in the nonce": lambda data: data[:15],
    "empty": lambda _: b"",
    "longer": lambda data: data + b"x",
    "too large": lambda data: data + bytes(LARGEST_SEALED),
    "of another vault": lambda _: Dictionaries(Keyring.generate()).seal(numbered(CONTENT, NUMBER)),
    "of another number": lambda _: Dictionaries(KEYRING).seal(numbered(CONTENT, NUMBER + 1)),
    "of another number, renamed": lambda _: (
        Dictionaries(KEYRING).seal(numbered(CONTENT, NUMBER + 1)).replace(
            (NUMBER + 1).to_bytes(4, "little"), NUMBER.to_bytes(4, "little"), 1
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("harm", HARM)
def test_one_that_was_tampered_with_is_as_good_as_gone(kept, harm):
    kept.copies[NUMBER] = [HARM[harm](kept.copies[NUMBER][0])]
    with pytest.raises(UnknownDictionary, match=f"dictionary {NUMBER}.*restore it from a backup") as raised:
        Dictionaries(KEYRING, kept).find(NUMBER)
    assert "what comes next" not in str(raised.value)


@pytest.mark.parametrize("harm", HARM)
def test_the_other_copy_serves(kept, harm):
    (data,) = kept.copies[NUMBER]
    kept.copies[NUMBER] = [HARM[harm](data), data]
    assert Dictionaries(KEYRING, kept).find(NUMBER).number == NUMBER


def test_what_comes_back_is_found_without_opening_the_store_again(kept):
    dictionaries, lost = Dictionaries(KEYRING, kept), kept.copies.pop(NUMBER)
    with pytest.raises(UnknownDictionary, match="it is gone"):
        dictionaries.find(NUMBER)
    kept.copies[NUMBER] = lost
    assert dictionaries.find(NUMBER).number == NUMBER


@pytest.mark.parametrize("number", [0, 1, SHIPPED - 1, SHIPPED + 1, FIRST - 1, LAST + 1, (1 << 32) - 1])
def test_a_number_that_cannot_be_is_not_even_looked_for(shelf, number):
    with pytest.raises(UnknownDictionary):
        Dictionaries(KEYRING, shelf).find(number)
    assert shelf.asked == []


def test_new_records_pass_over_one_that_cannot_be_read(kept, caplog):
    second = Dictionaries(KEYRING, kept).keep(OTHER, NOW + 1_000_000).number
    kept.copies[second] = [b"noise"]
    dictionaries = Dictionaries(KEYRING, kept)
    dictionaries.choose()
    assert dictionaries.current[0].number == NUMBER
    assert f"not compressed with dictionary {second}" in caplog.text


def test_a_store_opens_though_the_dictionaries_cannot_be_looked_at(shelf, caplog):
    def fails():
        raise BackendUnavailable("the disk says no")

    shelf.dictionaries = fails
    dictionaries = Dictionaries(KEYRING, shelf)
    dictionaries.choose()
    assert dictionaries.current[0] is shipped()
    assert "the disk says no" in caplog.text


def test_storage_that_fails_is_not_taken_for_a_dictionary_that_is_gone(kept):
    def fails(_):
        raise BackendUnavailable("the disk says no")

    kept.dictionary = fails
    with pytest.raises(BackendUnavailable):
        Dictionaries(KEYRING, kept).find(NUMBER)


# -- bodies ------------------------------------------------------------------------------------------------------------

ONE, TWO = numbered(CONTENT, NUMBER), numbered(OTHER, NUMBER + 1)
FOUND = {each.number: each for each in (ONE, TWO, shipped())}


def test_a_small_body_becomes_smaller_and_names_its_dictionary():
    text = body(7)
    codec, packed = payload.pack(text, level=3, limit=LIMIT, dictionaries=[ONE])
    assert codec == CODEC_DICTIONARY
    assert payload.dictionary_of(packed) == NUMBER
    assert len(packed) < len(payload.pack(text, level=3, limit=LIMIT)[1]) * 0.6


def test_what_says_nothing_that_the_dictionary_says_is_no_larger_than_without():
    text = b"".join(b"%x" % (number * number * 2654435761 % 2**64) for number in range(200))
    assert payload.pack(text, level=3, limit=LIMIT, dictionaries=[ONE]) == payload.pack(text, level=3, limit=LIMIT)


def test_of_several_dictionaries_the_one_that_makes_it_smallest_is_named():
    for dictionaries in ([ONE, TWO], [TWO, ONE]):
        packed = payload.pack(body(7), level=3, limit=LIMIT, dictionaries=dictionaries)[1]
        assert payload.dictionary_of(packed) == ONE.number


class Watched(Dictionary):
    """Counts how often it is tried."""

    tries = 0

    def compress(self, text: bytes, level: int) -> bytes:
        self.tries += 1
        return super().compress(text, level)


def test_a_dictionary_that_keeps_losing_is_tried_on_each_sixteenth_body_only():
    watched, losses = Watched(TWO.content), {}
    foreign = body(7)
    assert payload.pack(foreign, level=3, limit=LIMIT, dictionaries=[ONE, watched])[0] == CODEC_DICTIONARY
    watched.tries = 0
    for _ in range(16 * 10):
        packed = payload.pack(foreign, level=3, limit=LIMIT, dictionaries=[ONE, watched], losses=losses)[1]
        assert payload.dictionary_of(packed) == ONE.number
    assert watched.tries == 8 + 9


def test_a_dictionary_that_was_passed_over_comes_back_with_its_first_gain():
    watched, losses = Watched(ONE.content), {}
    foreign = b"".join(b"%x" % (number * number * 2654435761 % 2**64) for number in range(200))
    for _ in range(20):
        payload.pack(foreign, level=3, limit=LIMIT, dictionaries=[watched], losses=losses)
    assert watched.tries == 8 + 1
    codecs = [payload.pack(body(7), level=3, limit=LIMIT, dictionaries=[watched], losses=losses)[0] for _ in range(30)]
    first = codecs.index(CODEC_DICTIONARY)
    assert first < 16
    assert set(codecs[first:]) == {CODEC_DICTIONARY}


def plain_tries(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every body that zstd is tried on without a dictionary."""
    tried: list[bytes] = []

    class Counted:
        def compress(self, text: bytes) -> bytes:
            tried.append(text)
            return zstandard.ZstdCompressor(level=3, write_checksum=False).compress(text)

    monkeypatch.setattr(payload, "_compressor", lambda level: Counted())
    return tried


def test_where_the_dictionary_always_wins_zstd_alone_is_tried_on_each_sixteenth_body_only(monkeypatch):
    tried, losses = plain_tries(monkeypatch), {}
    for _ in range(16 * 10):
        codec, _ = payload.pack(body(7), level=3, limit=LIMIT, dictionaries=[ONE], losses=losses)
        assert codec == CODEC_DICTIONARY
    assert len(tried) == 8 + 9


def test_zstd_alone_that_was_passed_over_comes_back_with_its_first_gain(monkeypatch):
    losses = {}
    for _ in range(20):
        payload.pack(body(7), level=3, limit=LIMIT, dictionaries=[ONE], losses=losses)
    tried = plain_tries(monkeypatch)
    foreign = b"".join(b"%x" % (number * number * 2654435761 % 2**64) for number in range(200))
    assert payload.pack(foreign, level=3, limit=LIMIT, dictionaries=[ONE])[0] == CODEC_ZSTD
    tried.clear()
    codecs = [payload.pack(foreign, level=3, limit=LIMIT, dictionaries=[ONE], losses=losses)[0] for _ in range(30)]
    assert CODEC_NONE not in codecs
    first = codecs.index(CODEC_ZSTD)
    assert first < 16
    assert set(codecs[first:]) == {CODEC_ZSTD}


def test_after_many_bodies_that_nothing_makes_smaller_the_next_one_is_compressed():
    """What lost to the body as it is has lost as well; were all passed over then, compressible bodies would lie bare."""
    losses = {}
    for _ in range(37):
        noise = random.Random(5).randbytes(1500)
        assert payload.pack(noise, level=3, limit=LIMIT, dictionaries=[ONE, TWO], losses=losses)[0] == CODEC_NONE
        assert payload.pack(body(7), level=3, limit=LIMIT, dictionaries=[ONE], losses=dict(losses))[0] != CODEC_NONE


def test_a_body_that_no_dictionary_reaches_says_nothing_about_those_that_one_does():
    losses = {}
    for _ in range(20):
        payload.pack(body(7), level=3, limit=LIMIT, dictionaries=[ONE], losses=losses)
    before = dict(losses)
    payload.pack(body(7) * 1000, level=3, limit=LIMIT, dictionaries=[ONE], losses=losses)
    assert losses == before


def test_whoever_keeps_no_losses_has_every_dictionary_tried():
    watched = Watched(TWO.content)
    for _ in range(50):
        payload.pack(body(7), level=3, limit=LIMIT, dictionaries=[ONE, watched])
    assert watched.tries == 50


def test_a_large_body_is_not_tried():
    text = body(7) * 1000
    codec, packed = payload.pack(text, level=3, limit=LIMIT, dictionaries=[ONE])
    assert (codec, packed) == payload.pack(text, level=3, limit=LIMIT)
    assert codec == CODEC_ZSTD


def test_without_compression_there_is_no_dictionary():
    assert payload.pack(body(7), level=None, limit=LIMIT, dictionaries=[ONE]) == (CODEC_NONE, body(7))


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("dictionary", FOUND.values(), ids=lambda each: each.number)
@given(
    text=st.binary(max_size=300)
    | st.lists(st.integers(0, 1000), max_size=40).map(lambda numbers: b"".join(map(body, numbers)))
)
def test_whatever_it_is_it_comes_back_and_is_never_larger(level, dictionary, text):
    codec, packed = payload.pack(text, level=level, limit=LIMIT, dictionaries=[dictionary])
    assert payload.unpack(codec, packed, limit=LIMIT, find=FOUND.__getitem__) == text
    assert len(packed) <= len(payload.pack(text, level=level, limit=LIMIT)[1])


@given(st.binary(max_size=2000) | st.binary(max_size=500).map(lambda data: CONTENT[:300] + data))
def test_garbage_is_no_dictionary_or_one_that_works(content):
    try:
        dictionary = Dictionary(content)
        packed = dictionary.compress(body(1), 3)
    except (ValueError, zstandard.ZstdError):
        return
    assert payload.unpack(CODEC_DICTIONARY, packed, limit=LIMIT, find=lambda _: dictionary) == body(1)


@settings(max_examples=300)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_frame_that_was_altered_is_an_error_or_of_its_declared_size(at, bit):
    """Bodies are authenticated before; this is about crashes and bounds."""
    packed = bytearray(ONE.compress(body(3), 3))
    packed[at % len(packed)] ^= 1 << bit
    try:
        text = payload.unpack(CODEC_DICTIONARY, bytes(packed), limit=LIMIT, find=FOUND.__getitem__)
    except (Damaged, TooLarge, KeyError, payload.UnsupportedFormat):
        return
    assert len(text) <= LIMIT


def test_another_dictionary_of_the_same_number_is_what_must_never_be():
    """Why numbers are never given twice, and why a dictionary must prove itself: zstd does not notice."""
    packed = ONE.compress(body(3), 3)
    wrong = numbered(OTHER, NUMBER)
    with contextlib.suppress(Damaged):
        assert payload.unpack(CODEC_DICTIONARY, packed, limit=LIMIT, find=lambda _: wrong) != body(3)


def test_a_bomb_with_a_dictionary_is_refused_before_it_is_inflated():
    packed = ONE.compress(bytes(5000), 3)
    with pytest.raises(TooLarge, match="5000"):
        payload.unpack(CODEC_DICTIONARY, packed, limit=4999, find=FOUND.__getitem__)


def test_without_any_dictionary_a_body_that_needs_one_is_locked():
    with pytest.raises(UnknownDictionary):
        payload.unpack(CODEC_DICTIONARY, ONE.compress(body(3), 3), limit=LIMIT)
