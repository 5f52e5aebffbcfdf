"""Files of archived sessions, put back: where they were or elsewhere, byte for byte, with mode and times.

A file is written beside its place, compared with its digest, flushed, and given its name last. A file that is there
already stays, unless all of it is the beginning of what is put back, or it may be replaced and is no newer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any

from ...errors import Damaged, SessionNotFound, Unreadable
from ...store.store import SessionStore
from ...util.disk import CREATE_NEW, PRIVATE_FILE, READ, Disk, make_directories, opened, write_all
from .archiver import Archiver
from .contents import Changed, digest_of
from .original import Original, bytes_of, digest_text
from .part_writer import FilePart

_PART = ".vaultsession-restoring"


class RestoreOutcome(StrEnum):
    """What became of a file."""

    RESTORED = "restored"
    PRESENT = "present"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class RestoredFile:
    """A file, the session that it came of, and what became of it. ``problem`` is why it was left."""

    id: str
    path: str
    outcome: RestoreOutcome
    size: int = 0
    problem: str = ""


class Restorer:
    """Puts files back, below ``into`` or where they were. ``replace``: also over files that are no newer."""

    def __init__(
        self, store: SessionStore[Any], *, into: str | None = None, replace: bool = False, disk: Disk | None = None
    ) -> None:
        self._archiver = Archiver(store, disk=disk)
        self._disk = disk or Disk()
        self._into = None if into is None else os.path.abspath(into)
        self._replace = replace

    def restore(self, id: str) -> RestoredFile | None:
        """The file of a session; None for one that was not archived, or is a later part of another.

        ``SessionNotFound``; ``Damaged`` where the bytes are not those that were archived.
        """
        try:
            parts = list(self._archiver.parts(id))
        except Unreadable as error:
            return RestoredFile(id, "", RestoreOutcome.LEFT, problem=str(error))
        if not parts:
            if self._archiver.elements.read(id) is None:
                raise SessionNotFound(f"there is no session {id!r}")
            return None
        path = self._path(parts[0].original)
        try:
            return self._put(id, path, parts)
        except OSError as error:
            return RestoredFile(id, path, RestoreOutcome.LEFT, problem=f"{error.strerror or error}")
        except (Changed, Unreadable) as error:
            return RestoredFile(id, path, RestoreOutcome.LEFT, problem=str(error))

    def _path(self, original: Original) -> str:
        return original.path if self._into is None else os.path.join(self._into, *original.name.split("/"))

    def _put(self, id: str, path: str, parts: list[FilePart]) -> RestoredFile:
        size = parts[-1].end
        present = self._look(path, parts)
        if present is not None and present == size:
            return RestoredFile(id, path, RestoreOutcome.PRESENT, size)
        directory = os.path.dirname(path)
        make_directories(self._disk, directory)
        temporary = os.path.join(directory, f".{os.path.basename(path)[:200]}{_PART}")
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(temporary)  # of a run that was killed
        try:
            self._write(temporary, parts)
            if present is None:
                self._disk.link(temporary, path)  # which fails where there is one by now
                self._disk.unlink(temporary)
            else:
                self._disk.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self._disk.unlink(temporary)
            raise
        self._disk.sync_directory(directory)
        return RestoredFile(id, path, RestoreOutcome.RESTORED, size)

    def _look(self, path: str, parts: list[FilePart]) -> int | None:
        """How much of the file is there, None for nothing. ``Changed`` for another file that stays."""
        try:
            fd = self._disk.open(path, READ)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as stream:
            status = os.fstat(stream.fileno())
            if self._begins(stream, status.st_size, parts):
                return status.st_size
        if not self._replace:
            raise Changed("another file is there: move it away, or give --replace")
        if status.st_mtime_ns > parts[-1].original.modified:
            raise Changed("a newer file is there: move it away")
        return 0

    def _begins(self, stream: IO[bytes], size: int, parts: list[FilePart]) -> bool:
        """Whether the parts begin with all that a file holds."""
        for part in parts:
            if size >= part.end:
                digest = hashlib.sha256()
                digest_of(stream, part.original.size, digest)
                if digest_text(digest.digest()) != part.original.sha256:
                    return False
            else:
                return self._bytes(part).startswith(stream.read(part.original.size))
        return size == parts[-1].end

    def _bytes(self, part: FilePart) -> bytes:
        """The bytes of a part. ``Damaged`` where they are not those that were archived."""
        read = self._archiver.elements.read(part.id)
        if read is None or read.info.version != part.version:
            raise Changed("its session was changed meanwhile")
        data = bytes_of(part.original, read.state, read.elements)
        if digest_text(hashlib.sha256(data).digest()) != part.original.sha256:
            raise Damaged(f"{part.id}: its messages are not those that were archived")
        return data

    def _write(self, path: str, parts: list[FilePart]) -> None:
        original = parts[-1].original
        with opened(self._disk, path, CREATE_NEW, PRIVATE_FILE) as fd:
            for part in parts:
                write_all(self._disk, fd, self._bytes(part), part.original.start)
            self._disk.fchmod(fd, original.mode)
            os.utime(fd if os.utime in os.supports_fd else path, ns=(original.accessed, original.modified))
            self._disk.fsync(fd)
