"""``vaultsession sweep``: remove what has expired."""

from __future__ import annotations

from .. import output
from ..output import AsJson, Form
from ..progress import bar
from ..prompts import DryRun
from ..vault_options import VaultOptions, takes_vault


@takes_vault
def sweep(where: VaultOptions, *, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Remove sessions that have expired, and only those."""
    form = Form.chosen(as_json=as_json)
    with where.open() as store, bar("Sweeping") as progress:
        swept = store.sweep(dry_run=dry_run, progress=lambda done: progress(done, None))
    if form is Form.JSON:
        output.document({"dry_run": dry_run, "swept": swept})
    elif form is Form.TSV:
        output.tsv(("swept",), [{"swept": swept}])
    else:
        noun = output.counted(swept, "expired session")
        output.line(f"{noun} would be removed" if dry_run else f"removed {noun}")
