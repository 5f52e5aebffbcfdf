"""Connections, transactions, and what a database says in words.

Every connection commits by itself, so that a question is one statement and one round trip; a transaction is begun and
ended in so many words. One whose COMMIT got no answer is ``OutcomeUnknown``: the writer looks what became of it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import event, exc

from ...errors import BackendUnavailable, InvalidSetting, VaultError, VaultNotFound
from ...util.deadline import pause
from ...util.fork import ForkSafe
from ..protocol import LARGEST_VALUE
from .postgresql import PostgresConnector
from .url import SqlUrl

T = TypeVar("T")

_TRIES = 8
_MYSQL_AGAIN = frozenset({1020, 1205, 1213})
"""The record has changed since it was read; a lock was waited for in vain; a deadlock."""
_POSTGRES_AGAIN = frozenset({"40001", "40P01", "55P03"})
"""As above: a serialization failure, a deadlock, a lock that was not available."""
_LONGEST_REASON = 300
_FILE = "vaultsession.file"


class OutcomeUnknown(Exception):
    """The connection ended while a transaction was being committed: no error yet, the writer looks."""


class Database(ForkSafe):
    """One database. Safe from any thread, and in the child of a fork."""

    def __init__(self, location: SqlUrl) -> None:
        self.where = location.where
        self.dialect = location.dialect
        self._timeout = location.timeout
        self._begin = "BEGIN IMMEDIATE" if location.dialect == "sqlite" else "BEGIN"
        self._connector: PostgresConnector | None = None
        self._abandoned: object = None
        self._closed = False
        try:
            self.engine = sa.create_engine(
                location.url,
                isolation_level="AUTOCOMMIT",
                skip_autocommit_rollback=True,
                pool_reset_on_return=None,
                pool_size=location.pool_size,
                max_overflow=0,
                pool_timeout=location.timeout,
                hide_parameters=True,
                connect_args=location.arguments,
            )
        except ImportError as error:
            raise InvalidSetting(
                f"{location.url.drivername}:// needs a driver ({error}): pip install 'vaultsession[sql]'"
            ) from None
        except (exc.ArgumentError, TypeError, ValueError) as error:
            raise InvalidSetting(f"{location.where}: {error}") from None
        self._path = ""
        if location.dialect == "sqlite":
            event.listen(self.engine, "connect", _flush_every_commit)
            if location.path and not location.path.startswith("file:"):
                self._path = location.path
                event.listen(self.engine, "connect", self._note_file)
        elif location.dialect == "postgresql":
            self._connector = connector = PostgresConnector(location.timeout)
            event.listen(
                self.engine,
                "do_connect",
                lambda dialect, _record, _args, arguments: connector.connect(dialect.loaded_dbapi.connect, arguments),
            )
        super().__init__()

    def ask(self, question: Callable[[sa.Connection], T]) -> T:
        """The answer to a question that may be asked again. ``BackendUnavailable``."""

        def run(connection: sa.Connection) -> T:
            # Through a pooler in a transaction, for its limits.
            return self._transact(question, connection) if self._is_pooled else question(connection)

        try:
            return self._patiently(run)
        except (_Duplicate, OutcomeUnknown) as error:
            raise self.refusal(error) from error

    def rows(self, statement: sa.Select[Any]) -> Sequence[Any]:
        return self.ask(lambda connection: connection.execute(statement).all())

    def walk(self, statement: sa.Select[Any], column: sa.ColumnElement[bytes], size: int) -> Iterator[Any]:
        """The rows of a SELECT whose first column this is, in its order and read in pages of so many."""
        statement = statement.order_by(column).limit(size)
        page = self.rows(statement)
        while page:
            yield from page
            self.check_open()
            page = self.rows(statement.where(column > sa.literal(page[-1][0], column.type)))

    def change(self, act: Callable[[sa.Connection], T], *, at_once: bool = False) -> T | Literal[False]:
        """Run ``act`` in a transaction, perhaps more than once, and commit if it says so: what it says.

        False also where a row is there already that ``act`` would have added. Raises ``BackendUnavailable`` or
        ``OutcomeUnknown``. ``at_once``: it is one statement, which commits by itself.
        """

        def run(connection: sa.Connection) -> T:
            if not at_once or self._is_pooled:
                return self._transact(act, connection)
            try:
                return act(connection)
            except exc.DBAPIError as error:
                if error.connection_invalidated:
                    raise OutcomeUnknown(self._reason(error)) from error
                raise

        try:
            return self._patiently(run)
        except _Duplicate:
            return False

    def refusal(self, error: BaseException) -> VaultError:
        """What the database said, as an error that names it."""
        return BackendUnavailable(f"{self.where}: {self._reason(error)}")

    def check_open(self) -> None:
        """``RuntimeError`` once it is closed: asked by every verb. Leases may outlive their store."""
        if self._closed:
            raise RuntimeError("the store is closed")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.engine.dispose()

    def _begin_anew(self) -> None:
        """The connections are the parent's, and are neither used nor closed."""
        self._abandoned = (self._abandoned, self.engine.pool)
        self.engine.dispose(close=False)

    @property
    def _is_pooled(self) -> bool:
        return self._connector is not None and self._connector.is_pooled

    def _transact(self, act: Callable[[sa.Connection], T], connection: sa.Connection) -> T:
        """What ``act`` returns; committed if that is anything."""
        begin = self._begin if self._connector is None else self._connector.begin
        connection.exec_driver_sql(begin, execution_options={"no_parameters": True})
        try:
            accepted = act(connection)
        except BaseException:
            _abandon(connection)
            raise
        if not accepted:
            _abandon(connection)
            return accepted
        try:
            connection.exec_driver_sql("COMMIT")
        except exc.SQLAlchemyError as error:
            _abandon(connection)
            raise OutcomeUnknown(self._reason(error)) from error
        return accepted

    def _patiently(self, act: Callable[[sa.Connection], T]) -> T:
        lost = 0
        for attempt in range(_TRIES):
            try:
                with self._connection() as connection:
                    return act(connection)
            except exc.IntegrityError as error:
                raise _Duplicate(self._reason(error)) from error
            except exc.DBAPIError as error:
                lost += error.connection_invalidated
                again = lost == 1 if error.connection_invalidated else _is_transient(error)
                if not again or attempt == _TRIES - 1:
                    raise self.refusal(error) from error
            except exc.SQLAlchemyError as error:
                raise self.refusal(error) from error
            pause(attempt)
        raise BackendUnavailable(f"{self.where}: in the way of each other {_TRIES} times in a row")

    def _note_file(self, connection: object, record: Any) -> None:  # noqa: ANN401 - the pool's entry
        del connection
        record.info[_FILE] = self._file()

    def _file(self) -> tuple[int, int]:
        """Which file the path of a SQLite database names. ``VaultNotFound``: none, though there was one."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            raise VaultNotFound(f"{self.where}: the file is not there any more: was it moved or removed?") from None
        except OSError as error:
            raise BackendUnavailable(f"{self.where}: {error.strerror or error}") from error
        return status.st_dev, status.st_ino

    def _checked(self, connection: sa.Connection) -> sa.Connection:
        """The connection, to the file that has the name: what is written to one without a name is lost."""
        if self._path and connection.info.get(_FILE) != self._file():
            connection.invalidate()  # connected again when it is used
            connection.connection  # noqa: B018 - which is now
        return connection

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        try:
            if self._path:
                self._file()  # SQLite would make one
            connection = self.engine.connect()
        except exc.TimeoutError as error:
            raise BackendUnavailable(
                f"{self.where}: no connection was free for {self._timeout:g} s; pool_size can be raised in the URL"
            ) from error
        except exc.SQLAlchemyError as error:
            if "invalid connection option" in str(error):
                raise InvalidSetting(f"{self.where}: {self._reason(error)}") from None
            raise
        except VaultError:
            raise
        except TypeError as error:  # what a driver makes of an option that it does not know
            raise InvalidSetting(f"{self.where}: {error}") from None
        except Exception as error:
            # Whatever a driver stumbles over, while it reads what a server of another kind says.
            raise BackendUnavailable(f"{self.where}: what answers there is no {self.dialect} server") from error
        with connection:
            yield self._checked(connection)

    def _reason(self, error: BaseException) -> str:
        """The driver's words, without the statement; one line."""
        if isinstance(error, exc.DBAPIError) and error.orig is not None:
            said = [part for part in error.orig.args if isinstance(part, str)]
            text = said[0] if said else str(error.orig)
        else:
            text = str(error)
        return " ".join(text.split("\n", 1)[0].split())[:_LONGEST_REASON] or type(error).__name__


class _Duplicate(Exception):
    """A row of that key is there already."""


def _abandon(connection: sa.Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except exc.SQLAlchemyError:
        connection.invalidate()  # its state is unknown: the pool replaces it


def _is_transient(error: exc.DBAPIError) -> bool:
    """Whether the same transaction may succeed if it is begun anew."""
    cause = error.orig
    if cause is None:
        return False
    if getattr(cause, "sqlstate", None) in _POSTGRES_AGAIN:
        return True
    return bool(cause.args) and cause.args[0] in _MYSQL_AGAIN


def _flush_every_commit(connection: object, record: object) -> None:
    """A commit of SQLite returns when it is on the disk. The journal's mode stays with the file: see ``engine``."""
    del record
    here = cast("sqlite3.Connection", connection)
    here.execute("PRAGMA synchronous = FULL")
    here.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * LARGEST_VALUE)  # a file that somebody sent may hold values of a GB
