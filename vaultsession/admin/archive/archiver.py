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

import orjson

from ...errors import Damaged, SessionExists
from ...store.elements import ElementDocument, Elements
from ...format.payload import Json
from ...store.fields import ImportedFields
from ...store.session import SessionInfo
from ...store.store import SessionStore
from ...util.clock import Clock, SystemClock, to_datetime
from ...util.disk import Disk
from .contents import Changed, Content, ContentReader, Hash, Kind, digest_of, kind_of
from ..importers.placement import imported_fields
from .discovery import SourceFile
from .lines import Spelling
from .original import DOCUMENT, LINES, PART, Original, digest_text, oddities_key
from .styles import COMPACT, TEXT

QUIET = 15 * 60
"""Seconds without a write after which nobody is taken to be in the middle of one."""

_BATCH = 2 << 20
_MOST_BEFORE = 10_000


class Outcome(StrEnum):
    """What became of a file."""

    ARCHIVED = "archived"
    APPENDED = "appended"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Archived:
    """A file, the session that it is in, and what became of it. ``problem`` is why it was left, or not removed."""

    path: str
    id: str
    outcome: Outcome
    size: int
    added: int = 0
    removed: bool = False
    problem: str = ""


class Part(NamedTuple):
    """A part of a file as it lies in the vault."""

    id: str
    original: Original
    version: str
    count: int


def part_id(id: str, number: int) -> str:
    """The id of a part, counted from 0."""
    return id if number == 0 else f"{id}~{number + 1}"


class Archiver:
    """Archives files into one store. For one thread; that several do not run at once is the caller's to see to."""

    def __init__(self, store: SessionStore[Any], *, disk: Disk | None = None, clock: Clock | None = None) -> None:
        self.elements = Elements(store)
        self.disk = disk or Disk()
        self._store = store
        self._clock = clock or SystemClock()

    def archive(self, source: SourceFile) -> Archived:
        """Bring the session of a file to what the file is. Errors are those of the store alone."""
        try:
            with source.file.open() as stream:
                return self._archived(source, stream)
        except (OSError, Changed) as error:
            return Archived(source.path, "", Outcome.LEFT, 0, problem=_words(error))

    def session_of(self, source: SourceFile, kind: Kind) -> tuple[str, list[Part]]:
        """The id of the session of a file, and its parts as far as there are any.

        Where another file has the id, that and a digest of the path is the id.
        """
        suffix = hashlib.sha256(source.path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        for id in (kind.id, f"{kind.id}-{suffix}"):
            read = self.elements.read(id)
            if read is None:
                return id, []
            original = Original.of_state(read.state)
            if original is not None and original.path == source.path:
                return id, list(self.parts(id, read))
        raise SessionExists(f"there is a session {kind.id!r} already, and it is not of {source.path}")

    def parts(self, id: str, first: ElementDocument | None = None) -> Iterator[Part]:
        """The parts of a file that was archived. ``Damaged`` where one is missing."""
        number, place, read = 0, 0, first or self.elements.read(id)
        while read is not None:
            original = Original.of_state(read.state)
            if original is None or original.start != place:
                return
            yield Part(read.info.id, original, read.info.version, len(read.elements))
            number, place, more = number + 1, place + original.size, original.more
            read = self.elements.read(part_id(id, number))
            if read is None and more:
                raise Damaged(f"{id}: part {number + 1} of the file is not in the vault")

    def _archived(self, source: SourceFile, stream: IO[bytes]) -> Archived:
        status = os.fstat(stream.fileno())
        size = status.st_size
        kind = kind_of(source, size)
        id, parts = self.session_of(source, kind)
        original = _original(source, status, kind)
        if not parts:
            added = self._extend(id, kind, original, [], stream, size)
            return Archived(source.path, id, Outcome.ARCHIVED, size, added)
        sealed = parts[-1].original.start + parts[-1].original.size
        if sealed == size and _is_untouched(parts[-1].original, original):
            return Archived(source.path, id, Outcome.UNCHANGED, size)
        hash = self._agreement(parts, stream, size)
        if hash is None or (kind.document is not None and sealed < size):
            self._keep_before(id, kind, parts)
            added = self._extend(id, kind, original, [], stream, size, rewrite=True)
            self._drop_after(id, size)
            return Archived(source.path, id, Outcome.REPLACED, size, added)
        added = self._extend(id, kind, original, parts, stream, size, hash=hash)
        if not added and sealed == size:
            self._refresh(parts[-1], original)
        return Archived(source.path, id, Outcome.APPENDED if added else Outcome.UNCHANGED, size, added)

    def _extend(
        self,
        id: str,
        kind: Kind,
        original: Original,
        parts: list[Part],
        stream: IO[bytes],
        size: int,
        *,
        hash: Hash | None = None,
        rewrite: bool = False,
    ) -> int:
        """Seal what the file has behind its ``parts``; how many bytes. ``rewrite``: in the place of what is there."""
        known = parts[-1].original if parts else None
        version, count, number = (parts[-1].version, parts[-1].count, len(parts) - 1) if parts else ("", 0, -1)
        place = known.start + known.size if known is not None else 0
        spelling = Spelling(known.style, known.end) if known is not None and known.size else Spelling()
        reader = ContentReader(stream, size, kind, spelling, is_settled=self._is_settled(original))
        begun, info = place, None
        while known is None or place < size:
            is_new = known is None or known.size >= PART
            if is_new:
                known, count, hash = replace(original, start=place), 0, None
            if kind.document is not None:
                content: Content | None = reader.document()
            else:
                room = PART if is_new else min(_BATCH, PART - known.size)
                content = reader.read(place, room, first=count, hash=hash)
            if content is None:
                if number >= 0 or size:
                    break
                content = Content(kind.agent)  # an empty file
            known = _grown(known, original, content, kind, spelling)
            state = known.to_state()
            if content.oddities:
                state[oddities_key(count)] = content.oddities
            if is_new:
                number += 1
                info = self._begin(part_id(id, number), kind, state, content, original, replace_old=rewrite)
                if number:
                    self._mark_more(part_id(id, number - 1))
            else:
                messages = [orjson.loads(element) for element in content.elements]
                info = self.elements.append(part_id(id, number), messages, state, if_version=version)
            version, count, hash = info.version, count + len(content.elements), content.hash
            place += content.size
        return place - begun

    def _begin(
        self, id: str, kind: Kind, state: Json, content: Content, original: Original, *, replace_old: bool
    ) -> SessionInfo:
        """The first record of a part."""
        facts, found = content.facts, kind.facts
        updated = facts.updated or original.modified // 1000
        created = facts.created or updated
        fields = ImportedFields(
            title=facts.title,
            labels=facts.labels,
            created_at=to_datetime(max(0, min(created, updated))),
            updated_at=to_datetime(max(0, updated)),
        )
        if found is not None:
            state = {**found.state, **state}
            fields = {**imported_fields(found), "labels": {**facts.labels, **found.labels}}
        write = self.elements.replace if replace_old else self.elements.create
        return write(id, state, content.elements, fields)

    def _mark_more(self, id: str) -> None:
        """Say of a part that another one follows."""
        read = self.elements.read(id)
        original = None if read is None else Original.of_state(read.state)
        if read is not None and original is not None and not original.more:
            self.elements.append(id, (), replace(original, more=True).to_state(), if_version=read.info.version)

    def _refresh(self, part: Part, original: Original) -> None:
        """Keep the mode and the times that a file has now, its bytes being what they were."""
        known = replace(
            part.original, mode=original.mode, modified=original.modified, accessed=original.accessed
        )
        self.elements.append(part.id, (), known.to_state(), if_version=part.version)

    def _agreement(self, parts: list[Part], stream: IO[bytes], size: int) -> Hash | None:
        """The digest of the last part, where the file begins with all that is sealed of it; None where it does not."""
        hash: Hash | None = None
        for part in parts:
            original = part.original
            hash = hashlib.sha256()
            stream.seek(original.start)
            whole = original.start + original.size <= size and digest_of(stream, original.size, hash) == original.size
            if not whole or digest_text(hash.digest()) != original.sha256:
                return None
        return hash

    def _keep_before(self, id: str, kind: Kind, parts: list[Part]) -> None:
        """A copy of what is sealed, unless all of it is found in what a document has become."""
        if kind.document is not None:
            read = self.elements.read(id)
            old = [] if read is None else read.elements
            if kind.document.elements[: len(old)] == old:
                return
        number = next(number for number in range(1, _MOST_BEFORE) if not self._store.exists(f"{id}~before-{number}"))
        for place, part in enumerate(parts):
            self._store.copy(part.id, part_id(f"{id}~before-{number}", place))

    def _drop_after(self, id: str, size: int) -> None:
        """Remove the parts of what a file was before that lie behind its end; they were copied."""
        number = len(list(self.parts(id)))
        while (read := self.elements.read(part_id(id, number))) is not None and Original.of_state(read.state):
            self._store.delete(part_id(id, number), if_version=read.info.version)
            number += 1

    def _is_settled(self, original: Original) -> bool:
        """Whether nobody is taken to be writing to a file."""
        return self._clock.now() - original.modified // 1000 > QUIET * 1_000_000


def _original(source: SourceFile, status: os.stat_result, kind: Kind) -> Original:
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


def _grown(known: Original, original: Original, content: Content, kind: Kind, spelling: Spelling) -> Original:
    """What a part is with a content more."""
    if kind.document is None and not kind.is_text:
        original = replace(original, style=spelling.style, end=spelling.end.decode("latin-1"))
    return replace(
        original, start=known.start, size=known.size + content.size, sha256=digest_text(content.hash.digest())
    )


def _is_untouched(known: Original, original: Original) -> bool:
    return (known.modified, known.mode) == (original.modified, original.mode)


def _words(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
