"""The database of LangGraph's ``SqliteSaver`` and ``AsyncSqliteSaver``: every thread in it.

::

    checkpoints  thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata (JSON)
    writes       thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, value

A thread becomes a session with the log that ``integrations.langgraph.thread_log`` describes, so that ``VaultSaver``
goes on with it: each value once, of a list each element once. Nothing is made of what is serialized: it is cut.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from ...format import ids
from ...format.binary_text import readable, text_of
from ...format.payload import Json
from . import msgpack_parts
from .session import Found, ImportedSession, ImportGap, Skipped
from .sources import File
from .sqlite_file import Tables, read_database

TABLES = {
    "checkpoints": {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "checkpoint"},
    "writes": {"thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "value"},
}
"""What such a database has, at least."""

NAME, _FORMAT = "langgraph", "1"
_MSGPACK = "msgpack"
_SHARED = 24
_ALL_MESSAGES = 1 << 53


def read(file: File, *, lenient: bool = False) -> Found:
    """The threads of a database, in the order of their ids."""

    def threads(database: sqlite3.Connection, tables: Tables) -> Found:
        path = "task_path" if "task_path" in tables["writes"] else "''"
        for (thread,) in database.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id"):
            yield _thread(database, thread, path, file, lenient=lenient)
        orphans = (
            "SELECT count(*) FROM writes WHERE (thread_id, checkpoint_ns, checkpoint_id) NOT IN"
            " (SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints)"
        )
        if lost := database.execute(orphans).fetchone()[0]:
            yield Skipped(file.name, f"{lost} writes belong to no checkpoint that is there")

    return read_database(file, "LangGraph's SqliteSaver", TABLES, threads)


def _thread(
    database: sqlite3.Connection, thread: str, path: str, file: File, *, lenient: bool
) -> ImportedSession | Skipped:
    place = f"{file.name}, thread {thread!r:.80}"
    if not isinstance(thread, str) or not thread:
        return Skipped(place, "its id is no text")
    log = _Log()
    gaps: list[ImportGap] = []
    rows = database.execute(
        "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints"
        " WHERE thread_id = ? ORDER BY checkpoint_id, checkpoint_ns",
        (thread,),
    )
    for space, name, *rest in rows:
        try:
            log.put(space, name, *rest)
        except ValueError as error:
            gaps.append(ImportGap(len(log.records), f"checkpoint {name!r:.80}", str(error)))
            continue
        for record in _writes(database, thread, space, name, path):
            log.add(record)
    if gaps and not lenient:
        return Skipped(place, f"{gaps[0].where}: {gaps[0].reason}")
    odd = "%" in thread or len(thread.encode("utf-8", "surrogatepass")) > ids.LONGEST_ID
    labels = {"framework": NAME, "log": f"{_FORMAT}.{os.urandom(6).hex()}"} | ({"thread": thread} if odd else {})
    return ImportedSession(
        ids.composed(thread) if odd else thread,
        place,
        log.records,
        labels=labels,
        max_messages=_ALL_MESSAGES,
        gaps=tuple(gaps),
    )


def _writes(database: sqlite3.Connection, thread: str, space: str, of: str, path: str) -> Iterator[Json]:
    text = (
        f"SELECT task_id, {path}, idx, channel, type, value FROM writes"  # noqa: S608 - one of two texts of ours
        " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx"
    )
    for task, where, index, channel, kind, value in database.execute(text, (thread, space, of)):
        record: Json = {"task": task, "of": of, "writes": [[index, channel, _typed(kind, value)]]}
        if space:
            record["ns"] = space
        if where:
            record["path"] = where
        yield record


class _Log:
    """The records of a thread, each behind the others."""

    def __init__(self) -> None:
        self.records: list[Json] = []
        self._numbers: dict[str, int] = {}
        self._count = 0
        self._values: dict[tuple[str, str, Any], bytes] = {}
        self._new: list[str] = []

    def add(self, record: Json) -> None:
        """Behind the others."""
        self.records.append(record)

    def put(
        self, space: str, name: str, parent: str | None, kind: str, checkpoint: bytes, metadata: bytes | str | None
    ) -> None:
        """The record of a checkpoint. ``ValueError`` for what cannot be taken apart."""
        if kind != _MSGPACK:
            encrypted = " (encrypted: read it with its key, in LangGraph)" if "+" in kind else ""
            raise ValueError(f"serialized as {kind!r:.40}{encrypted}")
        parts = dict(msgpack_parts.pairs(checkpoint))
        values = dict(msgpack_parts.pairs(parts.pop("channel_values", b"\x80")))
        versions = {
            channel: msgpack_parts.scalar(version)
            for channel, version in msgpack_parts.pairs(parts.pop("channel_versions", b"\x80"))
        }
        if unversioned := values.keys() - versions.keys():
            raise ValueError(f"channel {min(unversioned)!r:.40} has a value and no version")
        self._new = []
        written = [
            [channel, version, self._value(values.get(channel))]
            for channel, version in versions.items()
            if self._is_new((space, channel, version), values.get(channel))
        ]
        record: Json = {"checkpoint": name, "head": text_of(msgpack_parts.map_of([*parts.items()]))}
        if parent:
            record["parent"] = parent
        text = metadata.encode() if isinstance(metadata, str) else metadata or b"{}"
        record |= {"metadata": ["json", text_of(text)], "versions": versions}
        if written:
            record["values"] = written
        if space:
            record["ns"] = space
        if self._new:
            record |= {"base": self._count, "elements": self._new}
            if found := readable(self._new):
                record["readable"] = found
            self._count += len(self._new)
        self.add(record)

    def _is_new(self, place: tuple[str, str, Any], value: bytes | None) -> bool:
        """Whether the log does not say it of that version already; it does from now on."""
        if (self._values.get(place)) == value:
            return False
        self._values[place] = value  # type: ignore[assignment]  # None where the channel was emptied
        return True

    def _value(self, value: bytes | None) -> Any:  # noqa: ANN401 - JSON
        if value is None:
            return None
        elements = msgpack_parts.elements(value)
        if elements is None:
            return text_of(value)
        ranges: list[int] = []
        for element in elements:
            number = self._number(text_of(element))
            if ranges and ranges[-1] == number:
                ranges[-1] += 1
            else:
                ranges += number, number + 1
        return {"ranges": ranges}

    def _number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._count + len(self._new)
            self._new.append(text)
            if len(text) >= _SHARED:
                self._numbers[text] = number
        return number


def _typed(kind: str, value: bytes | None) -> Any:  # noqa: ANN401 - JSON
    text = text_of(value or b"")
    return text if kind == _MSGPACK else [kind, text]
