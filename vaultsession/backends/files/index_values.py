"""What the index says of one session, as values."""

from __future__ import annotations

from typing import NamedTuple

from ...format.sealed import Tombstone, Witness


class IndexedSession(NamedTuple):
    """What the index says of one session: the newest that was flushed, its removal, and the key of its row."""

    witness: Witness | None
    tombstone: Tombstone | None
    key: str | None


class Outline(NamedTuple):
    """As much of a row as tells whether its container has changed."""

    key: str
    version: bytes
    size: int
    generation: int


NOTHING = IndexedSession(None, None, None)
