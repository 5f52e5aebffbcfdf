"""``vaultsession show``: one session, its facts and its messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from typer import Option

from ...errors import InvalidSetting
from ...format.messages import understand
from ...format.messages.plain import said
from ...util.lazy import LazyModule
from .. import output
from ..completers import SessionId
from ..destination import destination, say_written
from ..output import AnyForm, Form
from ..pager import paged
from ..vault_options import Where, takes_options
from .ls import spelled

if TYPE_CHECKING:
    from .. import transcript
else:  # for a terminal alone
    transcript = LazyModule(".cli.transcript")


@takes_options
def show(
    where: Where,
    *,
    id: SessionId,
    last: int | None = Option(None, "--last", metavar="N", min=0, help="Only the newest N messages."),
    state: bool = Option(False, "--state", help="The state as well."),
    raw: bool = Option(False, "--raw", help="On a terminal: messages as the JSON that they are."),
    html: str | None = Option(None, "--html", metavar="FILE", help="Into one page that opens offline."),
    markdown: str | None = Option(None, "--markdown", metavar="FILE", help="Into one Markdown document."),
    replace: bool = Option(False, "--replace", help="FILE may be there already: it is replaced."),
    form: AnyForm,
) -> None:
    """Show a session: its facts and its messages.

    On a terminal it is read in $PAGER, and --last begins at the end. Piped: TSV of part, name and value. --jsonl: the
    messages alone. FILE is written in the clear, and nobody else can read it. Like any reading, this extends a sliding
    session.
    """
    if html is not None and markdown is not None:
        raise InvalidSetting("give --html or --markdown, not both")
    if state and form is Form.JSONL:
        raise InvalidSetting("--jsonl gives the messages alone: the state comes with --json")
    with where.open() as store:
        session = store.load(id)
        messages = session.messages if last is None else store.messages(id, last=last)
        kept = session.state if state else None
        facts = session.facts()
    if html is not None or markdown is not None:
        _write_file(facts, messages, html=html, markdown=markdown, replace=replace)
        return
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
        shown = {name: value for name, value in facts.items() if value not in (None, {}, False)}
        output.facts(shown, spelled(facts))
        if state is not None:
            output.line("")
            output.paragraph("state", style="bold")
            for row in output.to_json(state, indent=2).split("\n"):
                output.paragraph(row, indent=2)
        left_out = facts["message_count"] - len(messages)
        if left_out > 0:
            output.line("")
            output.paragraph(f"… {output.counted(left_out, 'older message')}", style="dim")
        output.line("")
        if raw:
            output.lines(messages)
        else:
            transcript.write(messages, left_out)


def _write_file(
    facts: output.Record, messages: Sequence[output.Record], *, html: str | None, markdown: str | None, replace: bool
) -> None:
    from ...format.messages import html as page  # noqa: PLC0415 - few processes write one
    from ...format.messages import markdown as text  # noqa: PLC0415 - as above

    shown = {name: str(value) for name, value in facts.items() if value not in (None, {}, False)}
    made = (text if html is None else page).document(facts["title"] or facts["id"], shown, messages)
    into = html or markdown or ""
    with destination(into, replace=replace) as stream:
        for block in made:
            stream.write(block.encode("utf-8", "replace"))
    say_written(len(messages), "message", into)
