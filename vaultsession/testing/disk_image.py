"""What is done to a medium, event by event, and what lies on it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ABOVE = 0
"""The directory above the vault: where the entry of the vault itself stands."""

_SHARED_SIZE = 100
LOG_HEADER = 32
FRAME_HEADER = 24
_SALTS = 8
_PRIVATE = 0o600

Name = tuple[int, str]
"""A directory by its number, and a name in it."""


class DiskWrite(NamedTuple):
    """Bytes were written to a file."""

    node: int
    offset: int
    data: bytes


class Mode(NamedTuple):
    """The mode of a file was changed."""

    node: int
    mode: int


class Flush(NamedTuple):
    """A file was flushed; ``whole``: its mode as well."""

    node: int
    whole: bool


class Lost(NamedTuple):
    """The flush of a file failed: what it was to write will not be written by another."""

    node: int


class Entries(NamedTuple):
    """Names changed, all of them or none: None for one that is gone."""

    changes: tuple[tuple[Name, int | None], ...]

    def apply(self, names: dict[Name, int]) -> None:
        """Change these names."""
        for name, node in self.changes:
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node


class FlushEntries(NamedTuple):
    """A directory was flushed."""

    node: int


class Found(NamedTuple):
    """A file came in another way than through the disk, and is taken to be flushed."""

    name: Name
    node: int


class WalIndex(NamedTuple):
    """SQLite's files at some moment. ``frames`` of the log, of ``of``, are in the table file, flushed.

    ``page`` is the size of one, in bytes. ``found``: they were there before, and are taken to be flushed as they are.
    """

    files: Mapping[str, bytes]
    frames: int = 0
    of: int = 0
    page: int = 4096
    found: bool = False

    @property
    def settled(self) -> bool:
        """Whether all of it was flushed."""
        return self.found or 0 < self.of == self.frames

    @classmethod
    def of_files(cls, files: Mapping[str, bytes], shared: bytes) -> WalIndex:
        """By SQLite's shared memory, in which it keeps how much of the log was checkpointed.

        Without it nobody has the index open: all of the log is what a reader will find.
        """
        if len(shared) < _SHARED_SIZE:
            log = next((data for name, data in files.items() if name.endswith("-wal")), b"")
            return cls(files, *_frames_in(log))
        page, of = struct.unpack_from("=HI", shared, 14)  # szPage and mxFrame, see "WAL-Index File Format"
        (frames,) = struct.unpack_from("=I", shared, 96)  # nBackfill
        return cls(files, frames, of, page or 1 << 16)


def _frames_in(log: bytes) -> tuple[int, int, int]:
    """The frames of a log that belong to its header, twice, and the size of a page."""
    if len(log) < LOG_HEADER:
        return 0, 0, 4096
    page, salts, count = int.from_bytes(log[8:12]), log[16 : 16 + _SALTS], 0
    for start in range(LOG_HEADER, len(log) - page - FRAME_HEADER + 1, page + FRAME_HEADER):
        if log[start + 8 : start + 8 + _SALTS] != salts:
            break
        count += 1
    return count, count, page


class Noted(NamedTuple):
    """What the test says has happened until now."""

    value: object


Event = DiskWrite | Mode | Flush | Lost | Entries | FlushEntries | Found | WalIndex | Noted


class Kind(NamedTuple):
    """What a file was when it was made, or when the recording began."""

    directory: bool
    mode: int
    data: bytes = b""


class Image(NamedTuple):
    """What lies on the medium: paths below the vault, with modes and bytes (None: a directory). The vault is ""."""

    files: Mapping[str, tuple[int, bytes | None]]

    def fingerprint(self) -> int:
        """Equal for equal images."""
        return hash(frozenset(self.files.items()))

    def write_to(self, path: str) -> None:
        """Put it into a directory that does not exist, and will not where the vault was not on the medium."""
        for name in sorted(self.files):
            mode, data = self.files[name]
            place = os.path.join(path, name) if name else path
            if data is None:
                os.mkdir(place, mode)
                continue
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
            try:
                if data and os.write(fd, data) != len(data):
                    raise OSError(f"{place}: not all could be written")
                if mode != _PRIVATE:
                    os.fchmod(fd, mode)
            finally:
                os.close(fd)


def patched(data: bytes, writes: Iterable[DiskWrite]) -> bytes:
    """The bytes after these writes; what was never written is zeros."""
    result = bytearray(data)
    for write in writes:
        if write.offset > len(result):
            result.extend(bytes(write.offset - len(result)))
        result[write.offset : write.offset + len(write.data)] = write.data
    return bytes(result)
