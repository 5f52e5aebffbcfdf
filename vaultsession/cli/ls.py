"""``vaultsession ls``: sessions, newest first, without opening a body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import InvalidSetting
from . import output
from .output import AsJson, AsJsonLines, Column, Form
from .vaults import Where, takes_vault

if TYPE_CHECKING:
    from ..facts import Filters
    from ..store import SessionStore

ON_A_TERMINAL = 50
_PAGE = 500

COLUMNS = (
    Column("id", style="bold"),
    Column("title", wide=True),
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
)


class Order(Enum):
    """By the time of the last change."""

    newest = "newest"
    oldest = "oldest"


@takes_vault
def ls(
    where: Where,
    *,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="Only sessions of this user.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="ID", help="Only sessions of this tenant.")] = None,
    assistant: Annotated[
        str | None, typer.Option("--assistant", metavar="ID", help="Only sessions of this assistant.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Only with this label; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, show_default=False, help="At most so many; 50 on a terminal, else all."),
    ] = None,
    order: Annotated[Order, typer.Option("--order", help="By the last change.")] = Order.newest,
    after: Annotated[
        str | None, typer.Option("--after", metavar="CURSOR", help="Go on behind an earlier page.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", "-l", help="All facts.")] = False,
    as_json: AsJson = False,
    as_jsonl: AsJsonLines = False,
) -> None:
    """List living sessions, newest first."""
    form = Form.chosen(as_json=as_json, as_jsonl=as_jsonl)
    if limit is None and form is Form.TABLE:
        limit = ON_A_TERMINAL
    filters: Filters = {"user_id": user, "tenant_id": tenant, "assistant_id": assistant, "labels": _labels(label)}
    with where.open() as store:
        pages = _Pages(store, filters, "oldest" if order is Order.oldest else "newest", limit, after)
        if form is Form.JSON:
            output.document({"sessions": list(pages), "after": pages.after})
        elif form is Form.JSONL:
            output.lines(pages)
        elif form is Form.TSV:
            columns = (*COLUMNS, *MORE) if long else COLUMNS
            output.tsv([column.name for column in columns], pages)
        else:
            _for_people(list(pages), long=long)
        if pages.after is not None and form is not Form.JSON:
            output.say(f"There are more: go on with --after {pages.after}", style="dim")


class _Pages:
    """The records of a listing, fetched in pages; ``after`` is the cursor behind the last one that was given."""

    def __init__(
        self,
        store: SessionStore,
        filters: Filters,
        order: Literal["newest", "oldest"],
        limit: int | None,
        after: str | None,
    ) -> None:
        self._store, self._filters, self._order, self._left = store, filters, order, limit
        self.after = after

    def __iter__(self) -> Iterator[output.Record]:
        while True:
            size = _PAGE if self._left is None else min(_PAGE, self._left)
            page = self._store.list(order=self._order, limit=size, after=self.after, **self._filters)
            self.after = page.after
            yield from (info.facts() for info in page)
            if self._left is not None:
                self._left -= len(page)
            if self.after is None or self._left == 0:
                return


def _for_people(records: Sequence[output.Record], *, long: bool) -> None:
    if not records:
        output.say("There are no such sessions.", style="dim")
    elif long:
        for number, record in enumerate(records):
            if number:
                output.line("")
            output.facts(record, spelled(record))
    else:
        # A column that says nothing about any of them only takes room.
        used = [each for each in COLUMNS if each.name in _ALWAYS or any(record[each.name] for record in records)]
        output.table(used, records)


_ALWAYS = frozenset({"id", "message_count", "updated_at"})


def spelled(record: output.Record) -> dict[str, str]:
    """The times of a session as people read them: the moment, and how long ago that is; the life span."""
    moments = {
        name: f"{record[name][:19].replace('T', ' ')} UTC ({output.ago(record[name])})"
        for name in ("created_at", "updated_at", "expires_at")
        if record[name] is not None
    }
    return moments if record["ttl"] is None else {**moments, "ttl": output.span(record["ttl"])}


def _labels(given: Sequence[str] | None) -> dict[str, str]:
    labels = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidSetting(f"a label is NAME=VALUE, not {text!r}")
        labels[name] = value
    return labels
