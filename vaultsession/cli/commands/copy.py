"""``vaultsession copy``: a fork of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import output
from ..completers import SessionId
from ..output import AsJson, Form
from ..vault_options import VaultOptions, takes_vault

if TYPE_CHECKING:
    from ...store.fields import SessionFields


@takes_vault
def copy(
    where: VaultOptions,
    *,
    id: SessionId,
    new: Annotated[
        str | None, typer.Argument(metavar="NEW", show_default=False, help="The id of the fork; else a new one.")
    ] = None,
    until: Annotated[
        int | None,
        typer.Option("--until", metavar="N", min=0, show_default=False, help="Only the first N messages."),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Another title.")] = None,
    user: Annotated[str | None, typer.Option("--user", metavar="ID", help="Another user.")] = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="SPAN", help="Another life span: seconds, or 30m, 24h, 7d.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fork a session: the same state and history, a life of its own.

    Its life begins now, with the owners, labels and limits of the other.

    Exit code 5 where a living session has the new id.
    """
    form = Form.chosen(as_json=as_json)
    changed: SessionFields = {}
    if title is not None:
        changed["title"] = title
    if user is not None:
        changed["user_id"] = user
    if ttl is not None:
        changed["ttl"] = ttl
    with where.open() as store:
        facts = store.copy(id, new, until=until, **changed).facts()
    record = {"copied": id, **{name: facts[name] for name in ("id", "message_count", "updated_at", "expires_at")}}
    if form is Form.JSON:
        output.document(record)
    elif form is Form.TSV:
        output.tsv(list(record), [record])
    else:
        output.line(f"{output.escaped(facts['id'])}: {output.counted(facts['message_count'], 'message')}")
