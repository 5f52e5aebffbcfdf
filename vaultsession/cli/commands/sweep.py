"""``vaultsession sweep``: remove what has expired."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import output
from ..output import JsonForm
from ..progress import bar
from ..prompts import DryRun
from ..vault_options import Where, takes_options

BelieveClock = Annotated[
    bool, typer.Option("--believe-clock", help="Sweep also where the clock is a year beyond the newest change.")
]


@takes_options
def sweep(where: Where, *, dry_run: DryRun = False, believe_clock: BelieveClock = False, form: JsonForm) -> None:
    """Remove sessions that have expired, and only those."""
    with where.open() as store, bar("Sweeping") as progress:
        swept = store.sweep(dry_run=dry_run, believe_clock=believe_clock, progress=progress)
    noun = output.counted(swept, "expired session")
    sentence = f"{noun} would be removed" if dry_run else f"removed {noun}"
    output.result({"dry_run": dry_run, "swept": swept}, form, sentence, columns=["swept"])
