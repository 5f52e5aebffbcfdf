"""Where what is in the clear is written to: stdout, or a file that nobody else can read, there when it is whole."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import IO

from ..errors import Conflict, InvalidSetting
from . import output


@contextlib.contextmanager
def destination(path: str | None, *, replace: bool) -> Iterator[IO[bytes]]:
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


def say_written(number: int, noun: str, path: str) -> None:
    """What lies in a file now."""
    output.say(f"{output.counted(number, noun)} written to {path}, in the clear: keep it as you keep a secret.")


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
