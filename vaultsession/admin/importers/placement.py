"""A record into a store: made, put in the place of what is there, or left out because it is there."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import orjson

from ...errors import InvalidDocument, SessionExists
from ...format import payload
from ...format.head import Head
from ...format.jsonl import line_of
from ...store.fields import ImportedFields
from ...store.store import SessionStore
from ...util.clock import to_datetime
from .records import ImportedSession


class Placed(StrEnum):
    """What became of a record."""

    IMPORTED = "imported"
    REPLACED = "replaced"
    PRESENT = "present"


def place(store: SessionStore, record: ImportedSession, *, replace: bool = False, dry_run: bool = False) -> Placed:
    """Put a record into the store, all of it or nothing. ``dry_run`` only says what would come of it.

    A session whose id is there stays as it is, unless ``replace``. Errors are those of ``create``: the record was
    refused, also because its time has run out, and nothing was written.
    """
    if dry_run:
        present = store.exists(record.id)
        payload.body(record.state, record.messages)  # refuses what JSON cannot give back
        return (Placed.REPLACED if replace else Placed.PRESENT) if present else Placed.IMPORTED
    if record.exact:
        return _restored(store, record, replace=replace)
    facts = _facts(record)
    try:
        store.create(record.id, state=record.state, messages=record.messages, **facts)
    except SessionExists:
        if not replace:
            return Placed.PRESENT
        store.save(record.id, state=record.state, messages=record.messages, **facts)
        return Placed.REPLACED
    return Placed.IMPORTED


def _restored(store: SessionStore, record: ImportedSession, *, replace: bool) -> Placed:
    """An exported session as it was: with its times, and without what the store gives to new ones."""
    payload.body(record.state, record.messages)  # refuses what JSON cannot give back
    state, *messages = map(orjson.dumps, (record.state, *record.messages))
    head = Head(
        record.id,
        record.created or 0,
        record.updated or 0,
        user_id=record.user_id,
        tenant_id=record.tenant_id,
        assistant_id=record.assistant_id,
        title=record.title,
        labels=record.labels,
        expires=record.expires,
        ttl=None if record.ttl is None else round(record.ttl * 1_000_000),
        sliding=record.sliding,
        max_messages=record.max_messages,
    )
    done = store.import_([line_of(head, state, messages)], existing="replace" if replace else "skip")
    if done.expired:
        raise InvalidDocument("its time has run out")
    return Placed.IMPORTED if done.made else Placed.REPLACED if done.replaced else Placed.PRESENT


def _facts(record: ImportedSession) -> ImportedFields:
    updated, created = record.updated, record.created
    if updated is not None and created is not None:
        created = min(created, updated)
    facts = ImportedFields(
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
