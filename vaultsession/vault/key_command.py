"""A key that a command prints, such as that of a password manager: no shell, no terminal, bounded time and output."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field

from ..errors import InvalidSetting, KeyUnavailable
from .secret import KEY, KEY_COMMAND, RawKey, key_from

LONGEST_OUTPUT = 4096
"""Bytes that a command prints at most."""
COMMAND_TIMEOUT = 30.0
"""Seconds that a command may take."""


@dataclass(frozen=True, slots=True)
class KeyCommand:
    """A raw key that a command prints. No shell, no terminal, bounded time and output; what it prints is not logged."""

    command: str = field(repr=False)
    timeout: float = COMMAND_TIMEOUT

    @property
    def name(self) -> str:
        """The program; its arguments may be secret."""
        return f"key command {self.program!r}"

    @property
    def program(self) -> str:
        """The first word, without what stands behind a ``=`` in it: a shell would take that for a variable."""
        return self._words()[0].partition("=")[0]

    def secret(self) -> RawKey:
        return key_from(self.name, _run(self._words(), self.timeout, self.name))

    def _words(self) -> list[str]:
        try:
            words = shlex.split(self.command, posix=os.name != "nt")
        except ValueError as error:
            raise InvalidSetting(f"{KEY_COMMAND} is no command line: {error}") from None
        if not words:
            raise InvalidSetting(f"{KEY_COMMAND} is empty")
        return words


def _run(words: list[str], timeout: float, name: str) -> bytes:
    """What a command prints, read by a thread of its own so that time and size are bounded on every platform."""
    try:
        # No shell is involved; the program is the user's own choice. It gets a session of its own, so that it can be
        # stopped together with what it started.
        process = subprocess.Popen(  # noqa: S603 - as above
            words,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != KEY},  # it prints a key, and needs none
        )
    except OSError as error:
        raise KeyUnavailable(f"{name}: {error.strerror or error}") from error
    except ValueError:  # a NUL or a lone surrogate
        raise InvalidSetting(f"{name}: it holds a character that no command line can hold") from None
    output = bytearray()

    def read() -> None:
        with process.stdout or contextlib.nullcontext() as pipe:
            while pipe and len(output) <= LONGEST_OUTPUT and (chunk := pipe.read(LONGEST_OUTPUT)):
                output.extend(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        reader.join(timeout)
        if reader.is_alive():
            raise KeyUnavailable(f"{name}: no key within {timeout:g} s")
        if len(output) > LONGEST_OUTPUT:
            raise KeyUnavailable(f"{name}: more than {LONGEST_OUTPUT} bytes of output are no key")
        if code := process.wait(timeout):
            raise KeyUnavailable(f"{name}: exit status {code}")
    except subprocess.TimeoutExpired:
        raise KeyUnavailable(f"{name}: still running {timeout:g} s after it printed") from None
    finally:
        if reader.is_alive() or process.poll() is None:
            _stop(process)
            process.wait()
            reader.join(1)
    return bytes(output)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":  # pragma: no cover - Windows only
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
