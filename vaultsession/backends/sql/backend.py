"""SqlBackend: the verbs, over rows that are compared and swapped.

What a session's row says is never believed unproved: a head that is given out was made here, or
described from the container. Rows that are listed prove themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from ...errors import Damaged, DurabilityUnknown, Unreadable, VaultError, VaultNotFound
from ...format import record
from ...format.ids import locator_of, parse_locator
from ...format.sealed import (
    GENERATIONS,
    VERSION_SIZE,
    Container,
    Current,
    Delete,
    Heads,
    IndexRow,
    Query,
    ReadHead,
    Tombstone,
    Write,
)
from ...util.lazy import log
from ..optimistic import OptimisticBackend
from ..protocol import RebuildReport, Traits
from . import queries
from .database import Database, OutcomeUnknown
from .health import problems
from .rebuild import rebuild, unindexed
from .sessions import FoundRow, KnownRow, SessionTables, Stamp, tail_of, tombstone_from
from .tables import SCHEMA_NAME, Tables

_PAGE = 256
_LARGEST_PAGE = 4096


class SqlBackend(OptimisticBackend[KnownRow]):
    """Sealed sessions in the tables of one database. Safe from any thread, any process and any host.

    To close it closes the database. After that every verb is a ``RuntimeError``.
    """

    def __init__(self, database: Database, tables: Tables, describe: ReadHead) -> None:
        super().__init__()
        self.traits = Traits(database.dialect, durable=True, waits=True, shared=database.dialect != "sqlite")
        self._database = database
        self._tables = tables
        self._sessions = SessionTables(tables, database.dialect)
        self._describe = describe

    # -- one session ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> IndexRow | None:
        """The newest head; one short statement where it is known."""
        self._check_open()
        key = locator_of(key)
        known = self._known(key)
        if known is None or not self._stands(key, known):
            known = self._look(key)
        if known.newest is None:
            self.confirm()
        return known.newest if isinstance(known.newest, IndexRow) else None

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on. Always settled: no transaction is ever seen half-way."""
        del settled
        self._check_open()
        found = self._find(locator_of(key), start)
        if found is None:
            self.confirm()
        return None if found is None else found.container

    # -- all sessions --------------------------------------------------------------------------------------------------

    def scan(self, query: Query) -> Heads:
        """Heads in the order asked for, read in pages; nothing is held between two of them."""
        self._check_open()
        return self.confirmed(self._pages(query))

    def count(self, query: Query) -> int:
        self._check_open()
        ((found,),) = self._database.rows(queries.count(self._tables, query))
        if not found:
            self.confirm()
        return int(found)

    def reindex(self) -> RebuildReport:
        """Derive every row anew from its container. Tombstones and what was acknowledged stay remembered."""
        self._check_open()
        self._states.clear()
        return rebuild(self._database, self._tables, self._sessions, self._seen, self._describe)

    def tombstones(self) -> Iterator[Tombstone]:
        self._check_open()
        rows = self._tables.sessions.c
        statement = sa.select(rows.locator, rows.grave, rows.mac).where(rows.updated.is_(None))
        return filter(None, map(tombstone_of, self._database.walk(statement, rows.locator, _PAGE)))

    def unindexed(self) -> Iterator[str]:
        """Containers without a row. None of them is read before ``reindex``."""
        self._check_open()
        return unindexed(self._database, self._tables)

    def stats(self) -> dict[str, int]:
        self._check_open()
        rows = self._tables.sessions.c
        statement = sa.select(
            sa.func.count(rows.updated), sa.func.coalesce(sa.func.sum(rows.size), 0), sa.func.count()
        ).select_from(self._tables.sessions)
        ((living, size, entries),) = self._database.rows(statement)
        if not entries:
            self.confirm()
        try:
            return {"sessions": int(living), "bytes": int(size), "tombstones": int(entries - living)}
        except (ValueError, OverflowError) as error:
            raise Damaged(f"{self._database.where}: sizes of sessions that are no numbers: reindex") from error

    def close(self) -> None:
        self._database.close()

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _find(self, key: str, start: int) -> FoundRow | None:
        # What was seen is asked before the statement: what another thread sees meanwhile is no witness against it.
        seen = self._seen.sight(key)
        return self._database.ask(lambda connection: self._sessions.find(connection, key, start, seen))

    def _look(self, key: str) -> KnownRow:
        """The newest, described from its container, and what a change of it is compared and swapped on.

        That is the stamp of the first statement: should a later one have met something newer, the swap fails.
        """
        first: list[FoundRow | None] = []

        def fetch(start: int) -> Container | None:
            found = self._find(key, start)
            if not first:
                first.append(found)
            return None if found is None else found.container

        row = self._describe(key, fetch, thorough=True)
        found = first[0] if first else self._find(key, -1)
        if found is None:
            return KnownRow(None, self._seen.sight(key).tombstone, lives=False)
        newest: Current = found.tombstone if row is None else row
        known = KnownRow(found.stamp, newest, lives=found.container is not None, tail=found.tail)
        self._keep(key, known)
        return known

    def _stands(self, key: str, state: KnownRow) -> bool:
        return state.stamp == self._database.ask(lambda connection: self._sessions.stamp(connection, key))

    def _swap(self, key: str, state: KnownRow, change: Write | Delete) -> bool:
        self._states.forget(key)

        def act(connection: sa.Connection) -> bool:
            if isinstance(change, Delete):
                return self._sessions.remove(connection, state, change)
            return self._sessions.put(connection, state, change)

        one = isinstance(change, Write) and self._sessions.is_one_statement(state, change)
        try:
            written = self._database.change(act, at_once=one)
        except OutcomeUnknown as error:
            written = self._has_landed(key, state, change, error)
        if written:
            self._keep(key, _after(state, change))
        return written

    def _keep(self, key: str, state: KnownRow) -> None:
        self._seen.see(key, state.newest)
        if isinstance(state.newest, IndexRow) and not state.newest.torn:
            self._states.keep(key, state)

    def _has_landed(self, key: str, known: KnownRow, result: Write | Delete, lost: OutcomeUnknown) -> bool:
        try:
            landed = self._database.change(
                lambda connection: self._sessions.landed(connection, key, known.stamp, result)
            )
        except (VaultError, OutcomeUnknown) as error:
            log.warning("whether a change of %s was committed could not be looked at: %s", key, error)
            landed = None
        if landed is None:
            raise DurabilityUnknown(
                f"{self._database.where}: the answer to a commit of {key} was lost: it may have been written"
            ) from lost
        return landed

    def _pages(self, query: Query) -> Iterator[IndexRow]:
        after: tuple[Any, Any] | None = None if query.after is None else (query.after[0], query.after[1].encode())
        most, skip, left = _PAGE, query.offset, query.limit
        while left is None or left > 0:
            self._check_open()
            size = most if left is None else min(left, most)
            statement = queries.page(self._tables, query, after, size, skip)
            rows = self._database.rows(statement)
            for row in rows:
                head = self._listed(row)
                if head is not None:
                    yield head
            if len(rows) < size:
                return
            if left is not None:
                left -= size
            after, skip = (rows[-1].updated, rows[-1].locator), 0
            most = min(2 * most, _LARGEST_PAGE)

    def _listed(self, row: Any) -> IndexRow | None:  # noqa: ANN401 - nine values of whatever type a file gives
        """The head that a row holds. What no honest writer wrote is described from its container, if there is one."""
        head = head_from(row)
        if head is not None:
            return head
        try:
            newest = self._look(parse_locator(row.locator)).newest
        except (ValueError, Unreadable):
            newest = None
        if not isinstance(newest, IndexRow):
            log.warning("%s: a row that is none is not listed; reindex derives it anew", self._database.where)
            return None
        return newest

    def _check_open(self) -> None:
        self._database.check_open()

    def confirm(self) -> None:
        """The value that says of which version the tables are: no vault is without it. And that each table is there."""
        metadata = self._tables.metadata.c
        statement = sa.select(metadata.name).where(metadata.name == SCHEMA_NAME.encode())

        def look(connection: sa.Connection) -> bool:
            for table in self._tables.schema.sorted_tables:
                connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
            return connection.execute(statement).first() is not None

        if not self._database.ask(look):
            raise VaultNotFound(f"{self._database.where}: the vault is not there any more: was the database emptied?")

    def _inspect(self) -> tuple[dict[str, str | None], dict[str, str]]:
        return problems(self._database)


def head_from(row: Any) -> IndexRow | None:  # noqa: ANN401 - as above
    """The head of a row of ``queries.COLUMNS``; None for values that none of us wrote."""
    locator, generation, seq, version, updated, expires, size, tags, blob = row
    try:
        listed = tuple(tags[at : at + VERSION_SIZE] for at in range(0, len(tags), VERSION_SIZE))
        head = IndexRow(parse_locator(locator), generation, seq, version, updated, expires, size, listed, blob)
        head.columns()
    except (ValueError, TypeError):
        return None
    return head if isinstance(blob, bytes) and size >= record.HEADER_SIZE and generation < GENERATIONS else None


def tombstone_of(row: Any) -> Tombstone | None:  # noqa: ANN401 - as above
    """The tombstone of a row's locator, generation and mac; None for values that none of us wrote."""
    locator, generation, mac = row
    try:
        return tombstone_from(parse_locator(locator), generation, mac)
    except ValueError:
        return None


def _after(known: KnownRow, result: Write | Delete) -> KnownRow:
    if isinstance(result, Delete):
        return KnownRow(None, result.tombstone, lives=False)
    row = result.head
    return KnownRow(Stamp(row.generation, row.version), row, lives=True, tail=tail_of(known, result))
