"""Room: zero bytes behind the last record of a long session, so that most appends change no size.

A write inside a file leaves its size and its blocks as they are, so its flush has no journal to commit: 170 us against
540 on ext4 with a journal, 160 against 320 on XFS (both on loop devices; 350 against 690 and 320 against 530 where 20
ms lay between two writes). On ext4 without a journal it is 73 against 105, and no less where the time of the file
changed too. So whoever flushes a record that made the file longer adds an eighth of what is there in zeros, for the
records to come. No record ends in a zero byte (its footer is n XOR 2^32 - 1, and n is far below 2^32), so the end of a
container is plain to see: zeros at the end of its file are no part of it.

What was written into the room changes neither inode nor size, which tell a cached head that nothing changed: there the
first bytes behind the last record tell. A record begins with the length of its head, which is never zero, and whoever
has returned from ``pwrite`` has written them.
"""

from __future__ import annotations

import contextlib

from ...disk import Disk, read_all, write_all

MOST = 64 * 1024
"""Bytes of zeros that are taken for room. More of them are nothing that was put there on purpose."""

SHARE = 8
"""The room is at most this part of what is in front of it: it is taken from the medium."""

BLOCK = 4096
"""The room ends where a block of the file system does."""

SMALLEST_FILE = SHARE * BLOCK
"""A file that has room is longer than this, and shorter ones are not looked at."""

_FEW = 4
"""Records like the last one that must fit into it, or it is not worth its zeros."""

_STEP = 4 * BLOCK
_GAP = 64
"""Zeros in a row that no record has: only its frame has some, and those are fewer."""

_BEGINNING = 4
_NOTHING = bytes(_BEGINNING)


def end_of(disk: Disk, fd: int, size: int) -> int:
    """The end of the container in a file of that size: where the room begins, if it has any."""
    if size <= SMALLEST_FILE:
        return size
    at, least = size, max(BLOCK, size - MOST) - 1
    while at > least:
        start = max(least, at - _STEP)
        if kept := _length(read_all(disk, fd, at - start, start)):
            return start + kept
        at = start
    return size


def end_behind(disk: Disk, fd: int, known: int, size: int) -> int:
    """The same, where the container ended at ``known`` and somebody may have written a little behind that."""
    if size <= SMALLEST_FILE or not known <= size <= known + MOST:
        return end_of(disk, fd, size)
    at, end = known, known
    while at - end < _GAP and (block := read_all(disk, fd, min(BLOCK, size - at), at)):
        if kept := _length(block):
            end = at + kept
        at += len(block)
    return end


def without(data: bytes) -> bytes:
    """The container in the bytes of a whole file."""
    end = _length(data) if len(data) > SMALLEST_FILE else 0
    return data[:end] if end >= BLOCK and len(data) - end <= MOST else data


def is_empty(disk: Disk, fd: int, end: int) -> bool:
    """Whether no record was written into the room that begins at ``end``."""
    return disk.pread(fd, _BEGINNING, end) in (_NOTHING, b"")


def make(disk: Disk, fd: int, end: int, record: int) -> int:
    """Make room behind ``end``, where the last record has so many bytes; its size. Without any all goes on as well."""
    room = min(MOST, end // SHARE)
    room -= (end + room) % BLOCK
    if end < SMALLEST_FILE or room < _FEW * record:
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
