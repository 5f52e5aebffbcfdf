"""``vaultsession show``: one session, its facts and its messages."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.text import Text

from ...errors import InvalidSetting
from .. import output
from ..completers import SessionId
from ..output import AnyForm, Form
from ..vault_options import VaultOptions, takes_options
from .ls import spelled

ROLES = {"user": "cyan", "assistant": "green", "system": "magenta", "developer": "magenta", "tool": "yellow"}
_OTHER_ROLE = "blue"


@takes_options
def show(
    where: VaultOptions,
    *,
    id: SessionId,
    last: Annotated[
        int | None, typer.Option("--last", metavar="N", min=0, show_default=False, help="Only the newest N messages.")
    ] = None,
    state: Annotated[bool, typer.Option("--state", help="The state as well.")] = False,
    form: AnyForm,
) -> None:
    """Show a session: its facts and its messages.

    Piped: TSV of part, name and value. --jsonl: the messages alone. Like any reading, this extends a sliding session.
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
        people=lambda _: _whole(facts, kept, messages),
    )


def _parts(
    facts: output.Record, state: output.Record | None, messages: Sequence[output.Record]
) -> Iterator[output.Record]:
    """One record per fact, key of the state and message."""
    yield from ({"part": "fact", "name": name, "value": value} for name, value in facts.items())
    for name, value in (state or {}).items():
        yield {"part": "state", "name": name, "value": output.to_json(value)}
    for message in messages:
        yield {"part": "message", "name": spoken(message)[0], "value": text_of(message)}


def _whole(facts: output.Record, state: output.Record | None, messages: Sequence[output.Record]) -> None:
    shown = {name: value for name, value in facts.items() if value not in (None, {}, False)}
    output.facts(shown, spelled(facts))
    console = output.data()
    if state is not None:
        console.print(Text("\nstate", style="bold"))
        console.print(Padding(Text(output.to_json(state, indent=2)), (0, 0, 0, 2)))
    left_out = facts["message_count"] - len(messages)
    if left_out > 0:
        console.print(Text(f"\n… {output.counted(left_out, 'older message')}", style="dim"))
    for message in messages:
        console.print()
        _said(message)
    sys.stdout.flush()


def transcript(messages: Sequence[output.Record]) -> None:
    """Messages as people read them, an empty line behind each."""
    for message in messages:
        _said(message)
        output.data().print()


def speaker(role: str) -> Text:
    """The line above what somebody says."""
    return Text(output.escaped(role), style=f"bold {ROLES.get(role, _OTHER_ROLE)}")


def _said(message: output.Record) -> None:
    role, content, rest = spoken(message)
    console = output.data()
    if role:
        console.print(speaker(role))
    if content is not None:
        for paragraph in output.escaped_lines(content).split("\n"):
            output.paragraph(Text(paragraph), indent=2)
    if rest:
        console.print(Padding(Text(output.to_json(rest, indent=2), style="dim"), (0, 0, 0, 2)))


def spoken(message: Mapping[str, Any]) -> tuple[str, str | None, dict[str, Any]]:
    """``(role, text, rest)`` of a message of any shape: what is not a role or a text stays in the rest."""
    rest = dict(message)
    role = rest.pop("role") if isinstance(rest.get("role"), str) else ""
    content = rest.pop("content") if isinstance(rest.get("content"), str) else None
    blocks = rest.get("content")
    if content is None and isinstance(blocks, list) and blocks and all(map(_is_text, blocks)):
        content = "\n".join(block["text"] for block in rest.pop("content"))
    return role, content, rest


def text_of(message: Mapping[str, Any]) -> str:
    """What a message says, where it says nothing else; otherwise the message as JSON."""
    _, content, rest = spoken(message)
    return output.to_json(message) if rest or content is None else content


def _is_text(block: object) -> bool:
    """Whether a block of a message holds a text and nothing else."""
    return isinstance(block, dict) and isinstance(block.get("text"), str) and block.keys() <= {"type", "text"}
