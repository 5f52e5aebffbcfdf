"""The index: what lists, and what remembers the newest that was acknowledged. Written behind the sessions.

A note is a dictionary entry; a thread writes them in batches, at most every 50 ms and before this process lists. Each
transaction is made under a short blocking lock, so that SQLite never meets contention (its own waiting cost 1 to 3 s at
worst with four processes). Nothing of SQLite is open across a fork.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence

from ...errors import BackendUnavailable, VaultError
from ...format.ids import is_key, locator_of
from ...format.sealed import IndexRow, Query, Tombstone
from ...util.disk import Disk
from . import index_queries
from .index_answers import IndexAnswers, asked_for, asked_for_page
from .index_buffer import IndexBuffer, newest_witness
from .index_reader import IndexReader
from .index_schema import (
    FOREIGN,
    SIDE_FILES,
    UNTAGGED,
    IndexDamaged,
    IndexEntry,
    apply_all,
    buried,
    connect,
    create,
    inode_of,
    remove,
    retag,
    row_from,
    tombstone_from,
    transaction,
    translated,
    translation,
    unpack_witness,
    vouched,
)
from .index_values import NOTHING, IndexedSession, Outline
from .layout import FilesLayout
from .locks import PathLock
from .quarantine import Quarantine

_log = logging.getLogger("vaultsession")

BATCH_SECONDS = 0.05
_PATIENCE_SECONDS = 5.0
_FORK_SECONDS = 1.0

_abandoned: list[sqlite3.Connection] = []
"""Connections that a fork caught in use: closing one in the child would release locks and files of the parent."""


class Index:
    """One vault's index. Safe from any thread. ``IndexDamaged`` and ``BackendUnavailable`` are what it raises."""

    def __init__(self, disk: Disk, layout: FilesLayout, *, writable: bool, durable: bool) -> None:
        self.error: VaultError | None = None
        self._disk = disk
        self._layout = layout
        self._path = layout.index
        self._writable = writable
        self._durable = durable
        self.renew()

    def renew(self) -> None:
        """Begin as after opening: in a forked child, which owes nothing and shares nothing."""
        self._pending = IndexBuffer()
        self._writing = PathLock(self._disk, self._layout.index_lock)
        self._reader = IndexReader(self._disk, self._path, writable=self._writable)
        self._pages: IndexAnswers[list[IndexRow]] = IndexAnswers()
        self._counts: IndexAnswers[int] = IndexAnswers()
        self._totals: IndexAnswers[tuple[int, int, int]] = IndexAnswers()
        self._writer: sqlite3.Connection | None = None
        self._writer_inode = 0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._written = False
        self._untagged = False

    def start(self, first: Callable[[], None]) -> None:
        """Start the writing thread, which does ``first`` before anything else; here, if it is running already."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, args=(first,), name="vaultsession-index", daemon=True)
                self._thread.start()
                return
        first()

    # -- learning ------------------------------------------------------------------------------------------------------

    def note(self, row: IndexRow, *, flushed: bool) -> None:
        """A session has a new head; ``flushed`` moves the witness to it."""
        self._pending.add(locator_of(row.key), IndexEntry(row, None, row.witness if flushed else None))
        if not self._wake.is_set():
            self._wake.set()

    def note_removed(self, tombstone: Tombstone) -> None:
        """A session was removed."""
        self._pending.add(locator_of(tombstone.key), IndexEntry(None, tombstone, None))
        self._wake.set()

    def write(self, entries: Mapping[str, IndexEntry], *, tagged: bool) -> None:
        """Write what was derived, at once: nobody asks for it before. ``tagged`` False leaves the tags to ``retag``."""

        def write(connection: sqlite3.Connection) -> None:
            if not tagged:
                self._untagged = True
                self._put(connection, UNTAGGED, 1)
            apply_all(connection, entries, tagged=tagged)

        if entries:
            self._change(write)

    def remove(self, locator: str, version: bytes) -> None:
        """Take out the row of a session that is not there, if it still is of this version."""
        self._change(lambda connection: remove(connection, locator, "version = ?", version))

    def disbelieve(self, locator: str, tombstone: Tombstone) -> None:
        """Take out a tombstone that is not genuine, if it is still this one."""
        text = "DELETE FROM tombstones WHERE locator = ? AND generation = ? AND mac = ?"
        self._change(lambda connection: connection.execute(text, (locator, tombstone.generation, tombstone.mac)))

    def retag(self) -> None:
        """Derive the table of tags anew from the rows; who lists by tag meanwhile sees it as it was.

        In a vault that was just made there is neither: then nothing is written, and nothing has to be flushed.
        """
        text = "SELECT EXISTS (SELECT 1 FROM tags) OR EXISTS (SELECT 1 FROM sessions)"
        if self._reader.ask(lambda connection: connection.execute(text).fetchone()[0]):
            self._change(retag)
        self._untagged = False

    def is_untagged(self) -> bool:
        """Whether rows were derived without their tags, and whoever did so did not come to these."""
        return self.remembered(UNTAGGED) is not None

    def flush(self) -> None:
        """Write what is pending."""
        if not self._pending:
            return
        with self._writing.mutex, self._writing:
            self._flush()

    def settle(self, *, others: bool = False) -> None:
        """Write what is pending and flush all of it: what a marker waits for before it says "clean".

        ``others``: for the marker of someone else, whose transactions may have been seen and never flushed.
        """
        if not self._written and not self._pending and not others:
            return
        with self._writing.mutex, self._writing:
            self._flush()
            connection = self._writer_connection()
            with translated(self._path, self._writer_inode):
                if self._untagged:  # what failed before is tried again, or whoever opens next is told to
                    with transaction(connection):
                        retag(connection)
                    self._untagged = False
                # A commit with synchronous=FULL flushes the log with all that earlier commits have put there. (Opening
                # the files to flush them would drop SQLite's own locks.) The checkpoint is for the size of the log: a
                # passive one, since the others wait for a reader that was stopped half-way.
                if self._durable:
                    connection.execute("PRAGMA synchronous = FULL")
                self._put(connection, "settled", 1)
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                connection.execute("PRAGMA synchronous = NORMAL")
            self._written = False

    # -- telling -------------------------------------------------------------------------------------------------------

    def known(self, locator: str) -> IndexedSession:
        """What is pending, else what is written. A damaged index knows nothing, until it is derived anew."""
        pending = self._pending.about(locator)
        try:
            written = self._lookup(locator)
        except IndexDamaged as error:
            self.error = error.with_traceback(None)  # its frames would keep descriptors open
            written = NOTHING
        if pending is None:
            return written
        tombstone = pending.tombstone or written.tombstone
        witness = newest_witness(pending.witness, written.witness)
        if tombstone is not None and witness is not None and witness.generation <= tombstone.generation:
            witness = None
        if pending.row is not None:
            return IndexedSession(witness, tombstone, pending.row.key)
        return IndexedSession(witness, tombstone, None if pending.tombstone is not None else written.key)

    def buried(self, locators: Sequence[str]) -> dict[str, Tombstone]:
        """What is written of the removal of those sessions, also where a row stands beside it."""
        return self._reader.ask(lambda connection: buried(connection, locators))

    def vouched(self, locators: Sequence[str]) -> dict[str, IndexRow]:
        """By key, the rows of those locators whose very record is known to be flushed."""
        return self._reader.ask(lambda connection: vouched(connection, locators))

    def page(self, query: Query, after: tuple[int, str] | None, size: int, skip: int) -> list[IndexRow]:
        """At most ``size`` heads behind ``after``, in the order of the query."""

        def read(connection: sqlite3.Connection) -> tuple[list[IndexRow], int | None]:
            found = connection.execute(*index_queries.page(query, after, size, skip)).fetchall()
            rows = [row_from(columns) for columns in found]
            return rows, min([row.expires for row in rows if row.expires is not None], default=None)

        return self._reader.recall(self._pages, asked_for_page(query, after, size, skip), query.alive_at, read)

    def count(self, query: Query) -> int:
        """How many match."""

        def read(connection: sqlite3.Connection) -> tuple[int, int | None]:
            found, until = connection.execute(*index_queries.count(query)).fetchone()
            return int(found), until

        return self._reader.recall(self._counts, asked_for(query), query.alive_at, read)

    def totals(self) -> tuple[int, int, int]:
        """Sessions, their bytes, and tombstones. It walks through all rows, where somebody has written since."""

        def read(connection: sqlite3.Connection) -> tuple[tuple[int, int, int], None]:
            sessions, size, tombstones = connection.execute(index_queries.TOTALS).fetchone()
            return (int(sessions), int(size), int(tombstones)), None

        return self._reader.recall(self._totals, "totals", 0, read)

    def tombstones(self, after: str, size: int) -> list[Tombstone]:
        """At most ``size`` tombstones behind a locator, by locator."""
        text = (
            "SELECT locator, key, generation, mac FROM tombstones WHERE locator > ? "
            "AND locator NOT IN (SELECT locator FROM sessions) ORDER BY locator LIMIT ?"
        )

        def read(connection: sqlite3.Connection) -> list[Tombstone]:
            found = connection.execute(text, (after, size)).fetchall()
            if any(not is_key(row[1]) or locator_of(row[1]) != row[0] for row in found):
                raise ValueError("a tombstone under another locator")
            return [tombstone_from(*row[1:]) for row in found]

        return self._reader.ask(read)

    def outlines(self, locators: Sequence[str]) -> dict[str, Outline]:
        """The rows of those locators that have one, in outline."""
        return self._outlines(f"WHERE locator IN ({', '.join('?' * len(locators))})", locators)

    def outlines_behind(self, after: str, size: int) -> dict[str, Outline]:
        """At most ``size`` rows behind a locator, by locator, in outline."""
        return self._outlines("WHERE locator > ? ORDER BY locator LIMIT ?", (after, size))

    def _outlines(self, which: str, values: Sequence[object]) -> dict[str, Outline]:
        def read(connection: sqlite3.Connection) -> dict[str, Outline]:
            text = f"SELECT locator, key, version, size, generation FROM sessions {which}"  # noqa: S608 - our own
            found = {locator: Outline(*columns) for locator, *columns in connection.execute(text, values)}
            if not all(is_key(each.key) and locator_of(each.key) == name for name, each in found.items()):
                raise ValueError("a row under another locator")
            if not all(isinstance(each.generation, int) for each in found.values()):
                raise ValueError("a row with values of another type")
            return found

        return self._reader.ask(read)

    def remembered(self, name: str) -> int | None:
        """A number that was kept in this index; None in one that was derived anew since."""

        def read(connection: sqlite3.Connection) -> int | None:
            found = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
            return None if found is None else int(found[0])

        return self._reader.ask(read)

    def remember(self, name: str, value: int) -> None:
        """Keep a number, flushed."""
        with self._writing.mutex, self._writing:
            connection = self._writer_connection()
            with translated(self._path, self._writer_inode):
                if self._durable:
                    connection.execute("PRAGMA synchronous = FULL")
                self._put(connection, name, value)
                connection.execute("PRAGMA synchronous = NORMAL")

    # -- the file ------------------------------------------------------------------------------------------------------

    def is_missing(self) -> bool:
        """Whether there is no index at all."""
        return inode_of(self._disk, self._path) == 0

    def start_over(self, damaged: int, quarantine: Quarantine) -> bool:
        """Put the damaged file aside and an empty index in its place; False if another process has done so."""
        with self._writing.mutex, self._writing:
            self._disconnect_writer()
            with self._reader.mutex:
                self._reader.disconnect()
            present = inode_of(self._disk, self._path)
            if present not in (0, damaged):
                return False
            try:
                for name in (*(self._path + side for side in SIDE_FILES), self._path):  # a log must never meet another
                    quarantine.take(name)
            except OSError as error:
                raise BackendUnavailable(f"{self._path}: {error.strerror or error}") from error
            create(self._disk, self._path)
            self.error = None
            return True

    def close(self) -> None:
        """Stop the thread and disconnect. What is still pending is lost to the index, and to it alone."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        with self._writing.mutex:
            self._disconnect_writer()
        self._writing.close()
        with self._reader.mutex:
            self._reader.disconnect()

    # -- a fork --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> list[threading.Lock]:
        """Close what SQLite has open, and keep it so until the locks that this returns are released.

        A connection opened in the child would share SQLite's picture of file locks that the child does not hold.
        """
        held = [lock for lock in (self._writing.mutex, self._reader.mutex) if lock.acquire(timeout=_FORK_SECONDS)]
        if len(held) == 2:  # noqa: PLR2004 - both of them
            self._disconnect_writer()
            self._reader.disconnect()
        return held

    def after_fork(self) -> None:
        """In the child: begin anew, and never finalise what a fork caught in use."""
        _abandoned.extend(filter(None, (self._reader.held, self._writer)))
        self.renew()

    # -- within --------------------------------------------------------------------------------------------------------

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """A transaction behind that of what is pending: what was derived since is put beside what was noted before."""
        with self._writing.mutex, self._writing:
            self._flush()
            connection = self._writer_connection()
            with translated(self._path, self._writer_inode), transaction(connection):
                change(connection)
            self._written = True

    def _flush(self) -> None:
        batch = self._pending.take()
        if not batch:
            return
        try:
            connection = self._writer_connection()
            with translated(self._path, self._writer_inode), transaction(connection):
                apply_all(connection, batch)
        except BaseException as error:
            self._pending.put_back()
            if isinstance(error, VaultError):
                self.error = type(error)(str(error))  # not the one that is raised: its frames hold descriptors
            raise
        self._pending.landed()
        self._written = True
        self.error = None

    def _run(self, first: Callable[[], None]) -> None:
        first()
        patience = BATCH_SECONDS
        while True:
            self._wake.wait()
            if self._stop.wait(patience):
                return
            self._wake.clear()
            if self._stop.is_set():
                return  # close() may have come just before: the wake that was cleared was then its own
            try:
                self.flush()
            except VaultError as error:
                _log.warning("the index was not written, and will be: %s", str(error))
                patience = min(2 * patience, _PATIENCE_SECONDS)
                self._wake.set()
            else:
                patience = BATCH_SECONDS

    def _lookup(self, locator: str) -> IndexedSession:
        with self._reader.mutex:
            try:
                connection = self._reader.connection(check=False)
            except BackendUnavailable:
                if self._writable:
                    raise
                return NOTHING
            try:  # not ``translated``, which is a third of what this costs: it is asked for each file that is opened
                text = "SELECT key, witness FROM sessions WHERE locator = ?"
                if found := connection.execute(text, (locator,)).fetchone():
                    # A row stands above every tombstone of its session: a file below the one is below the other.
                    return IndexedSession(unpack_witness(found[1]), None, found[0])
                text = "SELECT key, generation, mac FROM tombstones WHERE locator = ?"
                found = connection.execute(text, (locator,)).fetchone()
                return IndexedSession(None, tombstone_from(*found), None) if found else NOTHING
            except FOREIGN as error:
                raise translation(error, self._path, self._reader.inode) from error

    def _put(self, connection: sqlite3.Connection, name: str, value: int) -> None:
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _writer_connection(self) -> sqlite3.Connection:
        if self._writer is not None and inode_of(self._disk, self._path) != self._writer_inode:
            self._disconnect_writer()
        if self._writer is None:
            self._writer, self._writer_inode = connect(self._disk, self._path, writable=True, fall_back=False)
        return self._writer

    def _disconnect_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
