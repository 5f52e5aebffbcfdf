"""A vault opened without changing anything: the disk only reads, and refuses the repairs that an opening makes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from ...backends.files import FilesBackend
from ...engine.reader import Reader
from ...errors import BackendUnavailable
from ...format.sealed import Query
from ...util.disk import READ, Disk
from ...vault import UnlockedVault, Vault, VaultDirectory
from ...vault.secret import Secret


def _refused(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


class ReadOnlyDisk(Disk):
    """The real file system, for looking only. A lock file is opened for reading, which is enough to lock it."""

    mkdir = rmdir = unlink = rename = fchmod = pwrite = staticmethod(_refused)

    @staticmethod
    def open(path: str, flags: int = READ, mode: int = 0) -> int:
        """Open for reading, whatever was asked for; a file that must be new is refused."""
        del mode
        if flags & os.O_EXCL:
            _refused()
        return os.open(path, READ)


@dataclass(frozen=True, slots=True)
class OpenedVault:
    """An unlocked vault and its sessions, for looking only."""

    vault: UnlockedVault
    reader: Reader
    backend: FilesBackend


@contextlib.contextmanager
def opened_read_only(
    path: str, candidates: Iterable[tuple[str, Secret]], disk: Disk | None = None
) -> Iterator[OpenedVault]:
    """Unlock with the first candidate that fits. ``WrongKey``, ``KeyUnavailable``, ``Damaged``; nothing is changed."""
    disk = disk or ReadOnlyDisk()
    directory = Vault(VaultDirectory(path, disk, allow_network=True))
    vault = directory.unlock(candidates)
    reader = Reader.of_vault(directory, vault)
    backend = FilesBackend(directory.path, disk=disk, describe=reader.describe, writable=False)
    try:
        yield OpenedVault(vault, reader, backend)
    finally:
        backend.close()


def known_keys(backend: FilesBackend) -> list[str]:
    """Every key that is listed or has a file, sorted. Where there is no index, those that have a file."""
    found = set(backend.keys())
    with contextlib.suppress(BackendUnavailable):
        found.update(row.key for row in backend.scan(Query()))
        found.update(backend.lost())
    return sorted(found)
