"""Which format a file has, by its first bytes and its ending; and reading a source in one or in all formats."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import IO

from ...errors import InvalidSetting
from . import claude_code, jsonl, langchain, openai_agents, plain
from .records import Found, ImportedSession, Skipped
from .sources import File, files
from .strict import parse

AUTO = "auto"
_LINES = (".jsonl", ".ndjson")
_DATABASES = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True, slots=True)
class _Format:
    read: Callable[[File], Found]
    suffixes: tuple[str, ...]


_READERS = {
    "json": _Format(plain.read, (".json",)),
    "jsonl": _Format(jsonl.read, _LINES),
    "openai-agents": _Format(openai_agents.read, _DATABASES),
    "claude-code": _Format(claude_code.read, _LINES),
    "langchain": _Format(langchain.read, (".json",)),
}

FORMATS = (AUTO, *_READERS)
"""What ``read`` takes as a format."""


def read(source: str, format: str = AUTO, *, id_prefix: str = "") -> Found:
    """Every session of a file or of the files below a directory; ``auto`` looks at each file by itself.

    An id that comes a second time is skipped: the first one stands. ``InvalidSetting`` for a source that is not there,
    is a vault, or for an unknown format.
    """
    if format not in FORMATS:
        raise InvalidSetting(f"a format is one of {', '.join(FORMATS)}, not {format!r}")
    suffixes = {suffix for name, each in _READERS.items() if format in (AUTO, name) for suffix in each.suffixes}
    yield from _once(_found(source, format, suffixes), id_prefix)


def read_lines(stream: IO[bytes], *, id_prefix: str = "") -> Found:
    """The sessions of a stream of JSON lines, one a line, such as an export that is read while it is written."""
    yield from _once(jsonl.read_stream(stream), id_prefix)


def _found(source: str, format: str, suffixes: Collection[str]) -> Found:
    for file in files(source, suffixes):
        if isinstance(file, Skipped):
            yield file
        else:
            yield from _READERS[format if format != AUTO else format_of(file)].read(file)


def _once(records: Found, prefix: str) -> Found:
    first: dict[str, str] = {}
    for found in records:
        if isinstance(found, Skipped):
            yield found
        elif found.id in first:
            yield Skipped(found.place, f"a second session {found.id!r:.80}: the first is {first[found.id]}")
        else:
            first[found.id] = found.place
            yield _prefixed(found, prefix)


def format_of(file: File) -> str:
    """The format that a file most probably has. Its reader says what is wrong, if it is none."""
    try:
        with file.open() as opened:
            if opened.read(len(openai_agents.MAGIC)) == openai_agents.MAGIC:
                return "openai-agents"
        if file.suffix in _LINES:
            first = next((line for _, line in file.lines()), None)
            return "claude-code" if claude_code.is_event(parse(first or b"null")) else "jsonl"
        if file.suffix in _DATABASES:
            return "openai-agents"
        value = parse(file.content())
        return "langchain" if isinstance(value, list) and value and all(map(langchain.is_message, value)) else "json"
    except (ValueError, OSError):
        return "jsonl" if file.suffix in _LINES else "openai-agents" if file.suffix in _DATABASES else "json"


def _prefixed(record: ImportedSession, prefix: str) -> ImportedSession:
    return replace(record, id=prefix + record.id) if prefix else record
