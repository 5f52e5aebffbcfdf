"""``vaultsession grep``: messages that say something, in any session."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from typer import Argument, Option

from ...errors import InvalidSetting, PartialFailure
from ...format.messages import understand
from ...format.messages.plain import said
from ...util.lazy import LazyModule
from .. import exit_codes, output
from ..filters import Chosen
from ..output import AnyForm, Form
from ..progress import bar
from ..vault_options import Where, takes_options

if TYPE_CHECKING:
    from rich import table as tables

    from ...engine.search import Match, Needle
    from ...store.store import SessionStore
    from .. import transcript
else:  # for a terminal alone
    tables, transcript = LazyModule("rich.table"), LazyModule(".cli.transcript")

_COLUMNS = ("id", "index", "role", "path", "excerpt")
_FOUND = "bold red"
_PLACE = 4
_LONGEST = 160
"""Characters that are shown of a message around a match."""


@takes_options
def grep(
    where: Where,
    *,
    pattern: str = Argument(..., metavar="PATTERN", help="A regular expression, as Python reads it."),
    wanted: Chosen,
    fixed: bool = Option(False, "--fixed", "-F", help="PATTERN is a text, taken as it stands."),
    ignore_case: bool = Option(False, "--ignore-case", "-i", help="Upper and lower case alike."),
    around: int = Option(0, "--context", "-C", metavar="N", min=0, help="So many messages before and behind as well."),
    state: bool = Option(False, "--state", help="Look through the state as well."),
    ids_only: bool = Option(False, "--ids", "-l", help="Only the ids of the sessions, one a line."),
    limit: int | None = Option(None, "--limit", "-n", metavar="N", min=1, help="Stop after so many matches."),
    form: AnyForm,
) -> None:
    """Find messages by what they say.

    Living sessions are opened one at a time, those changed last first; of each text that matches, the first match is
    shown. No life is extended, but --context reads sessions as `show` does. Some patterns keep a search busy for ever:
    Ctrl-C ends it, and --fixed takes the words as they are.

    Exit code 4 where nothing matches, 3 where a session could not be read.
    """
    if around and (ids_only or form is Form.TSV):
        raise InvalidSetting("--context has no place among ids or tab-separated values: give --json or --jsonl")
    needle = _needle(pattern, fixed=fixed, ignore_case=ignore_case)
    as_text = isinstance(needle, str)
    with where.open() as store, bar("Search", shown=form is Form.JSON) as progress:
        found = _Found(
            store.search(
                needle,
                ignore_case=ignore_case and as_text,
                state=state,
                limit=None if ids_only else limit,
                progress=progress,
                **wanted,
            )
        )
        if ids_only:
            _print_ids(found, limit, form)
        elif form is Form.TABLE:
            _print(store, found, around)
        else:
            records = (_record(store, match, around) for match in found)
            output.show(records, _COLUMNS, form, json=lambda matches: {"matches": matches})
    if found.failure is not None:
        raise found.failure
    if not found.any:
        if form is Form.TABLE:
            output.say("Nothing matches.", style="dim")
        raise typer.Exit(exit_codes.NOT_FOUND)


class _Found:
    """The matches as they come. ``failure`` names the sessions that could not be read, once all others were."""

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
    record = asdict(match)
    if context and match.index is not None:
        first = max(0, match.index - context)
        messages = store.messages(match.id, offset=first, limit=match.index - first + 1 + context)
        place = match.index - first
        record |= {"before": messages[:place], "behind": messages[place + 1 :]}
    return record


def _print_ids(found: _Found, limit: int | None, form: Form) -> None:
    ids = itertools.islice((name for name, _ in itertools.groupby(found, lambda match: match.id)), limit)
    if form is Form.JSON:
        output.document({"ids": list(ids)})
    elif form is Form.JSONL:
        output.lines({"id": name} for name in ids)
    else:
        for name in ids:
            output.line(output.escaped(name) if form is Form.TABLE else output.cell(name))


def _print(store: SessionStore, found: _Found, context: int) -> None:
    """Each session with its matches beneath it, as they are found."""
    shown: str | None = None
    for name, group in itertools.groupby(found, lambda match: match.id):
        if shown is not None:
            output.line("")
        shown = name
        output.paragraph(name, style="bold")
        matches: dict[int, list[Match]] = {}
        for match in group:
            if match.index is None or not context:
                _show(match)
            else:
                matches.setdefault(match.index, []).append(match)
        _in_context(store, name, matches, context)
        sys.stdout.flush()


def _in_context(store: SessionStore, id: str, matches: dict[int, list[Match]], context: int) -> None:
    """The matches of a session among the messages around them; each message is shown once."""
    shown = -1
    for (index, found), following in itertools.zip_longest(matches.items(), list(matches)[1:]):
        first = max(shown + 1, index - context)
        last = index + context if following is None else min(index + context, following - 1)
        if shown >= 0 and first > shown + 1:
            _row("…")
        for place, message in enumerate(store.messages(id, offset=first, limit=last - first + 1), first):
            if place == index:
                for match in found:
                    _show(match)
            else:
                _show_message(place, message)
            shown = place


def _show(match: Match) -> None:
    """Where it is, and the excerpt with the match in colour."""
    whole = f"messages[{match.index}]."
    path = match.path.removeprefix(whole)
    start, end = match.span
    said = (match.excerpt[:start], ""), (match.excerpt[start:end], _FOUND), (match.excerpt[end:], "")
    begun = _begun(match.role, "" if path == "content" else path)
    _row("" if match.index is None else str(match.index), *begun, *said)


def _show_message(index: int, message: output.Record) -> None:
    """A message around a match, in one paragraph."""
    known = understand(message)
    text = output.escaped(said(known))
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    _row(str(index), *_begun(known.role), (shown, "dim"))


def _begun(role: str | None, path: str = "") -> Iterator[tuple[str, str]]:
    """Who speaks, and where in the message it stands."""
    if role:
        yield f"{role} ", transcript.ROLES.get(role, "blue")
    if path:
        yield f"{path} ", "dim"


def _row(place: str, *said: tuple[str, str]) -> None:
    """The number of a message, and beside it what it says."""
    drawn = tables.Table.grid(padding=(0, 1, 0, 0))
    drawn.add_column(style="dim", justify="right", min_width=_PLACE)
    drawn.add_column(overflow="fold")
    drawn.add_row(place, output.styled(*said))
    output.data().print(drawn)
