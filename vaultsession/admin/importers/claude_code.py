"""Transcripts of Claude Code: one JSON-lines file per session, as below ``~/.claude/projects``.

::

    {"type": "user", "message": {…}, "uuid": …, "parentUuid": …, "sessionId": …, "timestamp": …, "cwd": …}
    {"type": "summary", "summary": …, "leafUuid": …}

Decision: every event is kept whole, as one message, in the order of the file: what a resumed session needs (parents,
sidechains, snapshots, tool results) lies outside of ``message``. Who wants role and content alone takes
``event["message"]`` of the events of type "user" and "assistant".

The id is the name of the file and not the ``sessionId`` inside, which files of sub-agents share with their parent. The
title is the one that was given, else the newest summary; the first and the last timestamp are creation and last change.
A line that cannot be read leaves out its session: half a transcript looks like a whole one.
"""

from __future__ import annotations

import posixpath

from ...format.payload import Json
from .fields import moment
from .records import Found, ImportedSession, Skipped
from .sources import TOO_LONG, File
from .strict import named, parse

_LONGEST_TITLE = 200


def read(file: File) -> Found:
    """The session of a file; none where it is empty."""
    events: list[Json] = []
    try:
        for number, line in file.lines():
            try:
                events.append(_event(line))
            except ValueError as error:
                yield Skipped(file.at(number), f"{error}; the session is left out")
                return
    except OSError as error:
        yield Skipped(file.name, str(error))
        return
    if not events:
        return
    times = [time for time in map(moment, (event.get("timestamp") for event in events)) if time is not None]
    yield ImportedSession(
        posixpath.basename(file.stem),
        file.name,
        events,
        created=min(times, default=None),
        updated=max(times, default=None),
        title=_title(events),
    )


def is_event(value: object) -> bool:
    """Whether a line looks like one of a transcript."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    return (
        ("uuid" in value and "sessionId" in value)
        or ("leafUuid" in value and "summary" in value)
        or (value["type"] == "file-history-snapshot" and "snapshot" in value)
        or ("sessionId" in value and "timestamp" in value)
        or (value["type"] in ("user", "assistant") and isinstance(value.get("message"), dict))
    )


def _event(line: bytes | None) -> Json:
    if line is None:
        raise ValueError(TOO_LONG)
    value = parse(line)
    if not isinstance(value, dict):
        raise ValueError(f"{named(value)}, and an event is an object")  # noqa: TRY004 - of the data, not the code
    if not isinstance(value.get("type"), str):
        raise ValueError("an event without a type: this is no transcript of Claude Code")  # noqa: TRY004 - as above
    return value


def _title(events: list[Json]) -> str | None:
    for field in ("customTitle", "summary"):
        for event in reversed(events):
            found = event.get(field)
            if isinstance(found, str) and found.strip():
                return found[:_LONGEST_TITLE]
    return None
