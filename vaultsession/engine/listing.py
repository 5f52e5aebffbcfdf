"""Listings: from filters to a query over sealed rows, and from rows to what their user reads."""

from __future__ import annotations

import base64
import binascii
import functools
import struct
from collections.abc import Callable, Iterator, Mapping
from reprlib import repr as shortened
from typing import Literal, TypeVar

from ..backends.protocol import Backend
from ..errors import Damaged, InvalidSetting
from ..format.head import Head, is_unicode
from ..format.ids import LOCATOR_LENGTH, locator_of
from ..format.sealed import IndexRow, Query
from ..util.clock import Clock
from ..util.lru import LRU
from ..util.named_tuple import NamedTuple
from .reader import Reader

Order = Literal["newest", "oldest"]

T = TypeVar("T")

_PAGE = 256
_SAMPLE = 200
_REMEMBERED = 2048
"""Heads that a listing keeps, for the next one."""
_CURSOR = struct.Struct(f"<q{LOCATOR_LENGTH}s")


class Proved(NamedTuple):
    """A row that authenticates, and what it says: the header of its container, and its head."""

    row: IndexRow
    header: bytes
    head: Head


def proved(backend: Backend, reader: Reader, query: Query, take: Callable[[Iterator[Proved]], T]) -> T:
    """What ``take`` makes of every row that an index gives, opened one at a time.

    Where one does not authenticate the index is rebuilt, once, and ``take`` asked again. The oldest come first:
    a session that is written meanwhile moves behind what is still to be read, so that none is passed over.
    """
    query = query._replace(newest_first=False)

    def opened() -> Iterator[Proved]:
        return (Proved(row, *reader.rows.open(row)) for row in backend.scan(query))

    try:
        return take(opened())
    except Damaged:
        backend.reindex()
    return take(opened())


class Listing:
    """Lists and counts. Safe from any thread."""

    def __init__(self, backend: Backend, reader: Reader, clock: Clock) -> None:
        self._backend = backend
        self._reader = reader
        self._clock = clock
        self._met: LRU[bytes, tuple[IndexRow, Head]] = LRU(most=_REMEMBERED)
        # The keys of tags never rotate, and the same few owners and labels are asked for over and over.
        self._tag = functools.lru_cache(1024)(reader.keyring.tag)

    def page(
        self, tags: tuple[bytes, ...], *, order: Order, limit: int | None, offset: int, after: str | None
    ) -> tuple[list[tuple[Head, bytes]], str | None]:
        """A page of living sessions, and the cursor of the page behind it: None where there is none.

        Of each its head, and the version of its document.

        One row more is read, to know whether another page follows.
        """
        if order not in ("newest", "oldest"):
            raise InvalidSetting(f"order is 'newest' or 'oldest', not {shortened(order)}")
        if (limit is not None and limit < 1) or offset < 0:
            raise InvalidSetting(
                f"limit is at least 1 and offset at least 0, not {shortened(limit)} and {shortened(offset)}"
            )
        query = Query(
            tags=tags,
            alive_at=self._clock.now(),
            newest_first=order == "newest",
            after=None if after is None else _parse_cursor(after),
            offset=offset,
            limit=None if limit is None else limit + 1,
        )
        rows, heads = self._read(query)
        more = limit is not None and len(rows) > limit
        pairs = zip(rows[:limit], heads, strict=False)
        found = [(head, head.document or row.version) for row, head in pairs if head is not None]
        return found, _cursor(rows[:limit][-1]) if more else None

    def each(self, tags: tuple[bytes, ...], *, order: Order) -> Iterator[Head]:
        """The head of every living session that matches, a page at a time; nothing is held between two of them.

        From the oldest on, a session that is changed meanwhile comes again, and none is left out; from the newest on,
        one that is changed before its turn is left out.
        """
        after: str | None = None
        while True:
            found, after = self.page(tags, order=order, limit=_PAGE, offset=0, after=after)
            for head, _ in found:
                yield head
            if after is None:
                return

    def ratio(self) -> float | None:
        """Bytes of JSON to a stored byte, over the sessions changed last; None where there are none."""
        rows, heads = self._read(Query(alive_at=self._clock.now(), limit=_SAMPLE))
        stored = sum(row.size for row in rows)
        return sum(head.raw for head in heads if head is not None) / stored if stored else None

    def count(self, tags: tuple[bytes, ...]) -> int:
        """How many living sessions match."""
        return self._backend.count(Query(tags=tags, alive_at=self._clock.now()))

    def expired(self) -> Iterator[IndexRow]:
        """Rows that say that their session has expired: a claim, to be checked against the container."""
        return self._backend.scan(Query(expired_at=self._clock.now()))

    def newest_change(self) -> int | None:
        """When any session was changed last; None where there is none."""
        return next((row.updated for row in self._backend.scan(Query(limit=1))), None)

    def tags(
        self,
        user_id: str | None = None,
        tenant_id: str | None = None,
        assistant_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[bytes, ...]:
        """The tags that every session asked for carries."""
        owners = (("user", user_id), ("tenant", tenant_id), ("assistant", assistant_id))
        tag = self._tag
        found = [tag(kind, "", _text(f"{kind}_id", value)) for kind, value in owners if value is not None]
        if labels is not None:
            if not isinstance(labels, Mapping):
                raise InvalidSetting(f"labels to look for map str to str, not {shortened(labels)}")
            found += [
                tag("label", _text("a name in labels", name), _text("a value in labels", value))
                for name, value in labels.items()
            ]
        return tuple(found)

    def _read(self, query: Query) -> tuple[list[IndexRow], list[Head | None]]:
        """Open the rows. A row that does not authenticate is not believed: the index is rebuilt, once."""
        rows = list(self._backend.scan(query))
        try:
            return rows, self._open(rows, query)
        except Damaged:
            self._backend.reindex()
        rows = list(self._backend.scan(query))
        return rows, self._open(rows, query)

    def _open(self, rows: list[IndexRow], query: Query) -> list[Head | None]:
        """What each row says; None for one that an index gave although it is not what was asked for.

        A row proves its own tags and expiry, and not the index entry by which it was found. One that is, column for
        column, a row that was opened before says what that one said.
        """
        met, heads = self._met.get, []
        for row in rows:
            known = met(row.version)
            if known is None or (known[0] is not row and known[0] != row):
                known = row, self._reader.rows.open(row)[1]
                self._met.keep(row.version, known)
            heads.append(known[1] if _answers(row, query) else None)
        return heads


def _answers(row: IndexRow, query: Query) -> bool:
    if row.expires is not None and query.alive_at is not None and row.expires <= query.alive_at:
        return False
    for tag in query.tags:  # not all(…): a generator for each row takes longer than the row  # noqa: SIM110
        if tag not in row.tags:
            return False
    return True


def _text(what: str, value: object) -> str:
    if isinstance(value, str) and is_unicode(value):
        return value
    raise InvalidSetting(f"{what} to look for is a str of valid Unicode, not {shortened(value)}")


def _cursor(row: IndexRow) -> str:
    packed = _CURSOR.pack(row.updated, locator_of(row.key).encode())
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _parse_cursor(text: str) -> tuple[int, str]:
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        updated, locator = _CURSOR.unpack(packed)
        return updated, locator.decode("ascii")
    except (ValueError, binascii.Error, struct.error, TypeError):
        raise InvalidSetting(
            f"{shortened(text)} is no cursor of a listing: pass the .after of a page, unchanged"
        ) from None
