"""``vaultsession import``: sessions that another program kept."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace as changed

from typer import Argument, Option

from ...admin.importers import Found, Placed, Skipped, place, read, read_lines
from ...errors import InvalidDocument, InvalidSessionId, InvalidSetting, KeyUnavailable, TooLarge, Unreadable
from ...store.store import SessionStore
from ...util import disk
from ...util.place import expanded
from ...vault import key_places
from .. import exit_codes, output
from ..output import Form, JsonForm
from ..progress import bar
from ..prompts import DryRun
from ..vault_options import Where, takes_options

_INTERRUPTED = "what was imported stays, and the same command goes on"


@takes_options
def import_(
    where: Where,
    *,
    source: str = Argument(
        ..., metavar="SOURCE", help="A file, a directory with everything below it, or - for JSON lines from stdin."
    ),
    format: str = Option(
        "auto",
        "--format",
        help="auto looks at each file; json, jsonl, openai-agents, google-adk, langgraph, langchain, strands, "
        "claude-code, codex, copilot-cli, pi.",
    ),
    id_prefix: str = Option("", "--id-prefix", metavar="TEXT", help="Put in front of each id."),
    user: str | None = Option(None, "--user", metavar="ID", help="Whose sessions they are, where they do not say."),
    replace: bool = Option(
        False, "--replace", help="Replace sessions whose ids are there; else they stay as they are."
    ),
    lenient: bool = Option(False, "--lenient", help="Take what can be read of a session, and mark in it what cannot."),
    source_key_file: str | None = Option(
        None, "--source-key-file", metavar="FILE", help="A private file with the key of the SDK's EncryptedSession."
    ),
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Import sessions that another program kept.

    From JSON files, JSON lines, OpenAI Agents SDK databases, LangChain file histories, and transcripts of agents. An
    export of `vaultsession export` is restored as it was, times and life spans included.

    Each session is imported whole or not at all, unless --lenient; one that is there is left as it is: a run can be
    repeated.

    Links are not followed. Exit code 3 where something was skipped, with file, line and reason.
    """
    counts: Counter[str] = Counter()
    skipped: list[Skipped] = []
    key = None if source_key_file is None else _source_key(source_key_file)
    with where.open() as store, bar("Importing", interrupted=_INTERRUPTED) as progress:
        if source == "-":
            found = read_lines(sys.stdin.buffer, id_prefix=id_prefix)
        else:
            found = read(source, format, id_prefix=id_prefix, lenient=lenient, source_key=key)
        for number, placed in enumerate(_placed(store, found, user, replace=replace, dry_run=dry_run), 1):
            if isinstance(placed, Skipped):
                skipped.append(placed)
            else:
                counts[placed] += 1
            progress(number)
    totals = {**{str(each): counts[each] for each in Placed}, "skipped": len(skipped)}
    if form is not Form.JSON:
        output.say_some([f"{each.place}: {each.reason}" for each in skipped])
    if form is Form.TABLE:
        sentence = output.listed(totals) or "nothing was found to import"
        output.line(f"{sentence} (nothing was changed)" if dry_run else sentence)
    else:
        problems = [{"place": each.place, "reason": each.reason} for each in skipped]
        output.facts(totals, form=form, json={"dry_run": dry_run, **totals, "problems": problems})
    exit_codes.end(partial=bool(skipped))


def _source_key(path: str) -> str:
    """The text in a private file, without the newline at its end. ``InvalidSetting``."""
    name = f"source key file {path}"
    try:
        found = key_places.read_private(disk.Disk(), os.path.abspath(expanded(path)), name)
        text = (found or b"").decode().removesuffix("\n").removesuffix("\r")
    except KeyUnavailable as error:
        raise InvalidSetting(str(error)) from None
    except UnicodeDecodeError:
        raise InvalidSetting(f"{name}: not UTF-8 text") from None
    if not text:
        raise InvalidSetting(f"{name}: {'there is no such file' if found is None else 'it is empty'}")
    return text


def _placed(
    store: SessionStore, found: Found, user: str | None, *, replace: bool, dry_run: bool
) -> Iterator[Placed | Skipped]:
    """What becomes of each session. What the store refuses is skipped; a store that fails ends it all."""
    for record in found:
        if isinstance(record, Skipped):
            yield record
            continue
        owned = changed(record, user_id=user) if user and record.user_id is None else record
        try:
            yield place(store, owned, replace=replace, dry_run=dry_run)
        except (InvalidDocument, InvalidSessionId, TooLarge, Unreadable) as error:
            yield Skipped(record.place, str(error))
