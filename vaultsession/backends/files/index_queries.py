"""Reads of the index, each a function of a connection. They raise what ``index_schema.translated`` translates.

Owners and labels are answered from the tag table alone, whose rows stand in the order of a listing; the row of a
session is fetched only if it is returned. Every page begins behind a key, never at a number, so that it stays right
while rows move.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ...format.ids import is_key_of
from ...format.sealed import IndexRow, LostRow, Query, Tombstone, Witness
from ...util.named_tuple import NamedTuple
from .index_schema import COLUMNS, row_from, tombstone_from, unpack_witness, witness_of

Statement = tuple[str, list[object]]


class RowSummary(NamedTuple):
    """As much of a row as shows whether its container has changed."""

    key: str
    version: bytes
    size: int
    generation: int
    seq: int
    flushed: Witness | None
    mark: bytes

    @property
    def point(self) -> Witness:
        """The point of the session's life that the row names."""
        return Witness(self.generation, self.seq, self.version)

    def witness(self, boot: int) -> Witness | None:
        """The newest point that is known to be there still: flushed, or written since the system started."""
        return witness_of(self.flushed, self.mark, boot, self.generation, self.seq, self.version)


def page(
    connection: sqlite3.Connection, query: Query, after: tuple[int, str] | None, size: int, skip: int
) -> list[IndexRow]:
    """At most ``size`` heads behind ``after``, in the order of the query."""
    return [row_from(columns) for columns in connection.execute(*page_statement(query, after, size, skip))]


def page_statement(query: Query, after: tuple[int, str] | None, size: int, skip: int) -> Statement:
    """SELECT of the locator and ``COLUMNS``."""
    where, values = _conditions(query)
    if after is not None:
        where.append(f"(d.updated, d.locator) {'<' if query.newest_first else '>'} (?, ?)")
        values.extend(after)
    order = "DESC" if query.newest_first else "ASC"
    columns = ", ".join(f"s.{name}" for name in COLUMNS.split(", "))
    if query.tags:
        source = "tags d CROSS JOIN sessions s ON s.locator = d.locator AND s.updated = d.updated"
    else:
        source = f"sessions d INDEXED BY {'sessions_expires' if query.expired_at is not None else 'sessions_updated'}"
        columns = columns.replace("s.", "d.")
    ordered = f"ORDER BY d.updated {order}, d.locator {order} LIMIT ? OFFSET ?"
    text = f"SELECT d.locator, {columns} FROM {source}{_all(where)} {ordered}"  # noqa: S608 - our own text
    return text, [*values, size, skip]


def count(connection: sqlite3.Connection, query: Query) -> int:
    """How many heads match; ``after``, ``offset`` and ``limit`` are of a listing."""
    if not query.tags and query.expired_at is None and query.alive_at is not None:
        # Both halves are counted in an index; the plain condition would walk the table, sealed heads and all.
        text = "SELECT (SELECT count(*) FROM sessions) - (SELECT count(*) FROM sessions WHERE expires <= ?)"
        return int(connection.execute(text, (query.alive_at,)).fetchone()[0])
    where, values = _conditions(query)
    text = f"SELECT count(*) FROM {'tags' if query.tags else 'sessions'} d{_all(where)}"  # noqa: S608 - our own text
    return int(connection.execute(text, values).fetchone()[0])


def totals(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Sessions, their bytes, and tombstones. It walks all rows."""
    text = "SELECT count(*), coalesce(sum(size), 0), (SELECT count(*) FROM tombstones) FROM sessions"
    sessions, size, deleted = connection.execute(text).fetchone()
    return int(sessions), int(size), int(deleted)


def lost(connection: sqlite3.Connection, locator: str) -> LostRow | None:
    """The row of a session whose container is gone, whether that was noticed before or not."""
    for table in ("sessions", "lost"):
        text = f"SELECT locator, {COLUMNS} FROM {table} WHERE locator = ?"  # noqa: S608 - our own text
        if found := connection.execute(text, (locator,)).fetchone():
            return LostRow._make(row_from(found))
    return None


def all_lost(connection: sqlite3.Connection, expired_at: int | None = None) -> list[LostRow]:
    """Every session whose container a rebuild did not find; with ``expired_at`` those that have expired by then."""
    where, values = ("", ()) if expired_at is None else (" WHERE expires <= ?", (expired_at,))
    text = f"SELECT locator, {COLUMNS} FROM lost{where} ORDER BY locator"  # noqa: S608 - our own text
    return [LostRow._make(row_from(columns)) for columns in connection.execute(text, values)]


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether there are neither rows nor tags."""
    text = "SELECT NOT EXISTS (SELECT 1 FROM tags) AND NOT EXISTS (SELECT 1 FROM sessions)"
    return bool(connection.execute(text).fetchone()[0])


def meta(connection: sqlite3.Connection) -> dict[str, int]:
    """Every number that is kept, by its name."""
    return {name: int(value) for name, value in connection.execute("SELECT name, value FROM meta")}


def tombstones(connection: sqlite3.Connection, after: str, size: int) -> list[Tombstone]:
    """At most ``size`` tombstones of sessions without a row, behind a locator and in their order."""
    text = (
        "SELECT locator, key, generation, mac FROM tombstones WHERE locator > ? "
        "AND locator NOT IN (SELECT locator FROM sessions) ORDER BY locator LIMIT ?"
    )
    found = connection.execute(text, (after, size)).fetchall()
    if not all(is_key_of(row[1], row[0]) for row in found):
        raise ValueError("a tombstone under another locator")
    return [tombstone_from(*row[1:]) for row in found]


def tombstones_of(connection: sqlite3.Connection, locators: Sequence[str]) -> dict[str, Tombstone]:
    """The tombstones of those locators, also where a row stands beside one."""
    text = f"SELECT locator, key, generation, mac FROM tombstones WHERE {_among(locators)}"  # noqa: S608 - our own text
    return {locator: tombstone_from(*columns) for locator, *columns in connection.execute(text, locators)}


def summaries(connection: sqlite3.Connection, locators: Sequence[str]) -> dict[str, RowSummary]:
    """The rows of those locators that have one."""
    return _summaries(connection, _among(locators), locators)


def summaries_after(connection: sqlite3.Connection, after: str, size: int) -> dict[str, RowSummary]:
    """At most ``size`` rows behind a locator, in the order of the locators."""
    return _summaries(connection, "locator > ? ORDER BY locator LIMIT ?", (after, size))


def locators_after(connection: sqlite3.Connection, after: str, size: int) -> list[str]:
    """At most ``size`` locators behind one that have a row, in their order."""
    rows = connection.execute("SELECT locator FROM sessions WHERE locator > ? ORDER BY locator LIMIT ?", (after, size))
    found = [locator for (locator,) in rows]
    if not all(isinstance(locator, str) for locator in found):
        raise ValueError("a locator of another type")
    return found


def _summaries(connection: sqlite3.Connection, where: str, values: Sequence[object]) -> dict[str, RowSummary]:
    text = (
        "SELECT locator, key, version, size, generation, seq, witness, mark"  # noqa: S608 - our own text
        f" FROM sessions WHERE {where}"
    )
    rows = connection.execute(text, values)
    found = {
        locator: RowSummary(key, version, size, generation, seq, unpack_witness(witness), mark)
        for locator, key, version, size, generation, seq, witness, mark in rows
    }
    if not all(is_key_of(each.key, locator) for locator, each in found.items()):
        raise ValueError("a row under another locator")
    if not all(isinstance(each.generation, int) and isinstance(each.seq, int) for each in found.values()):
        raise ValueError("a row with values of another type")
    return found


def _among(locators: Sequence[str]) -> str:
    return f"locator IN ({', '.join('?' * len(locators))})"


def _conditions(query: Query) -> tuple[list[str], list[object]]:
    where: list[str] = []
    values: list[object] = []
    for number, tag in enumerate(query.tags):
        if number == 0:
            where.append("d.tag = ?")
        else:
            where.append(
                "EXISTS (SELECT 1 FROM tags t WHERE t.tag = ? AND t.updated = d.updated AND t.locator = d.locator)"
            )
        values.append(tag)
    if query.alive_at is not None:
        where.append("(d.expires IS NULL OR d.expires > ?)")
        values.append(query.alive_at)
    if query.expired_at is not None:
        where.append("d.expires IS NOT NULL AND d.expires <= ?")
        values.append(query.expired_at)
    return where, values


def _all(where: list[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""
