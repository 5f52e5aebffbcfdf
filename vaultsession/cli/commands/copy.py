"""``vaultsession copy``: a fork of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from .. import output
from ..completers import SessionId
from ..output import JsonForm
from ..vault_options import VaultOptions, takes_options

if TYPE_CHECKING:
    from ...store.fields import SessionFields


@takes_options
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
    form: JsonForm,
) -> None:
    """Fork a session: the same state and history, a life of its own.

    Its life begins now, with the owners, labels and limits of the other.

    Exit code 5 where a living session has the new id.
    """
    given = {"title": title, "user_id": user, "ttl": ttl}
    changed = cast("SessionFields", {name: value for name, value in given.items() if value is not None})
    with where.open() as store:
        facts = store.copy(id, new, until=until, **changed).facts()
    record = {"copied": id, **{name: facts[name] for name in ("id", "message_count", "updated_at", "expires_at")}}
    sentence = f"{output.escaped(facts['id'])}: {output.counted(facts['message_count'], 'message')}"
    output.result(record, form, sentence)
