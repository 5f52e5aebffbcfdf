"""A directory of JSON files, one session each: a list of messages, or an object that holds them.

::

    alice.json             [{"role": "user", …}, …]
    bob.json               {"messages": […], "state": {…}, "user_id": …, "created_at": …}      (names: ``session``)
    sessions.json          {"alice": […], "bob": {"messages": […]}}
    chats.json             [{"id": "c1", "messages": […]}, …]
    chat.json              [{"type": "human", "data": {…}}, …]             LangChain's ``FileChatMessageHistory``

The id is the one inside, else the path below the source without ``.json``; in the third form, the name of the field;
in the fourth, the path and the number in the list.
The last change is the one that the object names, else that of the file. Messages are kept as they are, so that
LangChain's ``messages_from_dict`` reads its own back.
"""

from __future__ import annotations

from dataclasses import replace

from ...format.payload import Json
from .session import Found, ImportedSession, has_messages, is_message, is_session, session_of
from .sources import File, Skipped, named, objects


def read(file: File) -> Found:
    """The sessions of a file."""
    try:
        value = file.json()
        if isinstance(value, list):
            yield from _list(file, objects(value))
        elif isinstance(value, dict) and not is_session(value) and value and all(map(_is_one, value.values())):
            for name, each in value.items():
                yield _one(each, name, f"{file.name}, {name!r:.60}")
        elif isinstance(value, dict):
            found = session_of(value, file.stem, file.name)
            yield found if found.updated or found.created else replace(found, updated=file.modified())
        else:
            yield Skipped(file.name, f"no session: it is {named(value)}")
    except (ValueError, OSError) as error:
        yield Skipped(file.name, str(error))


def read_langchain(file: File) -> Found:
    """The session of a file, if every message of it is one of LangChain."""
    for found in read(file):
        for number, message in enumerate(found.messages if isinstance(found, ImportedSession) else ()):
            if not (isinstance(message.get("type"), str) and isinstance(message.get("data"), dict)):
                reason = f"messages[{number}] is not a message of LangChain: it has no type and data"
                yield Skipped(found.place, reason)
                break
        else:
            yield found


def _list(file: File, values: list[Json]) -> Found:
    """Sessions, or the messages of one: whichever all of them are."""
    sessions = list(map(has_messages, values))
    if values and all(sessions):
        for number, each in enumerate(values):
            yield _one(each, f"{file.stem}-{number + 1}", f"{file.name}, [{number}]")
    elif any(sessions):
        yield Skipped(file.name, f"[{sessions.index(True)}] is a session, [{sessions.index(False)}] is none")
    else:
        strange = next((number for number, each in enumerate(values) if not is_message(each)), None)
        if strange is None:
            yield ImportedSession(file.stem, file.name, values, updated=file.modified())
        else:
            yield Skipped(file.name, f"messages[{strange}] is no message: nothing says who spoke, or what was said")


def _is_one(value: object) -> bool:
    return is_session(value) or (isinstance(value, list) and all(isinstance(each, dict) for each in value))


def _one(value: object, id: str, place: str) -> ImportedSession | Skipped:
    try:
        return session_of(value, id, place) if isinstance(value, dict) else ImportedSession(id, place, objects(value))
    except ValueError as error:
        return Skipped(place, str(error))
