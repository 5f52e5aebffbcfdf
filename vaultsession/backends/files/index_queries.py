"""Questions as SQL. Pure.

Owners and labels are answered from the tag table alone, whose rows stand in the order of a listing; a row of a
session is fetched only if it is given out. Every page begins behind a key, never at a number, so that it stays right
while rows move.
"""

from __future__ import annotations

from ...format.sealed import Query
from .index_schema import COLUMNS

Statement = tuple[str, list[object]]

TOTALS = "SELECT count(*), coalesce(sum(size), 0), (SELECT count(*) FROM tombstones) FROM sessions"
"""Sessions, their bytes, and tombstones."""


def page(query: Query, after: tuple[int, str] | None, size: int, skip: int) -> Statement:
    """SELECT of the locator and ``COLUMNS``, at most ``size`` rows behind ``after``."""
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
    ordered = f"ORDER BY d.updated {order}, d.locator {order} LIMIT ?"
    text = f"SELECT d.locator, {columns} FROM {source}{_all(where)} {ordered}"  # noqa: S608 - our own text
    values.append(size)
    if skip:
        text += " OFFSET ?"
        values.append(skip)
    return text, values


def count(query: Query) -> Statement:
    """How many match, and when the next of them expires; ``after``, ``offset`` and ``limit`` are of a listing."""
    where, values = _conditions(query)
    if not query.tags and query.expired_at is None and query.alive_at is not None:
        # Both halves are counted in an index; the plain condition would walk the table, sealed heads and all.
        text = (
            "SELECT (SELECT count(*) FROM sessions) - (SELECT count(*) FROM sessions WHERE expires <= ?1),"
            " (SELECT min(expires) FROM sessions WHERE expires > ?1)"
        )
        return text, [query.alive_at]
    source = "tags" if query.tags else "sessions"
    return f"SELECT count(*), min(d.expires) FROM {source} d{_all(where)}", values  # noqa: S608 - our own text


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
