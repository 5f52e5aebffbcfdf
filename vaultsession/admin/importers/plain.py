"""A directory of plain JSON files, one session each: a list of messages, or an object that holds them.

::

    alice.json             [{"role": "user", …}, …]
    bob.json               {"messages": […], "state": {…}, "user_id": …, "created_at": …}      (names: ``facts``)
    sessions.json          {"alice": […], "bob": {"messages": […]}}

The id is the one inside, else the path below the source without ``.json``; in the third form, the name of the field.
The last change is the one that the object names, else that of the file.
"""

from __future__ import annotations

from dataclasses import replace

from .fields import is_session, record_of
from .records import Found, ImportedSession, Skipped
from .sources import File
from .strict import named, objects, parse


def read(file: File) -> Found:
    """The sessions of a file."""
    try:
        value = parse(file.content())
        if isinstance(value, list):
            yield ImportedSession(file.stem, file.name, objects(value), updated=file.modified())
        elif isinstance(value, dict) and not is_session(value) and value and all(map(_is_one, value.values())):
            for name, each in value.items():
                yield from _one(each, name, f"{file.name}, {name!r:.60}")
        elif isinstance(value, dict):
            record = record_of(value, file.stem, file.name)
            yield record if record.updated or record.created else replace(record, updated=file.modified())
        else:
            yield Skipped(file.name, f"no session: it is {named(value)}")
    except (ValueError, OSError) as error:
        yield Skipped(file.name, str(error))


def _is_one(value: object) -> bool:
    return is_session(value) or (isinstance(value, list) and all(isinstance(each, dict) for each in value))


def _one(value: object, id: str, place: str) -> Found:
    try:
        yield record_of(value, id, place) if isinstance(value, dict) else ImportedSession(id, place, objects(value))
    except ValueError as error:
        yield Skipped(place, str(error))
