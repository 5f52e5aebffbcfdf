"""Ownership: what root makes in a directory of another user belongs to that user, as SQLite does it with its own files.

Else one command with ``sudo`` on the vault of a service leaves locks that the service cannot open. Only what was just
made is given away, and only to the owner of the directory that holds it and nothing else does: never what was there
before, nor what lies beyond a link.
"""

from __future__ import annotations

import contextlib
import os
import stat

from .descriptors import open_patiently

_TRIES = 100
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def open_file(path: str, flags: int, mode: int = 0o777) -> int:
    """``os.open``; a file that this makes belongs to whom its directory does. Patient with descriptors."""
    if not flags & os.O_CREAT or not _is_for_another(path):
        return open_patiently(path, flags, mode)
    for _ in range(_TRIES):
        if not flags & os.O_EXCL:
            with contextlib.suppress(FileNotFoundError):
                return open_patiently(path, flags & ~os.O_CREAT, mode)
        try:
            fd = open_patiently(path, flags | os.O_EXCL, mode)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            continue  # another process has made it
        _give(fd, path)
        return fd
    raise FileNotFoundError(path)


def make_directory(path: str, mode: int = 0o777) -> None:
    """``os.mkdir``; the directory belongs to whom the one above it does."""
    os.mkdir(path, mode)
    if _is_for_another(path):
        with contextlib.suppress(OSError):
            fd = open_patiently(path, _DIRECTORY)
            try:
                _give(fd, path)
            finally:
                os.close(fd)


def _is_for_another(path: str) -> bool:
    """Whether root is about to make something in a directory that is not root's."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    above, root, _ = path.rpartition(os.sep)
    try:
        return os.lstat(above or root or os.curdir).st_uid != 0
    except OSError:
        return False


def _give(fd: int, path: str) -> None:
    """Give what was just made to the owner of its directory. Where that is refused it stays root's."""
    with contextlib.suppress(OSError):
        above = open_patiently(os.path.dirname(path) or os.curdir, _DIRECTORY)
        try:
            made = os.fstat(fd)
            # The path may lead elsewhere by now: the directory must hold this very file, and no other directory may.
            here = os.stat(os.path.basename(path), dir_fd=above, follow_symlinks=False)
            is_only = made.st_nlink == 1 or stat.S_ISDIR(made.st_mode)
            if made.st_uid == 0 and is_only and os.path.samestat(made, here):
                owner = os.fstat(above)
                os.fchown(fd, owner.st_uid, owner.st_gid)
        finally:
            os.close(above)
