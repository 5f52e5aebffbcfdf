"""Reading: as few bytes as the question needs, memory that proves what it remembers, and containers that move away."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import KEYRING, Shelf, container

from vaultsession.engine.reader import TAIL, Reader
from vaultsession.errors import Damaged, TooLarge, UnsupportedFormat
from vaultsession.format import record
from vaultsession.format.document import page, parse

NOISE = "0123456789abcdef" * 640


class Watched:
    """A fetch that remembers which bytes were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.starts: list[int] = []
        self.fetched = 0

    def __call__(self, start: int):
        found = container(self.data, start)
        self.starts.append(found.offset)
        self.fetched += len(found.data)
        return found


@pytest.fixture(scope="module")
def long():
    """Some 2 MB, none of which compresses: far more than the bytes that are read at first."""
    shelf = Shelf(level=None)
    shelf.remembers = False
    shelf.create({"a": 1}, [])
    for number in range(200):
        shelf.append({"n": number, "x": NOISE})
    assert shelf.replaced == 1
    return shelf


def test_the_newest_messages_are_read_from_the_tail(long):
    watched = Watched(long.data)
    found = Reader(KEYRING).tail(long.key, watched, wanted=3)
    assert found is not None
    assert [orjson.loads(element)["n"] for element in found[1]] == [197, 198, 199]
    assert watched.fetched <= 2 * TAIL


def test_a_page_is_read_as_far_back_as_its_first_message(long):
    watched = Watched(long.data)
    found = Reader(KEYRING).tail(long.key, watched, wanted=5, offset=150)
    assert found is not None
    assert [orjson.loads(element)["n"] for element in found[1]] == list(range(150, 155))
    assert watched.fetched < 4 * len(long.data)
    assert min(watched.starts) > len(long.data) // 10


@pytest.mark.parametrize("wanted", [0, 1, 7, 200, 500])
@pytest.mark.parametrize("offset", [None, 0, 1, 199, 200, 999])
def test_a_page_is_that_of_the_history(long, wanted, offset):
    found = Reader(KEYRING).tail(long.key, long.fetch, wanted=wanted, offset=offset)
    assert found is not None
    numbers = list(range(200))
    expected = numbers[max(0, 200 - wanted) :] if offset is None else numbers[offset : offset + wanted]
    assert [orjson.loads(element)["n"] for element in found[1]] == expected


def test_a_listing_needs_the_tail_only(long):
    watched = Watched(long.data)
    row = Reader(KEYRING).describe(long.key, watched, thorough=False)
    assert row is not None
    assert (row.size, row.seq, row.torn) == (len(long.data), 200, False)
    assert watched.fetched <= 2 * TAIL


def test_the_whole_document_reads_no_byte_much_more_than_twice(long):
    watched = Watched(long.data)
    loaded = Reader(KEYRING).load(long.key, watched)
    assert loaded is not None
    assert len(parse(loaded.bodies)[1]) == 200
    assert watched.fetched < 3 * len(long.data)


def test_what_is_known_is_extended_by_what_is_new(long):
    short = long.data[: len(long.data) - 3 * (len(long.data) // 201)]
    short = short[: list(record.records_from(container(short), 80))[-1].end]
    reader = Reader(KEYRING)
    known = reader.load(long.key, lambda start: container(short, start))
    watched = Watched(long.data)
    loaded = reader.load(long.key, watched, known)
    assert loaded == Reader(KEYRING).load(long.key, long.fetch)
    assert watched.fetched <= 2 * TAIL
    watched = Watched(long.data)
    assert reader.load(long.key, watched, loaded) == loaded
    assert watched.fetched <= 2 * TAIL


def test_what_is_known_of_another_container_is_read_anew():
    shelf = Shelf()
    shelf.create({}, [{"n": 0}])
    reader = Reader(KEYRING)
    known = reader.load(shelf.key, shelf.fetch)
    shelf.create({}, [{"n": 1}])
    loaded = reader.load(shelf.key, shelf.fetch, known)
    assert loaded is not None
    assert parse(loaded.bodies) == ({}, [{"n": 1}])
    shelf.save({}, [{"n": 2}])
    loaded = reader.load(shelf.key, shelf.fetch, loaded)
    assert loaded is not None
    assert (parse(loaded.bodies), len(loaded.bodies)) == (({}, [{"n": 2}]), 1)


def test_there_may_be_nothing():
    reader = Reader(KEYRING)
    assert reader.describe("0" * 32, lambda _: None, thorough=True) is None
    assert reader.load("0" * 32, lambda _: None) is None
    assert reader.tail("0" * 32, lambda _: None, wanted=1) is None


def test_a_container_that_is_replaced_between_two_fetches_is_read_anew(long):
    other = Shelf()
    other.create({"new": 1}, [{"n": 0}])
    answers = [long.data, other.data]

    def fetch(start: int):
        return container(answers.pop(0) if len(answers) > 1 else answers[0], start)

    loaded = Reader(KEYRING).load(long.key, fetch)
    assert loaded is not None
    assert parse(loaded.bodies) == ({"new": 1}, [{"n": 0}])


def test_a_container_that_never_stays_is_not_read_for_ever(long):
    other = Shelf(level=None)
    other.create({}, [{"x": NOISE * 8}, {"x": NOISE * 8}])
    turn = [False]

    def fetch(start: int):
        turn[0] = not turn[0]
        return container(long.data if turn[0] else other.data, start)

    with pytest.raises(Damaged, match="faster"):
        Reader(KEYRING).tail(long.key, fetch, wanted=150)


def test_a_row_is_opened_from_memory_only_where_it_is_just_that_row():
    mine, theirs = Shelf("mine"), Shelf("theirs")
    for shelf in (mine, theirs):
        shelf.reader = mine.reader
        shelf.writer._reader = mine.reader
        shelf.create({}, [])
    assert mine.reader.opened(mine.row).head.id == "mine"
    assert theirs.reader.opened(theirs.row).head.id == "theirs"
    for borrowed in (
        mine.row._replace(version=theirs.row.version),
        theirs.row._replace(key=mine.key),
        mine.row._replace(expires=5),
        mine.row._replace(size=theirs.row.size - 1),
        mine.row._replace(version=mine.row.version + b"x"),
        mine.row._replace(generation=-1),
    ):
        with pytest.raises(Damaged):
            mine.reader.opened(borrowed)


def test_another_process_opens_a_row_by_its_seal():
    shelf = Shelf()
    shelf.create({}, [], title="T")
    shelf.touch()
    opened = Reader(KEYRING).opened(shelf.row)
    assert (opened.head.title, opened.document) == ("T", shelf.states[0].witness.version)


def test_a_touch_leaves_the_version_of_the_document():
    shelf = Shelf()
    shelf.create({}, [])
    shelf.touch()
    shelf.touch()
    loaded = shelf.reader.load(shelf.key, shelf.fetch)
    assert loaded is not None
    assert loaded.document == shelf.states[0].witness.version != loaded.version


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("vaultsession.engine.reader._REMEMBERED", 5)
    reader = Reader(KEYRING)
    for number in range(12):
        shelf = Shelf(f"s{number}")
        shelf.create({}, [])
        reader.describe(shelf.key, shelf.fetch, thorough=True)
    assert len(reader._opened) == len(reader._ciphers) == 5


@given(st.integers(0, 50), st.integers(0, 60), st.none() | st.integers(0, 60))
def test_a_page_is_a_slice(count, wanted, offset):
    numbers = list(range(count))
    first, end = page(count, wanted, offset)
    assert numbers[first:end] == (
        numbers[max(0, count - wanted) :] if offset is None else numbers[offset : offset + wanted]
    )
    assert 0 <= first <= end <= count


@pytest.mark.parametrize("suite", [record.SUITE_AES_GCM, record.SUITE_CHACHA, record.SUITE_AES_GCM_SIV])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("level", [None, 1, 3])
def test_what_is_written_in_any_suite_padding_and_codec_is_read(suite, padded, level):
    shelf = Shelf(suite=suite, padded=padded, level=level)
    shelf.create({"a": "compress me " * 30}, [{"n": 0}])
    shelf.append({"text": "and me " * 30})
    shelf.touch()
    shelf.merge({"b": None})
    shelf.save({"c": 1}, [{"n": 1}, {"n": 2}])
    shelf.pop()
    for state in shelf.states:
        loaded = Reader(KEYRING).load(shelf.key, lambda start, size=state.size: container(shelf.data[:size], start))
        assert loaded is not None
        assert (parse(loaded.bodies), loaded.head) == (state.document, state.head)
    assert shelf.states[-1].document == ({"c": 1}, [{"n": 1}])
    header = record.parse_header(shelf.data)
    assert (header.suite, header.flags) == (suite, int(padded))


def test_a_body_beyond_the_readers_bound_is_too_large():
    shelf = Shelf()
    shelf.create({"a": "x" * 1000}, [])
    with pytest.raises(TooLarge):
        Reader(KEYRING, largest_body=1000).load(shelf.key, shelf.fetch)


def test_a_suite_that_this_openssl_lacks_is_unsupported(monkeypatch):
    shelf = Shelf(suite=record.SUITE_AES_GCM_SIV)
    shelf.create({}, [])
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - beside its only use

    from vaultsession.format import cipher  # noqa: PLC0415 - as above

    def lacking(_key: bytes) -> None:
        raise UnsupportedAlgorithm("no SIV here")

    monkeypatch.setitem(cipher._SUITES, record.SUITE_AES_GCM_SIV, lacking)
    with pytest.raises(UnsupportedFormat, match="OpenSSL"):
        Reader(KEYRING).load(shelf.key, shelf.fetch)
