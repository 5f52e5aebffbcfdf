"""``vaultsession export``: sessions as JSON lines, which any version reads."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import IO, Annotated

import typer

from ...errors import Conflict, InvalidSetting, PartialFailure, SessionNotFound
from .. import output
from ..completers import complete_id
from ..filters import Assistant, Label, Tenant, User, filters
from ..progress import bar
from ..vault_options import VaultOptions, takes_options


@takes_options
def export(
    where: VaultOptions,
    *,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="The sessions; or --all, or filters.", autocompletion=complete_id),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every living session.")] = False,
    user: User = None,
    tenant: Tenant = None,
    assistant: Assistant = None,
    label: Label = None,
    into: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Into this file, which nobody else can read.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="FILE may be there already: it is replaced.")] = False,
) -> None:
    """Write sessions as JSON lines, in the clear.

    One whole session a line, with its id, times, owners and life span: `vaultsession import` reads it, today and in
    any later version. FILE is there when it is whole, or not at all; a terminal is no place for it.

    Exit code 3 where a session could not be read: the others are written. 4 where an ID is not there: nothing is.
    """
    wanted = {name: value for name, value in filters(user, tenant, assistant, label).items() if value}
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
        with _destination(into, replace=replace) as stream:
            lines = store.export(chosen, progress=lambda done: progress(done, None), **wanted)  # type: ignore[arg-type]  # its keys are those of Filters
            try:
                for line in lines:
                    stream.write(line)
                    written += 1
            except PartialFailure as partial:
                failure = partial
    if into is not None:
        output.say(
            f"{output.counted(written, 'session')} written to {into}, in the clear: keep it as you keep a secret."
        )
    if failure is not None:
        raise failure


@contextlib.contextmanager
def _destination(path: str | None, *, replace: bool) -> Iterator[IO[bytes]]:
    """Where the lines go. A file takes its name when it is whole and flushed; until then another may be there."""
    if path is None:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = os.path.expanduser(path)
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise InvalidSetting(f"{path} is a directory: name a file in it")
        if not stat.S_ISREG(found.st_mode):  # a device or a pipe has no name to take
            _refuse_foreign(path, found)
            with open(path, "wb") as stream:
                _refuse_foreign(path, os.fstat(stream.fileno()))
                yield stream
            return
        if not replace:
            raise Conflict(f"{path} is there already: name another file, or replace it with --replace")
    if os.path.islink(path) and not os.path.exists(path):
        raise InvalidSetting(f"{path} is a link to a file that is not there: name the file")
    path = os.path.realpath(path)
    unfinished = f"{path}.{os.getpid()}.part"
    try:
        with open(_unnamed(path, unfinished), "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if not os.fstat(stream.fileno()).st_nlink:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(unfinished)
                # With a directory Python takes linkat, which follows the link that /proc has to the file.
                os.link(f"/proc/self/fd/{stream.fileno()}", unfinished, src_dir_fd=stream.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def _refuse_foreign(path: str, found: os.stat_result) -> None:
    if stat.S_ISFIFO(found.st_mode) and found.st_uid != os.geteuid():
        raise InvalidSetting(
            f"{path} is a pipe of another user, who would read all of it: name a file or a pipe of yours"
        )


def _unnamed(path: str, unfinished: str) -> int:
    """A private file without a name, so that a killed process leaves nothing; a named one where there is no such."""
    if hasattr(os, "O_TMPFILE") and os.path.exists("/proc/self/fd"):
        with contextlib.suppress(OSError):  # not every file system has them
            return os.open(os.path.dirname(path), os.O_WRONLY | os.O_TMPFILE, 0o600)
    return os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
