"""What stands in for the keys where none is at hand: the rows that the source lists, unproved.

A backend asks to have a container described that it finds. Without a key nothing can be said of one, other than that it
ends just as a row of the source says. What a reader makes of it is then between the reader and the bytes: everything
authenticates itself to whoever has the key.
"""

from __future__ import annotations

from ..envelope import v1
from ..errors import UnknownKey
from ..sealed import Container, Fetch, SealedHead


class Unproved:
    """Describes those containers that end as a row says. The rows of the moment are in ``rows``."""

    def __init__(self) -> None:
        self.rows: dict[str, SealedHead] = {}

    def describe(self, key: str, fetch: Fetch, *, thorough: bool) -> SealedHead | None:
        """The row, where the bytes end as it says; ``UnknownKey`` for all else."""
        del thorough
        row, container = self.rows.get(key), fetch(-v1.LINK_AND_FOOTER)
        if container is None:
            return None
        if row is not None and container.size == row.size and ends_as(row, container):
            return row
        raise UnknownKey(f"to tell what the session of {key} holds takes the key of the vault: name it")


def ends_as(row: SealedHead, container: Container) -> bool:
    """Whether the record that ends where the row says bears the version of the row: what can be told without a key."""
    at = row.size - container.offset - v1.LINK_AND_FOOTER
    return (
        row.size >= v1.HEADER_SIZE + v1.SMALLEST_RECORD
        and at >= 0
        and container.size >= row.size
        and container.data[at : at + v1.TAG_SIZE] == row.version
    )
