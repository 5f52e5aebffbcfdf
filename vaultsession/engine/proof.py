"""Whether what would remove or replace a session of a copy was made with the keys of the vault.

Who runs the storage of a vault can put a tombstone or a container there. Neither may reach a mirror and destroy what is
good: a tombstone is proved by its MAC, a row by its seal, a container that replaces another one by its newest records.
"""

from __future__ import annotations

from ..errors import Unreadable
from ..format import record
from ..format.sealed import Container, Current, Delete, IndexRow, Write
from .reader import Reader


def is_proved(reader: Reader, before: Current, change: Write | Delete) -> bool:
    """Whether a change may follow what a copy has. Where nothing is replaced, a container is carried as it is.

    Records behind what the copy has harm nothing in front of them: there the row is proved alone.
    """
    if isinstance(change, Delete):
        return reader.rows.is_genuine(change.tombstone)
    if before is None:
        return True
    try:
        reader.rows.open(change.head)
        return change.offset > 0 or _ends_as(reader, change)
    except Unreadable:
        return False


def _ends_as(reader: Reader, change: Write) -> bool:
    """Whether a whole container authenticates, and ends as its row says."""
    size, data = record.HEADER_SIZE, change.data
    whole = Container(data[:size], size, data[size:])
    found: IndexRow | None = reader.describe(change.head.key, lambda _start: whole, thorough=True)
    return found is not None and not found.torn and found.columns() == change.head.columns()
