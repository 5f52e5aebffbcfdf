"""SqlEngine: the metadata of a vault, its leases and its sessions, in the tables of one database.

Nothing is made before something is written: a vault that is only looked for leaves no trace. The tables are made one by
one, each unless it is there, so that several processes may begin at once and one that died is completed by the next.
"""

from __future__ import annotations

import contextlib
import os
from typing import NoReturn

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.schema import CreateIndex, CreateTable

from ...errors import BackendUnavailable, Damaged, DurabilityUnknown, UnsupportedFormat, VaultError
from ...format.sealed import ReadHead
from ...util.deadline import pause
from ...util.ownership import open_file
from ..leases import Leases
from ..protocol import LARGEST_VALUE
from .backend import SqlBackend
from .database import Database, OutcomeUnknown
from .leases import SqlLeases
from .tables import APPLICATION_ID, SCHEMA, SCHEMA_NAME, Tables
from .url import SqlUrl, parse

_TRIES = 8
_PRIVATE_FILE = 0o600
_LONGEST_NAME = 64


def connect(url: str) -> SqlEngine:
    """The engine of a URL. ``InvalidSetting``; ``BackendUnavailable`` where it does not answer, or is another's."""
    engine = SqlEngine(parse(url))
    try:
        engine.is_made()
    except BaseException:
        engine.close()
        raise
    return engine


class SqlEngine:
    """One database. Safe from any thread; a store of its own in the child of a fork."""

    def __init__(self, location: SqlUrl) -> None:
        self._location = location
        self._database = Database(location)
        self._tables = Tables(location.prefix)
        self._leases = SqlLeases(self._database, self._tables)
        self._made = False

    @property
    def where(self) -> str:
        return self._location.where

    def metadata(self, name: str) -> bytes | None:
        self._database.check_open()
        named = _name(name)
        return self._metadata(named) if self.is_made() else None

    def put_metadata(self, name: str, data: bytes, expected: bytes | None) -> bool:
        self._database.check_open()
        metadata, named = self._tables.metadata, _name(name)
        if expected is not None and not self.is_made():
            return False
        self._make()

        def act(connection: sa.Connection) -> bool:
            if expected is None:
                connection.execute(metadata.insert(), {"name": named, "data": data})
                return True
            changed = connection.execute(
                metadata.update().where(metadata.c.name == named, metadata.c.data == expected).values(data=data)
            )
            return changed.rowcount == 1

        try:
            return self._database.change(act)
        except OutcomeUnknown as lost:
            with contextlib.suppress(VaultError):
                if self._metadata(named) == data:
                    return True
            raise DurabilityUnknown(
                f"{self.where}: the answer to a commit was lost: the metadata file {name!r} may have been written"
            ) from lost

    def backend(self, describe: ReadHead) -> SqlBackend:
        self._database.check_open()
        self._make()
        return SqlBackend(self._database, self._tables, describe)

    def leases(self) -> Leases:
        return self._leases

    def close(self) -> None:
        self._database.close()

    # -- the tables ----------------------------------------------------------------------------------------------------

    def is_made(self) -> bool:
        """Whether the tables are there, all of them and of this version.

        ``UnsupportedFormat`` for another version; ``BackendUnavailable`` for what another application keeps there.
        """
        if not self._made and self._may_be_there():
            self._made = self._database.ask(self._look)
        return self._made

    def _may_be_there(self) -> bool:
        """False only for a SQLite file that does not exist: to look into it would make it."""
        path = self._location.path
        return self._location.dialect != "sqlite" or path.startswith("file:") or os.path.exists(path)

    def _look(self, connection: sa.Connection) -> bool:
        if self._location.dialect == "sqlite":
            self._refuse_foreign_file(connection)
        names = {table.name for table in self._tables.schema.sorted_tables}
        there = names & set(sa.inspect(connection).get_table_names())
        metadata = self._tables.metadata
        if not there:
            return False
        if metadata.name not in there or not self._can_read(connection, metadata):
            self._refuse_foreign(sorted(there))
        found = {row[0]: row[1] for row in connection.execute(sa.select(metadata.c.name, metadata.c.data))}
        schema = found.get(SCHEMA_NAME.encode())
        if schema is None:
            if found or there != {metadata.name}:
                self._refuse_foreign([metadata.name])
            return False  # being made in this moment, or by someone who died
        if schema != SCHEMA:
            raise UnsupportedFormat(
                f"{self.where}: the tables are of another version ({schema!r:.60}); this one reads {SCHEMA!r}",
                found=schema,
                supported=SCHEMA,
            )
        foreign = [each for each in self._tables.schema.tables.values() if each.name in there]
        foreign = [each for each in foreign if not self._can_read(connection, each)]
        if foreign:
            self._refuse_foreign([each.name for each in foreign])
        tables = self._tables.schema.sorted_tables
        return there == names and not any(self._missing_indexes(connection, each) for each in tables)

    @staticmethod
    def _can_read(connection: sa.Connection, table: sa.Table) -> bool:
        """Whether the table has our columns."""
        try:
            connection.execute(sa.select(table).limit(0))
        except exc.DBAPIError as error:
            if error.connection_invalidated:
                raise
            return False
        return True

    @staticmethod
    def _missing_indexes(connection: sa.Connection, table: sa.Table) -> list[sa.Index]:
        known = {index["name"] for index in sa.inspect(connection).get_indexes(table.name)}
        return [index for index in table.indexes if index.name not in known]

    def _make(self) -> None:
        if self.is_made():
            return
        for attempt in range(_TRIES):
            try:
                if self._location.dialect == "sqlite":
                    self._make_file()
                    self._database.change(self._make_tables)
                else:
                    # DDL commits by itself in MySQL; in PostgreSQL a table that another session makes is waited for.
                    self._database.ask(self._make_tables)
            except (BackendUnavailable, OutcomeUnknown) as error:
                if attempt == _TRIES - 1:
                    raise BackendUnavailable(f"{self.where}: the tables could not be made: {error}") from error
            if self.is_made():
                return
            pause(attempt + 3)  # another process is making them: half of it was seen
        raise BackendUnavailable(f"{self.where}: the tables could not be made")

    def _make_file(self) -> None:
        path = self._location.path
        if not path.startswith("file:"):
            try:
                os.close(open_file(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE))
            except OSError as error:
                raise BackendUnavailable(f"{self.where}: {error.strerror or error}") from error

        def prepare(connection: sa.Connection) -> None:
            self._refuse_foreign_file(connection)
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")

        self._database.ask(prepare)

    def _make_tables(self, connection: sa.Connection) -> bool:
        """Make each unless it is there; the metadata first, which then says whose the others are."""
        if self._location.dialect == "sqlite":
            self._refuse_foreign_file(connection)
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        metadata = self._tables.metadata
        connection.execute(CreateTable(metadata, if_not_exists=True))
        named = SCHEMA_NAME.encode()
        if connection.execute(sa.select(metadata.c.name).where(metadata.c.name == named)).first() is None:
            connection.execute(metadata.insert(), {"name": named, "data": SCHEMA})
        for table in self._tables.schema.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in self._missing_indexes(connection, table):
                connection.execute(CreateIndex(index))
        return True

    def _refuse_foreign_file(self, connection: sa.Connection) -> None:
        # The tables first: a process that makes them has said before, in the same transaction, whose they are.
        tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
        owner = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        if owner != APPLICATION_ID and (owner or tables):
            raise BackendUnavailable(f"{self.where} is the database of another application: give a file of its own")

    def _refuse_foreign(self, names: list[str]) -> NoReturn:
        raise BackendUnavailable(
            f"{self.where}: {', '.join(names)} is of another application: give another prefix in the URL"
        )

    def _metadata(self, named: bytes) -> bytes | None:
        metadata = self._tables.metadata.c
        size = sa.func.length(metadata.data)
        within = sa.case((size <= LARGEST_VALUE, metadata.data), else_=sa.null())
        statement = sa.select(within, size).where(metadata.name == named)
        rows = self._database.rows(statement)
        if not rows:
            return None
        found, length = rows[0]
        if isinstance(found, bytes):
            return found
        if found is None and isinstance(length, int) and length > LARGEST_VALUE:
            raise Damaged(
                f"{self.where}: the value {named.decode()!r} has more than {LARGEST_VALUE >> 20} MiB: restore it from "
                "a backup"
            )
        raise Damaged(f"{self.where}: the value {named.decode()!r} holds no bytes: restore it from a backup")


def _name(text: str) -> bytes:
    name = text.encode("ascii")
    if not 0 < len(name) <= _LONGEST_NAME or text == SCHEMA_NAME:
        raise ValueError(f"{text!r} is no name of a metadata file")
    return name
