"""The archiver: a file as a session, a session that follows its file, and the file removed where that is wanted.

What is sealed is never dropped. A file that goes on from what is sealed is appended to its session; of one that does
not, which its program has written anew, the old session is kept as ``ID~before-N``. Every step leaves a state from
which the same command goes on: a part of a file is one write, and the next run finds how far the last one came.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import IO, Any, NamedTuple

from ...errors import Damaged, SessionExists
from ...store.elements import ElementDocument, Elements
from ...store.store import SessionStore
from ...util.clock import Clock, SystemClock
from ...util.disk import Disk
from ..importers.transcripts import id_of
from .contents import Changed, ContentReader, FileKind, Hash, digest_of, kind_of
from .discovery import SourceFile
from .lines import Spelling
from .original import DOCUMENT, LINES, Original, digest_text
from .part_writer import FilePart, PartWriter, part_id
from .styles import COMPACT, TEXT

QUIET = 15 * 60
"""Seconds without a write after which nobody is taken to be in the middle of one."""

_TAIL = 4 << 10
"""Bytes before the end of what is sealed by which a file is known again that has only become longer."""
_MOST_BEFORE = 10_000


class ArchiveOutcome(StrEnum):
    """What became of a file."""

    ARCHIVED = "archived"
    APPENDED = "appended"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Archived:
    """A file, the session that it is in, and what became of it; ``added`` bytes were sealed, or would be.

    ``problem`` is why it was left, or not removed; where it ``is_busy`` it is only in use, and another run does it.
    """

    path: str
    id: str
    outcome: ArchiveOutcome
    size: int
    added: int = 0
    removed: bool = False
    problem: str = ""
    is_busy: bool = False
    agent: str = ""


class _FollowedFile(NamedTuple):
    """What is sealed of a file, and where: all but the ``tail`` of it is not read again while it is the same file."""

    inode: tuple[int, int]
    id: str
    parts: list[FilePart]
    hash: Hash
    tail: bytes


class Archiver:
    """Archives files into one store. Safe from any thread, for files that are not the same.

    One that ``remembers`` takes a file that it has sealed, and that has only become longer, to begin as it did, if it
    is the same where that ended.
    """

    def __init__(
        self, store: SessionStore[Any], *, disk: Disk | None = None, clock: Clock | None = None, dry_run: bool = False,
        remembers: bool = False,
    ) -> None:  # fmt: skip
        self.elements = Elements(store)
        self.disk = disk or Disk()
        self._store = store
        self._dry_run = dry_run
        self._known: dict[str, _FollowedFile] | None = {} if remembers else None
        self._clock = clock or SystemClock()

    def archive(self, source: SourceFile) -> Archived:
        """Bring the session of a file to what the file is. Errors are those of the store alone."""
        try:
            with source.file.open() as stream:
                try:
                    return self._archived(source, stream)
                except SessionExists:  # another file has got the id meanwhile
                    return self._archived(source, stream)
        except (OSError, Changed) as error:
            return Archived(source.path, "", ArchiveOutcome.LEFT, 0, problem=words_of(error))

    def is_quiet(self, status: os.stat_result, age: int = 0) -> bool:
        """Whether a file was neither written to nor put back lately: within ``QUIET``, and so many microseconds."""
        changed = max(status.st_mtime_ns, status.st_ctime_ns) // 1000
        return self._clock.now() - changed > max(age, QUIET * 1_000_000)

    def session_of(self, source: SourceFile, kind: FileKind) -> tuple[str, list[FilePart]]:
        """The id of the session of a file, and its parts as far as there are any.

        Where another file has the id, that and a digest of the path is the id.
        """
        for name in (kind.id, _told_apart(kind.id, source)):
            read = self.elements.read(name)
            if read is None:
                return name, []
            original = Original.of_state(read.state)
            if original is not None and original.path == source.path:
                return name, list(self.parts(name, read))
        raise SessionExists(f"there is a session {kind.id!r} already, and it is not of {source.path}")

    def parts(self, id: str, first: ElementDocument | None = None) -> Iterator[FilePart]:
        """The parts of a file that was archived. ``Damaged`` where one is missing."""
        number, place, before, read = 0, 0, "", first or self.elements.read(id)
        while read is not None:
            original = Original.of_state(read.state)
            if original is None or original.start != place or original.after != before:
                return
            yield FilePart(read.info.id, original, read.info.version, len(read.elements))
            number, place, before = number + 1, place + original.size, original.sha256
            read = self.elements.read(part_id(id, number))
            if read is None and original.more:
                raise Damaged(f"{id}: part {number + 1} of the file is not in the vault")

    def _archived(self, source: SourceFile, stream: IO[bytes]) -> Archived:
        status = os.fstat(stream.fileno())
        size = status.st_size
        kind = kind_of(source, size)
        original = _original(source, status, kind)
        known = self._remembered(source.path, status, stream)
        if known is not None:
            writer = self._writer(known.id, kind, original, stream, size, known.parts, hash=known.hash)
            return self._written(source, status, writer, known.id, ArchiveOutcome.APPENDED, stream)
        name, parts = self.session_of(source, kind)
        outcome, agreed = self._outcome(parts, stream, original, size)
        sealed = parts[-1].end if parts and outcome is not ArchiveOutcome.REPLACED else 0
        if self._dry_run:
            return Archived(source.path, name, outcome, size, size - sealed)
        if outcome is ArchiveOutcome.UNCHANGED:
            last, now = parts[-1], original
            if not _is_untouched(last.original, now):  # its bytes are what they were
                same = replace(last.original, mode=now.mode, modified=now.modified, accessed=now.accessed)
                self.elements.append(last.id, (), same.to_state(), if_version=last.version)
            return Archived(source.path, name, outcome, size)
        if outcome is ArchiveOutcome.REPLACED:
            self._keep_before(name, kind, parts)
            added = self._writer(name, kind, original, stream, size, [], replaces=True).write()
            self._drop_after(name)
            return Archived(source.path, name, outcome, size, added)
        writer = self._writer(name, kind, original, stream, size, parts, hash=agreed)
        return self._written(source, status, writer, name, outcome, stream)

    def _outcome(
        self, parts: list[FilePart], stream: IO[bytes], original: Original, size: int
    ) -> tuple[ArchiveOutcome, Hash | None]:
        """What becomes of a file, by what is sealed of it; the digest of the last part, where it goes on from that."""
        if not parts:
            return ArchiveOutcome.ARCHIVED, None
        last = parts[-1]
        if last.end == size and _is_untouched(last.original, original):
            return ArchiveOutcome.UNCHANGED, None
        agreed = self._agreement(parts, stream, size)
        is_more = _is_alike(last.original, original) and (original.layout != DOCUMENT or last.end >= size)
        if agreed is None or not is_more:
            return ArchiveOutcome.REPLACED, None
        return ArchiveOutcome.UNCHANGED if last.end == size else ArchiveOutcome.APPENDED, agreed

    def _written(
        self, source: SourceFile, status: os.stat_result, writer: PartWriter, id: str, outcome: ArchiveOutcome,
        stream: IO[bytes],
    ) -> Archived:  # fmt: skip
        added = writer.write()
        if self._known is not None and writer.parts and writer.hash is not None:
            inode, tail = (status.st_dev, status.st_ino), _tail(stream, writer.parts[-1].end)
            self._known[source.path] = _FollowedFile(inode, id, writer.parts, writer.hash, tail)
        if not added and outcome is ArchiveOutcome.APPENDED:
            outcome = ArchiveOutcome.UNCHANGED
        return Archived(source.path, id, outcome, status.st_size, added)

    def _remembered(self, path: str, status: os.stat_result, stream: IO[bytes]) -> _FollowedFile | None:
        """What is known of a file that is the same, and longer; forgotten until it is written again."""
        known = None if self._known is None else self._known.pop(path, None)
        if known is None or known.inode != (status.st_dev, status.st_ino) or status.st_size <= known.parts[-1].end:
            return None
        last = known.parts[-1]
        if _tail(stream, last.end) != known.tail:
            return None
        is_of_lines = last.original.layout == LINES and self.elements.version(last.id) == last.version
        return known if is_of_lines else None

    def _writer(
        self, id: str, kind: FileKind, original: Original, stream: IO[bytes], size: int, parts: list[FilePart],
        *, hash: Hash | None = None, replaces: bool = False,
    ) -> PartWriter:  # fmt: skip
        known = parts[-1].original if parts else None
        spelling = Spelling(known.style, known.end) if known is not None and known.size else Spelling()
        is_settled = self._clock.now() - original.modified // 1000 > QUIET * 1_000_000
        reader = ContentReader(stream, size, kind, spelling, is_settled=is_settled)
        return PartWriter(self.elements, id, kind, original, reader, parts=[*parts], hash=hash, replaces=replaces)

    def _agreement(self, parts: list[FilePart], stream: IO[bytes], size: int) -> Hash | None:
        """The digest of the last part, where the file begins with all that is sealed of it; None where it does not."""
        digest: Hash | None = None
        for part in parts:
            original = part.original
            digest = hashlib.sha256()
            stream.seek(original.start)
            whole = original.start + original.size <= size and digest_of(stream, original.size, digest) == original.size
            if not whole or digest_text(digest.digest()) != original.sha256:
                return None
        return digest

    def _keep_before(self, id: str, kind: FileKind, parts: list[FilePart]) -> None:
        """A copy of what is sealed, unless all of it is found in what a document has become."""
        if kind.document is not None:
            read = self.elements.read(id)
            old = [] if read is None else read.elements
            if kind.document.elements[: len(old)] == old:
                return
        number = next(number for number in range(1, _MOST_BEFORE) if not self._store.exists(f"{id}~before-{number}"))
        for place, part in enumerate(parts):
            self._store.copy(part.id, part_id(f"{id}~before-{number}", place))

    def _drop_after(self, id: str) -> None:
        """Remove the parts of what a file was before that lie behind its end; they were copied."""
        number = len(list(self.parts(id)))
        while (read := self.elements.read(part_id(id, number))) is not None and Original.of_state(read.state):
            self._store.delete(part_id(id, number), if_version=read.info.version)
            number += 1


def ids_by_name(source: SourceFile) -> list[str]:
    """The ids that the session of a file may have, as far as its name says."""
    names = dict.fromkeys((id_of(source.file), source.file.stem, source.name))
    return [each for name in names for each in (name, _told_apart(name, source))]


def _told_apart(id: str, source: SourceFile) -> str:
    return f"{id}-{hashlib.sha256(source.path.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _original(source: SourceFile, status: os.stat_result, kind: FileKind) -> Original:
    return Original(
        root=source.root,
        name=source.name,
        mode=stat.S_IMODE(status.st_mode),
        modified=status.st_mtime_ns,
        accessed=status.st_atime_ns,
        style=TEXT if kind.is_text else COMPACT,
        end="" if kind.is_text else "\n",
        layout=DOCUMENT if kind.document else LINES,
        skeleton=kind.document.skeleton if kind.document else None,
    )


def _tail(stream: IO[bytes], end: int) -> bytes:
    """A digest of what stands before that place in a file."""
    digest, start = hashlib.sha256(), max(0, end - _TAIL)
    stream.seek(start)
    digest_of(stream, end - start, digest)
    return digest.digest()


def _is_untouched(known: Original, original: Original) -> bool:
    return (known.modified, known.mode) == (original.modified, original.mode)


def _is_alike(known: Original, original: Original) -> bool:
    """Whether a file is read in the way it was: what is read in another way is no more of the same messages."""
    return (known.layout, known.style == TEXT) == (original.layout, original.style == TEXT)


def words_of(error: Exception) -> str:
    """What an error says, without the path that it is about."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
