"""``vaultsession grep``: messages that say something, in any session."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ..errors import InvalidSetting, PartialFailure
from . import exit_codes, output
from .filtering import Assistant, Label, Tenant, User, filters
from .output import AsJson, AsJsonLines, Form
from .progress import bar
from .show import ROLES, spoken
from .vaults import Where, takes_vault

if TYPE_CHECKING:
    from ..searching import Match, Needle
    from ..store import SessionStore

_COLUMNS = ("id", "index", "role", "path", "excerpt")
_FOUND = "bold red"


@takes_vault
def grep(
    where: Where,
    *,
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="A regular expression, as Python reads it.")],
    user: User = None,
    tenant: Tenant = None,
    assistant: Assistant = None,
    label: Label = None,
    fixed: Annotated[bool, typer.Option("--fixed", "-F", help="PATTERN is a text, taken as it stands.")] = False,
    ignore_case: Annotated[bool, typer.Option("--ignore-case", "-i", help="Upper and lower case alike.")] = False,
    context: Annotated[
        int, typer.Option("--context", "-C", metavar="N", min=0, help="So many messages before and behind as well.")
    ] = 0,
    state: Annotated[bool, typer.Option("--state", help="Look through the state as well.")] = False,
    ids_only: Annotated[bool, typer.Option("--ids", "-l", help="Only the ids of the sessions, one a line.")] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", metavar="N", min=1, show_default=False, help="Stop after so many matches."),
    ] = None,
    as_json: AsJson = False,
    as_jsonl: AsJsonLines = False,
) -> None:
    """Find messages by what they say.

    Living sessions are opened one at a time, those changed last first; of each text that matches, the first match is
    shown. No life is extended, but --context reads sessions as `show` does.

    Exit code 4 where nothing matches, 3 where a session could not be read.
    """
    form = Form.chosen(as_json=as_json, as_jsonl=as_jsonl)
    if context and (ids_only or form is Form.TSV):
        raise InvalidSetting("--context is for a terminal, --json or --jsonl: leave out --ids, and say which when piped")
    needle = _needle(pattern, fixed=fixed, ignore_case=ignore_case)
    as_text = isinstance(needle, str)
    wanted = filters(user, tenant, assistant, label)
    with where.open() as store, bar("Searching") as progress:
        found = _Found(
            store.search(
                needle,
                ignore_case=ignore_case and as_text,
                state=state,
                limit=None if ids_only else limit,
                progress=lambda done: progress(done, None),
                **wanted,
            )
        )
        if ids_only:
            _tell_ids(found, limit, form)
        elif form is Form.TABLE:
            _for_people(store, found, context)
        else:
            records = (_record(store, match, context) for match in found)
            if form is Form.JSON:
                output.document({"matches": list(records)})
            elif form is Form.JSONL:
                output.lines(records)
            else:
                output.tsv(_COLUMNS, records)
    if found.failure is not None:
        raise found.failure
    if not found.any:
        if form is Form.TABLE:
            output.say("Nothing matches.", style="dim")
        raise typer.Exit(exit_codes.NOT_FOUND)


class _Found:
    """The matches as they come; sessions that could not be read are remembered, for when everything has been told."""

    def __init__(self, matches: Iterator[Match]) -> None:
        self._matches = matches
        self.any = False
        self.failure: PartialFailure | None = None

    def __iter__(self) -> Iterator[Match]:
        try:
            for match in self._matches:
                self.any = True
                yield match
        except PartialFailure as failure:
            self.failure = failure


def _needle(pattern: str, *, fixed: bool, ignore_case: bool) -> Needle:
    """A text where the pattern is one, since that is found without parsing every message."""
    if not pattern:
        raise InvalidSetting("an empty pattern matches everything: say what to look for")
    if fixed or not re.search(r"[\\.^$*+?{}\[\]|()]", pattern):
        return pattern
    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except (re.error, RecursionError, OverflowError) as problem:
        raise InvalidSetting(f"this is no regular expression ({problem}): -F takes it as a text") from None


def _record(store: SessionStore, match: Match, context: int) -> output.Record:
    record: dict[str, Any] = {
        "id": match.id,
        "index": match.index,
        "role": match.role,
        "path": match.path,
        "excerpt": match.excerpt,
        "span": list(match.span),
    }
    if context and match.index is not None:
        before, _, behind = _around(store, match.id, match.index, context)
        record |= {"before": before, "behind": behind}
    return record


def _around(store: SessionStore, id: str, index: int, context: int) -> tuple[list[Any], list[Any], list[Any]]:
    """The messages before one, that one, and those behind it."""
    first = max(0, index - context)
    messages = store.messages(id, offset=first, limit=index - first + 1 + context)
    place = index - first
    return messages[:place], messages[place : place + 1], messages[place + 1 :]


def _tell_ids(found: _Found, limit: int | None, form: Form) -> None:
    ids: dict[str, None] = {}
    for match in found:
        if match.id not in ids:
            ids[match.id] = None
            if form in (Form.TABLE, Form.TSV):
                output.line(output.escaped(match.id) if form is Form.TABLE else output.cell(match.id))
            elif form is Form.JSONL:
                output.lines([{"id": match.id}])
        if len(ids) == limit:
            break
    if form is Form.JSON:
        output.document({"ids": list(ids)})


def _for_people(store: SessionStore, found: _Found, context: int) -> None:
    """Each session with its matches beneath it, and messages around them that are told once."""
    shown: str | None = None
    told = -1  # the message up to which a session has been told
    for match in found:
        if match.id != shown:
            if shown is not None:
                output.line("")
            output.paragraph(Text(output.escaped(match.id), style="bold"))
            shown, told = match.id, -1
        if not context or match.index is None:
            output.paragraph(_line(match), indent=2)
            continue
        before, _, behind = _around(store, match.id, match.index, context)
        if told >= 0 and match.index - len(before) > told + 1:
            output.paragraph(Text("…", style="dim"), indent=2)
        for place, message in enumerate(before, match.index - len(before)):
            if place > told:
                _tell_message(place, message)
        output.paragraph(_line(match), indent=2)
        told = match.index
        del behind


def _line(match: Match) -> Text:
    """Where it is, and the excerpt with the match in colour."""
    place = "state" if match.index is None else str(match.index)
    line = Text(f"{place:>4} ", style="dim")
    if match.role:
        line.append(f"{output.escaped(match.role)} ", style=ROLES.get(match.role, "blue"))
    start, end = match.span
    for text, style in ((match.excerpt[:start], ""), (match.excerpt[start:end], _FOUND), (match.excerpt[end:], "")):
        line.append(output.escaped(text), style=style or "default")
    return line
