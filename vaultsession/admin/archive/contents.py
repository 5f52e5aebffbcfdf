"""What a file holds, as the parts of a session: read once, a line at a time, and never more than a part in memory."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO, TypeAlias

from ..importers import json_file, json_lines
from ..importers.agents import TRANSCRIPTS
from ..importers.session import Found, ImportedSession
from ..importers.transcripts import Agent, TranscriptFacts, id_of
from . import documents
from .discovery import SourceFile
from .lines import CHUNK, LONGEST_LINE, LinePiece, Oddity, Spelling, text_pieces
from .original import DOCUMENT, is_facts_key
from .styles import TEXT
from .values import strict

_LINES = (".jsonl", ".ndjson")
_CHUNK = 1 << 20
_LOOKED_AT = 64
"""Lines of a file that are looked at for its project."""


Hash: TypeAlias = "hashlib._Hash"  # noqa: SLF001 - its type has no other name


class Changed(Exception):
    """The file is not what it was when it was looked at; the text says how."""


class Busy(Changed):
    """The file is in use: it is left for another time."""


def refuse_written(before: os.stat_result, now: os.stat_result) -> None:
    """``Busy`` for a file that is another one by now, or was written to."""
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (now.st_size, now.st_mtime_ns, now.st_ino):
        raise Busy("it was written to meanwhile")


class Content:
    """Messages of a file, as elements, and what is beside them: ``size`` bytes of it.

    ``first`` is the number of the first message in its session; ``hash`` goes on from the bytes before it.
    """

    def __init__(self, agent: Agent | None, first: int = 0, hash: Hash | None = None) -> None:
        self.elements: list[bytes] = []
        self.oddities: dict[str, Oddity] = {}
        self.size = 0
        self.first = first
        self.hash = hashlib.sha256() if hash is None else hash
        self.facts = TranscriptFacts(agent)

    def add(self, piece: LinePiece) -> None:
        """One more message."""
        if piece.oddity is not None:
            self.oddities[str(self.first + len(self.elements))] = piece.oddity
        if piece.value is not None:
            self.facts.add(piece.value)
        self.elements.append(piece.element)
        self.size += len(piece.data)
        self.hash.update(piece.data)


@dataclass(slots=True)
class FileKind:
    """How a file is read: as lines, as one JSON document, or as text; and what its session is called."""

    id: str
    agent: Agent | None = None
    is_text: bool = False
    document: documents.JsonDocument | None = None
    facts: ImportedSession | None = None


def kind_of(source: SourceFile, size: int) -> FileKind:
    """How a file is to be read. What a reader of importers makes of it counts, where it makes one session of it."""
    file, agent = source.file, source.agent
    if file.suffix in _LINES:
        if agent is None and size <= documents.LARGEST:
            with file.open() as stream:
                agent = TRANSCRIPTS.get(json_lines.survey(stream).agent or "")
            if agent is None:
                found = _one(json_lines.read(file))
                return FileKind(found.id if found else file.stem, None, facts=found)
        return FileKind(id_of(file), agent)
    if file.suffix == ".json" and size <= documents.LARGEST:
        found = _one(json_file.read(file))
        if found is not None:
            state = {name: value for name, value in found.state.items() if not is_facts_key(name)}
            found = replace(found, state=state)
            with file.open() as stream:
                document = documents.document_of(stream.read(documents.LARGEST + 1), found.messages, found.state)
            if document is not None:
                return FileKind(found.id, agent, document=document, facts=found)
    return FileKind(source.name, agent, is_text=True)


def is_of_project(source: SourceFile, project: str) -> bool:
    """Whether a file is of work in a directory or below it, by what its first lines say, or by its own directory."""
    wanted = os.path.abspath(os.path.expanduser(project))
    if re.sub("[^A-Za-z0-9]", "-", wanted).strip("-") in (part.strip("-") for part in source.name.split("/")[:-1]):
        return True
    try:
        with source.file.open() as stream:
            agent = source.agent or TRANSCRIPTS.get(json_lines.survey(stream).agent or "")
            stream.seek(0)
            facts = TranscriptFacts(agent)
            for line in itertools.islice(iter(lambda: stream.readline(LONGEST_LINE), b""), _LOOKED_AT):
                found = strict(line)
                if found is not None and isinstance(found[0], dict):
                    facts.add(found[0])
    except OSError:
        return False
    return f"{facts.labels.get('project', '')}{os.sep}".startswith(wanted + os.sep)


def _one(found: Found) -> ImportedSession | None:
    """The session of a file, if it holds one and nothing else."""
    both = [each for _, each in zip(range(2), found, strict=False)]
    return both[0] if len(both) == 1 and isinstance(both[0], ImportedSession) else None


class ContentReader:
    """Reads a file that is ``size`` bytes long, from any place on. ``Changed`` where it has become shorter meanwhile.

    Unless it ``is_settled``, a last line without an end is left for another time: it may be written to.
    """

    def __init__(self, stream: IO[bytes], size: int, kind: FileKind, spelling: Spelling, *, is_settled: bool) -> None:
        self.spelling = spelling
        self.size = size
        self._stream = stream
        self._kind = kind
        self._is_settled = is_settled

    def read(self, place: int, room: int, *, first: int = 0, hash: Hash | None = None) -> Content | None:
        """What the file holds from that place on: at least ``room`` bytes in messages, or all; None for none.

        ``first`` messages stand before them in the session, and ``hash`` is the digest of their bytes.
        """
        content = Content(self._kind.agent, first, hash)
        self._stream.seek(place)
        for piece in self._text(place) if self._kind.is_text else self._pieces(place):
            content.add(piece)
            if content.size >= room:
                break
        return content if content.elements else None

    def document(self, found: documents.JsonDocument) -> Content:
        """The content of a file that is one document."""
        content = Content(self._kind.agent)
        self._stream.seek(0)
        content.elements, content.oddities = found.elements, {DOCUMENT: found.oddity}
        content.size = digest_of(self._stream, self.size, content.hash)
        return content

    def _text(self, place: int) -> Iterator[LinePiece]:
        for data in self._taken(place, self._stream.read, CHUNK):
            for piece in text_pieces(data):
                yield piece._replace(oddity=None) if piece.oddity == [TEXT] else piece

    def _pieces(self, place: int) -> Iterator[LinePiece]:
        for line in self._taken(place, self._stream.readline, LONGEST_LINE):
            place += len(line)
            if place == self.size and not line.endswith(b"\n") and not self._is_settled:
                return
            yield from self.spelling.pieces(line)
        if self._is_settled:
            yield from self.spelling.rest()

    def _taken(self, place: int, read: Callable[[int], bytes], most: int) -> Iterator[bytes]:
        while place < self.size:
            data = read(min(most, self.size - place))
            if not data:
                raise Changed("it became shorter while it was read")
            place += len(data)
            yield data


def digest_of(stream: IO[bytes], size: int, hash: Hash) -> int:
    """Add the next so many bytes to a digest; how many there were."""
    done = 0
    while done < size and (data := stream.read(min(_CHUNK, size - done))):
        hash.update(data)
        done += len(data)
    return done
