"""Head: what the newest record says of its whole session, so that a listing never opens a body.

Every record carries a complete head. It is sealed in the container under the container's own key and again, for index
rows, under a key of the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from reprlib import repr as shortened
from typing import Any

import orjson

from ..errors import Damaged, InvalidDocument, TooLarge, UnsupportedFormat
from ..util.named_tuple import NamedTuple

LARGEST_HEAD = 16 * 1024
"""Bytes of a head ciphertext, tag included."""

NO_LABELS: Mapping[str, str] = {}


class Head(NamedTuple):
    """The complete head. Times and ``ttl`` in microseconds; ``expires`` None keeps for ever.

    ``messages`` is the length of the history. What a reader opens begins with the last FULL record, at offset ``full``:
    ``records`` records with ``raw`` bytes of JSON, of which an estimated ``dead`` bytes (as stored) were overwritten or
    dropped by a later one; ``appended`` those, as many, of small records that were appended one by one.
    ``rewrites`` grows with each change of the history that did not only add messages behind it.
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
    appended: int = 0
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
    rewrites: int = 0
    document: bytes | None = None

    def is_expired(self, now: int) -> bool:
        """Expired at now ≥ expires."""
        return self.expires is not None and now >= self.expires

    def followed(
        self,
        *,
        messages: int,
        raw: int,
        dead: int,
        appended: int,
        updated: int,
        expires: int | None,
        rewritten: bool = False,
    ) -> Head:
        """The head of one more record, which changes the document and nothing that it was given."""
        return self._replace(
            messages=messages,
            raw=raw,
            records=self.records + 1,
            dead=dead,
            appended=appended,
            updated=updated,
            expires=expires,
            rewrites=self.rewrites + rewritten,
            document=None,
        )

    def owners(self) -> list[tuple[str, str]]:
        """``(kind, id)`` of each owner that is set."""
        named = (("user", self.user_id), ("tenant", self.tenant_id), ("assistant", self.assistant_id))
        return [(kind, value) for kind, value in named if value is not None]


_ALWAYS = Head._fields.index("full") + 1
"""The fields up to there are elements of the array; the others are in the object behind them, where they are set."""
_OTHERS = Head._fields[_ALWAYS:]
_UNSET: tuple[Any, ...] = Head("", 0, 0)[_ALWAYS:]
_TYPES = (str, *[int] * (_ALWAYS - 1))
_LIMIT = 1 << 63
_DOCUMENT_DIGITS = 32
_FIELDS: dict[str, tuple[int, type, Callable[[Any], object] | None]] = {
    name: (_OTHERS.index(name), kind, is_one)
    for name, kind, is_one in (
        ("user_id", str, None),
        ("tenant_id", str, None),
        ("assistant_id", str, None),
        ("title", str, None),
        ("labels", dict, lambda labels: labels and all(type(value) is str for value in labels.values())),
        ("expires", int, lambda moment: 0 <= moment < _LIMIT),
        ("ttl", int, lambda span: 0 <= span < _LIMIT),
        ("sliding", bool, bool),
        ("max_messages", int, lambda most: 0 <= most < _LIMIT),
        ("rewrites", int, lambda count: 0 < count < _LIMIT),
        ("document", str, lambda text: len(text) == _DOCUMENT_DIGITS and not text.strip("0123456789abcdef")),
    )
}
"""Where in a head each field stands, its type, and what else tells a value that a writer gives it."""


def encode(head: Head) -> bytes:
    """The JSON array of a head. ``TooLarge`` beyond the bound of FORMAT.md."""
    elements: tuple[Any, ...] = head[:_ALWAYS]
    if head[_ALWAYS:] != _UNSET:
        others = zip(_OTHERS, head[_ALWAYS:], _UNSET, strict=True)
        fields = {name: value for name, value, default in others if value != default}
        if head.document is not None:
            fields["document"] = head.document.hex()
        elements = (*elements, fields)
    try:
        data = orjson.dumps(elements)
    except TypeError as error:
        raise InvalidDocument(f"title, owners and labels are valid Unicode text: {error}") from None
    if len(data) > LARGEST_HEAD - 16:
        raise TooLarge(f"title, owners and labels take {len(data)} bytes together; the bound is {LARGEST_HEAD - 16}")
    return data


def decode(data: bytes) -> Head:
    """The head again, from authenticated bytes. A field of another version is ``UnsupportedFormat``."""
    try:
        elements = orjson.loads(data)
        others = _UNSET
        if type(elements) is list and len(elements) == _ALWAYS + 1:
            others = _parse_fields(elements.pop())
        if type(elements) is list and tuple(map(type, elements)) == _TYPES:
            name, created, updated, messages, raw, records, dead, appended, full = elements
            counts = messages | raw | records | dead | appended | full
            if name and 0 <= counts < _LIMIT and -_LIMIT <= created < _LIMIT and -_LIMIT <= updated < _LIMIT:
                return Head._make((*elements, *others))  # half of what Head(*elements, **fields) takes
    except (ValueError, TypeError, AttributeError, KeyError):
        pass
    unknown = _unknown(data)
    if not unknown:
        raise Damaged("an authentic head is not what this package writes")
    raise UnsupportedFormat(
        f"the head has fields of another version: {unknown}", found=unknown, supported=sorted(_OTHERS)
    )


def _parse_fields(fields: dict[str, Any]) -> tuple[Any, ...]:
    """The fields of the object, in their places. ``ValueError`` for a value that no writer gives a field."""
    others: list[Any] = list(_UNSET)
    for name, value in fields.items():
        place, kind, is_one = _FIELDS[name]
        if type(value) is not kind or (is_one is not None and not is_one(value)):
            raise ValueError(f"{name} is of another type, or at its default")
        others[place] = value
    if "document" in fields:
        others[-1] = bytes.fromhex(others[-1])
    return tuple(others)


def _unknown(data: bytes) -> list[str]:
    """What only another version can have written: elements behind the object, or fields in it."""
    try:
        elements = orjson.loads(data)
    except ValueError:
        return []
    if not isinstance(elements, list) or len(elements) <= _ALWAYS:
        return []
    fields, *more = elements[_ALWAYS:]
    if more:
        return [f"element {number}" for number in range(_ALWAYS + 1, len(elements))]
    return sorted(fields.keys() - set(_OTHERS)) if isinstance(fields, dict) else []


def check_labels(labels: object) -> dict[str, str]:
    """Labels as a dict of their own, empty for None; ``InvalidDocument`` for what is no mapping.

    ``check_head`` looks inside.
    """
    if labels is None:
        return {}
    if not isinstance(labels, Mapping):
        raise InvalidDocument(f"labels map str to str, not {shortened(labels)}", path="labels")
    return dict(labels)


def check_head(head: Head) -> Head:
    """The head itself, if owners, labels and limits are of the types that a head may hold; else ``InvalidDocument``."""
    for name in ("title", "user_id", "tenant_id", "assistant_id"):
        value = getattr(head, name)
        if value is not None and (type(value) is not str or not is_unicode(value) or (not value and name != "title")):
            raise InvalidDocument(
                f"{name} is a non-empty str of valid Unicode, or None, not {shortened(value)}", path=name
            )
    for label, value in head.labels.items():
        if any(type(each) is not str or not is_unicode(each) for each in (label, value)) or not label:
            raise InvalidDocument(
                f"labels map non-empty str of valid Unicode to such; here is {shortened(label)}: {shortened(value)}",
                path="labels",
            )
    if head.max_messages is not None and (type(head.max_messages) is not int or not 1 <= head.max_messages < _LIMIT):
        raise InvalidDocument(
            f"max_messages is an int from 1 to 2**63 - 1, or None, not {shortened(head.max_messages)}",
            path="max_messages",
        )
    if type(head.sliding) is not bool:
        raise InvalidDocument(f"sliding is a bool, not {shortened(head.sliding)}", path="sliding")
    return head


def is_unicode(text: str) -> bool:
    """Whether a text is valid: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
