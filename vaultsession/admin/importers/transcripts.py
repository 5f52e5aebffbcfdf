"""Transcripts: JSON-lines files of one session each, every line an event of it. What the agents share.

Decision: every event is kept whole, as one message, in the order of the file: what a resumed session needs (parents,
sidechains, snapshots, tool results) lies outside of what looks like a message. The first and the last timestamp are
creation and last change. A line that cannot be read leaves out its session, since half a transcript looks like a whole
one; leniently the rest is taken, and the gap is marked.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ...format.payload import Json
from .session import Found, ImportedSession, ImportGap, Skipped, moment
from .sources import File, lines

LONGEST_TITLE = 200


class Agent(NamedTuple):
    """How an agent keeps its transcripts.

    ``is_certain`` holds for events that only this agent writes, ``is_possible`` for all that it may write. A file is
    its own if every line that can be read is possible, and one is certain.
    """

    is_certain: Callable[[Json], bool]
    is_possible: Callable[[Json], bool]
    title: Callable[[list[Json]], str | None]

    def read(self, file: File, *, lenient: bool = False) -> Found:
        """The session of a file, named after it; none where it is empty."""
        try:
            events, gaps = read_events(file, lenient=lenient)
        except OSError as error:
            yield Skipped(file.name, str(error))
            return
        strange = next((number for number, event in enumerate(events, 1) if not self.is_possible(event)), None)
        if gaps and not lenient:
            yield Skipped(f"{file.name}, {gaps[0].where}", f"{gaps[0].reason}; the session is left out")
        elif strange is not None:
            yield Skipped(file.name, f"event {strange} is none of this agent's; the session is left out")
        elif events:
            name = posixpath.basename(file.stem)
            created, updated = span_of(events)
            yield ImportedSession(
                name, file.name, events, {}, created, updated, title=self.title(events), gaps=tuple(gaps)
            )


def read_events(file: File, *, lenient: bool) -> tuple[list[Json], list[ImportGap]]:
    """The events of a file, and where one could not be read: unless ``lenient``, it ends there. ``OSError``."""
    events: list[Json] = []
    gaps: list[ImportGap] = []
    with file.open() as stream:
        for line in lines(stream):
            try:
                events.append(line.json())
            except ValueError as error:
                gaps.append(ImportGap(len(events), f"line {line.number}", str(error)))
                if not lenient:
                    break
    return events, gaps


def span_of(events: Iterable[Json]) -> tuple[int | None, int | None]:
    """The first and the last timestamp, in microseconds since 1970; None where there is none."""
    times = [time for time in (moment(event.get("timestamp")) for event in events) if time is not None]
    return min(times, default=None), max(times, default=None)
