"""Turn leases as rows: a token and a time, which anyone may take over late, by the clock of the database."""

from __future__ import annotations

import sqlalchemy as sa

from ..server_leases import LIFE, ServerLeases
from .database import Database, OutcomeUnknown
from .tables import Tables

_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "mysql": "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
}
"""Microseconds since 1970, by the clock of the server."""


class SqlLeases(ServerLeases):
    """The leases of one database. Safe from any thread."""

    def __init__(self, database: Database, tables: Tables, *, life: float = LIFE, renewal: float | None = None) -> None:
        super().__init__(life=life, renewal=renewal)
        self._database = database
        now: sa.ColumnElement[int] = sa.literal_column(_NOW[database.dialect], sa.BigInteger)
        later = now + int(life * 1_000_000)
        rows = tables.leases.c
        here: sa.BindParameter[bytes] = sa.bindparam("here")
        token: sa.BindParameter[bytes] = sa.bindparam("mine")
        is_mine = sa.and_(rows.locator == here, rows.token == token)
        self._insert = tables.leases.insert().values(locator=here, token=token, expires=later)
        self._insert = self._insert.execution_options(preserve_rowcount=True)
        self._take_over = tables.leases.update().where(rows.locator == here, rows.expires <= now)
        self._take_over = self._take_over.values(token=token, expires=later)
        self._extend = tables.leases.update().where(is_mine).values(expires=later)
        self._delete = tables.leases.delete().where(is_mine)

    def _take(self, name: str, token: bytes) -> bool:
        try:
            return self._is_done(self._insert, name, token) or self._is_done(self._take_over, name, token)
        except OutcomeUnknown:
            # Perhaps it is ours. If so, the look that finds it held waits until it ends by itself.
            return False

    def _renew(self, name: str, token: bytes) -> bool:
        values = {"here": name.encode(), "mine": token}
        return self._database.ask(lambda connection: connection.execute(self._extend, values).rowcount == 1)

    def _give_back(self, name: str, token: bytes) -> bool:
        try:
            return self._is_done(self._delete, name, token)
        except OutcomeUnknown as error:
            raise self._database.refusal(error) from error

    def _is_done(self, statement: sa.Insert | sa.Update | sa.Delete, name: str, token: bytes) -> bool:
        values = {"here": name.encode(), "mine": token}
        return self._database.change(lambda connection: connection.execute(statement, values).rowcount == 1)
