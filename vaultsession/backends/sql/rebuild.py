"""Rows rebuilt from containers: what ``reindex`` does.

The pieces are the truth. What cannot be read stays as it is, and so does its row; only a row that no verb can reach,
and of which there is no piece, is removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa

from ...errors import Unreadable
from ...format import record
from ...format.ids import parse_locator
from ...format.sealed import Container, ReadHead
from ...util.lazy import log
from ..protocol import RebuildReport
from ..rollback_guard import RollbackGuard
from .database import Database, OutcomeUnknown
from .sessions import STATED, SessionTables, Stamp, suffix, tombstone_from, witness_from
from .tables import Tables

_PAGE = 256


class _Row(NamedTuple):
    """What a row says, unproved and of whatever type; ``stamp`` None: there is none."""

    locator: Any
    stamp: Stamp | None = None
    seq: Any = None
    header: Any = None
    grave: Any = None
    mac: Any = None
    begin: Any = None
    tail: Any = None


def rebuild(
    database: Database, tables: Tables, sessions: SessionTables, seen: RollbackGuard, describe: ReadHead
) -> RebuildReport:
    """Rebuild the row of every container, unless somebody writes it meanwhile: then it is right already."""
    scanned = changed = removed = unreadable = 0
    for row in chain(_rows(database, tables), _strays(database, tables)):
        key = _key_of(row)
        pieces = _Pieces(database, tables, row, key or "a session without a name", seen)
        if not pieces.header:
            if row.header is not None and key is None:
                removed += database.change(partial(_remove, tables=tables, row=row))
            continue
        scanned += 1
        try:
            head = None if key is None else describe(key, pieces.fetch, thorough=False)
        except Unreadable as error:
            log.warning("%s: its row was left as it is: %s", key, error)
            unreadable += 1
            continue
        if head is None:
            continue  # a tombstone covers it, or it stands where no session can
        try:
            changed += database.change(
                partial(sessions.derive, was=row.stamp, row=head, header=pieces.header, end=pieces.end)
            )
        except OutcomeUnknown as error:
            raise database.refusal(error) from error
    report = RebuildReport(scanned, changed, removed, unreadable)
    log.info("the rows were rebuilt from the sessions: %s", report)
    return report


def unindexed(database: Database, tables: Tables) -> Iterator[str]:
    """The key of every container without a row."""
    return filter(None, map(_key_of, _strays(database, tables)))


class _Pieces:
    """The container of one session, whatever its row says of it: the pieces of the newest generation, and the tail."""

    def __init__(self, database: Database, tables: Tables, row: _Row, key: str, seen: RollbackGuard) -> None:
        self._database = database
        self._key = key
        pieces = tables.pieces.c
        self._ending, self._data = pieces.ending, pieces.data
        here = pieces.locator == sa.literal(row.locator, pieces.locator.type)
        newest = sa.select(pieces.generation, self._ending).where(here)
        newest = newest.order_by(pieces.generation.desc(), self._ending.desc()).limit(1)
        generation, ending = next(iter(database.rows(newest)), (None, None))
        self._here = (here, pieces.generation == sa.literal(generation, pieces.generation.type))
        has_tail = isinstance(row.tail, bytes) and isinstance(row.begin, int)
        self._tail = [(row.begin + len(row.tail), row.tail)] if has_tail else []
        stamp = row.stamp or Stamp(0, b"")
        living = None if row.header is None else witness_from(stamp.generation, row.seq, stamp.version)
        self._known = seen.sight(key).joined(living, tombstone_from(key, row.grave, row.mac))
        first = sa.select(self._data).where(*self._here).order_by(self._ending).limit(1)
        (found,) = next(iter(database.rows(first)), (None,))
        if not isinstance(found, bytes) and self._tail and row.begin == 0:
            found = row.tail
        self.header = found[: record.HEADER_SIZE] if isinstance(found, bytes) else b""
        self.end = ending if isinstance(ending, int) else 0

    def fetch(self, start: int) -> Container | None:
        statement = sa.select(self._ending, self._data).where(*self._here).order_by(self._ending)
        wanted = start if start >= 0 else self.end + sum(len(data) for _, data in self._tail) + start
        statement = statement.where(self._ending > wanted)
        pieces = [*map(tuple, self._database.rows(statement)), *self._tail]
        if not pieces:
            return Container(self.header, self.end, b"", *self._known)
        return Container(self.header, *suffix(self._key, pieces, start), *self._known)


def _rows(database: Database, tables: Tables) -> Iterator[_Row]:
    rows = tables.sessions.c
    statement = sa.select(rows.locator, *(rows[name] for name in STATED), rows.tail)
    for locator, generation, version, *rest in database.walk(statement, rows.locator, _PAGE):
        yield _Row(locator, Stamp(generation, version), *rest)


def _strays(database: Database, tables: Tables) -> Iterator[_Row]:
    """Containers without a row."""
    pieces, rows = tables.pieces.c, tables.sessions.c
    has_row = sa.exists().where(rows.locator == pieces.locator)
    for (locator,) in database.walk(sa.select(pieces.locator).where(~has_row), pieces.locator, 1):
        yield _Row(locator)


def _key_of(row: _Row) -> str | None:
    """The session of the row; None where it names none."""
    try:
        return parse_locator(row.locator)
    except ValueError:
        return None


def _remove(connection: sa.Connection, tables: Tables, row: _Row) -> bool:
    rows = tables.sessions.c
    stamp = row.stamp or Stamp(0, b"")
    statement = tables.sessions.delete().where(
        rows.locator == sa.literal(row.locator, rows.locator.type),
        rows.generation == sa.literal(stamp.generation, rows.generation.type),
        rows.version == sa.literal(stamp.version, rows.version.type),
    )
    return connection.execute(statement).rowcount == 1
