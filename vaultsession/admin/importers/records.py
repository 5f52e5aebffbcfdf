"""What readers yield: sessions as neutral records, and what was skipped. Immutable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ...format.payload import Json


@dataclass(frozen=True, slots=True)
class ImportedSession:
    """A session as another program kept it. ``place`` says where it stood.

    Times in microseconds since 1970, None where the source does not say; ``ttl`` in seconds.
    """

    id: str
    place: str
    messages: list[Json] = field(default_factory=list)
    state: Json = field(default_factory=dict)
    created: int | None = None
    updated: int | None = None
    expires: int | None = None
    user_id: str | None = None
    tenant_id: str | None = None
    assistant_id: str | None = None
    title: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ttl: float | None = None
    sliding: bool = False
    max_messages: int | None = None
    exact: bool = False
    """Whether this package exported it: then no default of the store takes the place of what it does not say."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """What could not be imported: where it stands, and why not."""

    place: str
    reason: str


Found = Iterator[ImportedSession | Skipped]
"""What a reader yields, as it reads."""
