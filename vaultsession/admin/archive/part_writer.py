"""The parts of a file, written: the first records of new ones, and what was added to the last one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson

from ...format.payload import Json
from ...store.elements import Elements
from ...store.fields import ImportedFields
from ...store.session import SessionInfo
from ...util.clock import to_datetime
from ..importers.placement import imported_fields
from .contents import Content, ContentReader, FileKind, Hash
from .original import PART, Original, digest_text, oddities_key

_BATCH = 2 << 20
"""Bytes of a file that are appended in one record."""


class FilePart(NamedTuple):
    """A part of a file as it lies in the vault, with the version of its session and its number of messages."""

    id: str
    original: Original
    version: str
    messages: int

    @property
    def end(self) -> int:
        """Where in the file it ends."""
        return self.original.start + self.original.size


def part_id(id: str, number: int) -> str:
    """The id of a part, counted from 0."""
    return id if number == 0 else f"{id}~{number + 1}"


@dataclass
class PartWriter:
    """Seals what a file has behind the ``parts`` that there are, whose last digest is ``hash``.

    ``replaces``: in the place of other sessions.
    """

    _elements: Elements
    _id: str
    _kind: FileKind
    _original: Original
    _reader: ContentReader
    parts: list[FilePart]
    hash: Hash | None = None
    replaces: bool = False

    @property
    def _end(self) -> int:
        """Where in the file what is sealed ends."""
        return self.parts[-1].end if self.parts else 0

    def write(self) -> int:
        """Write all that there is; how many bytes of the file. Errors of the store, and ``Changed``."""
        begun = self._end
        while not self.parts or self._end < self._reader.size:
            last = self.parts[-1] if self.parts else None
            grows = last is not None and last.original.size < PART
            if not (self._append(last) if last and grows else self._begin(last)):
                break
        return self._end - begun

    def _begin(self, last: FilePart | None) -> bool:
        """The first record of a part; whether there was anything to write."""
        document = self._kind.document
        content = self._reader.read(self._end, PART) if document is None else self._reader.document(document)
        if content is None:
            if last is not None or self._reader.size:
                return False
            content = Content(self._kind.agent)  # an empty file
        after = last.original.sha256 if last else ""
        original = self._grown(replace(self._original, start=self._end, after=after), content)
        name, state, fields = part_id(self._id, len(self.parts)), _state(original, content), self._fields(content)
        if self._kind.facts is not None and document is not None:
            state = {**self._kind.facts.state, **state}
        info = self._elements.put(name, state, content.elements, fields, replace=self._may_replace(name))
        if last is not None:
            more = replace(last.original, more=True).to_state()
            self._elements.append(last.id, (), more, if_version=last.version)
        self._follow(name, original, info, content)
        return True

    def _may_replace(self, name: str) -> bool:
        """Whether a session of that id is of this file, replaced or left over by a run that ended."""
        if not (self.replaces or len(self.parts)):
            return False
        read = self._elements.read(name)
        known = None if read is None else Original.of_state(read.state)
        return known is not None and known.path == self._original.path

    def _append(self, last: FilePart) -> bool:
        """One more record of the last part; whether there was anything to write."""
        room = min(_BATCH, PART - last.original.size)
        content = self._reader.read(last.end, room, first=last.messages, hash=self.hash)
        if content is None:
            return False
        original = self._grown(last.original, content)
        messages = [orjson.loads(element) for element in content.elements]
        state = _state(original, content)
        info = self._elements.append(last.id, messages, state, if_version=last.version)
        self.parts.pop()
        self._follow(last.id, original, info, content)
        return True

    def _follow(self, id: str, original: Original, info: SessionInfo, content: Content) -> None:
        self.parts.append(FilePart(id, original, info.version, info.message_count))
        self.hash = content.hash

    def _grown(self, known: Original, content: Content) -> Original:
        """What a part is with a content more."""
        original, spelling = self._original, self._reader.spelling
        if self._kind.document is None and not self._kind.is_text:
            original = replace(original, style=spelling.style, end=spelling.end.decode("latin-1"))
        digest = digest_text(content.hash.digest())
        return replace(original, start=known.start, after=known.after, size=known.size + content.size, sha256=digest)

    def _fields(self, content: Content) -> ImportedFields:
        """The facts of a session that begins with a content: those that ``import`` gives it."""
        facts, found = content.facts, self._kind.facts
        if found is not None:
            return {**imported_fields(found), "labels": {**facts.labels, **found.labels}}
        updated = facts.updated or self._original.modified // 1000
        created = min(facts.created or updated, updated)
        return ImportedFields(
            title=facts.title,
            labels=facts.labels,
            created_at=to_datetime(max(0, created)),
            updated_at=to_datetime(max(0, updated)),
        )


def _state(original: Original, content: Content) -> Json:
    state = original.to_state()
    if content.oddities:
        state[oddities_key(content.first)] = content.oddities
    return state
