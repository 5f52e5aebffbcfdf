"""What is mended without a key: modes, and what dead writers left."""

from __future__ import annotations

import contextlib
import os
import stat

from ...backends.files.layout import FilesLayout, stripe_of, temporary_in
from ...backends.files.locks import open_lock, try_lock, unlock
from ...errors import BackendUnavailable
from ...util.disk import READ, Disk, opened, why_not_private

_OTHERS = 0o077


def restrict(disk: Disk, root: str, place: str) -> str:
    """Take from a file or directory within the vault what others may do with it. ``OSError``, ``BackendUnavailable``.

    The owner's rights stay: a container that its owner may not write either says so on purpose.
    """
    _refuse_elsewhere(disk, root, place)
    with opened(disk, os.path.join(root, place) if place else root, READ) as fd:
        status = disk.fstat(fd)
        alone = os.stat_result((status.st_mode & ~_OTHERS, *status[1:]))
        if reason := why_not_private(alone, directory=stat.S_ISDIR(status.st_mode)):
            raise BackendUnavailable(f"{place or root}: {reason}")
        disk.fchmod(fd, stat.S_IMODE(alone.st_mode))
    return f"others have no access any more (mode {stat.S_IMODE(alone.st_mode):04o})"


def clear(disk: Disk, root: str, place: str) -> str:
    """Remove the temporary of a dead writer, if no process holds its stripe. ``OSError``, ``BackendUnavailable``."""
    layout = FilesLayout(root)
    locator = temporary_in(os.path.basename(place))
    if locator is None:
        raise BackendUnavailable(f"{place}: this is no temporary of ours")
    _refuse_elsewhere(disk, root, place)
    lock = open_lock(disk, layout.stripe(stripe_of(locator)))
    if not try_lock(disk, lock.fd):
        raise BackendUnavailable(f"{place}: a writer is at work on it")
    try:
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(os.path.join(root, place))
    finally:
        unlock(disk, lock.fd)
    return "it was removed: nobody was promised what it held"


def _refuse_elsewhere(disk: Disk, root: str, place: str) -> None:
    """A directory that is a link, or that others may turn into one, leads out of the vault."""
    parent = os.path.dirname(os.path.join(root, place)) if place else ""
    if parent and (reason := why_not_private(disk.stat(parent), directory=True)):
        raise BackendUnavailable(f"{parent}: {reason}")
