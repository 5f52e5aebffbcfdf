"""``statx(2)``: what a path names, without its times.

Since Linux 6.13, asking when a file was changed makes its next write renew that time at full resolution, where
several writes within a tick share one otherwise. That dirties the inode, and the next flush takes half as long again
(135 us against 90 on ext4). ``os.lstat`` always asks; before 6.13 that does no harm, and it is quicker.
"""

from __future__ import annotations

import errno
import functools
import os
import struct
import sys
from collections.abc import Callable

from .named_tuple import NamedTuple

_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_TYPE, _MODE, _LINKS, _INODE, _SIZE = 0x1, 0x2, 0x4, 0x100, 0x200
_ASKED = _TYPE | _MODE | _LINKS | _INODE | _SIZE
_RESULT = struct.Struct("=16xI8xH2xQQ88xII112x")
"""Links, mode, inode, size and the two numbers of the device, of 256 bytes."""
_UNKNOWN = (errno.ENOSYS, errno.EPERM)
"""What an old kernel says, or a sandbox that has not heard of the call."""


class Stat(NamedTuple):
    """What a path names: the fields of ``os.stat_result`` that are asked for, under their names."""

    st_mode: int
    st_nlink: int
    st_size: int
    st_ino: int
    st_dev: int


def look(path: str) -> Stat | os.stat_result:
    """What the path itself names, like ``os.lstat``, whose errors these are; with its times where there is no statx."""
    return _looking()(path)


@functools.cache
def _looking() -> Callable[[str], Stat | os.stat_result]:
    """The call where there is one. Made when it is asked for first: ctypes takes a millisecond to import."""
    if sys.platform != "linux" or _is_before(os.uname().release, 6, 13):
        return os.lstat
    import ctypes  # noqa: PLC0415 - as said

    try:
        statx = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):  # a C library without it
        return os.lstat
    statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)
    buffer_of = ctypes.c_char * _RESULT.size

    def looking(path: str) -> Stat | os.stat_result:
        buffer = buffer_of()
        if statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _ASKED, buffer):
            number = ctypes.get_errno()
            if number in _UNKNOWN:
                return os.lstat(path)
            raise OSError(number, os.strerror(number), path)
        links, mode, inode, size, major, minor = _RESULT.unpack(buffer)
        return Stat(mode, links, size, inode, os.makedev(major, minor))

    return looking


def _is_before(release: str, major: int, minor: int) -> bool:
    """Whether this is a kernel before that one; of a name that says nothing, no."""
    try:
        first, second, *_ = release.split(".")
        return (int(first), int(second)) < (major, minor)
    except ValueError:
        return False
