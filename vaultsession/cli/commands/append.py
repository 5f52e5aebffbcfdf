"""``vaultsession append``: messages behind a history."""

from __future__ import annotations

import json
import sys
from typing import Any

from typer import Argument, Option

from ...errors import InvalidSetting
from .. import output
from ..completers import SessionId
from ..output import JsonForm
from ..vault_options import Where, takes_options


@takes_options
def append(
    where: Where,
    *,
    id: SessionId,
    source: str | None = Argument(None, metavar="-", help="- reads JSON lines from stdin, one message each."),
    role: str = Option("user", "--role", help="Who says it."),
    content: str | None = Option(None, "--content", help="What is said; stdin where it is left out."),
    create: bool = Option(False, "--create", help="Make the session where there is none."),
    dedupe: bool = Option(False, "--dedupe", help="Leave out messages whose id is there already."),
    form: JsonForm,
) -> None:
    """Append messages to a session.

    One message, or all that stdin has: all of them or, where anything is wrong, none.
    """
    if source not in (None, "-"):
        raise InvalidSetting(f"messages come from --content or from stdin (-), not from {source!r}")
    if source == "-":
        if content is not None:
            raise InvalidSetting("give --content or -, not both")
        messages = _from_lines(_stdin())
    else:
        text = _stdin().removesuffix("\n") if content is None else content
        if content is None and not text:
            raise InvalidSetting("stdin held no message: an empty one takes --content ''")
        messages = [{"role": role, "content": text}]
    with where.open() as store:
        facts = store.append(id, *messages, create=create, dedupe=dedupe).facts()
    record = {name: facts[name] for name in ("id", "message_count", "updated_at", "expires_at")}
    sentence = f"{output.escaped(facts['id'])}: {output.counted(facts['message_count'], 'message')}"
    output.result(record, form, sentence)


def _stdin() -> str:
    if sys.stdin.isatty():
        output.say("Reading from the terminal; end with Ctrl-D.", style="dim")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidSetting(f"stdin is not UTF-8 (byte {error.start})") from None


def _from_lines(text: str) -> list[dict[str, Any]]:
    messages = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            message = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise InvalidSetting(f"line {number} of stdin is not JSON that can be kept: {error}") from None
        if not isinstance(message, dict):
            raise InvalidSetting(f"line {number} of stdin is not a JSON object, and a message is one")
        messages.append(message)
    if not messages:
        raise InvalidSetting("stdin held no messages")
    return messages


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with each name once. Large integers come as they are, for the store to refuse."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found
