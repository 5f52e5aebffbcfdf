"""Head: what the newest record says of its whole session, so that a listing never opens a body.

Every record carries a complete head. It is sealed in the container under the container's own key and again, for index
rows, under a key of the vault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from .errors import Damaged, InvalidDocument, TooLarge, UnsupportedFormat

LARGEST_HEAD = 16 * 1024
"""Bytes of a head ciphertext, tag included."""

NO_LABELS: Mapping[str, str] = {}


class Head(NamedTuple):
    """The complete head. Times and ``ttl`` in microseconds; ``expires`` None keeps for ever.

    ``messages`` is the length of the history. What a reader opens begins with the last FULL record, at offset ``full``:
    ``records`` records with ``raw`` bytes of JSON, of which an estimated ``dead`` bytes (as stored) were overwritten or
    dropped by a later one.
    ``document`` is the version of the document, where that is not the record's own: in HEAD records, which change the
    chain and not the document, and in a container that was replaced while its document stayed as it was.
    """

    id: str
    created: int
    updated: int
    messages: int = 0
    raw: int = 0
    records: int = 0
    dead: int = 0
    full: int = 0
    user_id: str | None = None
    tenant_id: str | None = None
    assistant_id: str | None = None
    title: str | None = None
    labels: Mapping[str, str] = NO_LABELS
    expires: int | None = None
    ttl: int | None = None
    sliding: bool = False
    max_messages: int | None = None
    document: bytes | None = None

    def is_expired(self, now: int) -> bool:
        """Expired at now ≥ expires."""
        return self.expires is not None and now >= self.expires

    def owners(self) -> list[tuple[str, str]]:
        """``(kind, id)`` of each owner that is set."""
        named = (("user", self.user_id), ("tenant", self.tenant_id), ("assistant", self.assistant_id))
        return [(kind, value) for kind, value in named if value is not None]


_FIELDS = frozenset(Head._fields)
_DEFAULTS = Head._field_defaults
_OPTIONAL = tuple(_DEFAULTS)
_REQUIRED = _FIELDS - _DEFAULTS.keys()


def encode(head: Head) -> bytes:
    """The JSON object of a head; fields at their default are left out. ``TooLarge`` beyond the bound of FORMAT.md."""
    fields: dict[str, Any] = {"id": head.id, "created": head.created, "updated": head.updated}
    optional = zip(_OPTIONAL, head[len(fields) :], _DEFAULTS.values(), strict=True)
    fields.update({name: value for name, value, default in optional if value != default})
    if head.document is not None:
        fields["document"] = head.document.hex()
    try:
        data = orjson.dumps(fields)
    except TypeError as error:
        raise InvalidDocument(f"title, owners and labels are valid Unicode text: {error}") from None
    if len(data) > LARGEST_HEAD - 16:
        raise TooLarge(f"title, owners and labels take {len(data)} bytes together; the bound is {LARGEST_HEAD - 16}")
    return data


def decode(data: bytes) -> Head:
    """The head again, from authenticated bytes. A field of another version is ``UnsupportedFormat``."""
    try:
        fields = orjson.loads(data)
        document = fields.get("document")
        if document is not None:
            fields["document"] = bytes.fromhex(document)
        return Head(**fields)
    except (ValueError, TypeError, AttributeError):
        pass
    fields = _object(data)
    unknown = sorted(fields.keys() - _FIELDS) if isinstance(fields, dict) and fields.keys() >= _REQUIRED else []
    if not unknown:
        raise Damaged("an authentic head is not what this package writes")
    raise UnsupportedFormat(
        f"the head has fields of another version: {unknown}", found=unknown, supported=sorted(_FIELDS)
    )


def _object(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except ValueError:
        return None
