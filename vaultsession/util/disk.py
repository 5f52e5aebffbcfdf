"""Disk: the few system calls that a vault on a file system makes, as one replaceable object.

Everything that a vault directory writes, apart from SQLite's own files, goes through here, so that a test can fail the
k-th call, or lose what was not flushed. Names and errors are those of ``os``; nothing is retried or hidden, apart from
what a platform needs to keep the contract of the call: F_FULLFSYNC on macOS, and Windows' refusal to replace a file
that someone reads. Both have only been simulated. What root makes it gives to the owner of the directory.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import sys
import time
from collections.abc import Callable, Generator, Iterator

from . import ownership, statx

if sys.platform != "win32":
    import fcntl

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700
SPOILED_FILE = 0o400

READ = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
"""Open for reading: never through a link, never waiting for the other end of a FIFO."""
READ_WRITE = READ | os.O_RDWR
CREATE = READ_WRITE | os.O_CREAT
CREATE_NEW = CREATE | os.O_EXCL

REPLACE_PATIENCE = 2.0
"""Seconds during which a refused replacement is tried again, on platforms where a reader can refuse it."""

_READ_ATTEMPTS = 100
_F_FULLFSYNC = 51
_NOISE = 1 << 20


class Disk:
    """The real file system. Stateless: safe from any thread."""

    platform = sys.platform

    open = staticmethod(ownership.open_file)
    close = staticmethod(os.close)
    stat = staticmethod(os.lstat)
    look = staticmethod(statx.look)
    fstat = staticmethod(os.fstat)
    mkdir = staticmethod(ownership.make_directory)
    rmdir = staticmethod(os.rmdir)
    link = staticmethod(os.link)
    unlink = staticmethod(os.unlink)
    listdir = staticmethod(os.listdir)
    readlink = staticmethod(os.readlink)
    rename = staticmethod(os.replace)

    if sys.platform != "win32":
        pread = staticmethod(os.pread)
        pwrite = staticmethod(os.pwrite)
        fchmod = staticmethod(os.fchmod)
        flock = staticmethod(fcntl.flock)
    else:  # pragma: no cover - Windows only

        @staticmethod
        def pread(fd: int, size: int, offset: int) -> bytes:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, size)

        @staticmethod
        def pwrite(fd: int, data: bytes, offset: int) -> int:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.write(fd, data)

        @staticmethod
        def fchmod(fd: int, mode: int) -> None:
            """Windows has no modes on descriptors."""

    def fsync(self, fd: int) -> None:
        """Flush data and metadata of a file, or the entries of a directory, to the medium itself."""
        if self.platform == "darwin":
            self.fcntl(fd, _F_FULLFSYNC)  # macOS' fsync stops at the drive's cache
        else:
            os.fsync(fd)

    def sync(self) -> None:
        """Ask the system to write out what it holds. A hint: only ``fsync`` says that it did."""
        if hasattr(os, "sync"):
            os.sync()

    def index_flushed(self) -> None:
        """SQLite has flushed the log of an index that it keeps. Nothing to be done: for disks that keep account."""

    def begin_flush(self, fd: int) -> None:
        """Ask the system to begin writing out a file that will be flushed. A hint: nothing is waited for.

        Of several files that are begun and then flushed, the first flush commits all in the journal of ext4: a quarter
        less time where three were measured, on a busy disk.
        """
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # which writes first what is dirty

    def begin_read(self, fd: int, size: int, offset: int) -> None:
        """Ask the system to begin reading what will be read; size 0: up to the end. A hint: nothing is waited for.

        Of many files that are begun and then read the waits overlap: 10 000 that were not in memory took 0.3 s and not
        1.2 on XFS, as with eight threads and without what these cost where the files are in memory.
        """
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, offset, size, os.POSIX_FADV_WILLNEED)

    def fdatasync(self, fd: int) -> None:
        """Flush data and size of a file: all that an append needs."""
        if self.platform == "darwin" or not hasattr(os, "fdatasync"):
            self.fsync(fd)
        else:
            os.fdatasync(fd)

    def fcntl(self, fd: int, command: int) -> None:
        fcntl.fcntl(fd, command)

    def replace(self, source: str, target: str) -> None:
        """Rename over the target, atomically. Where a reader can refuse that, try again for a bounded time."""
        deadline = time.monotonic() + REPLACE_PATIENCE
        while True:
            try:
                return self.rename(source, target)
            except PermissionError:
                if self.platform != "win32" or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def names(self, path: str) -> Generator[str]:
        """What ``listdir`` gives, as it is read: of a million names never more than a few at a time."""
        with os.scandir(path) as entries:
            for entry in entries:
                yield entry.name

    def sync_directory(self, path: str) -> None:
        """Flush the entries of a directory: what makes a name, new or gone, survive a power cut."""
        if self.platform == "win32":
            return  # NTFS journals names with the rename itself, and directories cannot be opened
        fd = self.open(path, READ)
        try:
            self.fsync(fd)
        finally:
            self.close(fd)

    def has_room(self, path: str, size: int) -> bool:
        """Whether a new file of that size seems to fit: a hint, since others write as well."""
        try:
            room = os.statvfs(path)
        except (OSError, AttributeError):
            return True
        return room.f_bavail * room.f_frsize >= size and (room.f_files == 0 or room.f_favail > 0)

    def boot(self) -> int:
        """Which start of the system this is; 0 where that is not known. Until the next nothing written is lost."""
        return _boot()

    def filesystem(self, path: str) -> str:
        """The type of the file system that holds the path, as in ``ext4`` or ``nfs4``; empty where it is unknown."""
        try:
            found = os.lstat(path)
        except OSError:
            return _filesystem(path, 0, 0)
        return _filesystem(path, found.st_dev, found.st_ino)


@functools.lru_cache(1)
def _boot() -> int:
    with contextlib.suppress(OSError, ValueError), open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as id_:
        return int(id_.read(36).replace(b"-", b""), 16) >> 65
    return 0


@functools.lru_cache(64)
def _filesystem(path: str, device: int, inode: int) -> str:
    """The type of the file system of this very directory. The table of mounts is long on some hosts."""
    del device, inode  # another one that was mounted there meanwhile has others
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", "rb", buffering=0) as table:
        return filesystem_in(table.read(), os.fsencode(os.path.realpath(path)))
    return ""


def filesystem_in(table: bytes, path: bytes) -> str:
    """The type of the innermost mount of a table of mounts (``proc(5)``, mountinfo) that holds an absolute path."""
    below = path.rstrip(b"/") + b"/"
    best, kind = b"", b""
    for row in table.splitlines():
        mount = row.split(b" ", 5)[4]
        if b"\\" in mount:  # a space, say, as \040; few have any, and the codec would be imported for each opening
            mount = mount.decode("unicode_escape").encode("latin-1")
        mount = mount.rstrip(b"/") + b"/"
        if below.startswith(mount) and len(mount) >= len(best):
            best, kind = mount, row.partition(b" - ")[2].split(b" ", 1)[0]
    return os.fsdecode(kind)


def write_all(disk: Disk, fd: int, data: bytes, offset: int) -> None:
    """Write everything at the offset. A short write is continued; a medium that takes nothing is an ``OSError``."""
    done = disk.pwrite(fd, data, offset)
    while done < len(data):
        wrote = disk.pwrite(fd, data[done:], offset + done)
        if wrote == 0:
            raise OSError(f"wrote {done} of {len(data)} bytes")
        done += wrote


def read_all(disk: Disk, fd: int, size: int, offset: int) -> bytes:
    """Read ``size`` bytes at the offset, or fewer where the file ends before."""
    data = disk.pread(fd, size, offset)
    while len(data) < size:
        more = disk.pread(fd, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def write_new(disk: Disk, path: str, data: bytes, *, flush: bool = True) -> None:
    """Create a private file that must not exist, write it fully and flush it; gone again if any of that fails."""
    fd = disk.open(path, CREATE_NEW, PRIVATE_FILE)
    try:
        write_all(disk, fd, data, 0)
        if flush:
            disk.fsync(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(path)
        raise
    finally:
        disk.close(fd)


def is_there(disk: Disk, path: str) -> bool:
    """Whether a path names something, a link that leads nowhere included. Any other ``OSError`` passes through."""
    try:
        disk.stat(path)
    except FileNotFoundError:
        return False
    return True


def shred_file(disk: Disk, path: str) -> None:
    """Write noise over a private file, flushed, and remove its name. One that is not there is well. ``OSError``.

    The medium may keep what was there: in a journal, a snapshot, or a cell that it has replaced.
    """
    with contextlib.suppress(FileNotFoundError):
        if not disk.stat(path).st_mode & stat.S_IWUSR:  # spoiled, see SPOILED_FILE
            with opened(disk, path) as fd:
                disk.fchmod(fd, PRIVATE_FILE)
        with opened(disk, path, READ_WRITE) as fd:
            status = disk.fstat(fd)
            if reason := why_not_private(status):
                raise PermissionError(f"{path}: {reason}; it was not overwritten")
            for offset in range(0, status.st_size, _NOISE):
                write_all(disk, fd, os.urandom(min(_NOISE, status.st_size - offset)), offset)
            disk.fsync(fd)
        disk.unlink(path)


def replace_file(disk: Disk, temporary: str, path: str, data: bytes, *, flush: bool = True) -> None:
    """Replace a file atomically: temp beside it, written and flushed, renamed, the directory flushed."""
    write_new(disk, temporary, data, flush=flush)
    try:
        disk.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(temporary)
        raise
    if flush:
        disk.sync_directory(os.path.dirname(path))


def make_directories(disk: Disk, path: str) -> list[str]:
    """Make a private directory and what is missing above it, by an absolute path.

    Returns the directories that have a new entry since, which are to be flushed.
    """
    missing = []
    while True:
        try:
            disk.stat(path)
            break
        except FileNotFoundError:
            if path == os.path.dirname(path):  # a drive that is not there, or a path that is not absolute
                raise
            missing.append(path)
            path = os.path.dirname(path)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process is as far
            disk.mkdir(directory, PRIVATE_DIRECTORY)
    return [os.path.dirname(directory) for directory in missing]


def why_not_private(status: os.stat_result, *, directory: bool = False, linked: bool = False) -> str | None:
    """Why a file or directory is not one of ours alone, in words, or None: its type, owner, links and write modes.

    ``linked`` lets a file have several names, as a backup by hard links gives it: one that is read, and never written
    to in place.
    """
    if directory:
        if not stat.S_ISDIR(status.st_mode):
            return "not a directory"
    elif not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    elif status.st_nlink != 1 and not linked:
        return f"it has {status.st_nlink} names (hard links)"
    if hasattr(os, "geteuid"):
        if status.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
            return f"owned by user {status.st_uid}, not by us"
        if status.st_mode & 0o022:
            return f"writable by group or others (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def why_not_ours(status: os.stat_result) -> str | None:
    """``why_not_private`` for a file that is only read, or replaced as a whole."""
    return why_not_private(status, linked=True)


def why_not_trusted(status: os.stat_result) -> str | None:
    """Why what a file says is not to be obeyed, in words, or None: beside ``why_not_private``, whose file it is.

    Root may write anywhere and so owns nothing in particular: it takes orders from its own files, and through sudo from
    those of the user who typed the command.
    """
    if reason := why_not_private(status):
        return reason
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not is_masters(status.st_uid):
        return f"owned by user {status.st_uid}, and root takes only files of root, or of the user of sudo"
    return None


def is_masters(uid: int) -> bool:
    """Whether a user is one whose files this process obeys: itself, root, and for root the user of sudo."""
    user = os.geteuid()
    return uid in (0, user) or (user == 0 and os.environ.get("SUDO_UID", "") == str(uid))


def refuse_link(disk: Disk, directory: str) -> None:
    """``NotADirectoryError`` where the directory is a link or anything else: beneath it every path leads elsewhere.

    Asked before a file in it is opened by its path. Between the two somebody who may write to the vault's own directory
    can still put a link there: against that race a name is no defence.
    """
    if not stat.S_ISDIR(disk.stat(directory).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "a link or a file in the place of a directory of the vault", directory)


def sync_tree(disk: Disk, path: str) -> None:
    """Flush a directory with everything below it, once for all that was written without a flush. ``OSError``.

    The system is asked to write everything first, which is quick and reports no error; then each file is flushed, which
    costs little by then and does report them.
    """
    disk.sync()
    _sync_below(disk, path)


def _sync_below(disk: Disk, path: str) -> None:
    for name in disk.listdir(path):
        below = os.path.join(path, name)
        try:
            mode = disk.stat(below).st_mode
            if stat.S_ISDIR(mode):
                _sync_below(disk, below)
            elif stat.S_ISREG(mode):
                with opened(disk, below) as fd:
                    disk.fsync(fd)
        except FileNotFoundError:
            continue  # removed meanwhile
    disk.sync_directory(path)


@contextlib.contextmanager
def opened(disk: Disk, path: str, flags: int = READ, mode: int = PRIVATE_FILE) -> Iterator[int]:
    """A descriptor that is closed again."""
    fd = disk.open(path, flags, mode)
    try:
        yield fd
    finally:
        disk.close(fd)


def read_file(
    disk: Disk,
    path: str,
    *,
    limit: int,
    refusal: Callable[[os.stat_result], str | None] = why_not_private,
) -> bytes:
    """A small private file, whole. ``OSError`` for one that is not ours alone, ``ValueError`` beyond the limit.

    One that was replaced between its opening and the look at it has no name any more: the one in its place is read.
    """
    for _ in range(_READ_ATTEMPTS):
        with opened(disk, path) as fd:
            status = disk.fstat(fd)
            if status.st_nlink == 0:
                continue
            if reason := refusal(status):
                raise PermissionError(f"{path}: {reason}")
            if status.st_size > limit:
                raise ValueError(f"{path}: {status.st_size} bytes; the bound is {limit}")
            return read_all(disk, fd, status.st_size, 0)
    raise BlockingIOError(errno.EAGAIN, "replaced faster than it can be read", path)
