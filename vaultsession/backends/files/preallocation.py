"""Room: zero bytes behind the last record, so that most appends change no size.

A write inside a file leaves its size and its blocks as they are, so its flush has no journal to commit: 170 us against
540 on ext4 with a journal, 160 against 320 on XFS (both on loop devices; 350 against 690 and 320 against 530 where 20
ms lay between two writes). On ext4 without a journal it is 73 against 105, and no less where the time of the file
changed too. So whoever flushes a record that made the file longer fills its last block with zeros, which takes nothing
from the medium, or of a long session adds an eighth of what is there. No record ends in a zero byte (its footer is
n XOR 2^32 - 1, and n is far below 2^32), so the end of a container is plain to see: zeros at the end of its file are
no part of it.

What was written into the room changes neither inode nor size, which tell a cached head that nothing changed: there the
first bytes behind the last record tell. A record begins with the length of its head, which is never zero, and whoever
has returned from ``pwrite`` has written them.
"""

from __future__ import annotations

import contextlib

from ...format import record as v1
from ...util.disk import Disk, read_all, write_all

MOST = 64 * 1024
"""Bytes of zeros that are taken for room. More of them are nothing that was put there on purpose."""

SHARE = 8
"""What is added to a long session is at most this part of what is there: it is taken from the medium."""

BLOCK = 4096
"""The room ends where a block of the file system does."""

_FEW = 4
"""Records like the last one that must fit into what is added, or it is not worth its zeros."""

_STEP = 4 * BLOCK
_GAP = 64
"""Zeros in a row that no record has: only its frame has some, and those are fewer."""

BEGINNING = 4
"""Bytes of a record that are never all zero."""


def end_of(disk: Disk, fd: int, size: int) -> int:
    """The end of the container in a file of that size: where the room begins, if it has any."""
    if size <= v1.HEADER_SIZE or disk.pread(fd, 1, size - 1) != b"\0":
        return size
    at, least = size, max(v1.HEADER_SIZE, size - MOST) - 1
    while at > least:
        start = max(least, at - _STEP)
        if kept := _length(read_all(disk, fd, at - start, start)):
            return start + kept
        at = start
    return size


def end_behind(disk: Disk, fd: int, known: int, size: int) -> int:
    """The same, where the container ended at ``known`` and somebody may have written a little behind that."""
    if not v1.HEADER_SIZE <= known <= size <= known + MOST:
        return end_of(disk, fd, size)
    at, end = known, known
    while at - end < _GAP and (block := read_all(disk, fd, min(BLOCK, size - at), at)):
        if kept := _length(block):
            end = at + kept
        at += len(block)
    return end


def without(data: bytes) -> bytes:
    """The container in the bytes of a whole file."""
    end = _length(data)
    return data[:end] if end >= v1.HEADER_SIZE and len(data) - end <= MOST else data


def is_empty(disk: Disk, fd: int, end: int) -> bool:
    """Whether no record was written into the room that begins at ``end``."""
    return not any(disk.pread(fd, BEGINNING, end))


def make(disk: Disk, fd: int, end: int, record: int) -> int:
    """Make room behind ``end``, where the last record has so many bytes; its size. Without any all goes on as well."""
    room = min(MOST, end // SHARE)
    room -= (end + room) % BLOCK
    if room < _FEW * record:
        room = -end % BLOCK
    if room < record:
        return 0
    try:
        write_all(disk, fd, bytes(room), end)
    except OSError:
        room = 0
        with contextlib.suppress(OSError):  # a full medium may have taken a part of it
            room = max(0, disk.fstat(fd).st_size - end)
    return room


def _length(data: bytes) -> int:
    """Without the zeros at the end: a fifth of the time that ``rstrip`` takes."""
    return (int.from_bytes(data, "little").bit_length() + 7) // 8
