"""What both backends are given to describe the containers that they find with, while sessions are copied.

A copy that was interrupted, by a power cut above all, leaves containers at the target that are empty, torn or full of
zeros. What is about to be copied holds all that ever was in them, so they read as absent, and are replaced; a backend
of files keeps what it replaces so in quarantine. Only where that is certain: nothing that the target acknowledged, and
no generation that it names, is above the source's.

Without a key little can be said of a container: that it ends just as a row of the source says, or that it is no more
than the beginning of what is about to be copied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...errors import Damaged, UnknownKey, Unreadable
from ...format import record
from ...format.sealed import Container, IndexRow, ReadHead, ReadRange, Tombstone


class Copied(NamedTuple):
    """A session that is about to be copied: its row, and its whole container."""

    row: IndexRow
    data: bytes


class Describing:
    """``copied`` is what is put into the target now; ``keys`` describes with the keys, None where there are none.

    ``proves`` tells the tombstones that were made with the keys; without it none is doubted.
    """

    def __init__(self, keys: ReadHead | None, proves: Callable[[Tombstone], bool] | None = None) -> None:
        self.keys = keys
        self.proves = proves
        self.copied: Copied | None = None
        self._is_lenient = False

    @contextlib.contextmanager
    def leniently(self) -> Iterator[None]:
        """What cannot be described reads as absent: for a comparison that changes nothing, and goes on to its end."""
        self._is_lenient = True
        try:
            yield
        finally:
            self._is_lenient = False

    def describe(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        """See ``sealed.Describe``; and the module."""
        copied = self.copied if self.copied is not None and self.copied.row.key == key else None
        try:
            if self.keys is None:
                return _unproved(key, fetch, copied)
            return self.keys(key, fetch, thorough=thorough)
        except Unreadable as error:
            superseded = isinstance(error, Damaged) and copied is not None and _is_superseded(fetch(0), copied.row)
            if superseded or self._is_lenient:
                return None
            raise


def ends_as(row: IndexRow, container: Container) -> bool:
    """Whether the record that ends where the row says bears the version of the row: what can be told without a key."""
    at = row.size - container.offset - record.LINK_AND_FOOTER
    return (
        row.size >= record.HEADER_SIZE + record.SMALLEST_RECORD
        and at >= 0
        and container.size >= row.size
        and container.data[at : at + record.TAG_SIZE] == row.version
    )


def _unproved(key: str, fetch: ReadRange, copied: Copied | None) -> IndexRow | None:
    container = fetch(0)
    if container is None:
        return None
    if copied is not None:
        if container.size == copied.row.size and ends_as(copied.row, container):
            return copied.row
        there = container.header + container.data
        if copied.data.startswith(there) or not any(there):
            return None
    raise _locked(key)


def _is_superseded(container: Container | None, row: IndexRow) -> bool:
    """Whether a damaged container never held anything that the row does not speak of."""
    if container is None:
        return False
    if container.witness is not None and container.witness[:2] > row.witness[:2]:
        return False
    try:
        return record.parse_header(container.header).generation <= row.generation
    except Damaged:
        return True  # empty, or zeros
    except Unreadable:
        return False  # of another version: somebody made something of it


def _locked(key: str) -> UnknownKey:
    return UnknownKey(f"to tell what the session of {key} holds takes the key of the vault: name it")
