"""The lines of a file as messages, and what a style does not give back of them; and the file of both. Pure.

Each line that is a JSON object is a message: ``style(element) + end`` are its bytes, or else its *oddity* says how they
come of them: ``[style, *patch]``. A line that is two objects fused is two messages. What is no object, such as a torn
line, is a message of text. Blank lines and a byte-order mark belong to the message behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ...format.lossless import BOX
from ...format.payload import Json
from .patch import Patch, patch_between, patched
from .styles import BYTES, COMPACT, LINES, PYTHON, STYLES, TEXT, text_element
from .values import Value, lenient, strict

Oddity = list[int | str]

LONGEST_LINE = 5 << 20
"""Bytes of a line that is looked at as JSON. A longer one is kept as text."""
CHUNK = 64 << 10
"""Bytes of a message of text."""
_LARGE = 400
"""Bytes of a patch from which on another style is tried."""
_BLANK = 4 << 10
"""Bytes of blank lines that belong to the message behind them."""


class LinePiece(NamedTuple):
    """A message, and what it takes to spell its bytes, ``data``. ``value`` is None for text."""

    element: bytes
    data: bytes
    oddity: Oddity | None
    value: Json | None


class Spelling:
    """How the lines of a file are spelled: known after the first of them, and looked up for the others."""

    def __init__(self, style: str | None = None, end: str = "\n") -> None:
        self.known = style is not None
        self.style = style or COMPACT
        self.end = end.encode("latin-1")
        self._blank = b""

    def pieces(self, data: bytes) -> Iterator[LinePiece]:
        """The messages of one line, its end included; of the last line also without one."""
        if self.style == COMPACT and self.end == b"\n" and not self._blank:
            found = strict(data)
            if (
                found is not None
                and type(found[0]) is dict
                and BOX not in found[0]
                and len(data) == len(found[1]) + 1
                and data[:-1] == found[1]
                and data[-1:] == b"\n"
            ):
                self.known = True
                yield LinePiece(found[1], data, None, found[0])
                return
        data, self._blank = self._blank + data, b""
        if len(data) > LONGEST_LINE:
            yield from text_pieces(data)
        elif not data.strip():
            if len(data) > _BLANK:
                yield from text_pieces(data)
            else:
                self._blank = data
        else:
            yield from self._odd(data)

    def rest(self) -> Iterator[LinePiece]:
        """What is left where the file ends."""
        data, self._blank = self._blank, b""
        yield from text_pieces(data)

    def _odd(self, data: bytes) -> Iterator[LinePiece]:
        found = strict(data)
        if found is not None and type(found[0]) is dict:
            yield from self._piece(Value(found[0], found[1], data))
            return
        values, rest = lenient(data)
        if rest and not rest.strip() and values:
            values[-1] = values[-1]._replace(data=values[-1].data + rest)
            rest = b""
        for each in values:
            yield from self._piece(each)
        yield from text_pieces(rest)

    def _nearest(self, element: bytes, data: bytes) -> tuple[str, Patch]:
        """The style from which a patch to the data is the smallest; others than the usual one where that is large."""
        best, patch = self.style, patch_between(LINES[self.style](element) + self.end, data)
        for name in (COMPACT, PYTHON):
            if name != best and _size(patch) > _LARGE:
                other = patch_between(LINES[name](element) + self.end, data)
                best, patch = (name, other) if _size(other) < _size(patch) else (best, patch)
        return best, patch

    def _piece(self, found: Value) -> Iterator[LinePiece]:
        value, element, data = found
        if BOX in value:  # a reader would take it for what it boxes
            yield from text_pieces(data)
            return
        if not self.known:
            self.known = True
            self.end = b"\r\n" if data.endswith(b"\r\n") else b"\n"
            body = data.strip()
            self.style = next((name for name, style in LINES.items() if style(element) == body), COMPACT)
        if LINES[self.style](element) + self.end == data:
            yield LinePiece(element, data, None, value)
            return
        body = data.strip()
        style = next((name for name, style in LINES.items() if style(element) == body), None)
        if style is None:
            style, patch = self._nearest(element, data)
        else:
            patch = patch_between(LINES[style](element) + self.end, data)
        if _size(patch) > 2 * len(data) + 64:
            patch = [0, len(LINES[style](element) + self.end), data.decode("latin-1")]
        yield LinePiece(element, data, [style, *patch], value)


def _size(patch: Patch) -> int:
    """About how many bytes it is kept in."""
    return sum(8 + len(str(step)) for step in patch)


def _is_inner(byte: int) -> bool:
    """Whether a byte of UTF-8 is no first one of a character."""
    return byte & 0b1100_0000 == 0b1000_0000  # noqa: PLR2004 - UTF-8


def text_pieces(data: bytes) -> Iterator[LinePiece]:
    """Bytes as messages of text, cut between characters where they are UTF-8."""
    start = 0
    while start < len(data):
        end = min(start + CHUNK, len(data))
        while end < len(data) and start + CHUNK - 4 < end and _is_inner(data[end]):
            end -= 1
        style, element = text_element(data[start:end])
        yield LinePiece(element, data[start:end], [style], None)
        start = end


def spelled(
    elements: Iterable[bytes], style: str, end: bytes, oddities: Mapping[str, Oddity], *, first: int = 0
) -> Iterator[bytes]:
    """The bytes of each message, oldest first. ``ValueError`` for oddities that are of no such messages."""
    usual = STYLES[style]
    for number, element in enumerate(elements, first):
        oddity = oddities.get(str(number))
        if oddity is None:
            yield usual(element) + end
        else:
            name = str(oddity[0])
            yield patched(STYLES[name](element) + (b"" if name in (TEXT, BYTES) else end), oddity[1:])
