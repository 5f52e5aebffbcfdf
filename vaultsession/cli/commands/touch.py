"""``vaultsession touch``: let a session's life begin anew."""

from __future__ import annotations

from typer import Option

from .. import output
from ..completers import SessionId
from ..output import JsonForm
from ..vault_options import Where, takes_options


@takes_options
def touch(
    where: Where,
    *,
    id: SessionId,
    ttl: str | None = Option(None, "--ttl", metavar="SPAN", help="Another life span: seconds, or 30m, 24h, 7d."),
    form: JsonForm,
) -> None:
    """Extend a session by its life span, from now on.

    One without a life span is kept for ever: --ttl gives it an end.
    """
    with where.open() as store:
        facts = store.touch(id, ttl).facts()
    record = {name: facts[name] for name in ("id", "expires_at", "ttl")}
    said = "is kept for ever: give it a life span with --ttl"
    if facts["expires_at"] is not None:
        said = f"expires {output.ago(facts['expires_at'])}"
    output.result(record, form, f"{output.escaped(facts['id'])} {said}")
