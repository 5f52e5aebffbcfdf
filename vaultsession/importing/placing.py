"""A record into a store: made, put in the place of what is there, or left out because it is there."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from .. import payload
from ..clock import to_datetime
from ..errors import SessionExists
from ..facts import Past
from ..store import SessionStore
from .records import Record


class Placed(StrEnum):
    """What became of a record."""

    IMPORTED = "imported"
    REPLACED = "replaced"
    PRESENT = "present"


def place(store: SessionStore, record: Record, *, replace: bool = False, dry_run: bool = False) -> Placed:
    """Put a record into the store, all of it or nothing. ``dry_run`` only says what would come of it.

    A session whose id is there stays as it is, unless ``replace``. Errors are those of ``create``: the record was
    refused, also because its time has run out, and nothing was written.
    """
    facts = _facts(record)
    if dry_run:
        present = store.exists(record.id)
        payload.body(record.state, record.messages)  # refuses what JSON cannot give back
        return (Placed.REPLACED if replace else Placed.PRESENT) if present else Placed.IMPORTED
    try:
        store.create(record.id, state=record.state, messages=record.messages, **facts)
    except SessionExists:
        if not replace:
            return Placed.PRESENT
        store.save(record.id, state=record.state, messages=record.messages, **facts)
        return Placed.REPLACED
    return Placed.IMPORTED


def _facts(record: Record) -> Past:
    updated, created = record.updated, record.created
    if updated is not None and created is not None:
        created = min(created, updated)
    facts = Past(
        user_id=record.user_id,
        tenant_id=record.tenant_id,
        assistant_id=record.assistant_id,
        labels=record.labels,
        title=record.title,
        sliding=record.sliding,
        max_messages=record.max_messages,
        created_at=_datetime(created),
        updated_at=_datetime(updated),
        expires_at=_datetime(record.expires),
    )
    if record.ttl is not None:
        facts["ttl"] = record.ttl
    return facts


def _datetime(moment: int | None) -> datetime | None:
    return None if moment is None else to_datetime(moment)
