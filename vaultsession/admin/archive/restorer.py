"""Files of archived sessions, put back: where they were or elsewhere, byte for byte, with mode and times.

A file is written beside its place, compared with its digest, flushed, and given its name last. A file that is there
already stays, unless all of it is the beginning of what is put back, or it may be replaced and is no newer.

A session says itself which file it was, and any writer of the vault may have made it. So a file goes back only where
it would be archived from, which is the home of an agent or a path that is named again, through no link, and with no
more than the permissions of a mode.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Any

from ...errors import Damaged, SessionNotFound, Unreadable
from ...store.store import SessionStore
from ...util.disk import CREATE_NEW, PRIVATE_FILE, READ, Disk, make_directories, opened, write_all
from .archiver import Archiver, words_of
from .contents import Changed, digest_of, refuse_written
from .discovery import is_source, real_path
from .original import Original, bytes_of, digest_text
from .part_writer import FilePart

_PART = ".vaultsession-restoring"
_PERMISSIONS = 0o777
_EARLIER = re.compile(r"~before-\d+(~\d+)?$")


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
    """Puts files back, below ``into`` or where they were. ``replace``: also over files that are no newer.

    Where they were is where an agent keeps its sessions, or below one of the ``sources``.
    """

    def __init__(
        self, store: SessionStore[Any], *, into: str | None = None, sources: Iterable[str] = (), replace: bool = False,
        disk: Disk | None = None, environ: Mapping[str, str] = os.environ,
    ) -> None:  # fmt: skip
        self._archiver = Archiver(store, disk=disk)
        self._disk = disk or Disk()
        self._into = None if into is None else os.path.abspath(into)
        self._places = [real_path(source) for source in sources]
        self._replace = replace
        self._environ = environ
        self._restored: set[str] = set()

    def is_earlier(self, id: str) -> bool:
        """Whether a session holds what a file was before its program wrote it anew, and another what it is now."""
        if not _EARLIER.search(id):
            return False
        try:
            earlier, now = (self._original(each) for each in (id, _EARLIER.sub("", id)))
        except Unreadable:
            return False
        return earlier is not None and now is not None and earlier.path == now.path

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
        path = parts[0].original.path
        try:
            path = self._path(parts[0].original)
            found = self._put(id, path, parts)
            self._restored.add(path)
            return found
        except (OSError, Changed, Unreadable) as error:
            return RestoredFile(id, path, RestoreOutcome.LEFT, problem=words_of(error))

    def _original(self, id: str) -> Original | None:
        read = self._archiver.elements.read(id)
        return None if read is None else Original.of_state(read.state)

    def _path(self, original: Original) -> str:
        """Where the file goes. ``Changed`` where that is no place of sessions, or led to by a link below its root."""
        if self._into is None and not is_source(original.root, original.name, self._environ, self._places):
            raise Changed("no agent keeps sessions there: give --source DIR as it was given to archive, or --to DIR")
        root, (*above, name) = self._into or original.root, original.name.split("/")
        directory = os.path.join(os.path.realpath(root), *above)
        if os.path.realpath(directory) != directory:
            raise Changed("a link is on the way to it, and links are not followed")
        return os.path.join(root, *above, name)

    def _put(self, id: str, path: str, parts: list[FilePart]) -> RestoredFile:
        size = parts[-1].end
        found = self._look(path, parts)
        present, status = found if found is not None else (None, None)
        if present == size:
            return RestoredFile(id, path, RestoreOutcome.PRESENT, size)
        directory = os.path.dirname(path)
        make_directories(self._disk, directory)
        temporary = os.path.join(directory, f".{os.path.basename(path)[:200]}{_PART}")
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(temporary)  # of a run that was killed
        try:
            self._write(temporary, parts)
            if status is None:
                self._disk.link(temporary, path)  # which fails where there is one by now
                self._disk.unlink(temporary)
            else:
                refuse_written(status, self._disk.stat(path))
                self._disk.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                self._disk.unlink(temporary)
            raise
        self._disk.sync_directory(directory)
        return RestoredFile(id, path, RestoreOutcome.RESTORED, size)

    def _look(self, path: str, parts: list[FilePart]) -> tuple[int, os.stat_result] | None:
        """How much of the file is there, and in what; None for nothing. ``Changed`` for another file that stays."""
        try:
            fd = self._disk.open(path, READ)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Changed("what is there is no file: move it away")
            if self._begins(stream, status.st_size, parts):
                return status.st_size, status
        if path in self._restored:
            raise Changed("another session was just put there: restore this one --to another directory")
        if not self._replace:
            raise Changed("another file is there: move it away, or give --replace")
        if status.st_mtime_ns > parts[-1].original.modified:
            raise Changed("a newer file is there: move it away")
        return 0, status

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
            self._disk.fchmod(fd, original.mode & _PERMISSIONS)
            os.utime(fd if os.utime in os.supports_fd else path, ns=(original.accessed, original.modified))
            self._disk.fsync(fd)
