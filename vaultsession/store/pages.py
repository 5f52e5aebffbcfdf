"""Listings that go through more than one page: of a period, in another order than that of the last change."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..engine.listing import Order
    from .fields import Filters
    from .session import SessionInfo
    from .store import SessionStore

_PAGE = 500


class Sort(Enum):
    """What sessions are ordered by: times and numbers from the largest, titles from A."""

    updated = "updated"
    created = "created"
    messages = "messages"
    size = "size"
    title = "title"


_KEYS: dict[Sort, Callable[[SessionInfo], Any]] = {
    Sort.created: lambda info: -info.created_at.timestamp(),
    Sort.messages: lambda info: -info.message_count,
    Sort.size: lambda info: -info.size,
    Sort.title: lambda info: (info.title is None, (info.title or "").casefold(), info.title or ""),
}


class Period:
    """A time of the last change: from ``since`` on, up to ``before``; None is no bound."""

    def __init__(self, since: datetime | None = None, before: datetime | None = None) -> None:
        self.since = since
        self.before = before

    def __bool__(self) -> bool:
        return self.since is not None or self.before is not None

    def __contains__(self, moment: datetime) -> bool:
        return (self.since is None or moment >= self.since) and (self.before is None or moment < self.before)

    def within(self, infos: Iterable[SessionInfo], *, newest_first: bool) -> Iterator[SessionInfo]:
        """Those within, of sessions by the time of their last change; nothing is read behind the last that may be."""
        end = self.since if newest_first else self.before
        for info in infos:
            if info.updated_at in self:
                yield info
            elif end is not None and (info.updated_at < end) is newest_first:
                return


class PagedListing:
    """A listing by the last change, fetched in pages.

    ``after``: the cursor behind the last session that ``pages`` gave. ``cut``: whether ``chosen`` left some out, behind
    which there is no place to go on from. ``passed_over``: whether it did not look at all of them.
    """

    def __init__(self, store: SessionStore, wanted: Filters | None = None, *, oldest_first: bool = False) -> None:
        self._store = store
        self._wanted: Filters = wanted or {}
        self._order: Order = "oldest" if oldest_first else "newest"
        self.after: str | None = None
        self.cut = self.passed_over = False

    def pages(self, limit: int | None = None, after: str | None = None) -> Iterator[SessionInfo]:
        """At most so many, from a cursor on."""
        self.after = after
        left = limit
        while True:
            size = _PAGE if left is None else min(_PAGE, left)
            page = self._store.list(order=self._order, limit=size, after=self.after, **self._wanted)
            self.after = page.after
            yield from page
            if left is not None:
                left -= len(page)
            if self.after is None or left == 0:
                return

    def chosen(
        self, period: Period, sort: Sort, limit: int | None, *, reverse: bool, most: int | None = None
    ) -> Iterator[SessionInfo]:
        """At most so many of those within a period, in an order that may need all of them to be read first.

        No more are held than are given. Only the first ``most`` by the last change are put in another order: titles are
        sealed, so no index has them, and each session that is looked at takes 25 µs.
        """
        within = found = self._within(period)
        if sort is not Sort.updated:
            found = islice(within, most)
            if limit is None:
                found = iter(sorted(found, key=_KEYS[sort], reverse=reverse))
            else:
                first = heapq.nlargest if reverse else heapq.nsmallest
                found = iter(first(limit + 1, found, key=_KEYS[sort]))
        yield from islice(found, limit)
        self.cut = next(found, None) is not None
        self.passed_over = most is not None and found is not within and next(within, None) is not None

    def count(self, period: Period) -> int:
        """How many there are within a period."""
        return sum(1 for _ in self._within(period)) if period else self._store.count(**self._wanted)

    def _within(self, period: Period) -> Iterator[SessionInfo]:
        yield from period.within(self.pages(), newest_first=self._order == "newest")
        self.after = None
