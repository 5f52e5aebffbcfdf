"""The SQLite file of the index: its tables, opening and creating it, and writing and reading one row.

Whatever is wrong with the file, from a flipped bit to a trigger that someone added, is ``IndexDamaged``: the file goes
to quarantine and the index is rebuilt. ``BackendUnavailable`` is for a medium that refuses.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import BackendUnavailable, VaultError
from ...format.ids import is_key_of
from ...format.primitives import blake2b
from ...format.sealed import IndexRow, Tombstone, Witness
from ...util.clock import SystemClock
from ...util.disk import CREATE_NEW, PRIVATE_FILE, Disk, opened, why_not_private
from ...util.named_tuple import NamedTuple
from .layout import refusal

APPLICATION_ID = 0x56535801
USER_VERSION = 2
SIDE_FILES = ("-wal", "-shm", "-journal")

_TABLES = {
    "sessions": (
        "CREATE TABLE sessions(locator TEXT PRIMARY KEY, key TEXT NOT NULL, generation INTEGER NOT NULL,"
        " seq INTEGER NOT NULL, version BLOB NOT NULL, updated INTEGER NOT NULL, expires INTEGER,"
        " size INTEGER NOT NULL, witness BLOB, tags BLOB NOT NULL, blob BLOB NOT NULL, mark BLOB NOT NULL)"
    ),
    "sessions_updated": "CREATE INDEX sessions_updated ON sessions(updated, locator)",
    "sessions_expires": "CREATE INDEX sessions_expires ON sessions(expires) WHERE expires IS NOT NULL",
    "tags": (
        "CREATE TABLE tags(tag BLOB, updated INTEGER, locator TEXT, expires INTEGER,"
        " PRIMARY KEY(tag, updated, locator)) WITHOUT ROWID"
    ),
    "tombstones": (
        "CREATE TABLE tombstones(locator TEXT PRIMARY KEY, key TEXT NOT NULL, generation INTEGER NOT NULL,"
        " mac BLOB NOT NULL) WITHOUT ROWID"
    ),
    "lost": (
        "CREATE TABLE lost(locator TEXT PRIMARY KEY, key TEXT NOT NULL, generation INTEGER NOT NULL,"
        " seq INTEGER NOT NULL, version BLOB NOT NULL, updated INTEGER NOT NULL, expires INTEGER,"
        " size INTEGER NOT NULL, witness BLOB NOT NULL, tags BLOB NOT NULL, blob BLOB NOT NULL)"
    ),
    "meta": "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
}
COLUMNS = "key, generation, seq, version, updated, expires, size, tags, blob"
_PUT_ROW = (
    f"INSERT INTO sessions (locator, witness, mark, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - ours
    " ON CONFLICT (locator) DO UPDATE SET witness = excluded.witness, mark = excluded.mark, "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", "))
)
_PUT_TAG = "INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)"
_EXPIRING = (str, str, int, int, bytes, int, int, int, bytes, bytes)
_TYPES = (_EXPIRING, (*_EXPIRING[:6], type(None), *_EXPIRING[7:]))
UNTAGGED = "untagged"
"""In the table ``meta`` while rows lack their tags: a rebuild writes all tags together, after the last row."""

_TAG_SIZE = 16
_FEW_TAGS = 8
_STARTS = ", ".join(f"({1 + 16 * number})" for number in range(_FEW_TAGS))
_TAG_ALL = (
    "INSERT OR REPLACE INTO tags SELECT substr(tags, start, 16), updated, locator, expires FROM sessions"  # noqa: S608 - ours
    f" CROSS JOIN (SELECT column1 AS start FROM (VALUES {_STARTS}))"
    f" WHERE length(tags) BETWEEN start AND {16 * _FEW_TAGS} ORDER BY 1, 2, 3"
)
"""In the order of the table: a million rows in random order would write each of its pages a hundred times."""
_WITH_MANY_TAGS = f"SELECT locator, updated, expires, tags FROM sessions WHERE length(tags) > {16 * _FEW_TAGS}"  # noqa: S608 - ours
_VERSION_SIZE = 16
_WITNESS_SIZE = 32
_BUSY_SECONDS = 10.0
_TOLD_APART = 2_000_000
"""Microseconds between two changes of a directory that every file system tells apart."""
_PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.~/-"
"""What a URI has as it is, of a path."""

_ROWS = 2048
"""Rows that are kept as they were read: as many as a listing keeps of their heads."""

_ROOM = 64 << 10
_POINT = struct.Struct("<QQQ16s")
_MARK_SIZE = 8

# The primary codes of a medium that refuses; every other code means that the file is not what we wrote.
_REFUSALS = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_CUT_SHORT = sqlite3.SQLITE_IOERR_SHORT_READ


class IndexDamaged(VaultError):
    """The index is gone, or not what was written. ``inode`` names the file that was met; 0 for none."""

    def __init__(self, message: str, *, inode: int = 0) -> None:
        super().__init__(message)
        self.inode = inode


class Connected(NamedTuple):
    """A connection, the inode of its file, and whether it is as it was asked for.

    ``quiet`` is the state of the directory while which it may be asked: it takes no locks.
    """

    connection: sqlite3.Connection
    inode: int
    is_whole: bool = True
    quiet: DirectoryState | None = None


class DirectoryState(NamedTuple):
    """Which directory it is, and when a name in it was made, replaced or removed: ``changed`` in nanoseconds."""

    device: int
    inode: int
    changed: int
    touched: int


class IndexEntry(NamedTuple):
    """One write to the index, about one session.

    ``row`` overwrites what is older, and what stands at the version ``replacing``; ``tombstone`` removes what is not
    younger; ``witness`` names what is flushed. What was written and not flushed lasts as long as the system runs: until
    its next ``boot`` (0: none that is known) the row is a witness itself.
    """

    row: IndexRow | None
    tombstone: Tombstone | None
    witness: Witness | None
    replacing: bytes | None = None
    boot: int = 0


@contextlib.contextmanager
def translated(path: str, inode: int) -> Iterator[None]:
    """Raise SQLite's errors, and those of decoding its values, as ``VaultError``."""
    try:
        yield
    except FOREIGN as error:
        raise translation(error, path, inode) from error


FOREIGN = (sqlite3.Error, ValueError, OverflowError, TypeError)
"""What SQLite and the decoding of its values raise; UnicodeDecodeError is a ValueError."""


def translation(error: Exception, path: str, inode: int) -> VaultError:
    """A ``FOREIGN`` error as a ``VaultError``."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)  # absent where the module could not make sense of a value
        if code is not None and code & 0xFF in _REFUSALS and code != _CUT_SHORT:
            return (
                refusal(path, OSError(errno.ENOSPC, str(error)))
                if _is_full(path)
                else BackendUnavailable(f"{path}: {error}")
            )
    return IndexDamaged(f"{path}: {error}", inode=inode)


def _is_full(path: str) -> bool:
    """Whether a file system has no room left: SQLite says that in many ways, and most of them do not say it."""
    try:
        room = os.statvfs(os.path.dirname(path))
    except (OSError, AttributeError):
        return False
    return room.f_bavail * room.f_frsize < _ROOM or (room.f_files > 0 and room.f_favail == 0)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, also where an interrupt comes between any two steps of it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise


def inode_of(disk: Disk, path: str) -> int:
    """The inode of the index; 0 where there is none."""
    try:
        return disk.stat(path).st_ino
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise refusal(path, error) from error


def connect(disk: Disk, path: str, *, writable: bool, fall_back: bool = True) -> Connected:
    """A connection to the index, its tables checked.

    SQLite follows links, so the files come first.

    ``fall_back``: where nothing may be written, connect for reading. A reader leaves no file behind: SQLite would make
    its side files all the same, so an index without a log is opened as immutable. (What a new writer checkpoints
    meanwhile may then look damaged, to this reader alone.)
    """
    inode, sides = _private_files(disk, path)
    with translated(path, inode):
        if not writable and SIDE_FILES[0] not in sides:
            return Connected(_checked(_connect(path, "immutable=1"), path, inode), inode)
        try:
            connection = _checked(_connect(path, "mode=rw" if writable else "mode=ro"), path, inode)
            if writable and not fall_back:
                _refuse_readonly(connection)
            return Connected(connection, inode)
        except sqlite3.OperationalError:
            if not fall_back:
                raise
        try:
            return Connected(_checked(_connect(path, "mode=ro"), path, inode), inode, not writable)
        except sqlite3.OperationalError:
            # Without a place for its shared memory SQLite reads only a file that is complete in itself.
            if inode_of(disk, path + SIDE_FILES[0]):
                raise
            return Connected(_checked(_connect(path, "immutable=1"), path, inode), inode, not writable)


def connect_quiet(disk: Disk, path: str) -> Connected | None:
    """A connection for reading an index that nobody writes; None where somebody may.

    A third of an opening were SQLite's log and shared memory, made for one reader and removed behind it. Every writer
    begins by making the log: who finds the directory in the same state when a query is over has read what nobody
    changed meanwhile. A directory that has just changed may change again and look the same.
    """
    try:
        state = directory_state(disk, path)
        if disk.platform == "win32" or SystemClock().now() - state.changed // 1000 < _TOLD_APART:
            return None
        inode, sides = _private_files(disk, path)
        if sides:
            return None
        with translated(path, inode):
            return Connected(_checked(_connect(path, "immutable=1"), path, inode), inode, quiet=state)
    except (OSError, VaultError):
        return None  # whatever is wrong with it, ``connect`` finds and tells


def directory_state(disk: Disk, path: str) -> DirectoryState:
    """The state of the directory that holds a path. ``OSError``."""
    found = disk.stat(os.path.dirname(path))
    return DirectoryState(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)


def _refuse_readonly(connection: sqlite3.Connection) -> None:
    """``sqlite3.OperationalError`` where nothing can be written, of a connection that is the only one to write.

    Where a file could not be opened for writing SQLite opens it for reading, says nothing, and stays with that.
    """
    try:
        connection.execute("DELETE FROM sessions WHERE 0")  # begins to write; BEGIN IMMEDIATE would do without
    except BaseException:
        connection.close()
        raise


def _private_files(disk: Disk, path: str) -> tuple[int, set[str]]:
    """The inode of an index whose files are private, and which side files it has; ``IndexDamaged`` for planted ones."""
    inode, sides = 0, set()
    try:
        for side in ("", *SIDE_FILES):
            try:
                status = disk.stat(path + side)
            except FileNotFoundError:
                if not side:
                    raise IndexDamaged(f"{path} is gone") from None
                continue
            inode = inode or status.st_ino
            if reason := why_not_private(status):
                raise IndexDamaged(f"{path}{side}: {reason}", inode=inode)
            if side:
                sides.add(side)
    except OSError as error:
        raise refusal(path, error) from error
    return inode, sides


def create(disk: Disk, path: str) -> None:
    """Put an empty index in place, atomically. Side files of an older one would be taken for its log: they go first.

    Nothing is flushed: an index lost to a power cut is rebuilt, and a writer's marker is dirty before the first session
    is written.
    """
    fresh = path + ".new"
    try:
        for name in (fresh, *(base + side for base in (fresh, path) for side in SIDE_FILES)):
            with contextlib.suppress(FileNotFoundError):
                disk.unlink(name)
        with opened(disk, fresh, CREATE_NEW, PRIVATE_FILE):
            pass
        with translated(fresh, 0):
            connection = _connect(fresh, "mode=rw")
            try:
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("BEGIN")
                create_tables(connection)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {USER_VERSION}")
                connection.execute("COMMIT")
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
        disk.replace(fresh, path)
    except OSError as error:
        raise refusal(path, error) from error


def create_tables(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database."""
    for statement in _TABLES.values():
        connection.execute(statement)


@functools.lru_cache(_ROWS)
def row_from(columns: tuple[Any, ...]) -> IndexRow:
    """The row of a SELECT of the locator and ``COLUMNS``. ``ValueError`` for values that no writer put there.

    The same object for the same columns: a listing that is asked for again need neither check nor compare its rows.
    """
    if tuple(map(type, columns)) not in _TYPES:
        raise ValueError("a row with values of another type")
    locator, key, generation, seq, version, updated, expires, size, tags, blob = columns
    if not is_key_of(key, locator):
        raise ValueError("a row under another locator")
    if len(version) != _VERSION_SIZE or len(tags) % _TAG_SIZE or generation < 0 or seq < 0 or size < 0:
        raise ValueError("a row with impossible values")
    return IndexRow(key, generation, seq, version, updated, expires, size, _split(tags), blob)


def tombstone_from(key: object, generation: object, mac: object) -> Tombstone:
    """The tombstone of three columns. ``ValueError``."""
    if not (isinstance(key, str) and isinstance(generation, int) and isinstance(mac, bytes)) or generation < 0:
        raise ValueError("a tombstone with values of another type")
    return Tombstone(key, generation, mac)


def pack_witness(witness: Witness) -> bytes:
    """32 bytes that compare as witnesses do."""
    return witness.generation.to_bytes(8, "big") + witness.seq.to_bytes(8, "big") + witness.version


def unpack_witness(data: object) -> Witness | None:
    """The witness of a column. ``ValueError``."""
    if data is None:
        return None
    if not isinstance(data, bytes) or len(data) != _WITNESS_SIZE:
        raise ValueError("a witness of another type or length")
    return Witness(int.from_bytes(data[:8], "big"), int.from_bytes(data[8:16], "big"), data[16:])


def newest_witness(one: Witness | None, other: Witness | None) -> Witness | None:
    """The later of two, where None is none."""
    if one is None or other is None:
        return one or other
    return max(one, other)


def mark_of(boot: int, generation: int, seq: int, version: bytes) -> bytes:
    """What marks a point as written since that start of the system. Also a checksum: a flipped bit makes no witness."""
    if not boot:
        return b""
    return blake2b(_POINT.pack(boot, generation, seq, version), digest_size=_MARK_SIZE).digest()


def witness_of(
    flushed: Witness | None, mark: object, boot: int, generation: int, seq: int, version: bytes
) -> Witness | None:
    """The newest point that a row names and that is known to be there still. ``ValueError``."""
    if flushed is not None and (generation, seq, version) == flushed:
        return flushed  # as nearly always: the mark could say no more
    try:
        is_written = mark and mark == mark_of(boot, generation, seq, version)
    except struct.error as error:
        raise ValueError("a row with values of another type") from error
    return newest_witness(Witness(generation, seq, version), flushed) if is_written else flushed


def apply_all(connection: sqlite3.Connection, entries: Mapping[str, IndexEntry], *, tagged: bool = True) -> None:
    """Write every entry; ``tagged`` False leaves new rows without their tags. Within a transaction.

    In the order of the locators, so that neighbours in the tree are written together.
    """
    for locator, entry in sorted(entries.items()):
        apply(connection, locator, entry, tagged=tagged)


def apply(connection: sqlite3.Connection, locator: str, entry: IndexEntry, *, tagged: bool = True) -> None:
    """Write one entry, in version order. Within a transaction."""
    execute = connection.execute
    if entry.tombstone is not None:
        key, generation, mac = entry.tombstone
        execute(
            "INSERT INTO tombstones VALUES (?, ?, ?, ?) ON CONFLICT (locator) DO UPDATE SET key = excluded.key,"
            " generation = excluded.generation, mac = excluded.mac WHERE excluded.generation >= generation",
            (locator, key, generation, mac),
        )
        _remove_row(connection, locator, "generation <= ?", generation)
        execute("DELETE FROM lost WHERE locator = ? AND generation <= ?", (locator, generation))
    if entry.row is not None:
        deleted = execute("SELECT generation FROM tombstones WHERE locator = ?", (locator,)).fetchone()
        if deleted is None or entry.row.generation > deleted[0]:
            _put_row(connection, locator, entry.row, entry, tagged=tagged)


def put_witness(connection: sqlite3.Connection, locator: str, witness: Witness) -> None:
    """Make the row of a session a witness of its point, if it still names that. Within a transaction."""
    packed = pack_witness(witness)
    connection.execute(
        "UPDATE sessions SET witness = ? WHERE locator = ? AND version = ? AND (witness IS NULL OR witness < ?)",
        (packed, locator, witness.version, packed),
    )


def remove_row(connection: sqlite3.Connection, locator: str, version: bytes) -> None:
    """Remove the row of a session, if it still is of this version. Within a transaction."""
    _remove_row(connection, locator, "version = ?", version)


def forget(connection: sqlite3.Connection, locator: str) -> None:
    """Remove the row of a session, and what is remembered of a lost one. Within a transaction."""
    _remove_row(connection, locator, "generation >= ?", 0)
    connection.execute("DELETE FROM lost WHERE locator = ?", (locator,))


def lose_row(connection: sqlite3.Connection, locator: str, version: bytes, witness: Witness) -> None:
    """Take the row of a session whose container is gone out of all listings, and keep its witness.

    Within a transaction; only if it still is of this version.
    """
    connection.execute(
        f"INSERT OR REPLACE INTO lost (locator, witness, {COLUMNS})"  # noqa: S608 - our own text
        f" SELECT locator, ?, {COLUMNS} FROM sessions WHERE locator = ? AND version = ?",
        (pack_witness(witness), locator, version),
    )
    remove_row(connection, locator, version)


def remove_tombstone(connection: sqlite3.Connection, locator: str, tombstone: Tombstone) -> None:
    """Remove a tombstone that is not genuine, if it is still this one."""
    text = "DELETE FROM tombstones WHERE locator = ? AND generation = ? AND mac = ?"
    connection.execute(text, (locator, tombstone.generation, tombstone.mac))


def put_meta(connection: sqlite3.Connection, values: Mapping[str, int]) -> None:
    """Keep each number under its name. Within a transaction."""
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())


def rebuild_tags(connection: sqlite3.Connection) -> None:
    """Make the table of tags from the rows. Within a transaction."""
    connection.execute("DELETE FROM tags")
    connection.execute(_TAG_ALL)
    for locator, updated, expires, tags in connection.execute(_WITH_MANY_TAGS):
        connection.executemany(_PUT_TAG, [(tag, updated, locator, expires) for tag in _split(tags)])
    connection.execute("DELETE FROM meta WHERE name = ?", (UNTAGGED,))


def _put_row(connection: sqlite3.Connection, locator: str, row: IndexRow, entry: IndexEntry, *, tagged: bool) -> None:
    execute = connection.execute
    old = execute(
        "SELECT generation, seq, version, updated, expires, tags, witness FROM sessions WHERE locator = ?", (locator,)
    ).fetchone()
    tags = b"".join(row.tags)
    witness = None if entry.witness is None else pack_witness(entry.witness)
    if old is not None:
        if old[6] is not None and (witness is None or witness < old[6]):
            witness = old[6]
        if (row.generation, row.seq) <= (old[0], old[1]) and old[2] != entry.replacing:
            if witness != old[6]:
                execute("UPDATE sessions SET witness = ? WHERE locator = ?", (witness, locator))
            return
    else:
        for (kept,) in execute("DELETE FROM lost WHERE locator = ? RETURNING witness", (locator,)).fetchall():
            witness = kept if witness is None else max(witness, kept)
    execute(_PUT_ROW, (locator, witness, mark_of(entry.boot, *row[1:4]), *row[:7], tags, row.blob))
    if old is None:
        if tagged:
            _tag(connection, locator, row)
    elif (row.updated, row.expires, tags) != old[3:6]:
        _untag(connection, locator, old[5], old[3])
        _tag(connection, locator, row)


def _remove_row(connection: sqlite3.Connection, locator: str, condition: str, value: object) -> None:
    old = connection.execute(
        f"DELETE FROM sessions WHERE locator = ? AND {condition} RETURNING tags, updated",  # noqa: S608 - our own text
        (locator, value),
    ).fetchall()
    for tags, updated in old:
        _untag(connection, locator, tags, updated)


def _tag(connection: sqlite3.Connection, locator: str, row: IndexRow) -> None:
    connection.executemany(_PUT_TAG, [(tag, row.updated, locator, row.expires) for tag in row.tags])


def _untag(connection: sqlite3.Connection, locator: str, tags: bytes, updated: int) -> None:
    connection.executemany(
        "DELETE FROM tags WHERE tag = ? AND updated = ? AND locator = ?",
        [(tag, updated, locator) for tag in _split(tags)],
    )


@functools.lru_cache(1024)
def _split(tags: bytes) -> tuple[bytes, ...]:
    """The tags of a row; cached, since the rows of a page carry the same few."""
    return tuple([tags[start : start + _TAG_SIZE] for start in range(0, len(tags), _TAG_SIZE)])


def _connect(path: str, mode: str) -> sqlite3.Connection:
    name = path
    if path.strip(_PLAIN):
        from urllib.parse import quote  # noqa: PLC0415 - most paths need none, and it takes 2 ms to import

        name = quote(os.fsencode(path))
    return sqlite3.connect(
        f"file:{name}?{mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _checked(connection: sqlite3.Connection, path: str, inode: int) -> sqlite3.Connection:
    try:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "synchronous = NORMAL"):
            connection.execute(f"PRAGMA {pragma}")
        marks = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
        schema = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    except BaseException:
        connection.close()
        raise
    if marks != [APPLICATION_ID, USER_VERSION] or schema != _TABLES:
        connection.close()
        raise IndexDamaged(f"{path}: not the tables of this version", inode=inode)
    return connection
