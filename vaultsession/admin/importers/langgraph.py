"""The database of LangGraph's ``SqliteSaver`` and ``AsyncSqliteSaver``: every thread in it.

::

    checkpoints  thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata (JSON)
    writes       thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, value

A thread becomes a session with the log that ``format.thread_log`` describes, so that ``VaultSaver``
goes on with it: each value once, of a list each element once. Nothing is made of what is serialized: it is cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from ...format.binary_text import text_of
from ...format.payload import Json
from ...format.thread_log import ALL_MESSAGES, RecordDraft, ThreadLog, Value, labels_of, session_id
from . import msgpack_parts
from .session import Found, ImportedSession, ImportGap
from .sources import File, Skipped
from .sqlite_file import Tables, read_database

TABLES = {
    "checkpoints": {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "checkpoint"},
    "writes": {"thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "value"},
}
"""What such a database has, at least."""

_MSGPACK = "msgpack"


def read(file: File) -> Found:
    """The threads of a database, in the order of their ids."""

    def threads(database: sqlite3.Connection, tables: Tables) -> Found:
        path = "task_path" if "task_path" in tables["writes"] else "''"
        for (thread,) in database.execute("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id"):
            yield _thread(database, thread, path, file)
        orphans = (
            "SELECT count(*) FROM writes WHERE (thread_id, checkpoint_ns, checkpoint_id) NOT IN"
            " (SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints)"
        )
        if lost := database.execute(orphans).fetchone()[0]:
            yield Skipped(file.name, f"{lost} writes belong to no checkpoint that is there")

    return read_database(file, "LangGraph's SqliteSaver", TABLES, threads)


def _thread(database: sqlite3.Connection, thread: str, path: str, file: File) -> ImportedSession | Skipped:
    place = f"{file.name}, thread {thread!r:.80}"
    if not isinstance(thread, str) or not thread:
        return Skipped(place, "its id is no text")
    log, records = ThreadLog(), list[Json]()
    known: dict[tuple[str, str, Any], bytes | None] = {}
    gaps: list[ImportGap] = []

    def add(record: Json) -> None:
        log.take_all([record])
        records.append(record)

    rows = database.execute(
        "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints"
        " WHERE thread_id = ? ORDER BY checkpoint_id, checkpoint_ns",
        (thread,),
    )
    for space, name, *rest in rows:
        try:
            add(_checkpoint(log, known, space, name, *rest))
        except ValueError as error:
            gaps.append(ImportGap(len(records), f"checkpoint {name!r:.80}", str(error)))
            continue
        for record in _writes(database, thread, space, name, path):
            add(record)
    return ImportedSession(
        session_id(thread), place, records, labels=labels_of(thread), max_messages=ALL_MESSAGES, gaps=tuple(gaps)
    )


def _writes(database: sqlite3.Connection, thread: str, space: str, of: str, path: str) -> Iterator[Json]:
    text = (
        f"SELECT task_id, {path}, idx, channel, type, value FROM writes"  # noqa: S608 - one of two texts of ours
        " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx"
    )
    for task, where, index, channel, kind, value in database.execute(text, (thread, space, of)):
        data = text_of(value or b"")
        written = [index, channel, data if kind == _MSGPACK else [kind, data]]
        record: Json = {"task": task, "of": of, "writes": [written]}
        if space:
            record["ns"] = space
        if where:
            record["path"] = where
        yield record


def _checkpoint(
    log: ThreadLog, known: dict[tuple[str, str, Any], bytes | None], space: str, name: str,
    parent: str | None, kind: str, checkpoint: bytes, metadata: bytes | str | None,
) -> Json:  # fmt: skip
    """The record of a checkpoint, with those of its values that are not ``known``. ``ValueError`` where it is odd."""
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
    drafted, written = RecordDraft(log, space), []
    for channel, version in versions.items():
        value, place = values.get(channel), (space, channel, version)
        if known.get(place) != value:
            known[place] = value
            written.append([channel, version, _value(drafted, value)])
    record: Json = {"checkpoint": name, "head": text_of(msgpack_parts.map_of([*parts.items()]))}
    if parent:
        record["parent"] = parent
    text = metadata.encode() if isinstance(metadata, str) else metadata or b"{}"
    record |= {"metadata": ["json", text_of(text)], "versions": versions}
    if written:
        record["values"] = written
    return drafted.written(record)


def _value(drafted: RecordDraft, value: bytes | None) -> Value:
    if value is None:
        return None
    elements = msgpack_parts.elements(value)
    return text_of(value) if elements is None else {"ranges": drafted.ranges(map(text_of, elements))}
