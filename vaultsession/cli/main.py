"""Running a command line: every outcome as an exit code, every error as one sentence on stderr, never a traceback.

``VAULTSESSION_DEBUG=1`` prints the traceback as well.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TextIO

import typer

from ..errors import VaultError
from . import exit_codes
from .output import DEBUG, say

COMPLETION = "_VAULTSESSION_COMPLETE"


class _Notes(logging.Handler):
    """What the store logs, as notes on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        _explain(record.getMessage())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code. ``arguments`` None: those of the process."""
    from .app import app  # noqa: PLC0415 - after the handlers below could be needed

    _prepare_streams()
    if COMPLETION in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # there, and not in __all__  # noqa: PLC0415 - only while a line is completed

        completion_init()
    log = logging.getLogger("vaultsession")
    handler = _Notes(logging.WARNING)
    log.addHandler(handler)
    try:
        code = _outcome(lambda: app(arguments, prog_name="vaultsession", standalone_mode=False))
        # What is still buffered can fail as well, on a full disk or a closed pipe: better here than at exit.
        return max(code, _outcome(sys.stdout.flush))
    finally:
        log.removeHandler(handler)
        _let_go(sys.stdout)
        _let_go(sys.stderr)


def _prepare_streams() -> None:
    """Make the streams such that what is written to them arrives, or fails. A stdin that was closed is empty."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - as below
    if sys.stdout is None:  # a descriptor of its own, that no file may take, and that takes no byte
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: SIM115 - as below
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(getattr(stream, "buffer", None), io.RawIOBase):
            # PYTHONUNBUFFERED: Python drops what the system did not take of a large write, and says nothing.
            buffered = io.BufferedWriter(stream.buffer)
            setattr(sys, name, io.TextIOWrapper(buffered, stream.encoding, line_buffering=stream.isatty()))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode shows escapes


def _outcome(act: Callable[[], object]) -> int:
    """Do it; what came of it as an exit code."""
    try:
        result = act()
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        _silence(sys.stdout)
        return exit_codes.BROKEN_PIPE
    except SystemExit as ended:
        # Nothing here ends so: typer and rich do when a pipe was closed, and typer when it completed a line.
        if ended.code == 1 and COMPLETION not in os.environ:
            _silence(sys.__stdout__ or sys.stdout)
            return exit_codes.BROKEN_PIPE
        return ended.code if isinstance(ended.code, int) else exit_codes.OK
    except Exception as error:  # noqa: BLE001 - whatever it is, people get a sentence
        code, sentence = _explained(error)
        if os.environ.get(DEBUG) and not isinstance(error, typer.Abort):
            traceback.print_exc()
        if isinstance(error, OSError):
            _silence(sys.stdout)
        if sentence:
            _explain(sentence)
        return code
    return result if isinstance(result, int) else exit_codes.OK


def _explained(error: Exception) -> tuple[int, str]:
    """The exit code of an error, and the sentence that says what to do."""
    if isinstance(error, VaultError):
        advice = exit_codes.advice_for(error)
        return exit_codes.exit_code(error), f"{error} ({advice})" if advice else str(error)
    if isinstance(error, typer.Abort):
        return exit_codes.INTERRUPTED, "nothing was done"
    if isinstance(error, OSError):
        return exit_codes.ERROR, _words(error)
    show, code = getattr(error, "format_message", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):  # a usage error, in typer's own words
        command = getattr(getattr(error, "ctx", None), "command_path", "vaultsession")
        sentence = " ".join(str(show()).split()).rstrip(".")  # empty where the help was shown already
        return code, f"{sentence} (see `{command} --help`)" if sentence else ""
    return exit_codes.ERROR, (
        # Without its own words, which may quote a URL with a password or a part of a session.
        f"this is a bug of vaultsession ({type(error).__name__}): please report it, "
        f"with what {DEBUG}=1 prints in addition"
    )


def _explain(sentence: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a stderr that is gone is no reason to fail
        say(f"vaultsession: {sentence}")


def _words(error: OSError) -> str:
    """What went wrong and what to do, for what the system says most often."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}there is no space left to write to: make room, or write elsewhere"
    if error.errno == errno.EBADF and not error.filename:
        return "the output is closed: nothing can be written to it"
    if error.errno == errno.ENOENT:
        return f"{where}there is no such file: look at how it is spelled"
    return f"{where}{error.strerror or error}: look at the disk and the permissions, and try again"


def _silence(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not try again at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _let_go(stream: TextIO) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        _silence(stream)
