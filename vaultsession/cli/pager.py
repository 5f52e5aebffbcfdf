"""The pager: what is long is read in ``$PAGER``, as with git. Only on a terminal; ``cat``, or nothing, is no pager."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import IO, cast

from . import output

_LESS = "FRX"
"""Of ``less``, where nothing else is said: ends by itself where all fits, shows colours, leaves the screen as it is."""


class _ToPager(io.TextIOWrapper):
    """What a pager reads. The terminal is behind it, so colours are shown."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def paged(*, at_end: bool = False) -> Iterator[None]:
    """What is written to stdout within is read in a pager; ``at_end`` begins with its end, where the pager is ``less``.

    Ctrl-C is the pager's. A person who leaves it early has read enough: that is no error.
    """
    command = _command(at_end=at_end)
    if command is None:
        yield
        return
    try:
        environ = {"LESS": _LESS, "LV": "-c", **os.environ}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environ)  # noqa: S603 - the person's own word
    except OSError as error:
        output.say(f"the pager {command[0]!r} does not start ({error.strerror}): PAGER names another", style="dim")
        yield
        return
    terminal, sys.stdout = sys.stdout, _ToPager(cast("IO[bytes]", process.stdin), "utf-8", "replace")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with contextlib.suppress(BrokenPipeError, SystemExit):  # rich makes the one of the other
            yield
            sys.stdout.flush()
    finally:
        written, sys.stdout = sys.stdout, terminal
        with contextlib.suppress(BrokenPipeError):
            written.close()
        process.wait()
        signal.signal(signal.SIGINT, before)


def _command(*, at_end: bool) -> list[str] | None:
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        return None
    named = os.environ.get("PAGER")
    if named is None:
        named = "less" if shutil.which("less") else ""
    try:
        command = shlex.split(named)
    except ValueError:
        command = [named]
    if not command or command == ["cat"]:
        return None
    return [*command, "+G"] if at_end and os.path.basename(command[0]) == "less" else command
