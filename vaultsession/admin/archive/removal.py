"""The plaintext file of a sealed session, removed: after a look at both, and never while somebody has it open.

1. Every part is read from the vault, written out again in memory and compared with the bytes of the file.
2. On Linux a lease on the file says that nobody else has it open, and keeps whoever opens it waiting until the end.
3. The file gets another name beside its own (``LEFTOVER``). Its own name is free: who opens it now begins a new file.
4. It is looked at once more: as long as it was, last written when it was, and its lease unbroken. If not, it gets its
   name back.
5. It is removed. A file that was renamed by a run which ended there gets its name back in the next one; one that was
   to be shredded, and has a third name (``SHREDDED``) from the first noise on, is shredded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

from ...util.disk import READ, READ_WRITE, Disk, is_there, opened, read_all, write_all
from .archiver import Archiver, ids_by_name
from .contents import Busy, Changed, refuse_written
from .discovery import LEFTOVER, SHREDDED, SourceFile
from .original import bytes_of

if sys.platform != "win32":
    import fcntl

_NOISE = 1 << 20


def remove(archiver: Archiver, source: SourceFile, id: str, *, shred: bool = False, age: int = 0) -> None:
    """Remove a file whose session was archived and flushed. ``Changed`` where it is left, and why; ``OSError``.

    One that was changed in any way within the ``age``, in microseconds, is left, such as one that was put back.

    ``shred`` writes noise over it before: a disk that does not write in place, as no SSD does, keeps the old bytes.
    """
    disk, path = archiver.disk, source.path
    with opened(disk, path, READ_WRITE if shred else READ) as fd:
        before = disk.fstat(fd)
        if not archiver.is_quiet(before, age):
            raise Busy("it was written to, or put back, a short time ago")
        if shred and before.st_nlink > 1:
            raise Changed("it has another name (a hard link), which shredding would reach")
        compare(archiver, source, id, fd)
        with _held_alone(fd) as refuse_others:
            refuse_written(before, disk.fstat(fd))
            aside = path + LEFTOVER
            if is_there(disk, aside):
                raise Changed(f"{aside} is there: look at both")
            disk.rename(path, aside)
            try:
                refuse_written(before, disk.stat(aside))  # another file may have taken its place in this moment
                now = disk.fstat(fd)
                refuse_others()
                refuse_written(before, now)
            except BaseException:
                put_back(disk, aside)
                raise
            if shred:
                disk.rename(aside, path + SHREDDED)
                aside = path + SHREDDED
                _overwrite(disk, fd, before.st_size)
            disk.unlink(aside)


def finish_shredding(archiver: Archiver, source: SourceFile) -> None:
    """Go on with a file whose run ended while it was shredded: it had been sealed and compared. ``OSError``.

    ``source`` has its own name. What it held is gone, so that its session is looked for by that name alone: ``Changed``
    where none is found that is of this file, and as long. Any file may have been given that other name.
    """
    disk, path = archiver.disk, source.path + SHREDDED
    with opened(disk, path, READ_WRITE) as fd:
        status = disk.fstat(fd)
        if status.st_nlink > 1:
            raise Changed("it has another name (a hard link), which shredding would reach")
        if not any(_is_sealed(archiver, name, source.path, status.st_size) for name in ids_by_name(source)):
            raise Changed("no session is found that is of this file: look at it, and remove it yourself")
        _overwrite(disk, fd, status.st_size)
    disk.unlink(path)


def _is_sealed(archiver: Archiver, id: str, path: str, size: int) -> bool:
    parts = list(archiver.parts(id))
    return bool(parts) and parts[0].original.path == path and parts[-1].end == size


def compare(archiver: Archiver, source: SourceFile, id: str, fd: int) -> None:
    """``Changed`` unless the session, read from where it lies, gives exactly the bytes of the file."""
    place, size = 0, archiver.disk.fstat(fd).st_size
    for part in archiver.parts(id):
        read = archiver.elements.read(part.id)
        if read is None or part.original.path != source.path or read.info.version != part.version:
            raise Changed("its session was changed meanwhile")
        data = bytes_of(part.original, read.state, read.elements)
        if len(data) != part.original.size or data != read_all(archiver.disk, fd, len(data), place):
            raise Changed("what is sealed is not what the file holds")
        place += len(data)
    if place != size:
        raise Changed(f"{size - place} bytes of it are not sealed yet")


def put_back(disk: Disk, aside: str) -> bool:
    """Give a file its name back; False where it has it still. ``Changed`` where another file has that name by now."""
    path = aside.removesuffix(LEFTOVER)
    had = False
    try:
        disk.link(aside, path)
    except FileExistsError:
        had = True
        if disk.stat(path).st_ino != disk.stat(aside).st_ino:
            raise Changed(f"{path} is there again: look at both, and remove {aside} yourself") from None
    disk.unlink(aside)
    return not had


def _overwrite(disk: Disk, fd: int, size: int) -> None:
    for offset in range(0, size, _NOISE):
        write_all(disk, fd, os.urandom(min(_NOISE, size - offset)), offset)
    disk.fsync(fd)


@contextlib.contextmanager
def _held_alone(fd: int) -> Iterator[Callable[[], None]]:
    """A lease on the file, and a function that raises ``Busy`` once it is broken. ``Busy`` where others have it open.

    Where the system, or the file system, has no leases, nothing is known of others.
    """
    command = getattr(fcntl, "F_SETLEASE", None) if sys.platform != "win32" else None
    if command is None:
        yield lambda: None
        return
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # by default SIGIO, which ends a process
        fcntl.fcntl(fd, command, fcntl.F_WRLCK)
    except BlockingIOError:
        raise Busy("another program has it open") from None
    except OSError:
        yield lambda: None
        return

    def refuse_others() -> None:
        if fcntl.fcntl(fd, fcntl.F_GETLEASE) != fcntl.F_WRLCK:
            raise Busy("another program was about to open it")

    try:
        yield refuse_others
    finally:
        fcntl.fcntl(fd, command, fcntl.F_UNLCK)
