"""Which sessions a command means: the options that listings, searches and exports share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidSetting
from ..store.pages import Period
from ..util.clock import SystemClock, to_datetime, to_duration

if TYPE_CHECKING:
    from ..store.fields import Filters

_PANEL = "Which sessions"

User = Annotated[
    str | None, typer.Option("--user", metavar="ID", help="Only sessions of this user.", rich_help_panel=_PANEL)
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="ID", help="Only sessions of this tenant.", rich_help_panel=_PANEL)
]
Assistant = Annotated[
    str | None,
    typer.Option("--assistant", metavar="ID", help="Only sessions of this assistant.", rich_help_panel=_PANEL),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="NAME=VALUE", help="Only with this label; may be repeated.", rich_help_panel=_PANEL
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="Only changed since: 2d, or 2026-11-20T09:00 (UTC).", rich_help_panel=_PANEL
    ),
]
Before = Annotated[
    str | None, typer.Option("--before", metavar="WHEN", help="Only changed before that.", rich_help_panel=_PANEL)
]


def period_of(since: str | None, before: str | None) -> Period:
    """The period that the options say. ``InvalidSetting`` names the option that says no time."""
    now = SystemClock().now()
    period = Period(_moment("--since", since, now), _moment("--before", before, now))
    if period.since is not None and period.before is not None and period.since >= period.before:
        raise InvalidSetting("--since lies behind --before: nothing could be found")
    return period


def filters(user: str | None, tenant: str | None, assistant: str | None, label: Sequence[str] | None) -> Filters:
    """The filters of the store that the options say. ``InvalidSetting`` for a label that is none."""
    labels = {}
    for text in label or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidSetting(f"a label is NAME=VALUE, not {text!r}")
        labels[name] = value
    return {"user_id": user, "tenant_id": tenant, "assistant_id": assistant, "labels": labels}


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
