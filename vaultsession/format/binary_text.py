"""Bytes as text that JSON can hold: a character for each byte. What is ASCII in them stays readable, and is searched.

Text beyond ASCII would not be: ``readable`` gives it, to stand beside the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BEYOND_ASCII = re.compile("[\xc2-\xf4][\x80-\xbf]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]+")


def text_of(data: bytes) -> str:
    """The text that stands for the bytes."""
    return data.decode("latin-1")


def bytes_of(*texts: str) -> bytes:
    """The bytes again, of each text one behind the other. ``ValueError`` for a text that stands for none."""
    return "".join(texts).encode("latin-1")


def readable(texts: Sequence[str]) -> list[str]:
    """What is text beyond ASCII, of those texts that have such."""
    found = [text.encode("latin-1").decode("utf-8", "ignore") for text in texts if _BEYOND_ASCII.search(text)]
    return [_CONTROL.sub(" ", text) for text in found if not text.isascii()]
