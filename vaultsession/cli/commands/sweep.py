"""``vaultsession sweep``: remove what has expired."""

from __future__ import annotations

from .. import output
from ..output import JsonForm
from ..progress import bar
from ..prompts import DryRun
from ..vault_options import VaultOptions, takes_options


@takes_options
def sweep(where: VaultOptions, *, dry_run: DryRun = False, form: JsonForm) -> None:
    """Remove sessions that have expired, and only those."""
    with where.open() as store, bar("Sweeping") as progress:
        swept = store.sweep(dry_run=dry_run, progress=lambda done: progress(done, None))
    noun = output.counted(swept, "expired session")
    sentence = f"{noun} would be removed" if dry_run else f"removed {noun}"
    output.result({"dry_run": dry_run, "swept": swept}, form, sentence, columns=["swept"])
