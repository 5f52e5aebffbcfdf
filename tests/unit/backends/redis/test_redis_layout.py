"""How rows are packed, and what an engine keeps beside the sessions. The codec is injective and refuses all else."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis_lab import Place

from vaultsession.backends.redis.layout import RedisLayout, fingerprint, pack, parse_schema, schema_text, unpack
from vaultsession.format.sealed import IndexRow, Tombstone

LOCATORS = st.text("0123456789abcdefghijklmnopqrstuv", min_size=32, max_size=32)
KEYS = st.builds(
    lambda slug, locator: f"{slug}~{locator}" if slug else locator, st.sampled_from(["", "a", "x-1"]), LOCATORS
)
U63 = st.integers(0, 2**63 - 1)
TIMES = st.integers(0, 2**62)
ROWS = st.builds(
    IndexRow,
    key=KEYS,
    generation=U63,
    seq=st.integers(0, 2**64 - 1),
    version=st.binary(min_size=16, max_size=16),
    updated=TIMES,
    expires=st.none() | TIMES,
    size=st.integers(0, 2**64 - 1),
    tags=st.lists(st.binary(min_size=16, max_size=16), max_size=5).map(tuple),
    blob=st.binary(max_size=300),
    torn=st.just(False),  # an observation: not stored
)
GRAVES = st.builds(Tombstone, KEYS, U63, st.binary(min_size=16, max_size=16))


@given(ROWS | GRAVES)
def test_what_was_packed_is_unpacked(newest: IndexRow | Tombstone) -> None:
    assert unpack(pack(newest), newest.key[-32:]) == newest._replace(key=newest.key[-32:])


@given(ROWS | GRAVES)
def test_of_the_name_of_a_session_the_locator_alone_is_stored(newest: IndexRow | Tombstone) -> None:
    slugged = newest._replace(key=f"alice-example~{newest.key[-32:]}")
    assert pack(slugged) == pack(newest)
    assert b"alice" not in pack(slugged)


@given(ROWS | GRAVES, ROWS | GRAVES)
def test_two_that_differ_are_packed_differently(one: IndexRow | Tombstone, other: IndexRow | Tombstone) -> None:
    """Of one session: a tombstone is told from that of another one by its MAC."""
    key = one.key[-32:]
    one, other = one._replace(key=key), other._replace(key=key)
    assert (pack(one) == pack(other)) == (one == other)


@given(ROWS, ROWS)
def test_two_versions_are_told_by_how_they_begin(one: IndexRow, other: IndexRow) -> None:
    same = (one.witness, len(one.columns())) == (other.witness, len(other.columns()))
    assert (fingerprint(pack(one)) == fingerprint(pack(other))) == same


@given(ROWS | GRAVES, st.data())
def test_what_was_cut_is_refused(newest: IndexRow | Tombstone, data: st.DataObject) -> None:
    packed = pack(newest)
    end = len(packed) - len(newest.blob) if isinstance(newest, IndexRow) else len(packed)
    with pytest.raises(ValueError):
        unpack(packed[: data.draw(st.integers(0, end - 1))], newest.key[-32:])


@given(ROWS)
def test_the_row_of_another_session_is_refused(row: IndexRow) -> None:
    with pytest.raises(ValueError):
        unpack(pack(row), row.key[-32:-1] + ("0" if row.key[-1] != "0" else "1"))


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data, "0" * 32)


@given(LOCATORS, st.integers(1, 16384))
def test_a_session_lies_in_one_slot_with_what_lists_it(locator: str, shards: int) -> None:
    layout = RedisLayout("app", shards)
    shard, container, newest = layout.session(f"slug~{locator}")
    assert shard in {layout.of(number) for number in range(shards)}
    assert container.startswith(shard)
    assert newest.startswith(shard)
    assert shard.count("{") == shard.count("}") == 1


def test_a_schema_says_its_version_and_shards() -> None:
    assert parse_schema(schema_text(128)) == (1, 128)
    for text in (b"", b"vaultsession redis 1 shards 0", b"vaultsession redis 1 shards 99999", b"vaultsession redis 1"):
        with pytest.raises(ValueError):
            parse_schema(text)


# -- metadata ------------------------------------------------------------------------------------------------------------


def test_a_paper_is_replaced_by_compare_and_swap(place: Place) -> None:
    engine, other = place.engine(), place.engine()
    assert engine.metadata("vault") is None
    assert not engine.put_metadata("vault", b"new", b"old")
    assert engine.put_metadata("vault", b"one", None)
    assert not other.put_metadata("vault", b"two", None)
    assert other.put_metadata("vault", b"two", b"one")
    assert not engine.put_metadata("vault", b"three", b"one")
    assert engine.metadata("vault") == b"two"
    assert engine.put_metadata("vault", b"", b"two")
    assert other.metadata("vault") == b""
    assert other.put_metadata("vault", b"again", b"")


def test_of_many_that_put_a_paper_one_succeeds(place: Place) -> None:
    engines = [place.engine() for _ in range(6)]
    done: list[int] = []

    def put(number: int) -> None:
        if engines[number].put_metadata("vault", b"%d" % number, None):
            done.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [engines[0].metadata("vault")] == [b"%d" % number for number in done]


def test_looking_at_an_empty_place_writes_nothing(place: Place) -> None:
    engine = place.engine()
    assert engine.metadata("vault") is None
    assert place.keys() == []
