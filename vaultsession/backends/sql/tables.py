"""The schema: five tables of integers and bytes, the same in every database.

::

    {prefix}_metadata      name, data                     what belongs to the vault, and the version of these tables
    {prefix}_sessions    locator, generation, version…  one row per session that lives or was removed, with the tail
    {prefix}_pieces      locator, generation, ending    the container in front of the tail
    {prefix}_tags        tag, locator                   which sessions carry an owner or a label
    {prefix}_leases      locator, token, expires        who answers a session

Nothing is text, so that no collation compares it: locators and names are ASCII bytes. No number reaches 2^63.

``generation`` and ``version`` of a session are what every change is compared and swapped on. In the row of a session
that was removed the version is the tombstone's, and what only a living one has is NULL.

A piece is found by the offset of its end, so that the last bytes of a container are a range of the primary key.

Decision (2026-11): the newest bytes of a container, 4 KiB at most, stand in its row: ``tail``, from the offset
``begin`` on. Most appends are then one UPDATE and one round trip, and only one in several moves the tail to a piece. A
row in ``pieces`` for each append took four round trips, and 1.8 times as long as a bare insert in MariaDB.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

SCHEMA = b"vaultsession tables 1"
SCHEMA_NAME = "schema"

APPLICATION_ID = 0x76734631
"""In the header of a SQLite file: it is ours."""


class Bytes(sa.types.TypeDecorator[bytes]):
    """Bytes as they are. Of up to ``length`` where an index holds them, else of any length.

    What comes back is not converted: a file that was tampered with may hold a number there, and ``bytes`` of a number
    is that many zeros.
    """

    impl = sa.LargeBinary
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.most = length

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[bytes]:
        """MySQL has a type for each order of length."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.LONGBLOB() if self.most is None else mysql.VARBINARY(self.most))
        return dialect.type_descriptor(sa.LargeBinary())

    def bind_processor(self, dialect: sa.Dialect) -> None:
        """Every driver takes bytes."""
        del dialect

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> None:
        """Every driver gives bytes."""
        del dialect, coltype


class Tables:
    """The tables under one prefix. Immutable."""

    def __init__(self, prefix: str) -> None:
        self.schema = sa.MetaData()
        locator = Bytes(32)
        self.metadata = self._table(
            f"{prefix}_metadata",
            sa.Column("name", Bytes(64), primary_key=True),
            sa.Column("data", Bytes(), nullable=False),
        )
        self.sessions = self._table(
            f"{prefix}_sessions",
            sa.Column("locator", locator, primary_key=True),
            sa.Column("generation", sa.BigInteger, nullable=False),
            sa.Column("version", Bytes(32), nullable=False),
            sa.Column("seq", sa.BigInteger),
            sa.Column("updated", sa.BigInteger),
            sa.Column("expires", sa.BigInteger),
            sa.Column("size", sa.BigInteger),
            sa.Column("tags", Bytes()),
            sa.Column("head", Bytes()),
            sa.Column("header", Bytes(80)),
            sa.Column("begin", sa.BigInteger),
            sa.Column("tail", Bytes()),
            sa.Column("grave", sa.BigInteger),
            sa.Column("mac", Bytes(32)),
            sa.Index(f"{prefix}_sessions_updated", "updated", "locator"),
            sa.Index(f"{prefix}_sessions_expires", "expires"),
        )
        self.pieces = self._table(
            f"{prefix}_pieces",
            sa.Column("locator", locator, primary_key=True),
            sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("ending", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("data", Bytes(), nullable=False),
        )
        self.tags = self._table(
            f"{prefix}_tags",
            sa.Column("tag", Bytes(16), primary_key=True),
            sa.Column("locator", locator, primary_key=True),
            sa.Index(f"{prefix}_tags_locator", "locator"),
        )
        self.leases = self._table(
            f"{prefix}_leases",
            sa.Column("locator", locator, primary_key=True),
            sa.Column("token", Bytes(16), nullable=False),
            sa.Column("expires", sa.BigInteger, nullable=False),
        )

    def _table(self, name: str, *parts: sa.Column[bytes] | sa.Column[int] | sa.Index) -> sa.Table:
        return sa.Table(name, self.schema, *parts, mysql_engine="InnoDB", sqlite_with_rowid=False)
