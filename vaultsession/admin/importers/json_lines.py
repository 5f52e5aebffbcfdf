"""JSON lines: one session per line, or one message per line that names its session. The export of this package too.

::

    {"id": "alice", "user_id": …, "state": {…}, "messages": […]}           (names: ``session``)
    {"session_id": "alice", "role": "user", "content": …}                  kept whole, in the order of the lines

A file is of one kind, that of its first line. Of messages the file is read twice: once to learn which lines belong
together, 16 bytes of memory for each, then session by session.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterable
from typing import IO

from .session import Found, ImportedSession, Skipped, is_session, session_id_of, session_of
from .sources import File, Line, lines


def read(file: File) -> Found:
    """The sessions of a file."""
    try:
        with file.open() as stream:
            of_messages = _is_message(next((line for line in lines(stream) if line.data is not None), None))
            stream.seek(0)
            yield from _messages(file, stream) if of_messages else _sessions(file.name + ", ", lines(stream))
    except OSError as error:
        yield Skipped(file.name, str(error))


def read_stream(stream: IO[bytes]) -> Found:
    """The sessions of a stream, one a line. It is read once, and a line at a time."""
    return _sessions("", lines(stream))


def _is_message(line: Line | None) -> bool:
    with contextlib.suppress(ValueError):
        value = line.json() if line is not None else {}
        return not is_session(value) and bool(session_id_of(value))
    return False


def _sessions(where: str, found: Iterable[Line]) -> Found:
    for line in found:
        place = f"{where}line {line.number}"
        try:
            yield session_of(line.json(), None, place)
        except ValueError as error:
            yield Skipped(place, str(error))


def _messages(file: File, stream: IO[bytes]) -> Found:
    places: dict[str, array[int]] = {}
    for line in lines(stream):
        try:
            places.setdefault(session_id_of(line.json()), array("Q")).extend((line.number, line.start))
        except ValueError as error:
            yield Skipped(file.at(line.number), str(error))
    for name, numbers in places.items():
        messages = []
        for start in numbers[1::2]:
            stream.seek(start)
            messages.append(next(lines(stream)).json())
        yield ImportedSession(name, file.at(numbers[0]), messages)
