"""The formats, which of them a file has, and reading a source in one or in all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import IO, NamedTuple

from ...errors import InvalidSetting
from . import claude_code, json_file, json_lines, openai_agents
from .session import Found, Skipped
from .sources import File, files, lines

AUTO = "auto"
_JSON, _LINES, _DATABASES = (".json",), (".jsonl", ".ndjson"), (".db", ".sqlite", ".sqlite3")


class _Format(NamedTuple):
    suffixes: tuple[str, ...]
    read: Callable[[File], Found]


_FORMATS = {
    "json": _Format(_JSON, json_file.read),
    "jsonl": _Format(_LINES, json_lines.read),
    "openai-agents": _Format(_DATABASES, openai_agents.read),
    "claude-code": _Format(_LINES, claude_code.read),
    "langchain": _Format(_JSON, json_file.read_langchain),
}

FORMATS = (AUTO, *_FORMATS)
"""What ``read`` takes as a format."""


def read(source: str, format: str = AUTO, *, id_prefix: str = "") -> Found:
    """Every session of a file or of the files below a directory; ``auto`` looks at each file by itself.

    An id that comes a second time is skipped: the first one stands. ``InvalidSetting`` for a source that is not there,
    is a vault, or for an unknown format.
    """
    if format not in FORMATS:
        raise InvalidSetting(f"a format is one of {', '.join(FORMATS)}, not {format!r}")
    yield from _once(_found(source, format), id_prefix)


def read_lines(stream: IO[bytes], *, id_prefix: str = "") -> Found:
    """The sessions of a stream of JSON lines, one a line, such as an export that is read while it is written."""
    yield from _once(json_lines.read_stream(stream), id_prefix)


def _found(source: str, format: str) -> Found:
    suffixes = {suffix for name, each in _FORMATS.items() if format in (AUTO, name) for suffix in each.suffixes}
    for file in files(source, suffixes):
        if isinstance(file, File):
            yield from _FORMATS[format if format != AUTO else format_of(file)].read(file)
        else:
            yield Skipped(*file)


def format_of(file: File) -> str:
    """The format that a file most probably has. Its reader says what is wrong, if it is none."""
    try:
        with file.open() as stream:
            if stream.read(len(openai_agents.MAGIC)) == openai_agents.MAGIC:
                return "openai-agents"
            stream.seek(0)
            if file.suffix in _LINES and claude_code.is_event(next(lines(stream)).json()):
                return "claude-code"
    except (ValueError, OSError, StopIteration):
        pass
    return "jsonl" if file.suffix in _LINES else "openai-agents" if file.suffix in _DATABASES else "json"


def _once(sessions: Found, prefix: str) -> Found:
    first: dict[str, str] = {}
    for found in sessions:
        if isinstance(found, Skipped):
            yield found
        elif found.id in first:
            yield Skipped(found.place, f"a second session {found.id!r:.80}: the first is {first[found.id]}")
        else:
            first[found.id] = found.place
            yield replace(found, id=prefix + found.id) if prefix else found
