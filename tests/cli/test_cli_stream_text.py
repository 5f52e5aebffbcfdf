"""Text as it comes: wrapped between words whatever the pieces, and harmless."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vaultsession.cli import output
from vaultsession.cli.chat.stream_text import StreamText


class Terminal(io.StringIO):
    def isatty(self):
        return True


def flowed(monkeypatch, pieces, columns=40, stream=None):
    monkeypatch.setenv("COLUMNS", str(columns))
    written = Terminal() if stream is None else stream
    monkeypatch.setattr(sys, "stdout", written)
    assert output.data().width == columns
    flow = StreamText()
    for piece in pieces:
        flow.write(piece)
    flow.end()
    return written.getvalue()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("one two three", ["  one two", "  three"]),
        ("a\n\n  indented\n", ["  a", "", "    indented", ""]),
        ("abcdefghijklmnopqrst", ["  abcdefghijk", "  lmnopqrst"]),
        ("漢字漢字漢字漢字 x", ["  漢字漢字漢", "  字漢字 x"]),
        ("\x1b[2Jx", ["  \\x1b[2Jx"]),
    ],
)
def test_lines_are_wrapped_between_words(text, lines, monkeypatch):
    for pieces in ([text], list(text)):
        assert flowed(monkeypatch, pieces, columns=14).splitlines() == lines


def test_piped_it_is_written_as_it_comes(monkeypatch):
    text = "a long line that would be wrapped on any narrow terminal"
    assert flowed(monkeypatch, [text[:9], text[9:]], columns=20, stream=io.StringIO()) == text + "\n"


@given(pieces=st.lists(st.text(max_size=30), max_size=8), columns=st.integers(14, 50))
def test_any_text_in_any_pieces_fits_and_keeps_its_words(pieces, columns):
    with pytest.MonkeyPatch.context() as patch:
        shown = flowed(patch, pieces, columns)
    assert all(cell_len(line) <= columns for line in shown.split("\n"))
    said = output.escaped_lines("".join(pieces)) if "\t" not in "".join(pieces) else None
    if said is not None:
        assert "".join(shown.split()) == "".join(said.split())
