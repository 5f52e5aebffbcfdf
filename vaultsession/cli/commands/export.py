"""``vaultsession export``: sessions as JSON lines, which any version reads."""

from __future__ import annotations

import sys

from typer import Option

from ...errors import InvalidSetting, PartialFailure, SessionNotFound
from ..completers import SessionIds
from ..destination import destination, say_written
from ..filters import Chosen
from ..progress import bar
from ..vault_options import Where, takes_options


@takes_options
def export(
    where: Where,
    *,
    ids: SessionIds = None,
    everything: bool = Option(False, "--all", help="Every living session."),
    wanted: Chosen,
    into: str | None = Option(
        None, "--output", "-o", metavar="FILE", help="Into this file, which nobody else can read."
    ),
    replace: bool = Option(False, "--replace", help="FILE may be there already: it is replaced."),
) -> None:
    """Write sessions as JSON lines, in the clear.

    One whole session a line, with its id, times, owners and life span: `vaultsession import` reads it, today and in
    any later version. FILE is there when it is whole, or not at all; a terminal is no place for it.

    Exit code 3 where a session could not be read: the others are written. 4 where an ID is not there: nothing is.
    """
    if (bool(ids) + everything + bool(wanted)) != 1:
        raise InvalidSetting("say what to export: the ids of sessions, or filters such as --user, or --all")
    if into is None and sys.stdout.isatty():
        raise InvalidSetting("nothing is exported to a terminal: name a file with -o, or pipe it to where it belongs")
    chosen = None if ids is None or not ids else list(dict.fromkeys(ids))
    written = 0
    failure: PartialFailure | None = None
    with where.open() as store, bar("Exporting") as progress:
        for name in chosen or ():
            if not store.exists(name):  # before a line is written
                raise SessionNotFound(f"there is no session {name!r}")
        with destination(into, replace=replace) as stream:
            lines = store.export(chosen, progress=progress, **wanted)
            try:
                for line in lines:
                    stream.write(line)
                    written += 1
            except PartialFailure as partial:
                failure = partial
    if into is not None:
        say_written(written, "session", into)
    if failure is not None:
        raise failure
