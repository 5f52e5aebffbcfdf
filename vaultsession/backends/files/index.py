"""The index: a SQLite file that lists the sessions, and keeps the newest version of each that was acknowledged.

It is written behind the sessions. An entry waits in a buffer; a thread writes the buffer at most every 50 ms, and
``flush`` writes it before this process lists. Each transaction is made under a short blocking lock, so that SQLite
never meets contention (its own waiting cost 1 to 3 s at worst with four processes). A fork finds no connection open.

Decision (2026-11): an index beside which there is no log is read as it lies there, and what was read counts if nothing
in the directory was made or removed meanwhile. Log and shared memory, made for a reader and removed behind it, were a
third of opening a store, and no reader of a quiet vault leaves a trace in it now.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from ...errors import BackendUnavailable, VaultError
from ...format.ids import LOCATOR, locator_of
from ...format.sealed import IndexRow, LostRow, Tombstone, Witness
from ...util.disk import Disk
from ...util.named_tuple import NamedTuple
from ...util.reentry import Lock, is_ours, not_ours
from . import index_queries
from .index_schema import (
    FOREIGN,
    SIDE_FILES,
    UNTAGGED,
    Connected,
    DirectoryState,
    IndexDamaged,
    IndexEntry,
    apply_all,
    connect,
    connect_quiet,
    create,
    directory_state,
    inode_of,
    newest_witness,
    put_meta,
    rebuild_tags,
    tombstone_from,
    transaction,
    translated,
    translation,
    unpack_witness,
    witness_of,
)
from .index_thread import IndexThread
from .layout import FilesLayout
from .locks import PathLock
from .quarantine import Quarantine

_LOOKUP = (
    "SELECT 'sessions', key, witness, mark, generation, seq, version FROM sessions WHERE locator = :locator"
    " UNION ALL SELECT 'lost', key, witness, NULL, NULL, NULL, NULL FROM lost WHERE locator = :locator"
    " UNION ALL SELECT 'tombstones', key, NULL, NULL, generation, mac, NULL FROM tombstones WHERE locator = :locator"
)
"""All that there is of a session, in one transaction: its first row counts, and none behind it is looked for."""

_FORK_SECONDS = 1.0
_SETTLED = "settled"
"""Kept by what has to be a commit, and has nothing else to write: a thread may have written it before, unflushed."""

_abandoned: list[sqlite3.Connection] = []
"""Connections in use at a fork: closing one in the child would release locks and files of the parent."""

T = TypeVar("T")


class IndexedSession(NamedTuple):
    """One session in the index: the newest version known to be there, its tombstone, and the key of its row.

    ``flushed`` is the newest version that a power cut leaves as well. ``problem``: why the index could not be asked.
    The key is as it stands in the index: to be compared before it is used.
    """

    witness: Witness | None
    tombstone: Tombstone | None
    key: str | None
    flushed: Witness | None = None
    problem: str | None = None


_UNKNOWN = IndexedSession(None, None, None)


class IndexConnection:
    """A connection to the file that the path names: opened on first use, and again where that is another file by now.

    Used under the lock of its owner.
    """

    def __init__(self, disk: Disk, path: str, *, writable: bool, fall_back: bool) -> None:
        self._disk = disk
        self._path = path
        self._how = {"writable": writable, "fall_back": fall_back}
        self.open: sqlite3.Connection | None = None
        self._quiet: DirectoryState | None = None
        self._is_whole = True
        self.inode = 0
        self.met_another = False
        """Whether the path named another file later than at first: what was written to the first may be missing."""

    def get(self, *, check: bool = True) -> sqlite3.Connection:
        """The connection; ``check`` False spares a look at the path."""
        if self.open is not None and check and inode_of(self._disk, self._path) != self.inode:
            self.close()  # another process has rebuilt the index
        if not self._is_whole:
            self.close()  # it could not be opened for writing: perhaps it can by now
        return self.open or self._take(connect(self._disk, self._path, **self._how))

    def ask(self, query: Callable[[sqlite3.Connection], T], *, check: bool = True) -> T:
        """The result of a query that only reads. An index that nobody writes is read without SQLite's locks and files.

        That it was so the whole time is seen when the query is over; otherwise it is asked again, with them.
        """
        if self.open is None and (found := connect_quiet(self._disk, self._path)) is not None:
            self._take(found)
        if self.open is not None and self._quiet is not None:
            with contextlib.suppress(*FOREIGN, OSError):
                result = query(self.open)
                if directory_state(self._disk, self._path) == self._quiet:
                    return result
            self.close()
        return query(self.get(check=check))

    def _take(self, found: Connected) -> sqlite3.Connection:
        self.met_another = self.met_another or self.inode not in (0, found.inode)
        self.open, self.inode, self._is_whole, self._quiet = found
        return found.connection

    def close(self) -> None:
        """Disconnect. Idempotent."""
        self._quiet = None
        if self.open is not None:
            self.open.close()
            self.open = None


class IndexBuffer:
    """Entries that wait to be written, one a session, and those of the transaction under way. Safe from any thread."""

    def __init__(self) -> None:
        self._waiting: dict[str, IndexEntry] = {}
        self._taken: dict[str, IndexEntry] = {}
        self._mutex = threading.RLock()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._taken)

    def add(self, locator: str, entry: IndexEntry) -> None:
        """Merge an entry into what waits of the session."""
        with self._mutex:
            self._waiting[locator] = _merge(self._waiting.get(locator), entry)

    def get(self, locator: str) -> IndexEntry | None:
        """Everything about a session that is not known to be written."""
        with self._mutex:
            waiting, taken = self._waiting.get(locator), self._taken.get(locator)
        return taken if waiting is None else _merge(taken, waiting)

    def take(self) -> dict[str, IndexEntry]:
        """All entries, to be written: ``written`` or ``restore`` comes next."""
        with self._mutex:
            self._taken, self._waiting = self._waiting, {}
            return self._taken

    def written(self) -> None:
        """The entries that were taken are in the index."""
        self._taken = {}

    def restore(self) -> None:
        """The entries that were taken could not be written: they wait again."""
        with self._mutex:
            for locator, entry in self._taken.items():
                since = self._waiting.get(locator)
                self._waiting[locator] = entry if since is None else _merge(entry, since)
            self._taken = {}


class Index:
    """One vault's index. Safe from any thread. Raises ``IndexDamaged`` and ``BackendUnavailable``."""

    def __init__(self, disk: Disk, layout: FilesLayout, *, writable: bool, durable: bool) -> None:
        self._disk = disk
        self._path = layout.index
        self._lock_path = layout.index_lock
        self._writable = writable
        self._durable = durable
        self.boot = disk.boot()
        """The start of the system that what is written without a flush lasts with; 0 where it is not known."""
        self.renew()

    def renew(self) -> None:
        """Begin as after opening: in a forked child, which has no entries and shares nothing."""
        self._buffer = IndexBuffer()
        self._reader = IndexConnection(self._disk, self._path, writable=self._writable, fall_back=True)
        self._reader_mutex = threading.RLock()
        self._writer = IndexConnection(self._disk, self._path, writable=True, fall_back=False)
        self._writer_lock = PathLock(self._disk, self._lock_path)
        self._thread: IndexThread | None = None
        self._is_due = False
        self._is_closed = False
        self._starting = threading.RLock()
        self._unsynced = False

    def start(self, first: Callable[[], None]) -> None:
        """Have a thread write the buffer, and call ``first`` before anything else. If it runs already, call it here."""
        with not_ours(self._starting):
            if self._thread is None and not self._is_closed:
                self._thread = IndexThread.joined(self._path, first)
                if self._buffer:
                    self._wake_up()
                return
        first()

    # -- writing -------------------------------------------------------------------------------------------------------

    def add(self, row: IndexRow, *, flushed: bool) -> None:
        """A session has a new head; ``flushed`` moves the witness to it. Written later."""
        witness = row.witness if flushed else None
        self._buffer.add(row.key[LOCATOR], IndexEntry(row, None, witness, boot=self.boot))
        self._wake_up()

    def add_tombstone(self, tombstone: Tombstone) -> None:
        """A session was removed. Written later."""
        locator = locator_of(tombstone.key)  # what the session was called goes with its file
        self._buffer.add(locator, IndexEntry(None, tombstone._replace(key=locator), None))
        self._wake_up()

    def write(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """One transaction, behind that of the buffer: a rebuilt row is compared with entries that came before it."""
        with self._writer_lock.mutex, self._writer_lock:
            self._flush()
            connection = self._writer.get()
            with translated(self._path, self._writer.inode), transaction(connection):
                change(connection)
            self._unsynced = True

    def flush(self, *, durable: bool = False) -> None:
        """Write the buffer; ``durable``: and flush it to the medium, with all that was written before."""
        if self._is_closed or not (self._buffer or durable):
            return
        with self._writer_lock.mutex, self._writer_lock:
            if not self._is_closed:
                self._flush({_SETTLED: 1} if durable else None, durable=durable)

    def flush_due(self) -> None:
        """See ``Buffered``."""
        self._is_due = False
        try:
            self.flush()
        except VaultError:
            self._is_due = True
            raise

    def sync(self, tokens: Callable[[], Mapping[str, int]], *, others: bool = False) -> None:
        """Write the buffer and flush the file: what a marker waits for before it is clean. ``tokens`` are kept with it.

        ``others``: also the transactions of other stores, which may have been read and never flushed. Where there is
        nothing to be flushed the tokens are not asked for.
        """
        if not self._unsynced and not self._buffer and not others:
            return
        with self._writer_lock.mutex, self._writer_lock:
            connection = self._writer.get()
            with translated(self._path, self._writer.inode):
                if UNTAGGED in index_queries.meta(connection):  # a rebuild failed at its last step
                    with transaction(connection):
                        rebuild_tags(connection)
                self._flush({_SETTLED: 1, **tokens()}, durable=self._durable or others)
                # For the size of the log: a passive one, since the others wait for a reader that was stopped half-way.
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._unsynced = False

    def put_meta(self, name: str, value: int) -> None:
        """Keep a number under a name, flushed."""
        with self._writer_lock.mutex, self._writer_lock:
            self._flush({name: value}, durable=self._durable)

    def rebuild_tags(self) -> None:
        """Make the table of tags from the rows; a reader sees the old one until then.

        In an empty index nothing is written, so that nothing has to be flushed.
        """
        if not self.read(index_queries.is_empty):
            self.write(rebuild_tags)

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """The result of a query. Not of a generator: the connection is the query's own only until it returns."""
        with not_ours(self._reader_mutex):
            try:
                return self._reader.ask(query)
            except FOREIGN as error:
                raise translation(error, self._path, self._reader.inode) from error

    def lookup(self, locator: str) -> IndexedSession:
        """One session, the buffer included. A damaged index knows nothing, until it is rebuilt."""
        buffered = self._buffer.get(locator)
        try:
            written = self._lookup(locator)
        except IndexDamaged:
            written = _UNKNOWN
        except BackendUnavailable as error:
            written = _UNKNOWN._replace(problem=str(error))
        if buffered is None:
            return written
        tombstone = buffered.tombstone or written.tombstone
        witness, flushed = written.witness, newest_witness(buffered.witness, written.flushed)
        if buffered.row is not None and buffered.boot:
            witness = newest_witness(buffered.row.witness, witness)
        witness = newest_witness(witness, flushed)
        if tombstone is not None and witness is not None and witness.generation <= tombstone.generation:
            witness = flushed = None
        if buffered.row is not None:
            return IndexedSession(witness, tombstone, buffered.row.key, flushed, written.problem)
        key = None if buffered.tombstone is not None else written.key
        return IndexedSession(witness, tombstone, key, flushed, written.problem)

    def lost(self, locator: str) -> LostRow | None:
        """The row of a session whose container is gone, the buffer included. None where it cannot be read."""
        buffered = self._buffer.get(locator)
        if buffered is not None and buffered.row is not None:
            return LostRow._make(buffered.row)
        with contextlib.suppress(IndexDamaged):
            return self.read(partial(index_queries.lost, locator=locator))
        return None

    # -- the file ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def disconnected(self) -> Iterator[None]:
        """No connection of this process within: its files may be opened, which would drop SQLite's own locks."""
        with self._writer_lock.mutex, self._writer_lock, not_ours(self._reader_mutex):
            self._flush()
            self._writer.close()
            self._reader.close()
            yield

    @property
    def was_replaced(self) -> bool:
        """Whether another process, or who restored a backup, has put another index in the place of this one."""
        return self._reader.met_another or self._writer.met_another

    def is_missing(self) -> bool:
        """Whether there is no index at all."""
        return inode_of(self._disk, self._path) == 0

    def start_over(self, damaged: int, quarantine: Quarantine) -> bool:
        """Quarantine the damaged file and put an empty index in its place; False if another process has done so.

        ``damaged`` is the inode of the file; 0 for none.
        """
        with self._writer_lock.mutex, self._writer_lock:
            self._writer.close()
            with not_ours(self._reader_mutex):
                self._reader.close()
            if inode_of(self._disk, self._path) not in (0, damaged):
                return False
            try:
                for name in (*(self._path + side for side in SIDE_FILES), self._path):  # a log must never meet another
                    quarantine.take(name)
            except OSError as error:
                raise BackendUnavailable(f"{self._path}: {error.strerror or error}") from error
            create(self._disk, self._path)
            self._reader.inode = self._writer.inode = 0
            return True

    def close(self) -> None:
        """Leave the thread and disconnect. What is still in the buffer is lost to the index, and to it alone."""
        self._is_closed = True
        with contextlib.ExitStack() as steps:  # each is done, also when one before it is interrupted
            steps.callback(self._disconnect)
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.leave()

    def _disconnect(self) -> None:
        with self._writer_lock.mutex:
            self._writer.close()
        self._writer_lock.close()
        with not_ours(self._reader_mutex):
            self._reader.close()

    # -- a fork --------------------------------------------------------------------------------------------------------

    def before_fork(self) -> list[Lock]:
        """Disconnect, and prevent a new connection until the locks that this returns are released.

        A connection opened in the child would share SQLite's picture of file locks that the child does not hold.
        """
        if self._writer_lock.is_ours() or is_ours(self._reader_mutex):
            return []  # a fork in a signal handler: the connection is in use below it
        mutexes = (self._writer_lock.mutex, self._reader_mutex)
        held = [mutex for mutex in mutexes if mutex.acquire(timeout=_FORK_SECONDS)]
        if len(held) == len(mutexes):
            self._writer.close()
            self._reader.close()
        return held

    def after_fork(self) -> None:
        """In the child: begin anew, and never finalise a connection that was in use at the fork."""
        _abandoned.extend(filter(None, (self._reader.open, self._writer.open)))
        self.renew()

    # -- within --------------------------------------------------------------------------------------------------------

    def _wake_up(self) -> None:
        if self._thread is not None and not self._is_due:
            self._is_due = True
            self._thread.wake(self)

    def _flush(self, kept: Mapping[str, int] | None = None, *, durable: bool = False) -> None:
        """Write the buffer and the numbers to be kept, in one transaction; ``durable``: flushed, with all before it."""
        entries = self._buffer.take()
        if not entries and not kept:
            return
        try:
            connection = self._writer.get()
            with (
                translated(self._path, self._writer.inode),
                self._flushed(connection, durable=durable),
                transaction(connection),
            ):
                apply_all(connection, entries)
                put_meta(connection, kept or {})
        except BaseException:
            self._buffer.restore()
            raise
        self._buffer.written()
        self._unsynced = True

    @contextlib.contextmanager
    def _flushed(self, connection: sqlite3.Connection, *, durable: bool) -> Iterator[None]:
        """Flush what is committed within, where it is to be ``durable``.

        A commit with synchronous=FULL flushes the log with all that earlier commits have put there. (Opening the files
        to flush them would drop SQLite's own locks.)
        """
        if not durable:
            yield
            return
        connection.execute("PRAGMA synchronous = FULL")
        try:
            yield
        finally:
            connection.execute("PRAGMA synchronous = NORMAL")
        self._disk.index_flushed()

    def _lookup(self, locator: str) -> IndexedSession:
        with not_ours(self._reader_mutex):
            try:  # not ``translated``, which is a third of what this costs: called for each file that is opened
                found = self._reader.ask(
                    lambda connection: connection.execute(_LOOKUP, {"locator": locator}).fetchone(), check=False
                )
                if found is None:
                    return _UNKNOWN
                table, key, witness, mark, *point = found
                if table == "tombstones":
                    return IndexedSession(None, tombstone_from(key, *point[:2]), None)
                # A row stands above every tombstone of its session: a file below the one is below the other.
                flushed = unpack_witness(witness)
                if table == "lost":
                    return IndexedSession(flushed, None, key)
                return IndexedSession(witness_of(flushed, mark, self.boot, *point), None, key, flushed)
            except BackendUnavailable:
                if self._writable:
                    raise
                return _UNKNOWN
            except FOREIGN as error:
                raise translation(error, self._path, self._reader.inode) from error


def _merge(before: IndexEntry | None, after: IndexEntry) -> IndexEntry:
    """Two entries about one session as one."""
    if before is None:
        return after
    if (  # one flushed write behind another, as nearly all are
        before.tombstone is None
        and after.tombstone is None
        and before.row is not None
        and after.row is not None
        and after.witness is not None
        and before.row[1:3] <= after.row[1:3]
        and (before.witness is None or before.witness <= after.witness)
        and before.boot == after.boot
    ):
        return after
    tombstone = after.tombstone or before.tombstone
    row = after.row
    if row is None or (before.row is not None and before.row[1:3] > row[1:3]):
        row = before.row
    witness = newest_witness(before.witness, after.witness)
    if tombstone is not None:
        if row is not None and row.generation <= tombstone.generation:
            row = None
        if witness is not None and witness.generation <= tombstone.generation:
            witness = None
    return IndexEntry(row, tombstone, witness, boot=after.boot or before.boot)
