"""An imported session into a store: made, put in the place of what is there, or left out because it is there."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import orjson

from ...errors import InvalidDocument, SessionExists
from ...format import payload
from ...store.fields import ImportedFields
from ...store.store import SessionStore
from ...util.clock import to_datetime
from .session import ImportedSession


class Placed(StrEnum):
    """What became of a session."""

    IMPORTED = "imported"
    REPLACED = "replaced"
    PRESENT = "present"


def place(store: SessionStore, found: ImportedSession, *, replace: bool = False, dry_run: bool = False) -> Placed:
    """Put a session into the store, all of it or nothing. ``dry_run`` only says what would come of it.

    A session whose id is there stays as it is, unless ``replace``. Errors are those of ``create``: the session was
    refused, also because its time has run out, and nothing was written.
    """
    if dry_run or found.exported:
        payload.elements(found.state, found.messages, boxes=bool(found.exported))  # refuses what JSON cannot give back
    if dry_run:
        present = store.exists(found.id)
        return (Placed.REPLACED if replace else Placed.PRESENT) if present else Placed.IMPORTED
    if found.exported:  # restored as it was: with its times, and without what the store gives to new ones
        line = orjson.dumps({**found.exported, "id": found.id, "user_id": found.user_id})
        done = store.import_([line], existing="replace" if replace else "skip")
        if done.expired:
            raise InvalidDocument("its time has run out")
        return Placed.IMPORTED if done.made else Placed.REPLACED if done.replaced else Placed.PRESENT
    fields = imported_fields(found)
    try:
        store.create(found.id, state=found.state, messages=found.messages, **fields)
    except SessionExists:
        if not replace:
            return Placed.PRESENT
        store.save(found.id, state=found.state, messages=found.messages, **fields)
        return Placed.REPLACED
    return Placed.IMPORTED


def imported_fields(found: ImportedSession) -> ImportedFields:
    """The fields of a session that is made of it."""
    created = found.created
    if found.updated is not None and created is not None:
        created = min(created, found.updated)
    fields = ImportedFields(
        user_id=found.user_id,
        tenant_id=found.tenant_id,
        assistant_id=found.assistant_id,
        labels=found.labels,
        title=found.title,
        sliding=found.sliding,
        max_messages=found.max_messages,
        created_at=_datetime(created),
        updated_at=_datetime(found.updated),
        expires_at=_datetime(found.expires),
    )
    if found.ttl is not None:
        fields["ttl"] = found.ttl
    return fields


def _datetime(moment: int | None) -> datetime | None:
    return None if moment is None else to_datetime(moment)
