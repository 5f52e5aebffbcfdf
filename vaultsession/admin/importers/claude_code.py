"""Transcripts of Claude Code: one JSON-lines file per session, as below ``~/.claude/projects``.

::

    {"type": "user", "message": {…}, "uuid": …, "parentUuid": …, "sessionId": …, "timestamp": …, "cwd": …}
    {"type": "summary", "summary": …, "leafUuid": …}

Decision: every event is kept whole, as one message, in the order of the file: what a resumed session needs (parents,
sidechains, snapshots, tool results) lies outside of ``message``. Role and content alone are ``event["message"]`` of the
events of type "user" and "assistant".

The id is the name of the file and not the ``sessionId`` inside, which files of sub-agents share with their parent. The
title is the one that was given, else the newest summary; the first and the last timestamp are creation and last change.
A line that cannot be read leaves out its session: half a transcript looks like a whole one.
"""

from __future__ import annotations

import posixpath

from ...format.payload import Json
from .session import Found, ImportedSession, Skipped, moment
from .sources import File, lines

_TITLES = ("customTitle", "summary")
_LONGEST_TITLE = 200


def read(file: File) -> Found:
    """The session of a file; none where it is empty."""
    events: list[Json] = []
    place = file.name
    try:
        with file.open() as stream:
            for line in lines(stream):
                place = file.at(line.number)
                events.append(line.json())
                if not isinstance(events[-1].get("type"), str):
                    raise ValueError("an event without a type: this is no transcript of Claude Code")  # noqa: TRY004, TRY301 - of the data, and told below
    except ValueError as error:
        yield Skipped(place, f"{error}; the session is left out")
        return
    except OSError as error:
        yield Skipped(file.name, str(error))
        return
    if events:
        times = [time for time in (moment(event.get("timestamp")) for event in events) if time is not None]
        created, updated = min(times, default=None), max(times, default=None)
        name = posixpath.basename(file.stem)
        yield ImportedSession(name, file.name, events, {}, created, updated, title=_title(events))


def is_event(value: Json) -> bool:
    """Whether a line looks like one of a transcript."""
    return isinstance(value.get("type"), str) and (
        ("uuid" in value and "sessionId" in value)
        or ("leafUuid" in value and "summary" in value)
        or (value["type"] == "file-history-snapshot" and "snapshot" in value)
        or ("sessionId" in value and "timestamp" in value)
        or (value["type"] in ("user", "assistant") and isinstance(value.get("message"), dict))
    )


def _title(events: list[Json]) -> str | None:
    for field in _TITLES:
        for event in reversed(events):
            found = event.get(field)
            if isinstance(found, str) and found.strip():
                return found[:_LONGEST_TITLE]
    return None
