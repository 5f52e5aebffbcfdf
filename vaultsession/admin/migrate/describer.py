"""How both backends describe the containers that they find, while sessions are copied.

A copy that was interrupted, by a power cut above all, leaves containers at the target that are empty, torn or full of
zeros. What is about to be copied holds all that ever was in them, so they read as absent, and are replaced; a backend
of files keeps what it replaces so in quarantine. Only where that is certain: nothing that the target acknowledged, and
no generation that it names, is above the source's.

Without a key little can be said of a container: that it ends just as a row of the source says, or that it is no more
than the beginning of what is about to be copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...errors import BackendUnavailable, Damaged, UnknownKey, Unreadable
from ...format import record
from ...format.ids import locator_of
from ...format.sealed import Commit, Container, IndexRow, ReadHead, ReadRange, Tombstone, Update


class ContainerCopy(NamedTuple):
    """A session as it was read: its row, and its whole container. A source that ``replication.follow`` takes."""

    row: IndexRow
    container: Container

    @property
    def data(self) -> bytes:
        """The bytes that the row speaks of."""
        return (self.container.header + self.container.data)[: self.row.size]

    def head(self, key: str) -> IndexRow | None:
        """The row."""
        return self.row if locator_of(key) == locator_of(self.row.key) else None

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """All of the container, whichever end of it is asked for."""
        del start, settled
        return self.container if locator_of(key) == locator_of(self.row.key) else None

    def commit(self, key: str, update: Update) -> Commit:
        """Nothing here changes between two looks: a row that does not belong to the bytes never will."""
        del update
        raise BackendUnavailable(f"the row of {key} and its container do not belong together: it was not copied")


class Describer:
    """``copied`` is what is put into the target now; ``keys`` describes with the keys, None where there are none.

    ``proves`` says whether a tombstone was made with the keys; without it none is doubted. ``name_of`` gives what was
    described the name that its head asks for.
    """

    def __init__(
        self,
        keys: ReadHead | None,
        proves: Callable[[Tombstone], bool] | None = None,
        name_of: Callable[[IndexRow], str] = lambda row: row.key,
    ) -> None:
        self.keys = keys
        self.proves = proves
        self.name_of = name_of
        self.copied: ContainerCopy | None = None

    def describe(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        """See ``sealed.ReadHead``; and the module."""
        copied = None if self.copied is None or self.copied.head(key) is None else self.copied
        if self.keys is None:
            return _unproved(key, fetch, copied)
        try:
            return self.keys(key, fetch, thorough=thorough)
        except Damaged:
            if copied is not None and _is_superseded(fetch(0), copied.row):
                return None
            raise


def ends_as(row: IndexRow, container: Container) -> bool:
    """Whether the record that ends where the row says bears the version of the row: all that shows without a key."""
    is_long_enough = record.HEADER_SIZE + record.SMALLEST_RECORD <= row.size <= container.size
    return is_long_enough and record.version_at(container, row.size) == row.version


def _unproved(key: str, fetch: ReadRange, copied: ContainerCopy | None) -> IndexRow | None:
    container = fetch(0)
    if container is None:
        return None
    if copied is not None:
        if container.size == copied.row.size and ends_as(copied.row, container):
            return copied.row
        there = container.header + container.data
        if copied.data.startswith(there) or not any(there):
            return None
    raise UnknownKey(f"to tell what the session of {key} holds takes the key of the vault: name it")


def _is_superseded(container: Container | None, row: IndexRow) -> bool:
    """Whether a damaged container never held anything that the row does not speak of."""
    if container is None or (container.witness is not None and container.witness[:2] > row.witness[:2]):
        return False
    try:
        return record.parse_header(container.header).generation <= row.generation
    except Damaged:
        return True  # empty, or zeros
    except Unreadable:
        return False  # of another version: it held something
