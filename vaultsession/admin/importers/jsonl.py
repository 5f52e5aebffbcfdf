"""JSON lines: one session per line, or one message per line that names its session. The export of this package too.

::

    {"id": "alice", "user_id": …, "state": {…}, "messages": […]}           (names: ``facts``)
    {"session_id": "alice", "role": "user", "content": …}                  kept whole, in the order of the lines

A file is of one kind, that of its first line. Of messages the file is read twice: once to learn which lines belong
together, 16 bytes of memory for each, then session by session.
"""

from __future__ import annotations

from array import array
from typing import IO

from ...format.payload import Json
from .fields import id_in, is_session, record_of
from .records import Found, ImportedSession, Skipped
from .sources import LARGEST, TOO_LONG, File
from .strict import named, parse


def read(file: File) -> Found:
    """The sessions of a file."""
    try:
        first = next((line for _, line in file.lines() if line is not None), None)
        if first is None:
            return
        try:
            of_sessions = is_session(_object(first)) or not _names_a_session(_object(first))
        except ValueError:
            of_sessions = True
        yield from _sessions(file) if of_sessions else _messages(file)
    except OSError as error:
        yield Skipped(file.name, str(error))


def _sessions(file: File) -> Found:
    for number, line in file.lines():
        try:
            yield record_of(_object(line), None, file.at(number))
        except ValueError as error:
            yield Skipped(file.at(number), str(error))


def read_stream(stream: IO[bytes]) -> Found:
    """The sessions of a stream, one a line. It is read once, and a line at a time."""
    number = 0
    while line := stream.readline(LARGEST):
        number += 1
        whole: bytes | None = line
        while len(line) == LARGEST and not line.endswith(b"\n"):
            line, whole = stream.readline(LARGEST), None
        try:
            if whole is None or whole.strip():
                yield record_of(_object(whole), None, f"line {number}")
        except ValueError as error:
            yield Skipped(f"line {number}", str(error))


def _messages(file: File) -> Found:
    lines: dict[str, array[int]] = {}
    with file.open() as whole:
        start, number = 0, 0
        while line := whole.readline(LARGEST):
            number += 1
            try:
                if len(line) == LARGEST:
                    raise ValueError(TOO_LONG)  # noqa: TRY301 - one place where a line is refused
                if line.strip():
                    lines.setdefault(id_in(_object(line)), array("Q")).extend((start, number))
            except ValueError as error:
                yield Skipped(file.at(number), str(error))
            while len(line) == LARGEST and not line.endswith(b"\n"):
                line = whole.readline(LARGEST)
            start = whole.tell()
        for name, places in lines.items():
            messages = []
            for start in places[::2]:
                whole.seek(start)
                messages.append(_object(whole.readline(LARGEST)))
            yield ImportedSession(name, file.at(places[1]), messages)


def _object(line: bytes | None) -> Json:
    if line is None:
        raise ValueError(TOO_LONG)
    value = parse(line)
    if not isinstance(value, dict):
        raise ValueError(f"{named(value)}, and a line is an object")  # noqa: TRY004 - of the data, not the code
    return value


def _names_a_session(value: Json) -> bool:
    try:
        id_in(value)
    except ValueError:
        return False
    return True
