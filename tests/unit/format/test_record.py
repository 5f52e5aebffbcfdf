"""The layout, byte by byte, and what is found where lengths and footers lie."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import container

from vaultsession.errors import Damaged, UnsupportedFormat
from vaultsession.format import record as v1

HEADER = struct.pack("<4sBBH8sQ24s32s", b"VSF1", 1, 2, 1, b"8 bytes.", 77, b"s" * 24, b"c" * 32)


def record(body: bytes = b"", head: bytes = b"h" * 16, *, seq: int = 0, kind: int = 1) -> bytes:
    frame = struct.pack("<IIBBHQ12s", len(head), len(body), kind, 1, 0, seq, b"n" * 12)
    size = len(frame + body + head) + 8
    return frame + body + head + struct.pack("<II", size, size ^ 0xFFFFFFFF)


def test_sizes_are_those_of_the_text():
    assert (v1.HEADER_SIZE, v1.FRAME_SIZE, v1.FOOTER_SIZE, v1.SMALLEST_RECORD) == (80, 32, 8, 56)
    assert (v1.BOUND_SIZE, v1.COMMITTED_SIZE, v1.SALT_SIZE, v1.NONCE_SIZE, v1.TAG_SIZE) == (20, 24, 24, 12, 16)
    assert (v1.LARGEST_RECORD, v1.LARGEST_CONTAINER) == (128 * 2**20, 4 * 2**30)


def test_a_header_is_parsed_field_by_field():
    parsed = v1.parse_header(HEADER)
    assert parsed == v1.Header(2, 1, b"8 bytes.", 77, b"s" * 24, b"c" * 32)
    assert v1.first_link(HEADER) == b"c" * 16
    assert v1.parse_header(HEADER + b"records") == parsed


@pytest.mark.parametrize("size", [0, 1, 4, 79])
def test_less_than_a_header_is_damage(size):
    with pytest.raises(Damaged, match="80 bytes"):
        v1.parse_header(HEADER[:size])


@pytest.mark.parametrize(
    ("at", "value", "error", "found"),
    [
        (0, b"X", Damaged, None),
        (3, b"2", Damaged, None),
        (4, b"\x00", UnsupportedFormat, 0),
        (4, b"\x02", UnsupportedFormat, 2),
        (5, b"\x00", UnsupportedFormat, 0),
        (5, b"\x04", UnsupportedFormat, 4),
        (6, b"\x02", UnsupportedFormat, 2),
        (7, b"\x80", UnsupportedFormat, 0x8001),
    ],
)
def test_a_header_of_something_else_is_told_from_one_of_another_version(at, value, error, found):
    with pytest.raises(error) as raised:
        v1.parse_header(HEADER[:at] + value + HEADER[at + 1 :])
    assert getattr(raised.value, "found", None) == found


def test_a_record_is_laid_out_as_the_text_says():
    data = record(b"b" * 20, b"h" * 30, seq=5, kind=2)
    frame = struct.pack("<IIBBHQ12s", 30, 20, 2, 1, 0, 5, b"n" * 12)
    assert data == frame + b"b" * 20 + b"h" * 30 + struct.pack("<II", 90, 90 ^ 0xFFFFFFFF)


def test_records_are_found_forwards_and_backwards():
    parts = [record(b"b" * 16 * n, b"h" * (16 + n), seq=n) for n in range(4)]
    data = container(HEADER + b"".join(parts))
    found = list(v1.records_from(data, 80))
    assert [(r.seq, len(r.body), len(r.head), r.size) for r in found] == [
        (n, 16 * n, 16 + n, len(parts[n])) for n in range(4)
    ]
    assert [r.link for r in found] == [b"c" * 16, *(r.tag for r in found[:-1])]
    end = data.size
    for expected in reversed(found):
        assert v1.record_before(data, end) == expected
        end = expected.offset
    assert v1.record_before(data, 80) is None


def test_a_record_without_a_body_has_a_body_tag_of_zeros():
    (found,) = v1.records_from(container(HEADER + record()), 80)
    assert (found.body, found.body_tag, found.end) == (b"", bytes(16), 80 + 56)
    (found,) = v1.records_from(container(HEADER + record(b"x" * 4 + b"t" * 16)), 80)
    assert found.body_tag == b"t" * 16


@pytest.mark.parametrize(
    "frame",
    [
        {"head": 15},
        {"head": 0},
        {"head": 16 * 1024 + 1},
        {"head": 2**32 - 1},
        {"body": 1},
        {"body": 15},
        {"body": 2**32 - 1},
        {"body": 2**32 - 57},
        {"head": 2**32 - 1, "body": 2**32 - 1},
        {"reserved": 1},
    ],
    ids=repr,
)
def test_hostile_lengths_are_no_record(frame):
    head, body = frame.get("head", 16), frame.get("body", 0)
    size = 32 + head + body + 8
    claimed = struct.pack("<IIBBHQ12s", head, body, 1, 0, frame.get("reserved", 0), 0, b"")
    footer = struct.pack("<II", size & 0xFFFFFFFF, (size & 0xFFFFFFFF) ^ 0xFFFFFFFF)
    for filling in (b"", bytes(min(head + body, 70_000))):
        data = container(HEADER + claimed + filling + footer)
        assert v1.record_at(data, 80) is None
        assert list(v1.records_from(data, 80)) == []


@pytest.mark.parametrize("size", [0, 1, 55, 57, 128 * 2**20 + 1, 2**32 - 1])
def test_a_footer_that_does_not_agree_is_no_record(size):
    whole = record()
    data = container(HEADER + whole[:-8] + struct.pack("<II", size, size ^ 0xFFFFFFFF))
    assert v1.record_before(data, data.size) is None
    assert v1.record_at(data, 80) is None
    data = container(HEADER + whole[:-1] + bytes([whole[-1] ^ 1]))
    assert v1.record_before(data, data.size) is None
    assert v1.record_at(data, 80) is None


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 400))
def test_noise_is_walked_without_harm(noise, start, end):
    data = container(HEADER + noise, start)
    for at in (start, end, 80, data.size):
        v1.record_at(data, at)
        v1.record_before(data, at)
        v1.needs_more(data, at)
    assert all(found.end <= data.size for found in v1.records_from(data, 80))


def test_bytes_that_begin_too_late_say_from_where_more_is_needed():
    parts = [record(b"b" * 100, seq=n) for n in range(3)]
    whole = HEADER + b"".join(parts)
    size = len(parts[0])
    last = 80 + 2 * size
    late = container(whole, last)
    assert v1.needs_more(late, late.size) == last - 24
    assert v1.record_before(late, late.size) is None
    enough = container(whole, last - 24)
    assert v1.needs_more(enough, enough.size) is None
    found = v1.record_before(enough, enough.size)
    assert found is not None
    assert (found.seq, found.offset) == (2, last)
    first = container(whole[: 80 + size], 100)
    assert v1.needs_more(first, first.size) == 80


@pytest.mark.parametrize("short", [1, 31, 32, 33, 100])
def test_a_footer_that_points_in_front_of_the_bytes_at_hand_is_no_record(short):
    whole = HEADER + record(b"b" * 400) + record(b"b" * 40, seq=1)
    late = container(whole, len(whole) - 100)
    size = 100 + short
    forged = late._replace(data=late.data[:-8] + struct.pack("<II", size, size ^ 0xFFFFFFFF))
    assert v1.record_before(forged, forged.size) is None
    assert v1.needs_more(forged, forged.size) is not None
