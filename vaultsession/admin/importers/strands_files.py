"""The directory of Strands' ``FileSessionManager``: a session for each folder, as ``integrations.strands`` keeps it.

::

    session_ID/session.json                                  {"session_id": …, "created_at": …}
        agents/agent_ID/agent.json                           {"agent_id": …, "state": {…}}
            messages/message_0.json                          {"message": {…}, "message_id": 0, "created_at": …}
        multi_agents/multi_agent_ID/multi_agent.json

Messages of an agent are in the order of their numbers, those of several agents in that of their times. Their files are
read with the session, so none is a session of its own.
"""

from __future__ import annotations

import heapq
import os
import posixpath
import re
from operator import itemgetter
from pathlib import PurePath

from ...format.ids import composed
from ...format.payload import Json
from .session import LEFT_OUT, Found, ImportedSession, ImportGap, moment
from .sources import File, Skipped, files, named

SESSION, AGENT, MULTI_AGENT = "session", "agent:", "multi_agent:"
"""Keys of the state, those of agents with the id behind them."""

_FOLDER = "session_"
_AGENT_FILE = re.compile(r"agents/agent_([^/]+)/agent\.json")
_MESSAGE_FILE = re.compile(r"agents/agent_([^/]+)/messages/message_(\d{1,18})\.json")
_MULTI_AGENT_FILE = re.compile(r"multi_agents/multi_agent_([^/]+)/multi_agent\.json")


def is_part(file: File) -> bool:
    """Whether a file lies in the folder of a session."""
    return _folder_of(file) is not None


def read(file: File) -> Found:
    """The session whose ``session.json`` this is; nothing of another file of it."""
    folder = _folder_of(file)
    if folder is None:
        yield Skipped(file.name, "no file of a session of Strands")
    elif os.path.dirname(file.path) == folder and posixpath.basename(file.path) == "session.json":
        yield _session(file, folder)


def _folder_of(file: File) -> str | None:
    """The nearest folder above a file that is named as a session's and has its file."""
    above = (path for path in PurePath(file.path).parents if path.name.startswith(_FOLDER))
    return next((str(path) for path in above if os.path.isfile(path / "session.json")), None)


def _session(file: File, folder: str) -> ImportedSession | Skipped:
    found = _StrandsFolder()
    gaps: list[ImportGap] = []
    for part in files(folder, {".json"}):
        if isinstance(part, Skipped):
            gaps.append(ImportGap(0, part.place, part.reason))
            continue
        try:
            found.take(part)
        except (ValueError, OSError) as error:
            gaps.append(ImportGap(0, part.name, str(error)))
    name = found.state.get(SESSION, {}).get("session_id")
    if not isinstance(name, str) or not name:
        return gaps[0].skipped(file.name, LEFT_OUT) if gaps else Skipped(file.name, "there is no session_id in it")
    created, updated = found.span()
    labels = {"framework": "strands"}
    return ImportedSession(
        composed(name), file.name, found.messages(), found.state, created, updated, labels=labels, gaps=tuple(gaps)
    )


class _StrandsFolder:
    """What the files of one session hold."""

    def __init__(self) -> None:
        self.state: Json = {}
        self._histories: dict[str, list[tuple[int, Json]]] = {}

    def take(self, part: File) -> None:
        """Read a file. ``ValueError`` for one that is none of Strands', ``OSError``."""
        value = part.json()
        if not isinstance(value, dict):
            raise ValueError(f"{named(value)}, and not an object")  # noqa: TRY004 - of the data, not the code
        if found := _MESSAGE_FILE.fullmatch(part.name):
            if not isinstance(value.get("message"), dict):
                raise ValueError("there is no message in it")
            record = {"agent_id": found[1], "message_id": int(found[2]), **value}
            self._histories.setdefault(found[1], []).append((int(found[2]), record))
        elif found := _AGENT_FILE.fullmatch(part.name):
            self.state[AGENT + found[1]] = value
        elif found := _MULTI_AGENT_FILE.fullmatch(part.name):
            self.state[MULTI_AGENT + found[1]] = value
        elif part.name == "session.json":
            self.state[SESSION] = value
        else:
            raise ValueError("no file that Strands writes")

    def messages(self) -> list[Json]:
        """All, by number within an agent and by time between agents."""
        ordered = ([record for _, record in sorted(each, key=itemgetter(0))] for each in self._histories.values())
        return list(heapq.merge(*ordered, key=lambda record: str(record.get("created_at"))))

    def span(self) -> tuple[int | None, int | None]:
        """When it was created, and the last time that any file names."""
        everything = [*self.state.values(), *(record for each in self._histories.values() for _, record in each)]
        times = (moment(each.get(name)) for each in everything for name in ("created_at", "updated_at"))
        created = moment(self.state[SESSION].get("created_at"))
        return created, max((time for time in times if time is not None), default=None)
