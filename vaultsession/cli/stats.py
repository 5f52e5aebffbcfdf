"""``vaultsession stats``: counts, bytes and health."""

from __future__ import annotations

import typer

from . import exit_codes, output
from .output import AsJson, Form
from .vaults import Where, takes_vault


@takes_vault
def stats(where: Where, *, as_json: AsJson = False) -> None:
    """Count sessions and bytes, and say whether all is well.

    Exit code 1 where a part of the vault is not well.
    """
    form = Form.chosen(as_json=as_json)
    with where.open() as store:
        health = store.health()
        # The cache and the calls of a store that was opened a moment ago say nothing about the vault.
        own = ("cache_", "verbs")
        counts = {name: value for name, value in store.stats().items() if not name.startswith(own)}
    record = {**counts, **health}
    if form is Form.JSON:
        output.document(record)
    else:
        output.facts(record, {name: output.size(value) for name, value in counts.items() if name.endswith("bytes")})
    if not health["ok"]:
        raise typer.Exit(exit_codes.ERROR)
