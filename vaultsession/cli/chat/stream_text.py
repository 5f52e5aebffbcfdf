"""Text that comes in pieces, set for people as it comes: wrapped between words, indented, harmless to a terminal."""

from __future__ import annotations

import re
import sys

from rich.cells import cell_len, chop_cells

from .. import output

_RUNS = re.compile(r"\n|[^\S\n]+|\S+")
_NARROWEST = 10


class StreamText:
    """One text. A word is held back until its end has come. Piped, everything is written as it comes."""

    def __init__(self, indent: int = 2) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._margin = " " * indent
        self._width = max(output.data().width - indent - 1, _NARROWEST)
        self._column = 0
        self._gap = self._word = ""
        self.begun = False

    def write(self, text: str) -> None:
        """One piece more."""
        self.begun = self.begun or bool(text)
        safe = output.escaped_lines(text)
        if self._is_terminal:
            for run in _RUNS.findall(safe):
                self._take(run)
        else:
            sys.stdout.write(safe)
        sys.stdout.flush()

    def end(self) -> None:
        """The end of the text, and of its last line."""
        self._put_word()
        if self.begun:
            sys.stdout.write("\n")
        sys.stdout.flush()

    def _take(self, run: str) -> None:
        if run == "\n":
            self._put_word()
            self._new_line()
        elif run.isspace():
            self._put_word()
            self._gap += run
        else:
            self._word += run
            if cell_len(self._word) > self._width:
                self._put_word()

    def _put_word(self) -> None:
        *full, word = chop_cells(self._word, self._width) or [""]
        for part in full:
            self._put(part)
        self._put(word)
        self._word = ""

    def _put(self, word: str) -> None:
        if not word:
            return
        if self._column and self._column + len(self._gap) + cell_len(word) > self._width:
            self._new_line()
        sys.stdout.write(("" if self._column else self._margin) + self._gap + word)
        self._column += len(self._gap) + cell_len(word)
        self._gap = ""

    def _new_line(self) -> None:
        sys.stdout.write("\n")
        self._column, self._gap = 0, ""
