"""What the tests of the files backend share: a disk that flushes no directory, and looks at the vault from outside."""

from __future__ import annotations

import errno
import gc
import os
import sys
from pathlib import Path

import pytest
from memory import QuickDisk

from vaultsession.backends.files import preallocation
from vaultsession.util.disk import Disk


def session_path(path: Path, key: str) -> Path:
    return path / "sessions" / f"{key}.vss"


def preallocate_early(patch: pytest.MonkeyPatch) -> None:
    """Preallocate behind short sessions, as behind long ones."""
    for name, value in (("SHARE", 1), ("BLOCK", 32), ("_MIN_RECORDS", 1)):
        patch.setattr(preallocation, name, value)


def descriptors(path: Path) -> list[str]:
    """What this process has open below the vault."""
    if sys.version_info >= (3, 12):
        # There the frame in which contextlib hands on a translated error refers to the first one, and so to itself: its
        # descriptors are closed at the next collection.
        gc.collect()
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return sorted(found)


class NoDirectoryFlush(QuickDisk):
    """Flushes no directory while ``refuses`` is set."""

    refuses = False

    def sync_directory(self, path: str) -> None:
        if self.refuses:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_directory(path)


class AfterTheNextStart(Disk):
    """The same files after the system was started anew: what was not flushed proves nothing any more."""

    def boot(self) -> int:
        return super().boot() ^ 1
