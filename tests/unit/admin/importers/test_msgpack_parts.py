"""MessagePack in parts: cut as it was written, and refused where it was cut short."""

from __future__ import annotations

import struct

import pytest

from vaultsession.admin.importers.msgpack_parts import elements, map_of, pairs, scalar

VALUES = [
    b"\xc0", b"\xc2", b"\xc3", b"\x05", b"\xff", b"\xcc\xff", b"\xcd\x01\x00", b"\xce" + b"\1" * 4, b"\xcf" + b"\1" * 8,
    b"\xd0\x80", b"\xd1\x80\x00", b"\xd2" + b"\x80" * 4, b"\xd3" + b"\x80" * 8, b"\xca" + b"\0" * 4,
    b"\xcb" + struct.pack(">d", 0.1), b"\xa3abc", b"\xd9\x02ab", b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a", b"\xc4\x01x",
    b"\xc5\x00\x01x", b"\xc6\x00\x00\x00\x01x", b"\xd4\x05x", b"\xd5\x05xx", b"\xd6\x05xxxx", b"\xd7\x05" + b"x" * 8,
    b"\xd8\x05" + b"x" * 16, b"\xc7\x03\x05abc", b"\xc8\x00\x01\x05a", b"\xc9\x00\x00\x00\x01\x05a", b"\x92\x01\x91\x02",
    b"\x81\xa1a\x92\x01\xc0", b"\xdc\x00\x02\x01\x02", b"\xdd\x00\x00\x00\x01\xa1a", b"\xde\x00\x01\xa1a\x01",
    b"\xdf\x00\x00\x00\x01\xa1a\x01", b"\x90", b"\x80",
]  # fmt: skip


def test_every_kind_of_value_is_cut_where_it_ends() -> None:
    listed = b"\xdc" + len(VALUES).to_bytes(2, "big") + b"".join(VALUES)
    assert elements(listed) == VALUES
    named = [(f"k{number}", value) for number, value in enumerate(VALUES)]
    assert pairs(map_of(named)) == named


@pytest.mark.parametrize("value", VALUES, ids=bytes.hex)
def test_a_value_that_was_cut_is_refused(value: bytes) -> None:
    for end in range(1, len(value)):
        with pytest.raises(ValueError, match="cut"):
            pairs(b"\x81\xa1k" + value[:end])


@pytest.mark.parametrize(
    "data", [b"", b"\x90", b"\xc1", b"\x81\x01\x01", b"\x80\x80", b"\xdf\xff\xff\xff\xff", b"\x81\xa1\xff\x01"]
)
def test_what_is_no_map_of_names_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"map|list|text|cut|decode|number|range|unpack|require"):
        pairs(data)


def test_texts_and_numbers() -> None:
    found = [scalar(each) for each in (b"\x05", b"\xff", b"\xcd\x01\x00", b"\xd1\x80\x00", b"\xa3abc", b"\xd9\x02ab")]
    assert found == [5, -1, 256, -32768, "abc", "ab"]
    assert scalar(b"\xcb" + struct.pack(">d", 0.1)) == 0.1
    for data in (b"\xc0", b"\x90", b"", b"\xcd\x01"):
        with pytest.raises(ValueError, match=r"map|list|text|cut|decode|number|range|unpack|require"):
            scalar(data)
