"""``vaultsession ls``: sessions, newest first, without opening a body."""

from __future__ import annotations

from collections.abc import Sequence

from typer import Option

from ...errors import InvalidSetting
from ...store.pages import PagedListing, Sort
from .. import output
from ..filters import Changed, Chosen
from ..output import AnyForm, Column, Form
from ..vault_options import Where, takes_options

ON_A_TERMINAL = 50

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


_SHOWN = {Sort.created: "created_at", Sort.size: "size"}
"""The column that a sort is by, where a listing has none."""


@takes_options
def ls(
    where: Where,
    *,
    wanted: Chosen,
    period: Changed,
    limit: int | None = Option(
        None, "--limit", "-n", metavar="N", min=1, help="At most so many; 50 on a terminal, else all."
    ),
    sort: Sort = Option(
        Sort.updated,
        "--sort",
        metavar="FACT",
        help="By updated, created, messages, size or title; all but updated read every session's facts first.",
    ),
    reverse: bool = Option(False, "--reverse", "-r", help="The other way round."),
    after: str | None = Option(None, "--after", metavar="CURSOR", help="Go on behind an earlier page."),
    count: bool = Option(False, "--count", help="Only how many there are."),
    long: bool = Option(False, "--long", "-l", help="All facts."),
    form: AnyForm,
) -> None:
    """List living sessions, newest first.

    From the index: no conversation is opened, and no life extended.
    """
    if after is not None and (sort is not Sort.updated or period or count):
        raise InvalidSetting("--after goes on with a listing by the last change: leave out --sort, --since and --count")
    if limit is None and form is Form.TABLE and not count:
        limit = ON_A_TERMINAL
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
        columns = [*COLUMNS[:4], *(each._replace(wide=False) for each in MORE if each.name == by), *COLUMNS[4:]]
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
