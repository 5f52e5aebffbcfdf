"""``vaultsession tail``: the newest messages, and those that come."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from ...errors import InvalidSetting
from .. import output
from ..completers import SessionId
from ..output import AsJson, AsJsonLines, Form
from ..vault_options import VaultOptions, takes_vault
from .show import spoken, transcript

INTERVAL = 0.1
"""Seconds between two looks."""


@takes_vault
def tail(
    where: VaultOptions,
    *,
    id: SessionId,
    number: Annotated[int, typer.Option("--last", "-n", metavar="N", min=0, help="So many messages at first.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come, until Ctrl-C.")] = False,
    as_json: AsJson = False,
    as_jsonl: AsJsonLines = False,
) -> None:
    """Show the newest messages of a session.

    With -f also those that come, from whatever process. Piped: TSV of role and content. Like any reading, this extends
    a sliding session.
    """
    from ..watch import SessionWatch  # noqa: PLC0415 - with it comes what --help does without

    form = Form.chosen(as_json=as_json, as_jsonl=as_jsonl)
    if follow and form is Form.JSON:
        raise InvalidSetting("--json is one document, which has no end with --follow: take --jsonl")
    with where.open() as store:
        if not follow:
            messages = store.messages(id, last=number)
            _writer(form)(messages)
            return
        following, pause = SessionWatch(store, id), _pause()
        messages = following.begin(number)
        write = _writer(form)
        write(messages)
        while True:
            sys.stdout.flush()
            pause(INTERVAL)
            write(following.look())


def _writer(form: Form) -> Callable[[list[dict[str, Any]]], None]:
    if form is Form.JSON:
        return output.document
    if form is Form.JSONL:
        return output.lines
    if form is Form.TABLE:
        return transcript
    output.tsv(_COLUMNS, ())
    return _rows


_COLUMNS = ("role", "content")


def _rows(messages: list[dict[str, Any]]) -> None:
    for record in _records(messages):
        output.line("\t".join(output.cell(record[name]) for name in _COLUMNS))


def _records(messages: list[dict[str, Any]]) -> Iterator[output.Record]:
    for message in messages:
        role, content, rest = spoken(message)
        yield {"role": role, "content": output.to_json(message) if rest or content is None else content}


def _pause() -> Callable[[float], None]:
    """Waits, and ends the waiting where nobody reads what is written any more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no descriptor, or a system without poll
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)

        def wait(seconds: float) -> None:
            if poll.poll(seconds * 1000):
                raise BrokenPipeError

        return wait
    return time.sleep
