"""``tenants/`` in a vault directory: one small file per tenant, replaced as a whole, and overwritten before it goes.

Not in ``DIRECTORIES``: it is made with the first key of a tenant. There is one copy of each file, since every further
one is one more to destroy; a power cut leaves the old file or the new.
"""

from __future__ import annotations

import os

from ..util.disk import (
    PRIVATE_DIRECTORY,
    READ_WRITE,
    Disk,
    read_file,
    shred_file,
    why_not_private,
    write_all,
    write_new,
)
from .tenant_keys import LARGEST_FILE

TENANTS = "tenants"

_NEW = ".new"


def kept_keys(disk: Disk, path: str, name: str) -> bytes | None:
    """The file of that name; None if there is none. ``OSError``."""
    try:
        _refuse_shared(disk, os.path.join(path, TENANTS))
        return read_file(disk, os.path.join(path, TENANTS, name), limit=LARGEST_FILE)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise OSError(str(error)) from None


def kept_names(disk: Disk, path: str) -> tuple[str, ...]:
    """The names of the files that are there, leftovers of a change that was cut apart. ``OSError``."""
    try:
        _refuse_shared(disk, os.path.join(path, TENANTS))
        names = disk.listdir(os.path.join(path, TENANTS))
    except FileNotFoundError:
        return ()
    return tuple(sorted(name for name in names if not name.endswith(_NEW)))


def keep_keys(disk: Disk, path: str, name: str, data: bytes) -> None:
    """Put it in place, flushed; then overwrite what was there. Under the lock of the vault. ``OSError``.

    A power cut leaves the old file or the new, never a mix; one that comes between the two may leave the bytes of the
    old one in free space of the medium, which no file names.
    """
    directory = os.path.join(path, TENANTS)
    try:
        disk.mkdir(directory, PRIVATE_DIRECTORY)
    except FileExistsError:
        pass
    else:
        disk.sync_directory(path)
    _refuse_shared(disk, directory)
    place, new = os.path.join(directory, name), os.path.join(directory, name + _NEW)
    shred_file(disk, new)
    write_new(disk, new, data)
    try:
        old = disk.open(place, READ_WRITE)
    except FileNotFoundError:
        old = None
    try:
        disk.replace(new, place)
        disk.sync_directory(directory)
        if old is not None:
            write_all(disk, old, os.urandom(disk.fstat(old).st_size), 0)
            disk.fsync(old)
    finally:
        if old is not None:
            disk.close(old)


def _refuse_shared(disk: Disk, directory: str) -> None:
    if reason := why_not_private(disk.stat(directory), directory=True):
        raise PermissionError(f"{directory}: {reason}; a vault's directories are yours alone, mode 0700")
