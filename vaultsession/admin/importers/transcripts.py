"""Transcripts: JSON-lines files of one session each, every line an event of it. What the agents share.

Decision: every event is kept whole, as one message, in the order of the file: what a resumed session needs (parents,
sidechains, snapshots, tool results) lies outside of what looks like a message. The first and the last timestamp are
creation and last change. A line that cannot be read leaves out its session, since half a transcript looks like a whole
one; leniently the rest is taken, and the gap is marked.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ...format.payload import Json
from .session import Found, ImportedSession, ImportGap, moment
from .sources import File, Skipped, lines

LONGEST_TITLE = 200
_USUAL = re.compile(r"20\d\d-(?:0\d|1[0-2])-[0-2]\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z", re.ASCII)
_SHORTEST_PROMPT = 80
"""Characters of what a person said that make a title where there is no other."""


class Title(NamedTuple):
    """What an event says that the session is called. Of two the higher rank wins; of equal ranks the newest.

    At rank 0, what a person asked, the first one wins: that is what the session is about.
    """

    rank: int
    text: str

    @classmethod
    def of_prompt(cls, text: object) -> Title | None:
        """What a person asked as a title; None for what is no text, or begins as what a program wrote does."""
        if not isinstance(text, str) or not text.strip() or text.lstrip()[:1] in "<#[":
            return None
        return cls(0, " ".join(text[: 4 * _SHORTEST_PROMPT].split())[:_SHORTEST_PROMPT])


class Agent(NamedTuple):
    """How an agent keeps its transcripts.

    ``is_certain`` holds for events that only this agent writes, ``is_possible`` for all that it may write. A file is
    its own if every line that can be read is possible, and one is certain. ``title`` and ``project`` are what an event
    says of them, the project being the directory that the agent worked in. ``home`` is where its files lie, by the
    environment, in ``folders`` of it; ``is_ours`` whether one of them, named below home, belongs to a session.
    """

    name: str
    is_certain: Callable[[Json], bool]
    is_possible: Callable[[Json], bool]
    title: Callable[[Json], Title | None]
    project: Callable[[Json], object]
    home: Callable[[Mapping[str, str]], str]
    folders: tuple[str, ...]
    is_ours: Callable[[str], bool]

    def read(self, file: File) -> Found:
        """The session of a file, named after it; none where it is empty."""
        try:
            events, gaps = read_events(file)
        except OSError as error:
            yield Skipped(file.name, str(error))
            return
        strange = next((number for number, event in enumerate(events, 1) if not self.is_possible(event)), None)
        if strange is not None:
            yield Skipped(file.name, f"event {strange} is none of this agent's; the session is left out")
        elif events or gaps:
            facts = TranscriptFacts(self)
            for event in events:
                facts.add(event)
            yield ImportedSession(
                id_of(file), file.name, events, {}, facts.created, facts.updated,
                title=facts.title, labels=facts.labels, gaps=tuple(gaps),
            )  # fmt: skip


class TranscriptFacts:
    """What the events of a transcript say of its session, one event at a time. Times in microseconds, as ``moment``."""

    def __init__(self, agent: Agent | None) -> None:
        self._agent = agent
        self._title: Title | None = None
        self._project = ""
        self._first = self._last = ""
        self._times: list[int] = []

    @property
    def created(self) -> int | None:
        """The first timestamp."""
        return min(self._all_times(), default=None)

    @property
    def updated(self) -> int | None:
        """The last timestamp."""
        return max(self._all_times(), default=None)

    @property
    def title(self) -> str | None:
        """What the session is called."""
        return None if self._title is None else self._title.text[:LONGEST_TITLE]

    @property
    def labels(self) -> dict[str, str]:
        """The agent, and the directory that it worked in."""
        found = {} if self._agent is None else {"agent": self._agent.name}
        return {**found, "project": self._project} if self._project else found

    def add(self, event: Json) -> None:
        """Note what an event says."""
        time: Any = event.get("timestamp")
        if type(time) is str and _USUAL.fullmatch(time):  # in the order of their text: only two are read
            self._first = min(time, self._first) if self._first else time
            self._last = max(time, self._last)
        elif (found := moment(time)) is not None:
            self._times = [min(found, *self._times), max(found, *self._times)] if self._times else [found]
        if self._agent is None:
            return
        title = self._agent.title(event)
        if title is not None and (self._title is None or title.rank >= max(1, self._title.rank)):
            self._title = title
        project = None if self._project else self._agent.project(event)
        if isinstance(project, str):
            self._project = project

    def _all_times(self) -> list[int]:
        return [*self._times, *(time for time in (moment(self._first), moment(self._last)) if time is not None)]


def id_of(file: File) -> str:
    """The id of the session of a transcript: its name; where each has a directory of its own, that of the directory."""
    directory, name = posixpath.split(file.stem)
    if name == "events":
        return posixpath.basename(directory) or os.path.basename(os.path.dirname(file.path)) or name
    return name


def home_of(variable: str, directory: str) -> Callable[[Mapping[str, str]], str]:
    """A directory that a variable of the environment names, else one below the home of the user."""

    def home(environ: Mapping[str, str]) -> str:
        return environ.get(variable) or os.path.join(environ.get("HOME") or os.path.expanduser("~"), directory)

    return home


def text_of(content: object) -> str | None:
    """The first text of what a message holds: a text, or a list of parts."""
    if isinstance(content, list):
        content = next((part.get("text") for part in content if isinstance(part, dict) and part.get("text")), None)
    return content if isinstance(content, str) else None


def read_events(file: File) -> tuple[list[Json], list[ImportGap]]:
    """The events of a file, and where one could not be read. ``OSError``."""
    events: list[Json] = []
    gaps: list[ImportGap] = []
    with file.open() as stream:
        for line in lines(stream):
            try:
                events.append(line.json())
            except ValueError as error:
                gaps.append(ImportGap(len(events), f"line {line.number}", str(error)))
    return events, gaps


def span_of(events: Iterable[Json]) -> tuple[int | None, int | None]:
    """The first and the last timestamp, in microseconds since 1970; None where there is none."""
    facts = TranscriptFacts(None)
    for event in events:
        facts.add(event)
    return facts.created, facts.updated
