"""``vaultsession stats``: counts, bytes and health."""

from __future__ import annotations

from itertools import islice

import typer

from ...store.pages import PagedListing
from ...util.clock import SystemClock, to_datetime
from .. import exit_codes, histogram, output
from ..histogram import AGES, SIZES, Bar
from ..output import Form, JsonForm
from ..vault_options import Where, takes_options

_MOST = 10_000
"""Sessions whose sizes and ages are looked at: a histogram is a look, and takes no longer than one."""


@takes_options
def stats(where: Where, *, form: JsonForm) -> None:
    """Count sessions and bytes, and say whether all is well.

    On a terminal and in JSON also how many there are of each size and age, and of each of the last 14 days, of the
    10 000 that were changed last.

    Exit code 1 where a part of the vault is not well.
    """
    sizes: list[Bar] = []
    ages: list[Bar] = []
    days: list[Bar] = []
    with where.open() as store:
        health = store.health()
        # The cache and the calls of a store that was opened a moment ago say nothing about the vault.
        own = ("cache_", "verbs")
        counts = {name: value for name, value in store.stats().items() if not name.startswith(own)}
        if form is not Form.TSV and health["ok"]:
            now = to_datetime(SystemClock().now())
            looked_at = list(islice(PagedListing(store).pages(), _MOST))
            sizes = histogram.counted(SIZES, (info.size for info in looked_at))
            days = histogram.days((info.updated_at for info in looked_at), now)
            ages = histogram.counted(AGES, ((now - info.updated_at).total_seconds() for info in looked_at))
    record = {**counts, **health}
    spelled = {name: output.size(value) for name, value in counts.items() if name.endswith("bytes")}
    if counts.get("ratio"):
        spelled["ratio"] = f"{counts['ratio']:.2f} bytes of JSON in each that is stored"
    drawn = sum(bar.sessions for bar in ages)
    document = {**record, "sizes": [_fields(bar) for bar in sizes], "ages": [_fields(bar) for bar in ages]}
    document["days"] = [{"days_ago": bar.least, "sessions": bar.sessions} for bar in days]
    document["drawn_sessions"] = drawn
    output.facts(record, spelled, form=form, json=document)
    if form is Form.TABLE:
        some = f", of the {drawn} that were changed last" if drawn < counts["sessions"] else ""
        histogram.draw(f"sizes, as JSON{some}", sizes)
        histogram.draw(f"last changed{some}", ages)
        histogram.draw(f"last changed, by day{some}", days)
    if not health["ok"]:
        raise typer.Exit(exit_codes.ERROR)


def _fields(bar: Bar) -> output.Record:
    return {"least": bar.least, "below": bar.below, "sessions": bar.sessions}
