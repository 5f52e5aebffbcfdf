"""The sessions: newest first from the index, by filters, a page at a time. No conversation is opened."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..errors import InvalidSetting
from ..store.pages import PagedListing, Period, Sort
from .site import html, labels_in, number_of, site_of

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from ..store.fields import Filters

PAGE = 50
_MOST = 1_000
"""Sessions on one page that is in another order than that of the last change."""
SORTED = 10_000
"""Sessions that are put in such an order: those changed last. It takes a quarter of a second."""


def sessions(request: Request) -> Response:
    """A page of sessions. ``after`` goes on behind an earlier one."""
    query, store = request.query_params, site_of(request).store
    wanted, period = filters_of(query), Period(_day(query.get("since")), _day(query.get("before")))
    order = query.get("sort", "updated")
    oldest = order == "oldest"
    try:
        sort = Sort.updated if oldest else Sort(order)
    except ValueError:
        raise InvalidSetting(f"sessions are sorted by a fact that each has, not by {order!r:.40}") from None
    listing = PagedListing(store, wanted, oldest_first=oldest)
    limit = min(number_of(request, "limit") or PAGE, _MOST)
    if sort is Sort.updated and not period:
        found = list(listing.pages(PAGE, query.get("after") or None))
    else:
        found = list(listing.chosen(period, sort, limit, reverse=False, most=SORTED))
    larger = min(2 * limit, _MOST) if listing.cut and limit < _MOST else None
    total = None if period else store.count(**wanted)
    return html(
        request,
        "sessions.html",
        sessions=found,
        after=listing.after,
        larger=larger,
        cut=listing.cut,
        sorted_alone=SORTED if listing.passed_over else None,
        total=total,
        shown={name: value for name, value in query.items() if value and name not in ("after", "limit")},
        sorts={"updated": "newest", "oldest": "oldest", "created": "created last", "messages": "longest",
               "size": "largest", "title": "title"},
    )  # fmt: skip


def filters_of(query: QueryParams) -> Filters:
    """The filters that a form has. ``InvalidSetting`` for a label that is none."""
    labels = labels_in(query.get("label", "").split(","))
    user, tenant, assistant = (query.get(name) or None for name in ("user", "tenant", "assistant"))
    return {"user_id": user, "tenant_id": tenant, "assistant_id": assistant, "labels": labels or None}


def _day(text: str | None) -> datetime | None:
    """The beginning of a day by the clock of this machine."""
    if not text:
        return None
    try:
        return datetime.combine(datetime.fromisoformat(text).date(), time()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidSetting(f"a day is written as 2026-11-20, not {text!r:.40}") from None
