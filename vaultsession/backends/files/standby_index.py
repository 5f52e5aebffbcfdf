"""An index in memory, for a vault whose own cannot be read or written: on a full disk, on a read-only one without any.

It is brought up to the containers each time it is asked, lists, and proves nothing: there are no witnesses in it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from ...errors import Unreadable, VaultError
from ...format.ids import locator_of
from ...format.sealed import IndexRow
from ...util.disk import Disk
from ...util.lazy import log
from ...util.reentry import not_ours
from .index_schema import IndexEntry, apply, create_tables, remove_row, translated
from .layout import FilesLayout, key_in, refusal, vanished

T = TypeVar("T")


class StandbyIndex:
    """The rows of all containers. Safe from any thread. ``head`` gives the newest head of a session."""

    def __init__(self, disk: Disk, layout: FilesLayout, head: Callable[[str], IndexRow | None]) -> None:
        self._disk = disk
        self._layout = layout
        self._head = head
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._rows: dict[str, IndexRow] = {}

    def read(self, query: Callable[[sqlite3.Connection], T], reason: str) -> T:
        """The result of a query. ``reason`` is why the index itself was not asked."""
        with not_ours(self._mutex), translated(":memory:", 0):
            if self._connection is None:
                log.warning("sessions are listed without the index, which may take long: %s", reason)
                self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                create_tables(self._connection)
            self._refresh(self._connection)
            return query(self._connection)

    def clear(self) -> None:
        """Keep nothing: the index can be used again."""
        with not_ours(self._mutex):
            if self._connection is not None:
                self._connection.close()
            self._connection, self._rows = None, {}

    def _refresh(self, connection: sqlite3.Connection) -> None:
        try:
            keys = [key for key in map(key_in, self._disk.names(self._layout.sessions)) if key is not None]
        except FileNotFoundError:
            raise vanished(self._layout.sessions) from None
        except OSError as error:
            raise refusal(self._layout.sessions, error) from error
        found: dict[str, IndexRow] = {}
        for key in keys:
            try:
                row = self._head(key)
            except (Unreadable, VaultError, OSError):
                continue  # as in any index: what cannot be read has no row
            if row is not None:
                found[locator_of(key)] = row
        for locator, row in self._rows.items():
            if locator not in found or found[locator].generation != row.generation:
                remove_row(connection, locator, row.version)
        for locator, row in found.items():
            if self._rows.get(locator) != row:
                apply(connection, locator, IndexEntry(row, None, None))
        self._rows = found
