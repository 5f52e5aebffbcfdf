"""``vaultsession copy``: a fork of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from typer import Argument, Option

from .. import output
from ..completers import SessionId
from ..output import JsonForm
from ..vault_options import Where, takes_options

if TYPE_CHECKING:
    from ...store.fields import SessionFields


@takes_options
def copy(
    where: Where,
    *,
    id: SessionId,
    new: str | None = Argument(None, metavar="NEW", help="The id of the fork; else a new one."),
    until: int | None = Option(None, "--until", metavar="N", min=0, help="Only the first N messages."),
    title: str | None = Option(None, "--title", metavar="TEXT", help="Another title."),
    user: str | None = Option(None, "--user", metavar="ID", help="Another user."),
    ttl: str | None = Option(None, "--ttl", metavar="SPAN", help="Another life span: seconds, or 30m, 24h, 7d."),
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
