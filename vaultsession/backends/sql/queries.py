"""Listings and counts as SELECTs. Pure.

A listing without owners and labels is read off an index in its order. One with them begins at the tags: the sessions
of a user are fetched and sorted, and never the other way round, which a planner takes for the cheaper one where the tag
is rarer than it thinks. Adding nought to the column keeps it from that, in every database.
"""

from __future__ import annotations

import operator

import sqlalchemy as sa

from ...format.sealed import Query
from .tables import Tables

COLUMNS = ("locator", "generation", "seq", "version", "updated", "expires", "size", "tags", "head")


def page(tables: Tables, query: Query, after: tuple[object, object] | None, size: int, skip: int) -> sa.Select[tuple]:  # type: ignore[type-arg] # nine columns, checked one by one as they come
    """At most ``size`` rows of ``COLUMNS`` behind ``after``, the ``(updated, locator)`` of the last row before."""
    rows = tables.sessions.c
    updated: sa.ColumnElement[int] = rows.updated + 0 if query.tags else rows.updated
    statement = sa.select(*(rows[name] for name in COLUMNS)).where(*_conditions(tables, query))
    ways = (operator.le, operator.lt, sa.desc) if query.newest_first else (operator.ge, operator.gt, sa.asc)
    is_no_earlier, is_behind, order = ways
    if after is not None:
        moment, locator = sa.literal(after[0], sa.BigInteger), sa.literal(after[1], rows.locator.type)
        is_there = sa.and_(updated == moment, is_behind(rows.locator, locator))
        # The first condition says no more than the second: it is the one that an index is entered by.
        statement = statement.where(is_no_earlier(updated, moment), sa.or_(is_behind(updated, moment), is_there))
    statement = statement.order_by(order(updated), order(rows.locator))
    return statement.limit(size).offset(skip) if skip else statement.limit(size)


def count(tables: Tables, query: Query) -> sa.Select[int]:
    """How many match; ``after``, ``offset`` and ``limit`` are of a listing."""
    rows = tables.sessions.c
    if not query.tags and query.expired_at is None and query.alive_at is not None:
        # Both halves are counted in an index; the plain condition would walk the table, sealed heads and all.
        living = sa.select(sa.func.count()).where(rows.updated.is_not(None)).scalar_subquery()
        dead = sa.select(sa.func.count()).where(rows.expires <= query.alive_at).scalar_subquery()
        return sa.select(living - dead)
    return sa.select(sa.func.count()).select_from(tables.sessions).where(*_conditions(tables, query))


def _conditions(tables: Tables, query: Query) -> list[sa.ColumnElement[bool]]:
    """What the rows of a query have: they live, and every tag is theirs."""
    rows = tables.sessions.c
    where: list[sa.ColumnElement[bool]] = [rows.updated.is_not(None)]
    for tag in query.tags:
        tags = tables.tags.alias()
        where.append(rows.locator.in_(sa.select(tags.c.locator).where(tags.c.tag == tag)))
    if query.alive_at is not None:
        where.append(sa.or_(rows.expires.is_(None), rows.expires > query.alive_at))
    if query.expired_at is not None:
        where.append(rows.expires <= query.expired_at)
    return where
