"""``vaultsession ls``: sessions, newest first, without opening a body."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import InvalidSetting
from .. import output
from ..filters import Assistant, Before, Label, Period, Since, Tenant, User, filters
from ..output import AnyForm, Column, Form
from ..vault_options import VaultOptions, takes_options

if TYPE_CHECKING:
    from ...engine.listing import Order
    from ...store.fields import Filters
    from ...store.session import SessionInfo
    from ...store.store import SessionStore

ON_A_TERMINAL = 50
_PAGE = 500

COLUMNS = (
    Column("id", style="bold"),
    Column("title", wide=True, cut=True),
    Column("user_id", "user", wide=True),
    Column("message_count", "msgs", right=True),
    Column("updated_at", "updated", output.ago, right=True),
    Column("expires_at", "expires", output.ago, right=True, wide=True),
)
MORE = (
    Column("tenant_id", "tenant", wide=True),
    Column("assistant_id", "assistant", wide=True),
    Column("labels", wide=True),
    Column("created_at", "created", output.ago, right=True, wide=True),
    Column("ttl", show=lambda value: "-" if value is None else output.span(value), right=True, wide=True),
    Column("sliding", wide=True),
    Column("max_messages", "max", right=True, wide=True),
    Column("size", show=output.size, right=True),
)


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
_SHOWN = {Sort.created: "created_at", Sort.size: "size"}
"""The column that a sort is by, where a listing has none."""


@takes_options
def ls(
    where: VaultOptions,
    *,
    user: User = None,
    tenant: Tenant = None,
    assistant: Assistant = None,
    label: Label = None,
    since: Since = None,
    before: Before = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", metavar="N", min=1, show_default=False, help="At most so many; 50 on a terminal, else all."
        ),
    ] = None,
    sort: Annotated[
        Sort,
        typer.Option(
            "--sort",
            metavar="FACT",
            help="By updated, created, messages, size or title; all but updated read every session's facts first.",
        ),
    ] = Sort.updated,
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="The other way round.")] = False,
    after: Annotated[
        str | None, typer.Option("--after", metavar="CURSOR", help="Go on behind an earlier page.")
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Only how many there are.")] = False,
    long: Annotated[bool, typer.Option("--long", "-l", help="All facts.")] = False,
    form: AnyForm,
) -> None:
    """List living sessions, newest first.

    From the index: no conversation is opened, and no life extended.
    """
    period = Period.of(since, before)
    if after is not None and (sort is not Sort.updated or period or count):
        raise InvalidSetting("--after goes on with a listing by the last change: leave out --sort, --since and --count")
    if limit is None and form is Form.TABLE and not count:
        limit = ON_A_TERMINAL
    wanted = filters(user, tenant, assistant, label)
    with where.open() as store:
        listing = PagedListing(store, wanted, oldest_first=reverse and sort is Sort.updated)
        if count:
            number = listing.count(period)
            if form is Form.TSV:
                output.line(str(number))
            else:
                output.show([record := {"sessions": number}], (), form, json=record, people=str(number))
            return
        if sort is Sort.updated and not period:
            chosen = listing.pages(limit, after)
        else:
            chosen = listing.chosen(period, sort, limit, reverse=reverse)
        records = ({**info.facts(), "size": info.size} for info in chosen)
        output.show(
            records,
            (*COLUMNS, *MORE) if long else COLUMNS,
            form,
            json=lambda sessions: {"sessions": sessions, "after": listing.after},
            people=lambda sessions: _print(sessions, long=long, by=_SHOWN.get(sort)),
        )
        if listing.after is not None and form is not Form.JSON:
            output.say(f"There are more: go on with --after {listing.after}", style="dim")
        elif listing.cut:
            output.say("There are more: show them with a larger --limit.", style="dim")


class PagedListing:
    """A listing by the last change, fetched in pages.

    ``after``: the cursor behind the last session that ``pages`` gave. ``cut``: whether ``chosen`` left some out, behind
    which there is no place to go on from.
    """

    def __init__(self, store: SessionStore, wanted: Filters | None = None, *, oldest_first: bool = False) -> None:
        self._store = store
        self._wanted: Filters = wanted or {}
        self._order: Order = "oldest" if oldest_first else "newest"
        self.after: str | None = None
        self.cut = False

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

    def chosen(self, period: Period, sort: Sort, limit: int | None, *, reverse: bool) -> Iterator[SessionInfo]:
        """At most so many of those within a period, in an order that may need all of them to be read first."""
        found = self._within(period)
        if sort is not Sort.updated:
            found = iter(sorted(found, key=_KEYS[sort], reverse=reverse))
        yield from islice(found, limit)
        self.cut = next(found, None) is not None

    def count(self, period: Period) -> int:
        """How many there are within a period."""
        return sum(1 for _ in self._within(period)) if period else self._store.count(**self._wanted)

    def _within(self, period: Period) -> Iterator[SessionInfo]:
        yield from period.within(self.pages(), newest_first=self._order == "newest")
        self.after = None


def _print(records: Sequence[output.Record], *, long: bool, by: str | None) -> None:
    if not records:
        output.say("There are no such sessions.", style="dim")
    elif long:
        for number, record in enumerate(records):
            if number:
                output.line("")
            output.facts(record, spelled(record))
    else:
        # A column that says nothing about any of them only takes room; that which they are ordered by is there.
        columns = [*COLUMNS[:4], *(replace(each, wide=False) for each in MORE if each.name == by), *COLUMNS[4:]]
        used = [each for each in columns if each.name in _ALWAYS or any(record[each.name] for record in records)]
        output.table(used, records)


_ALWAYS = frozenset({"id", "message_count", "updated_at", "size"})


def spelled(record: output.Record) -> dict[str, str]:
    """The times of a session as people read them: the moment, and how long ago that is; the life span; the size."""
    moments = {
        name: f"{record[name][:19].replace('T', ' ')} UTC ({output.ago(record[name])})"
        for name in ("created_at", "updated_at", "expires_at")
        if record[name] is not None
    }
    if record["ttl"] is not None:
        moments["ttl"] = output.span(record["ttl"])
    if "size" in record:
        moments["size"] = f"{output.size(record['size'])} of JSON"
    return moments
