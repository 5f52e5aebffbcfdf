"""``vaultsession tail``: the newest messages, and those that come."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from typer import Option

from ...errors import InvalidSetting
from ...format.messages import understand
from ...format.messages.plain import said
from ...store.watch import SessionWatch
from ...util.lazy import LazyModule
from .. import output
from ..completers import SessionId
from ..output import AnyForm, Form
from ..vault_options import Where, takes_options

if TYPE_CHECKING:
    from .. import transcript
else:  # for a terminal alone
    transcript = LazyModule(".cli.transcript")

INTERVAL = 0.1
"""Seconds between two looks."""


@takes_options
def tail(
    where: Where,
    *,
    id: SessionId,
    number: int = Option(10, "--last", "-n", metavar="N", min=0, help="So many messages at first."),
    follow: bool = Option(False, "--follow", "-f", help="Go on with those that come, until Ctrl-C."),
    form: AnyForm,
) -> None:
    """Show the newest messages of a session.

    With -f also those that come, from whatever process. Piped: TSV of role and content. Like any reading, this extends
    a sliding session.
    """
    if follow and form is Form.JSON:
        raise InvalidSetting("--json is one document, which has no end with --follow: take --jsonl")
    with where.open() as store:
        if not follow:
            _writer(form)(store.messages(id, last=number))
            return
        watch, pause = SessionWatch(store, id), _pause()
        messages = watch.begin(number)
        write = _writer(form)
        write(messages)
        while True:
            sys.stdout.flush()
            pause(INTERVAL)
            write(watch.look())


def _writer(form: Form) -> Callable[[list[dict[str, Any]]], None]:
    if form is not Form.TSV:
        return {Form.JSON: output.document, Form.JSONL: output.lines, Form.TABLE: transcript.write}[form]
    output.tsv(("role", "content"), ())
    return _rows


def _rows(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        known = understand(message)
        output.line(f"{output.cell(known.role)}\t{output.cell(said(known))}")


def _pause() -> Callable[[float], None]:
    """A wait that raises ``BrokenPipeError`` where the reader of stdout has left."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no descriptor, or a system without poll
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)

        def wait(seconds: float) -> None:
            if poll.poll(seconds * 1000):
                raise BrokenPipeError

        return wait
    return time.sleep
