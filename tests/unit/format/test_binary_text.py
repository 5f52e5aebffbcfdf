"""Bytes as text: each comes back as it was, and what is text in them can be searched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.format.binary_text import bytes_of, readable, text_of


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_bytes_come_back_as_they_were(parts: list[bytes]) -> None:
    texts = [text_of(part) for part in parts]
    assert bytes_of(*texts) == b"".join(parts)
    assert [len(text) for text in texts] == [len(part) for part in parts]


def test_what_is_ascii_stays_readable() -> None:
    assert "plain words" in text_of(b"\xd9\x0bplain words\xff")
    assert readable([text_of(b"\xd9\x0bplain words\xff")]) == []


@pytest.mark.parametrize("text", ["größer", "文字", "🎭", "ключ"])
def test_text_beyond_ascii_stands_beside_the_bytes(text: str) -> None:
    data = b"\x93\xd9\x00" + text.encode() + b"\x00\xc3\xff"
    [found] = readable([text_of(b"nothing"), text_of(data)])
    assert text in found
    assert bytes_of(text_of(data)) == data


def test_a_text_that_stands_for_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="latin-1"):
        bytes_of("文")
