"""Facts: what a session is given when it begins, and what sessions are asked for by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Required, TypedDict

from ..errors import InvalidDocument
from ..format import ids
from ..format.head import Head, check_head, check_labels
from ..format.payload import Json
from ..util.clock import Duration, to_duration, to_micros


class Unset:
    """Stands for "not given" where None means something."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


class Filters(TypedDict, total=False):
    """What sessions are asked for by; each that is given must match."""

    user_id: str | None
    tenant_id: str | None
    assistant_id: str | None
    labels: Mapping[str, str] | None


class SessionFields(Filters, total=False):
    """What a new session is given. ``ttl`` None keeps it for ever, whatever the store's default."""

    title: str | None
    ttl: Duration | Unset | None
    sliding: bool | None
    max_messages: int | None


class ImportedFields(SessionFields, total=False):
    """The same for a session that has a past elsewhere: aware datetimes; None leaves them to the store."""

    created_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None


class DocumentFields(ImportedFields, total=False):
    """A whole session to be written: its id, its document, and its facts."""

    id: Required[str]
    state: Any
    messages: Sequence[Json]


class Defaults(NamedTuple):
    """What a new session gets where the caller says nothing. ``ttl`` in microseconds."""

    ttl: int | None = None
    sliding: bool = False
    max_messages: int | None = None


class StoreInfo(NamedTuple):
    """Where a store lies, and where its key came from, in words."""

    where: str
    key: str


def new_head(id: str, facts: ImportedFields, defaults: Defaults, now: int) -> Head:
    """The head of a session that begins now, or goes on here."""
    refuse_unknown(facts, ImportedFields)
    created, updated, expires = _past(facts, now)
    ttl = facts.get("ttl", UNSET if expires is None else None)
    span = defaults.ttl if isinstance(ttl, Unset) else None if ttl is None else to_duration(ttl)
    sliding = facts.get("sliding")
    most = facts.get("max_messages")
    return check_head(
        Head(
            id=ids.parse(id),
            created=created,
            updated=updated,
            user_id=facts.get("user_id"),
            tenant_id=facts.get("tenant_id"),
            assistant_id=facts.get("assistant_id"),
            title=facts.get("title"),
            labels=check_labels(facts.get("labels") or {}),
            expires=now + span if span is not None and expires is None else expires,
            ttl=span,
            sliding=defaults.sliding if sliding is None else sliding,
            max_messages=defaults.max_messages if most is None else most,
        )
    )


def _past(facts: ImportedFields, now: int) -> tuple[int, int, int | None]:
    """``(created, updated, expires)`` of a new session, which may have a past elsewhere."""
    given: dict[str, int] = {}
    for name in ("created_at", "updated_at", "expires_at"):
        moment: Any = facts.get(name)
        if moment is not None:
            try:
                given[name] = to_micros(moment)
            except (TypeError, AttributeError, ValueError):
                raise InvalidDocument(f"{name} is an aware datetime, not {moment!r:.60}", path=name) from None
            if given[name] < 0:
                raise InvalidDocument(f"{name} lies before 1970", path=name)
    created = given.get("created_at", given.get("updated_at", now))
    updated = given.get("updated_at", created)
    expires = given.get("expires_at")
    if updated < created:
        raise InvalidDocument("updated_at lies before created_at", path="updated_at")
    if expires is not None and expires <= now:
        raise InvalidDocument("expires_at has passed: the session would be gone at once", path="expires_at")
    return created, updated, expires


def forked_head(head: Head, id: str, facts: SessionFields, now: int) -> Head:
    """The head of a session that begins now with the facts of another, apart from those that are given."""
    refuse_unknown(facts, SessionFields)
    changes = {name: value for name, value in facts.items() if name not in ("ttl", "labels") and value is not UNSET}
    ttl = facts.get("ttl", UNSET)
    span = head.ttl if isinstance(ttl, Unset) else None if ttl is None else to_duration(ttl)
    if "labels" in facts:
        changes["labels"] = check_labels(facts.get("labels") or {})
    if changes.get("sliding", 0) is None:
        del changes["sliding"]
    fork = head._replace(
        id=ids.parse(id), created=now, updated=now, ttl=span, expires=None if span is None else now + span
    )
    return check_head(fork._replace(**changes))  # type: ignore[arg-type]  # named as the fields, and checked as they are


def refuse_unknown(given: Mapping[str, object], kind: type) -> None:
    """``TypeError`` for a name that a kind of facts does not have."""
    if unknown := given.keys() - kind.__annotations__.keys():
        raise TypeError(f"a session has no fact named {', '.join(sorted(unknown))}")
