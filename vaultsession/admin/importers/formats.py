"""The formats, which of them a file has, and how a source is read in one or in all of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import IO, NamedTuple

from ...errors import InvalidSetting
from . import google_adk, json_file, json_lines, langgraph, openai_agents, strands_files
from .agents import TRANSCRIPTS
from .session import LEFT_OUT, Found
from .sources import File, Skipped, files
from .sqlite_file import MAGIC, connected, has_tables, tables_of

AUTO = "auto"
_JSON, _LINES, _DATABASES = (".json",), (".jsonl", ".ndjson"), (".db", ".sqlite", ".sqlite3")


class _Format(NamedTuple):
    suffixes: tuple[str, ...]
    read: Callable[..., Found]
    """Of a file, its sessions."""


_FORMATS = {
    "json": _Format(_JSON, json_file.read),
    "jsonl": _Format(_LINES, json_lines.read),
    "openai-agents": _Format(_DATABASES, openai_agents.read),
    "google-adk": _Format(_DATABASES, google_adk.read),
    "langgraph": _Format(_DATABASES, langgraph.read),
    **{name: _Format(_LINES, agent.read) for name, agent in TRANSCRIPTS.items()},
    "langchain": _Format(_JSON, json_file.read_langchain),
    "strands": _Format(_JSON, strands_files.read),
}

FORMATS = (AUTO, *_FORMATS)
"""What ``read`` takes as a format."""


def read(
    source: str, format: str = AUTO, *, id_prefix: str = "", lenient: bool = False, source_key: str | None = None
) -> Found:
    """Every session of a file or of the files below a directory; ``auto`` looks at each file by itself.

    ``source_key`` is the key that another program encrypted with: of the OpenAI Agents SDK's ``EncryptedSession``.

    ``lenient`` takes what can be read of a session; what cannot is ``Skipped``, and marked in the session's state. An
    id that comes a second time is skipped: the first one stands. ``InvalidSetting`` for a source that is not there, is
    a vault, or for an unknown format.
    """
    if format not in FORMATS:
        raise InvalidSetting(f"a format is one of {', '.join(FORMATS)}, not {format!r}")
    yield from _once(_found(source, format, source_key), id_prefix, lenient=lenient)


def read_lines(stream: IO[bytes], *, id_prefix: str = "") -> Found:
    """The sessions of a stream of JSON lines, one a line, such as an export that is read while it is written."""
    yield from _once(json_lines.read_stream(stream), id_prefix, lenient=False)


def _found(source: str, format: str, source_key: str | None) -> Found:
    suffixes = {suffix for name, each in _FORMATS.items() if format in (AUTO, name) for suffix in each.suffixes}
    for file in files(source, suffixes):
        if isinstance(file, Skipped):
            yield file
        elif (name := format if format != AUTO else format_of(file)) == "openai-agents":
            yield from openai_agents.read(file, source_key)
        else:
            yield from _FORMATS[name].read(file)


def format_of(file: File) -> str:
    """The format that a file most probably has, by all its lines. Its reader says what is wrong, if it is none."""
    try:
        with file.open() as stream:
            if stream.read(len(MAGIC)) == MAGIC:
                return _database_of(file)
            stream.seek(0)
            if file.suffix in _LINES and (agent := json_lines.survey(stream).agent):
                return agent
    except OSError:
        pass
    if file.suffix in _JSON and strands_files.is_part(file):
        return "strands"
    return "jsonl" if file.suffix in _LINES else "openai-agents" if file.suffix in _DATABASES else "json"


def _database_of(file: File) -> str:
    """The format of a SQLite database, by its tables."""
    try:
        with connected(file) as database:
            tables = tables_of(database)
    except (sqlite3.Error, OSError, ValueError):
        return "openai-agents"
    for name, wanted in (("google-adk", google_adk.TABLES), ("langgraph", langgraph.TABLES)):
        if has_tables(tables, wanted):
            return name
    return "openai-agents"


def _once(sessions: Found, prefix: str, *, lenient: bool) -> Found:
    first: dict[str, str] = {}
    for found in sessions:
        if isinstance(found, Skipped):
            yield found
        elif found.gaps and not lenient:
            yield found.gaps[0].skipped(found.place, LEFT_OUT)
        elif found.id in first:
            yield Skipped(found.place, f"a second session {found.id!r:.80}: the first is {first[found.id]}")
        else:
            first[found.id] = found.place
            try:
                marked = found.with_gaps_marked()
            except ValueError as error:
                yield Skipped(found.place, str(error))
                continue
            for gap in found.gaps:
                yield gap.skipped(found.place, "the rest of the session is taken")
            yield replace(marked, id=prefix + found.id)
