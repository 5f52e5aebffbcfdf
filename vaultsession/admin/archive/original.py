"""The facts of a file that was archived, as they are kept in the state of its session.

::

    "archive":   {"root": …, "name": …, "mode": …, "modified": …, "size": …, "sha256": …, …}
    "archive@7": {"9": ["python", 3, 0, " "], …}        the oddities of messages from the seventh on: see ``lines``

A file beyond ``PART`` bytes is several sessions, its parts: ``ID``, ``ID~2`` and so on, each with the bytes from its
``start`` on. All but the last one say that there are ``more``, all but the first ``after`` what digest they follow.
"""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import Damaged
from ...format.payload import Json
from .documents import Skeleton, spelled_document
from .lines import Oddity, spelled
from .styles import LINES as LINE_STYLES
from .styles import TEXT

ARCHIVE = "archive"
PART = 6 << 20
"""Bytes of a file in one session, but for the last of its lines."""

LINES, DOCUMENT = "lines", "document"


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A file, or a part of one. Times in nanoseconds since 1970; ``name`` is its path below ``root``, with ``/``."""

    root: str
    name: str
    mode: int
    modified: int
    accessed: int
    start: int = 0
    size: int = 0
    sha256: str = ""
    style: str = "compact"
    end: str = "\n"
    layout: str = LINES
    skeleton: Skeleton = None
    more: bool = False
    after: str = ""

    @property
    def path(self) -> str:
        """Where the file was."""
        return os.path.join(self.root, *self.name.split("/"))

    def to_state(self) -> Json:
        """As it is kept: what is as usual is left out."""
        usual = {each.name: each.default for each in dataclasses.fields(self)}
        found = {name: getattr(self, name) for name in usual}
        return {ARCHIVE: {name: value for name, value in found.items() if value != usual[name]}}

    @classmethod
    def of_state(cls, state: Json) -> Original | None:
        """What a state says; None for that of a session which was not archived. ``Damaged`` for nonsense."""
        fields = state.get(ARCHIVE)
        if not isinstance(fields, dict) or "name" not in fields:
            return None
        known = {each.name: each for each in dataclasses.fields(cls)}
        wrong = [name for name, value in fields.items() if name not in known or not _fits(known[name].type, value)]
        if wrong or not {"root", "name", "mode", "modified", "accessed"} <= fields.keys():
            raise Damaged(f"the session says of its file what this version does not understand: {sorted(wrong)}")
        found = cls(**fields)
        is_spelled = found.layout in (LINES, DOCUMENT) and found.style in {*LINE_STYLES, TEXT} and found.end.isascii()
        if not is_spelled or found.start < 0 or found.size < 0:
            raise Damaged("the session says of its file what this version does not understand")
        if not is_below(found.name):
            raise Damaged(f"the session names a file that lies nowhere: {found.name!r:.80}")
        return found


def is_below(name: str) -> bool:
    """Whether a name leads to a file below its root, and nowhere else."""
    parts = name.split("/")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return "\0" not in name and os.sep not in name.replace("/", "") and not {"", ".", ".."} & {*parts}


def digest_text(digest: bytes) -> str:
    """A digest as it is kept."""
    return base64.b64encode(digest).decode().rstrip("=")


def is_facts_key(name: str) -> bool:
    """Whether a key of the state is one of those above: a field of a file that is called so is none."""
    return name.partition("@")[0] == ARCHIVE


def oddities_key(first: int) -> str:
    """The key of the state that holds the oddities of messages from that one on."""
    return f"{ARCHIVE}@{first}"


def bytes_of(original: Original, state: Json, elements: Sequence[bytes]) -> bytes:
    """The bytes of a part, as they were. ``Damaged`` for messages that are others than those that were archived."""
    oddities: dict[str, Oddity] = {}
    for name, each in state.items():
        if name.startswith(ARCHIVE + "@") and isinstance(each, dict):
            oddities.update(each)
    try:
        if original.layout == DOCUMENT:
            return spelled_document(elements, original.skeleton, state, oddities[DOCUMENT])
        return b"".join(spelled(elements, original.style, original.end.encode("latin-1"), oddities))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise Damaged(f"the messages are no longer those that were archived: {error}") from None


def _fits(kind: Any, value: object) -> bool:  # noqa: ANN401 - an annotation, as text
    kinds = {"str": str, "int": int, "bool": bool}
    if type(value) is int and kind == "int":
        return -(2**63) <= value < 2**63
    return type(value) is kinds[kind] if kind in kinds else value is None or isinstance(value, list)
