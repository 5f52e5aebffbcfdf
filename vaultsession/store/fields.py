"""The fields that verbs take by keyword: of a session as it begins, of a filter, of a conversation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from reprlib import repr as shortened
from typing import Any, Literal, Required, TypedDict, TypeVar

from ..errors import InvalidDocument, InvalidSetting
from ..format import ids
from ..format.head import Head, check_head, check_labels
from ..format.payload import Json
from ..util.clock import Duration, to_duration, to_micros
from ..util.named_tuple import NamedTuple

F = TypeVar("F", bound=Callable[..., Any])
_ALL = 1 << 62
OnFailure = Literal["keep", "whole", "drop"]


class Unset:
    """Stands for "not given" where None means something."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset()


class Filters(TypedDict, total=False):
    """Which sessions a verb is about: each field that is given must match."""

    user_id: str | None
    tenant_id: str | None
    assistant_id: str | None
    labels: Mapping[str, str] | None


class SessionFields(Filters, total=False):
    """The fields of a new session. ``ttl`` None keeps it for ever, whatever the store's default."""

    title: str | None
    ttl: Duration | Unset | None
    sliding: bool | None
    max_messages: int | None


class ImportedFields(SessionFields, total=False):
    """The fields of a session that has a past elsewhere: aware datetimes; None leaves them to the store."""

    created_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None


class DocumentFields(ImportedFields, total=False):
    """A whole session to be written: its id, its document, and its fields."""

    id: Required[str]
    state: Any
    messages: Sequence[Json]


class ConversationOptions(TypedDict, total=False):
    """How a conversation goes: ``Conversation`` says what each means."""

    system: str | None
    window: int | None
    max_iterations: int
    on_failure: OnFailure
    lease: bool
    lease_timeout: float | None


class ConversationFields(SessionFields, ConversationOptions, total=False):
    """How a conversation goes, and the fields of its session where that is new."""


CONVERSATION_DEFAULTS: Mapping[str, Any] = {
    "system": None,
    "window": None,
    "max_iterations": 10,
    "on_failure": "keep",
    "lease": False,
    "lease_timeout": None,
}
_DEFAULTS = {"ttl": UNSET, **CONVERSATION_DEFAULTS}


def shows_fields(kind: type, defaults: Mapping[str, Any] = _DEFAULTS) -> Callable[[F], F]:
    """Show the fields of a TypedDict, taken as ``**fields``, one by one in a signature: for ``help`` and completion.

    A field without a default is None where it is not given.
    """
    shown = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(name),
            annotation=getattr(annotation, "__forward_arg__", annotation),
        )
        for name, annotation in kind.__annotations__.items()
    ]

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        return function

    return decorate


class Defaults(NamedTuple):
    """What a new session gets for the fields that are not given. ``ttl`` in microseconds."""

    ttl: int | None = None
    sliding: bool = False
    max_messages: int | None = None


class StoreInfo(NamedTuple):
    """Where a store lies and where its key came from, as text."""

    where: str
    key: str


def new_head(id: str, fields: ImportedFields, defaults: Defaults, now: int) -> Head:
    """The head of a session that begins now, or goes on here."""
    refuse_unknown(fields, ImportedFields)
    created, updated, expires = _past(fields, now)
    ttl = fields.get("ttl", UNSET if expires is None else None)
    span = defaults.ttl if isinstance(ttl, Unset) else None if ttl is None else to_duration(ttl, "ttl")
    sliding = fields.get("sliding")
    most = fields.get("max_messages")
    return check_head(
        Head(
            id=ids.parse(id),
            created=created,
            updated=updated,
            user_id=fields.get("user_id"),
            tenant_id=fields.get("tenant_id"),
            assistant_id=fields.get("assistant_id"),
            title=fields.get("title"),
            labels=check_labels(fields.get("labels")),
            expires=now + span if span is not None and expires is None else expires,
            ttl=span,
            sliding=defaults.sliding if sliding is None else sliding,
            max_messages=defaults.max_messages if most is None else most,
        )
    )


def _past(fields: ImportedFields, now: int) -> tuple[int, int, int | None]:
    """``(created, updated, expires)`` of a new session, which may have a past elsewhere."""
    given: dict[str, int] = {}
    for name in ("created_at", "updated_at", "expires_at"):
        moment: Any = fields.get(name)
        if moment is not None:
            try:
                given[name] = to_micros(moment)
            except (TypeError, AttributeError, ValueError):
                raise InvalidDocument(f"{name} is an aware datetime, not {shortened(moment)}", path=name) from None
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


def forked_head(head: Head, id: str, fields: SessionFields, now: int) -> Head:
    """The head of a session that begins now with the fields of another, apart from those that are given."""
    refuse_unknown(fields, SessionFields)
    changes = {name: value for name, value in fields.items() if name not in ("ttl", "labels") and value is not UNSET}
    ttl = fields.get("ttl", UNSET)
    span = head.ttl if isinstance(ttl, Unset) else None if ttl is None else to_duration(ttl, "ttl")
    if "labels" in fields:
        changes["labels"] = check_labels(fields.get("labels"))
    if changes.get("sliding", 0) is None:
        del changes["sliding"]
    fork = head._replace(
        id=ids.parse(id), created=now, updated=now, ttl=span, expires=None if span is None else now + span
    )
    return check_head(fork._replace(**changes))  # type: ignore[arg-type]  # named as the fields, and checked as they are


def refuse_unknown(given: Mapping[str, object], kind: type) -> None:
    """``TypeError`` for a name that is no field of a kind."""
    if unknown := given.keys() - kind.__annotations__.keys():
        raise TypeError(f"a session has no field named {', '.join(sorted(unknown))}")


def checked_page(offset: int | None, limit: int | None, last: int | None) -> tuple[int, int | None]:
    """How many messages are asked for, and from which on; of None the newest. ``InvalidSetting``."""
    if last is not None and (offset is not None or limit is not None):
        raise InvalidSetting("give last, or offset and limit")
    if last is not None:
        return last, None
    return _ALL if limit is None else limit, offset or 0
