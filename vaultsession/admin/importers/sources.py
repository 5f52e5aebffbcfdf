"""The files below a path that people name. Links are never followed, other than the path itself; sizes are bounded."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO

from ...errors import InvalidSetting
from ...util.disk import READ
from ...vault.identity import FACTS
from .records import Skipped

LARGEST = 256 << 20
"""Bytes that a JSON file, or one line of another, may have."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be read. ``name`` is its path below what was named, with ``/`` between the parts."""

    path: str
    name: str

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return os.path.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The ending, in lower case, with its dot."""
        return os.path.splitext(self.name)[1].lower()

    def modified(self) -> int:
        """When it was last written: microseconds since 1970."""
        return max(0, os.lstat(self.path).st_mtime_ns // 1000)

    def at(self, line: int) -> str:
        """A line of it, in words."""
        return f"{self.name}, line {line}"

    def open(self) -> IO[bytes]:
        """For reading. ``OSError`` for what is no regular file, or has become a link meanwhile."""
        file = open(self.path, "rb", opener=lambda path, _: os.open(path, READ))  # noqa: SIM115 - the caller closes it
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(f"{self.name} is no regular file")
        return file

    def content(self) -> bytes:
        """All of it. ``ValueError`` beyond the bound."""
        with self.open() as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"more than {LARGEST >> 20} MiB: split it")
        return data

    def lines(self) -> Iterator[tuple[int, bytes | None]]:
        """``(number, line)``, from 1 up, blank ones left out; None for a line beyond the bound."""
        with self.open() as file:
            number = 0
            while line := file.readline(LARGEST):
                number += 1
                if len(line) < LARGEST:
                    if line.strip():
                        yield number, line
                    continue
                while line and not line.endswith(b"\n"):
                    line = file.readline(LARGEST)
                yield number, None


TOO_LONG = f"more than {LARGEST >> 20} MiB in one line"


def files(source: str, suffixes: Collection[str]) -> Iterator[File | Skipped]:
    """Every file below a directory that ends so, by name; or the file that is named, however it ends.

    Hidden entries are passed over. ``InvalidSetting`` for a source that is not there, or is a vault.
    """
    path = os.path.realpath(os.path.expanduser(source))
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise InvalidSetting(f"{source}: {error.strerror or error}: name a file or a directory to import") from None
    if not stat.S_ISDIR(mode):
        if not stat.S_ISREG(mode):
            raise InvalidSetting(f"{source} is neither a file nor a directory")
        yield File(path, os.path.basename(source.rstrip("/")) or path)
        return
    if os.path.exists(os.path.join(path, FACTS)):
        raise InvalidSetting(f"{source} is a vault: `vaultsession migrate` copies one")
    yield from _below(path, "", suffixes)


def _below(root: str, below: str, suffixes: Collection[str]) -> Iterator[File | Skipped]:
    try:
        with os.scandir(os.path.join(root, below)) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield Skipped(below or root, f"{error.strerror or error}: look at the permissions")
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            yield Skipped(name, "a link, and links are not followed: name what it points to")
        elif entry.is_dir(follow_symlinks=False):
            yield from _below(root, name, suffixes)
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            if entry.is_file(follow_symlinks=False):
                yield File(os.path.join(root, name), name)
            else:
                yield Skipped(name, "no regular file")
