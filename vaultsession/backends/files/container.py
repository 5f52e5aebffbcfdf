"""One container: opening, reading, extending and replacing it. No locks and no index here.

A function that changes a container is called under its stripe. ``OSError`` passes through where nothing was changed;
``DurabilityUnknown`` means that something was, and may not last.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from ...errors import BackendUnavailable, Damaged, DurabilityUnknown
from ...format import record
from ...format.sealed import Container, Tombstone, Witness
from ...util.disk import (
    CREATE_NEW,
    PRIVATE_FILE,
    READ,
    READ_WRITE,
    SPOILED_FILE,
    Disk,
    read_all,
    refuse_link,
    why_not_private,
    write_all,
)
from ...util.named_tuple import NamedTuple
from ...util.statx import Stat
from . import preallocation
from .layout import vanished
from .open_files import FileState, OpenFile

_OWNER_WRITES = 0o200
_ATTEMPTS = 20
_WALKED = 64 << 20
_BEHIND = 64 << 10
_SMALL = 16 << 10
"""Bytes up to which a file is read at once where it is opened: most conversations fit."""


class OpenContainer(NamedTuple):
    """A container as it was seen, and all its bytes where it is so small that they were read when it was opened."""

    state: FileState
    data: bytes = b""


def open_container(
    disk: Disk, path: str, witness: Witness | None, tombstone: Tombstone | None, flushed: Witness | None = None
) -> OpenContainer | None:
    """Open what the path names, for writing where that is allowed; None: there is no such file.

    ``witness``, ``tombstone`` and the ``flushed`` point were read before: they may only grow between the two. A link, a
    FIFO or a file of another user is ``BackendUnavailable``; a file that was replaced meanwhile is opened again.
    """
    for _ in range(_ATTEMPTS):
        refuse_vanished(disk, path.rpartition(os.sep)[0])
        try:
            descriptor, writable = _open(disk, path)
        except FileNotFoundError:
            return None
        status = disk.fstat(descriptor.fd)
        if status.st_nlink == 0:
            continue  # replaced between the open and this
        if reason := why_not_private(status, linked=True):
            raise BackendUnavailable(f"{path}: {reason}; nothing was read")
        refuse_oversized(path, status.st_size)
        data = read_all(disk, descriptor.fd, status.st_size, 0) if status.st_size <= _SMALL else b""
        if data and len(data) == status.st_size:
            data = preallocation.without(data)
            size, header = len(data), data[: record.HEADER_SIZE]
        else:
            size, data = preallocation.end_of(disk, descriptor.fd, status.st_size), b""
            header = read_all(disk, descriptor.fd, min(record.HEADER_SIZE, size), 0)
        state = FileState(
            path,
            descriptor,
            status.st_dev,
            status.st_ino,
            status.st_mode,
            size,
            header,
            None,
            witness,
            tombstone,
            entry_flushed=flushed is not None and _generation(header) == flushed.generation,
            writable=writable,
            verified=False,
            preallocated=status.st_size - size,
            unproved=witness != flushed,
            linked=status.st_nlink > 1,
        )
        return OpenContainer(state, data)
    raise BackendUnavailable(f"{path}: replaced faster than it could be opened")


def read_range(disk: Disk, state: FileState, known: bytes, start: int) -> Container:
    """The container from ``start`` on, up to the size of the state: a consistent view while others append.

    ``known`` are its bytes where they were read already. Of what stands behind the last record of a large one, read
    whole, only the beginning: it may be gigabytes of zeros.
    """
    header, size = state.header, state.size
    offset = max(record.HEADER_SIZE, size + start if start < 0 else start)
    if known or len(header) < record.HEADER_SIZE:
        offset, data = min(offset, size), known[offset:]
    else:
        if start == 0 and size > _WALKED:
            size = min(size, end_of_records(disk, state.descriptor.fd, size) + _BEHIND)
        data = read_all(disk, state.descriptor.fd, max(0, size - offset), offset)
    (witness, unproved), spoiled = known_witness(state), not state.mode & _OWNER_WRITES
    return Container(header, offset, data, witness, state.tombstone, spoiled, unproved)


def refuse_oversized(path: str, size: int) -> None:
    """``Damaged`` for a file that is larger than any container."""
    if size > record.LARGEST_CONTAINER + preallocation.LIMIT:
        raise Damaged(f"{path}: {size} bytes, and no container has more than {record.LARGEST_CONTAINER}")


def end_of_records(disk: Disk, fd: int, size: int) -> int:
    """Where the last record ends, by the frames and footers from the first one on, of which none is proved."""
    end = record.HEADER_SIZE
    while (length := record.claimed_size(disk.pread(fd, record.FRAME_SIZE, end))) is not None and end + length <= size:
        footer = disk.pread(fd, record.FOOTER_SIZE, end + length - record.FOOTER_SIZE)
        if not record.ends_so(footer, length):
            break
        end += length
    return end


def known_witness(state: FileState) -> tuple[Witness | None, bool]:
    """The newest version known of this inode, and whether it vouches for no body.

    That of a verified row, else what the index named before. A head that was only read does not count: it would vouch
    for a body that was not.
    """
    if state.row is not None and state.is_extensible:
        return state.row.witness, False
    return state.witness, state.unproved


def stat_path(disk: Disk, state: FileState) -> os.stat_result | Stat:
    """What the path of a container names now; without times while this process writes to it, see ``statx``."""
    return disk.look(state.path) if state.preallocated and state.descriptor.written else disk.stat(state.path)


def is_unchanged(state: FileState, now: os.stat_result | Stat) -> bool:
    """Whether the path still names this container, and its file is as long as it was."""
    return (
        now.st_size == state.size + state.preallocated
        and now.st_ino == state.inode
        and now.st_dev == state.device
        and now.st_mode == state.mode
        and now.st_nlink == 1
    )


def has_no_record_behind(disk: Disk, state: FileState) -> bool:
    """Whether no record was written into the preallocated bytes of an unchanged file since."""
    return not state.preallocated or preallocation.is_empty(disk, state.descriptor.fd, state.size)


def changed(disk: Disk, state: FileState, *, to_write: bool) -> os.stat_result | Stat | None:
    """What the path names now; None: the container, as it was seen last. ``FileNotFoundError`` where it is gone.

    ``to_write``: of an extensible container its end is compared in the same read.
    """
    now = stat_path(disk, state)
    if not is_unchanged(state, now):
        return now
    row = state.row
    if to_write and row is not None and state.is_extensible:
        return None if ends_with(disk, state, row.version, row.size) else now
    return None if has_no_record_behind(disk, state) else now


def resized(disk: Disk, state: FileState, file_size: int, mode: int) -> FileState:
    """The same inode at another size, or with unexpected bytes: its head is read again, and is no older than it was.

    A header is never modified in place: one that was read whole is that of the inode, and is not read again.
    """
    refuse_oversized(state.path, file_size)
    size = preallocation.end_behind(disk, state.descriptor.fd, state.size, file_size)
    witness, unproved = known_witness(state)
    whole = len(state.header) == record.HEADER_SIZE and size >= record.HEADER_SIZE
    return state._replace(
        size=size,
        preallocated=file_size - size,
        mode=mode,
        header=state.header if whole else read_all(disk, state.descriptor.fd, min(record.HEADER_SIZE, size), 0),
        row=None,
        witness=witness,
        unproved=unproved,
        verified=False,
        end=b"",
    )


def is_at(disk: Disk, state: FileState, point: Witness) -> bool:
    """Whether an unchanged file is at this point. Of a head that was not opened, nothing known may stand against it."""
    known = state.end if state.row is None else state.row.version
    if known:
        return known == point.version and has_no_record_behind(disk, state)
    witness, tombstone = state.witness, state.tombstone
    return (
        (witness is None or witness[:2] < point[:2] or witness == point)
        and (tombstone is None or tombstone.generation < point.generation)
        and state.size >= record.HEADER_SIZE
        and ends_with(disk, state, point.version, state.size)
    )


def ends_with(disk: Disk, state: FileState, version: bytes, at: int) -> bool:
    """Whether the 24 bytes before there are the link and a footer of the version, and no record stands behind them.

    It is what a writer without keys can check.
    """
    length = record.LINK_AND_FOOTER + preallocation.RECORD_START
    end = disk.pread(state.descriptor.fd, length, at - record.LINK_AND_FOOTER)
    if len(end) < record.LINK_AND_FOOTER or any(end[record.LINK_AND_FOOTER :]):
        return False
    size, inverse = record.FOOTER.unpack_from(end, record.TAG_SIZE)
    return end[: record.TAG_SIZE] == version and size ^ inverse == record.FOOTER_MASK


def replace(
    disk: Disk,
    temporary: str,
    path: str,
    data: bytes,
    *,
    flush: bool,
    flush_name: Callable[[], None] | None = None,
    lasting: bool = False,
) -> FileState:
    """Write a whole container on a new inode and put it in place, atomically. The state has no row yet.

    ``flush_name`` flushes its directory, where threads share that. ``lasting``: the temporary has a name from which
    others complete this. That one is flushed then and not the last: both flushes wait for one commit of the journal.

    An ``OSError`` leaves what was there; if the name has changed and its flush failed, ``DurabilityUnknown``.
    """
    directory = path.rpartition(os.sep)[0]
    refuse_vanished(disk, directory)
    descriptor = OpenFile(disk, disk.open(temporary, CREATE_NEW, PRIVATE_FILE))
    flush_name = flush_name or partial(disk.sync_directory, directory)
    failure = None
    try:
        write_all(disk, descriptor.fd, data, 0)
        if flush:
            disk.fsync(descriptor.fd)
        status = disk.fstat(descriptor.fd)
        if flush and lasting:
            failure = _failure_of(flush_name)
        disk.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            disk.unlink(temporary)
            if lasting:  # a power cut may not bring back what was refused
                disk.sync_directory(directory)
        raise
    if flush and not lasting:
        failure = _failure_of(flush_name)
    if failure is not None:
        raise DurabilityUnknown(f"{path}: written, but the flush of its directory failed: {failure}") from failure
    return FileState(
        path,
        descriptor,
        status.st_dev,
        status.st_ino,
        status.st_mode,
        len(data),
        data[: record.HEADER_SIZE],
        None,
        None,
        None,
        entry_flushed=flush,
        writable=True,
        verified=True,
    )


def _failure_of(flush: Callable[[], None]) -> OSError | None:
    try:
        flush()
    except OSError as error:
        return error.with_traceback(None)  # its frames would keep the descriptor open
    return None


def extend(
    disk: Disk, temporary: Callable[[], str], state: FileState, data: bytes, *, flush: bool, durable: bool
) -> int:
    """Write one more record behind the newest, to be flushed by ``OpenFile.flush`` after the stripe is released.

    Returns the preallocated bytes behind it.

    If the write fails, the container is replaced by what it was, on another inode, flushed if ``durable``, and
    ``BackendUnavailable`` means that the old record stands. If it cannot be replaced either, it is marked as spoiled,
    and the next writer replaces it before anything else. ``temporary`` makes a fresh name.
    """
    if flush and not state.entry_flushed:  # its creator did not flush the name, or died before
        disk.sync_directory(os.path.dirname(state.path))
    fd, end, left = state.descriptor.fd, state.size + len(data), state.preallocated - len(data)
    try:
        write_all(disk, fd, data, state.size)
    except OSError as error:
        _undo(disk, temporary, state, error, whole=end, flush=durable)
    if left < 0:
        left = preallocation.preallocate(disk, fd, end, len(data)) if flush else 0
    state.descriptor.written = end
    return left


def mark_spoiled(disk: Disk, state: FileState) -> None:
    """Mark in the file's mode that a flush of it failed: the next writer replaces it before anything else."""
    with contextlib.suppress(OSError):
        disk.fchmod(state.descriptor.fd, SPOILED_FILE)


def _undo(
    disk: Disk, temporary: Callable[[], str], state: FileState, error: OSError, *, whole: int, flush: bool
) -> NoReturn:
    """Restore the container as it was, and raise. A file that ends before ``whole`` has no complete record of ours."""
    fd = state.descriptor.fd
    unchanged = f"{state.path}: {error.strerror or error}; the session is as it was"
    size = None
    with contextlib.suppress(OSError):
        size = preallocation.end_of(disk, fd, disk.fstat(fd).st_size)
    if size == state.size:
        raise BackendUnavailable(unchanged) from error  # refused, as by a full disk: nothing to restore
    try:
        before = read_all(disk, fd, state.size, 0)
        if len(before) != state.size:
            raise OSError(f"{len(before)} bytes where there were {state.size}")  # noqa: TRY301 - handled just below
        replace(disk, temporary(), state.path, before, flush=flush)
    except (OSError, DurabilityUnknown):
        mark_spoiled(disk, state)
        if size is not None and size < whole:  # a torn tail: readers stop before it, the next writer replaces it
            raise BackendUnavailable(unchanged) from error
        raise DurabilityUnknown(
            f"{state.path}: a write failed ({error.strerror or error}), and so did putting the container back as it was"
        ) from error
    raise BackendUnavailable(unchanged) from error


def _generation(header: bytes) -> int | None:
    return record.HEADER.unpack_from(header)[5] if len(header) == record.HEADER_SIZE else None


def refuse_vanished(disk: Disk, directory: str) -> None:
    """``VaultNotFound`` where the directory of the containers is gone: no session is absent on the word of that."""
    try:
        refuse_link(disk, directory)
    except FileNotFoundError:
        raise vanished(directory) from None


def _open(disk: Disk, path: str) -> tuple[OpenFile, bool]:
    try:
        return OpenFile(disk, disk.open(path, READ_WRITE)), True
    except PermissionError:
        pass
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    return OpenFile(disk, disk.open(path, READ)), False
