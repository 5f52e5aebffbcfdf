"""LangChain's ``FileChatMessageHistory``: one JSON file per session, a list of ``{"type": …, "data": {…}}``.

Messages are kept as they are, so that ``messages_from_dict`` reads them back. The id is the path below the source
without its ending, and the last change is that of the file.
"""

from __future__ import annotations

from .records import Found, ImportedSession, Skipped
from .sources import File
from .strict import objects, parse


def read(file: File) -> Found:
    """The session of a file."""
    try:
        messages, updated = objects(parse(file.content())), file.modified()
        for number, message in enumerate(messages):
            if not is_message(message):
                raise ValueError(f"messages[{number}] is not a message of LangChain: it has no type and data")  # noqa: TRY301 - told below
    except (ValueError, OSError) as error:
        yield Skipped(file.name, str(error))
        return
    yield ImportedSession(file.stem, file.name, messages, updated=updated)


def is_message(value: object) -> bool:
    """Whether a value looks like a message of LangChain."""
    return isinstance(value, dict) and isinstance(value.get("type"), str) and isinstance(value.get("data"), dict)
