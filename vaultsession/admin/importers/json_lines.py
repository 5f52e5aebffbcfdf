"""JSON lines: a session per line, a message per line, or a line of facts and the messages. Our own export too.

::

    {"id": "alice", "user_id": …, "state": {…}, "messages": […]}           (names: ``session``)
    {"session_id": "alice", "role": "user", "content": …}                  kept whole, in the order of the lines
    {"role": "user", "content": …}                                         all of them one session, named after the file
    {"sessionId": "alice", "startTime": …}                                 the first line: facts of those that follow

A file is of one kind, which all its lines decide. Messages that name their session are read twice: once to learn which
lines belong together, 16 bytes of memory for each, then session by session.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import IO

import orjson

from ...format.payload import Json
from .agents import TRANSCRIPTS
from .session import (
    LEFT_OUT,
    Found,
    ImportedSession,
    is_facts,
    is_message,
    is_session,
    names_session,
    session_id_of,
    session_of,
)
from .sources import File, Line, Skipped, lines
from .transcripts import Agent, read_events, span_of


@dataclass(slots=True)
class Survey:
    """What the lines of a file look like, of those that can be read."""

    agents: dict[str, Agent] = field(default_factory=lambda: dict(TRANSCRIPTS))
    """Those whose transcript it may be."""
    certain: set[str] = field(default_factory=set)
    lines: int = 0
    sessions: int = 0
    messages: int = 0
    named: int = 0
    """Lines behind the first that name a session."""
    first: Json = field(default_factory=dict)

    def add(self, value: Json) -> None:
        """Count a line."""
        if self.lines == 0:
            self.first = value
        else:
            self.named += names_session(value)
        self.lines += 1
        self.sessions += is_session(value)
        self.messages += is_message(value)
        self.agents = {name: agent for name, agent in self.agents.items() if agent.is_possible(value)}
        self.certain |= {name for name, agent in self.agents.items() if agent.is_certain(value)}

    @property
    def agent(self) -> str | None:
        """The agent whose transcript this is."""
        return next((name for name in self.agents if name in self.certain), None)


def survey(stream: IO[bytes]) -> Survey:
    """Look at every line once, quickly."""
    found = Survey()
    for line in lines(stream):
        with contextlib.suppress(ValueError):
            value = orjson.loads(line.data or b"")
            if isinstance(value, dict):
                found.add(value)
    return found


def read(file: File) -> Found:
    """The sessions of a file."""
    try:
        with file.open() as stream:
            kind = survey(stream)
            stream.seek(0)
            if kind.agent:
                yield Skipped(file.name, f"a transcript: name the format {kind.agent}, or none")
            elif kind.sessions or not kind.lines:
                yield from _sessions(file.name + ", ", lines(stream))
            elif kind.named or (names_session(kind.first) and not is_facts(kind.first)):
                yield from _messages(file, stream)
            elif (is_facts(kind.first) and kind.messages) or kind.messages == kind.lines:
                yield _session(file)
            else:
                yield from _sessions(file.name + ", ", lines(stream))
    except OSError as error:
        yield Skipped(file.name, str(error))


def read_stream(stream: IO[bytes]) -> Found:
    """The sessions of a stream, one a line. It is read once, and a line at a time."""
    return _sessions("", lines(stream))


def _sessions(where: str, found: Iterable[Line]) -> Found:
    for line in found:
        place = f"{where}line {line.number}"
        try:
            yield session_of(line.json(), None, place)
        except ValueError as error:
            yield Skipped(place, str(error))


def _session(file: File) -> ImportedSession | Skipped:
    """All lines as one session."""
    messages, gaps = read_events(file)
    facts = messages.pop(0) if messages and is_facts(messages[0]) else {}
    try:
        found = session_of({**facts, "messages": messages}, file.stem, file.name)
    except ValueError as error:
        return gaps[0].skipped(file.name, LEFT_OUT) if gaps else Skipped(file.name, str(error))
    created, updated = span_of(messages)
    return replace(
        found,
        created=found.created or created,
        updated=found.updated or updated or file.modified(),
        gaps=tuple(gap._replace(after=max(0, gap.after - bool(facts))) for gap in gaps),
    )


def _messages(file: File, stream: IO[bytes]) -> Found:
    places: dict[str, array[int]] = {}
    for line in lines(stream):
        try:
            places.setdefault(session_id_of(line.json()), array("Q")).extend((line.number, line.start))
        except ValueError as error:
            yield Skipped(file.at(line.number), str(error))
    for name, numbers in places.items():
        messages = []
        for start in numbers[1::2]:
            stream.seek(start)
            messages.append(next(lines(stream)).json())
        yield ImportedSession(name, file.at(numbers[0]), messages)
