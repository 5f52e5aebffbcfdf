"""Which sessions a command means: the options that listings, searches and exports share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, cast

from typer import Option

from ..errors import InvalidSetting
from ..store.fields import Filters
from ..store.pages import Period
from ..util.clock import SystemClock, to_datetime, to_duration

_PANEL = "Which sessions"


def _filters(
    user: str | None = Option(None, "--user", metavar="ID", help="Only sessions of this user.", rich_help_panel=_PANEL),
    tenant: str | None = Option(
        None, "--tenant", metavar="ID", help="Only sessions of this tenant.", rich_help_panel=_PANEL
    ),
    assistant: str | None = Option(
        None, "--assistant", metavar="ID", help="Only sessions of this assistant.", rich_help_panel=_PANEL
    ),
    label: list[str] | None = Option(
        None, "--label", metavar="NAME=VALUE", help="Only with this label; may be repeated.", rich_help_panel=_PANEL
    ),
) -> Filters:
    labels = {}
    for text in label or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidSetting(f"a label is NAME=VALUE, not {text!r}")
        labels[name] = value
    given: Filters = {"user_id": user, "tenant_id": tenant, "assistant_id": assistant, "labels": labels or None}
    return cast("Filters", {name: value for name, value in given.items() if value is not None})


def _period(
    since: str | None = Option(
        None, "--since", metavar="WHEN", help="Only changed since: 2d, or 2026-11-20T09:00 (UTC).",
        rich_help_panel=_PANEL,
    ),
    before: str | None = Option(
        None, "--before", metavar="WHEN", help="Only changed before that.", rich_help_panel=_PANEL
    ),
) -> Period:  # fmt: skip
    now = SystemClock().now()
    period = Period(_moment("--since", since, now), _moment("--before", before, now))
    if period.since is not None and period.before is not None and period.since >= period.before:
        raise InvalidSetting("--since lies behind --before: nothing could be found")
    return period


Chosen = Annotated[Filters, _filters]
"""Filters of the store, those that were given."""
Changed = Annotated[Period, _period]


def _moment(option: str, text: str | None, now: int) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return to_datetime(now - to_duration(text))
    except (InvalidSetting, OverflowError):
        raise InvalidSetting(
            f"{option} takes a span back from now, such as 30m, 24h or 7d, or a time, such as 2026-11-20 or "
            f"2026-11-20T09:00, not {text!r:.60}"
        ) from None
