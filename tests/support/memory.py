"""Files in memory, where a flush takes no time: for what is not about disks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vaultsession.util.disk import Disk

_PLACE = Path("/dev/shm")
_ROOM = 2 << 30
"""Bytes that a run may need at once."""


def in_memory() -> str | None:
    """A folder whose files are in memory; None where there is none, or no room in it."""
    return str(_PLACE) if _PLACE.is_dir() and shutil.disk_usage(_PLACE).free > _ROOM else None


class QuickDisk(Disk):
    """Where the power is never cut: nothing is flushed."""

    def fsync(self, fd: int) -> None:
        os.fstat(fd)

    fdatasync = fsync
