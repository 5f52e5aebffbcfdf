"""Any file of lines comes back byte for byte, and what is kept beside its messages follows what is odd about it."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultsession.admin.archive.lines import LinePiece, Oddity, Spelling, spelled

EVENT = {"type": "user", "text": "wörd <b>", "n": 1.5, "deep": [{"a": []}, None, True]}
COMPACT = json.dumps(EVENT, ensure_ascii=False, separators=(",", ":")).encode()


def split(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def there_and_back(data: bytes) -> tuple[list[LinePiece], dict[str, Oddity]]:
    spelling, found = Spelling(), []
    for line in split(data):
        found += spelling.pieces(line)
    found += spelling.rest()
    oddities = {str(number): piece.oddity for number, piece in enumerate(found) if piece.oddity is not None}
    kept = json.loads(json.dumps(oddities))
    assert b"".join(spelled([piece.element for piece in found], spelling.style, spelling.end, kept)) == data
    assert b"".join(piece.data for piece in found) == data
    for piece in found:
        assert orjson.dumps(orjson.loads(piece.element)) == piece.element
        assert isinstance(orjson.loads(piece.element), dict)
    return found, oddities


@pytest.mark.parametrize(
    "line",
    [
        COMPACT,
        json.dumps(EVENT).encode(),
        json.dumps(EVENT, ensure_ascii=False).encode(),
        json.dumps(EVENT, separators=(",", ":")).encode(),
        COMPACT.replace(b"<", b"\\u003c").replace(b">", b"\\u003e"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_spellings_of_programs_cost_nothing(line: bytes, end: bytes) -> None:
    found, oddities = there_and_back((line + end) * 5)
    assert [piece.value for piece in found] == [EVENT] * 5
    assert oddities == {}


@pytest.mark.parametrize(
    "odd",
    [
        b'{"a": 1.50}\n',
        b'{"a":1e2,"b":-0.0,"c":1E+2,"d":0.1e-7}\n',
        b'{"a":123456789012345678901234567890,"b":18446744073709551616,"c":-9223372036854775809}\n',
        b'{"a":1,"a":2}\n',
        b'{"a":"\\ud800 and \\udc00","\\ud800":1}\n',
        b'{"a":NaN,"b":-Infinity,"c":Infinity,"d":1e999}\n',
        b'{"a":"\\/ \\u0041 \\u00e9 \\u007f"}\n',
        b'{"a":"\xff\xfe"}\n',
        b'{"a":"tab\there"}\n',
        b'\xef\xbb\xbf{"a":1}\n',
        b'  {"a":1}  \n',
        b'\n\r\n \n{"a":1}\n\n\n',
        b'{"a":1}{"b":2}\n',
        b'{"a":1} {"b":2}{"torn":\n',
        b'{"torn":"half\n',
        b'[1,2]\n"text"\n5\nnull\n',
        b"\x00\xff binary\n",
        b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}\n",
        b'{"a":' + b'{"b":' * 300 + b"1" + b"}" * 300 + b"}\n",
        b'{"a":1}',
        b'{"a":1}\r',
        b'{"$lossless":[1]}\n{"$lossless": [{"$b":"AA=="}],"b":1}\n',
        b"\n" * 9000,
        b'{"a":' + b"9" * 5000 + b"}\n",
    ],
)
def test_what_json_does_not_give_back_comes_back(odd: bytes) -> None:
    for data in (odd, (COMPACT + b"\n") * 3 + odd, odd + (COMPACT + b"\n") * 3, odd * 2):
        found, oddities = there_and_back(data)
        kept = len(json.dumps(oddities)) if oddities else 0
        assert kept < 60 * (len(found) + 2) + 3 * len(odd)


def test_the_cost_of_an_oddity_does_not_follow_the_size() -> None:
    large = json.dumps({"text": "word " * 50_000, "n": 1}, separators=(",", ":")).encode()
    _, oddities = there_and_back(large.replace(b'"n":1', b'"n": 1.0e0') + b"\n" + large)
    assert len(json.dumps(oddities)) < 120


def test_fused_lines_are_messages_and_a_torn_one_is_text() -> None:
    found, _ = there_and_back(b'{"a":1}{"b":2}\n{"c":"ha')
    assert [piece.value for piece in found] == [{"a": 1}, {"b": 2}, None]
    assert orjson.loads(found[2].element) == {"type": "archive-text", "text": '{"c":"ha'}


fragments = st.sampled_from(
    [
        COMPACT, b"\n", b"\r\n", b" ", b'{"a":1}', b'{"a": 1}', b'{"a":"\\ud83d"}', b"{", b"}", b'"', b"\xff", b"\xef\xbb\xbf",
        b"[1]", b"NaN", b'{"x":1.0}', b'{"x":1.00}', json.dumps(EVENT).encode(), b"\t", b"\x00",
    ]
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(fragments | st.binary(max_size=12), max_size=14).map(b"".join))
def test_any_bytes_come_back(data: bytes) -> None:
    there_and_back(data)
