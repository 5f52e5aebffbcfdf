"""An index in memory, for a vault whose own cannot be read or written: on a full disk, on a read-only one without any.

It is brought up to the containers each time it is asked, lists, and proves nothing: there are no witnesses in it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import TypeVar

from ...errors import Unreadable, VaultError
from ...format.ids import locator_of
from ...format.sealed import IndexRow
from ...util.disk import Disk
from ...util.lazy import log
from .index_schema import IndexEntry, apply, create_tables, translated
from .layout import FilesLayout, keys_in, refusal, vanished

T = TypeVar("T")


class StandbyIndex:
    """The rows of all containers. Safe from any thread. ``head`` gives the newest head of a session."""

    def __init__(self, disk: Disk, layout: FilesLayout, head: Callable[[str], IndexRow | None]) -> None:
        self._disk = disk
        self._layout = layout
        self._head = head
        self.is_used = False

    def read(self, query: Callable[[sqlite3.Connection], T], reason: str) -> T:
        """The result of a query. ``reason`` is why the index itself was not asked."""
        if not self.is_used:
            log.warning("sessions are listed without the index, which may take long: %s", reason)
        self.is_used = True
        with (
            translated(":memory:", 0),
            contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection,
        ):
            create_tables(connection)
            connection.execute("BEGIN")
            for row in self._rows():
                apply(connection, locator_of(row.key), IndexEntry(row, None, None))
            connection.execute("COMMIT")
            return query(connection)

    def rest(self) -> None:
        """The index can be used again."""
        self.is_used = False

    def _rows(self) -> Iterator[IndexRow]:
        try:
            keys = keys_in(self._disk.names(self._layout.sessions))
        except FileNotFoundError:
            raise vanished(self._layout.sessions) from None
        except OSError as error:
            raise refusal(self._layout.sessions, error) from error
        for key in keys:
            with contextlib.suppress(Unreadable, VaultError, OSError):  # as in any index: it has no row
                if (row := self._head(key)) is not None:
                    yield row
