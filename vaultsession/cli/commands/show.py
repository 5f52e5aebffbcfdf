"""``vaultsession show``: one session, its facts and its messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from ...errors import InvalidSetting
from ...format.messages import understand
from ...format.messages.plain import said
from .. import output, transcript
from ..completers import SessionId
from ..output import AnyForm, Form
from ..pager import paged
from ..vault_options import VaultOptions, takes_options
from .ls import spelled


@takes_options
def show(
    where: VaultOptions,
    *,
    id: SessionId,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", min=0, show_default=False, help="Only the newest N messages.")
    ] = None,
    state: Annotated[bool, typer.Option("--state", help="The state as well.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="On a terminal: messages as the JSON that they are.")] = False,
    form: AnyForm,
) -> None:
    """Show a session: its facts and its messages.

    On a terminal it is read in $PAGER, and --last begins at the end. Piped: TSV of part, name and value. --jsonl: the
    messages alone. Like any reading, this extends a sliding session.
    """
    if state and form is Form.JSONL:
        raise InvalidSetting("--jsonl gives the messages alone: the state comes with --json")
    with where.open() as store:
        session = store.load(id)
        messages = session.messages if last is None else store.messages(id, last=last)
        kept = session.state if state else None
        facts = session.facts()
    also = {} if kept is None else {"state": kept}
    output.show(
        _parts(facts, kept, messages) if form is Form.TSV else messages,
        ("part", "name", "value"),
        form,
        json={**facts, "version": session.version, **also, "messages": messages},
        people=lambda _: _whole(facts, kept, messages, raw=raw, at_end=last is not None),
    )


def _parts(
    facts: output.Record, state: output.Record | None, messages: Sequence[output.Record]
) -> Iterator[output.Record]:
    """One record per fact, key of the state and message."""
    yield from ({"part": "fact", "name": name, "value": value} for name, value in facts.items())
    for name, value in (state or {}).items():
        yield {"part": "state", "name": name, "value": output.to_json(value)}
    for message in messages:
        known = understand(message)
        yield {"part": "message", "name": known.role, "value": said(known)}


def _whole(
    facts: output.Record, state: output.Record | None, messages: Sequence[output.Record], *, raw: bool, at_end: bool
) -> None:
    with paged(at_end=at_end):
        _written(facts, state, messages, raw=raw)


def _written(
    facts: output.Record, state: output.Record | None, messages: Sequence[output.Record], *, raw: bool
) -> None:
    shown = {name: value for name, value in facts.items() if value not in (None, {}, False)}
    output.facts(shown, spelled(facts))
    console = output.data()
    if state is not None:
        console.print(Text("\nstate", style="bold"))
        console.print(Padding(Text(output.to_json(state, indent=2)), (0, 0, 0, 2)))
    left_out = facts["message_count"] - len(messages)
    if left_out > 0:
        console.print(Text(f"\n… {output.counted(left_out, 'older message')}", style="dim"))
    output.line("")
    if raw:
        output.lines(messages)
    else:
        transcript.write(messages, left_out)
