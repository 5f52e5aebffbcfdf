"""``vaultsession touch``: let a session's life begin anew."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import output
from ..completers import SessionId
from ..output import AsJson, Form
from ..vault_options import VaultOptions, takes_vault


@takes_vault
def touch(
    where: VaultOptions,
    *,
    id: SessionId,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="SPAN", help="Another life span: seconds, or 30m, 24h, 7d.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Extend a session by its life span, from now on.

    One without a life span is kept for ever: --ttl gives it an end.
    """
    form = Form.chosen(as_json=as_json)
    with where.open() as store:
        facts = store.touch(id, ttl).facts()
    record = {name: facts[name] for name in ("id", "expires_at", "ttl")}
    if form is Form.JSON:
        output.document(record)
    elif form is Form.TSV:
        output.tsv(list(record), [record])
    elif facts["expires_at"] is None:
        output.line(f"{output.escaped(facts['id'])} is kept for ever: give it a life span with --ttl")
    else:
        output.line(f"{output.escaped(facts['id'])} expires {output.ago(facts['expires_at'])}")
