"""What the tests of the files backend share: a disk that fails, and looks at the vault from outside."""

from __future__ import annotations

import errno
import gc
import os
import sys
from pathlib import Path
from typing import Any

import pytest

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


class FailingDisk(Disk):
    """Fails at the ``fail_at``-th call and at ``repeat`` further ones, of the kind ``only`` or of all; and on request.

    ``short``: a write that fails has taken half of what it was given.
    """

    CALLS = (
        "open",
        "stat",
        "look",
        "fstat",
        "mkdir",
        "unlink",
        "listdir",
        "names",
        "rename",
        "pread",
        "pwrite",
        "fchmod",
        "fsync",
        "fdatasync",
    )

    def __init__(
        self, fail_at: int = 0, *, error: int = errno.EIO, repeat: int = 0, only: str = "", short: bool = False
    ) -> None:
        self.calls: list[str] = []
        self.error = error
        self.only = only
        self.short = short
        self.broken: set[str] = set()
        self.no_directory_flush = False
        self.read_only = False
        self.fail(fail_at, repeat=repeat)
        for name in self.CALLS:
            real = getattr(Disk(), name)
            setattr(self, name, self._failing(name, _at_once if name in {"fsync", "fdatasync"} else real))

    def fail(self, fail_at: int, *, repeat: int = 0) -> None:
        self.fail_at, self.repeat, self.armed = fail_at, repeat, fail_at > 0

    def sync_directory(self, path: str) -> None:
        if self.no_directory_flush:
            raise self._refusal()
        super().sync_directory(path)

    def _refusal(self) -> OSError:
        return OSError(self.error, os.strerror(self.error))

    def _failing(self, name: str, real: Any) -> Any:
        def call(*args: Any) -> Any:
            if name in self.broken:
                raise self._refusal()
            writes = name in {"mkdir", "unlink", "rename", "pwrite", "fchmod"} or (
                name == "open" and args[1] & os.O_RDWR
            )
            if self.read_only and writes:
                raise self._refusal()
            if self.only and name != self.only:
                return real(*args)
            self.calls.append(name)
            if self.armed and self.fail_at <= len(self.calls) <= self.fail_at + self.repeat:
                if self.short and name == "pwrite" and len(args[1]) > 1:
                    real(args[0], args[1][: len(args[1]) // 2], args[2])
                raise self._refusal()
            return real(*args)

        return call


def _at_once(_: int) -> None:
    """Nothing here is about power cuts: a flush that succeeds has only to be counted."""


class AfterTheNextStart(Disk):
    """The same files after the system was started anew: what was not flushed proves nothing any more."""

    def boot(self) -> int:
        return super().boot() ^ 1
