"""A vault of its own for each test, a home without anything in it, and three ways to run a command line.

``run`` in this process, ``spawn`` in another, ``terminal`` in another whose stdin, stdout and stderr are a terminal. The
other is forked by a server that has imported what they need: see ``fork_server``.
"""

from __future__ import annotations

import fcntl
import functools
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from cli_lab import PATIENCE, ROOT, Outcome, Place, Run, chunks, take_terminal
from vaults import vault_at

from vaultsession import RawKey
from vaultsession.cli import lazy_group
from vaultsession.cli import run as run_command_line

LOADED = functools.cache(lazy_group.loaded)
"""A process makes a command once, from its signature; these tests run it a thousand times in one process."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of the user who runs the tests is seen or touched."""
    for name in list(os.environ):
        if name.startswith(("VAULTSESSION_", "PYTHON", "FORCE_COLOR", "NO_COLOR", "TTY_", "COLUMNS", "LINES")):
            monkeypatch.delenv(name)
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "data"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PAGER", "cat")
    monkeypatch.chdir(tmp_path)
    return place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path / "vault", tmp_path / "key")
    key = RawKey.generate()
    made.key_file.touch(mode=0o600)
    made.key_file.write_text(key.text())
    vault_at(str(made.path)).create(key)
    monkeypatch.setenv("VAULTSESSION_PATH", str(made.path))
    monkeypatch.setenv("VAULTSESSION_KEY_FILE", str(made.key_file))
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def running(*arguments: object, stdin: str | bytes = "") -> Outcome:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        monkeypatch.setattr(lazy_group, "loaded", LOADED)
        capsys.readouterr()
        code = run_command_line([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return Outcome(code, told.out, told.err)

    return running


@pytest.fixture
def spawn(executable: list[str]) -> Run:
    def spawning(*arguments: object, stdin: str = "", stdout: int = subprocess.PIPE, **environ: str) -> Outcome:
        done = subprocess.run(
            [*executable, *map(str, arguments)],
            input=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **environ},
            timeout=PATIENCE,
            check=False,
        )
        return Outcome(done.returncode, done.stdout or "", done.stderr)

    return spawning


@pytest.fixture
def terminal(executable: list[str]) -> Run:
    """Runs on a terminal of so many columns; what is typed is sent line by line, each when its question has come."""

    def running(
        *arguments: object, columns: int = 80, typed: tuple[tuple[str, str], ...] = (), **environ: str
    ) -> Outcome:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen(
            [*executable, *map(str, arguments)],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**os.environ, **environ},
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509 - nothing else runs in this process
        )
        os.close(follower)
        seen, waiting, last = b"", list(typed), ""
        try:
            for chunk in chunks(leader, 3.0):
                seen += chunk
                if waiting and waiting[0][0].encode() in seen:
                    last = waiting.pop(0)[1]
                    os.write(leader, last.encode())
                elif not chunk and last == "\x03" and process.poll() is None:
                    os.write(leader, last.encode())  # Python may drop one that comes while an object is finalised
            code = process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            os.close(leader)
        assert not waiting, f"never asked: {waiting}; seen {seen!r}"
        return Outcome(code, seen.decode().replace("\r\n", "\n"), "")

    return running
