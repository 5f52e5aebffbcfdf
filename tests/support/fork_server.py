"""Command lines in processes of their own, without the 0.3 s that a new interpreter imports before each.

A server that has imported the libraries forks for every command line; a small client, which ``command`` names, stands
for the process that was forked: its descriptors, environment, folder, terminal and signals are taken over, and it ends
as that one ends. Where a variable of Python or of the locale is another than the server's, the client starts an
interpreter as everybody does; tests of how an interpreter starts do not come here.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import fork_client

HEADER = 8
"""Bytes of a request's length."""

_CLIENT = Path(__file__).with_name("fork_client.py")

_IMPORTED = (
    *("vaultsession.store.open", "vaultsession.admin", "vaultsession.backends.files", "vaultsession.engine.search"),
    *("typer", "rich.columns", "rich.markdown", "rich.progress", "rich.syntax", "rich.table", "rich.traceback"),
    *("asyncio", "difflib", "filelock", "keyring", "orjson", "pygments.lexers", "sqlite3", "tomllib", "zstandard"),
    *("cryptography.hazmat.primitives.kdf.argon2", "cryptography.hazmat.primitives.kdf.scrypt"),
)
"""Nothing of them reads the environment or the terminal when it is imported, as the command line's own modules do."""


class ForkServer:
    """One server; its processes end with it. ``environ`` is what its interpreter starts with."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        path = directory / "fork-server"
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        kept = repr(fork_client.kept_of(environ))
        self.command = [sys.executable, "-I", "-S", str(_CLIENT), str(path), kept]

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def serve(path: str) -> list[str]:
    """Fork for each request; returns in a forked process, with the arguments of its command line."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    ended, wakes = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([0, listener, ended, *running.values()], [], [])
        if 0 in ready:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        if listener in ready:
            client, _ = listener.accept()
            request, descriptors = _received(client)
            pid = os.fork()
            if pid == 0:
                _become(request, descriptors)
                return list(request["arguments"])
            running[pid] = client
            for each in descriptors:
                os.close(each)
        for pid, client in running.items():
            if client in ready:
                _signalled(pid, client)
        if ended in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended, 4096)
            _reap(running)


def _received(client: socket.socket) -> tuple[dict[str, object], list[int]]:
    header, descriptors, _, _ = socket.recv_fds(client, HEADER, 3)
    size, data = int.from_bytes(header, "big"), b""
    while len(data) < size:
        data += client.recv(size - len(data))
    return marshal.loads(data), descriptors


def _signalled(pid: int, client: socket.socket) -> None:
    """The client passes on what it was sent; where it is gone, so is its process."""
    try:
        numbers = client.recv(64)
    except ConnectionError:
        numbers = b""
    for number in numbers or bytes([signal.SIGKILL]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _reap(running: dict[int, socket.socket]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        client = running.pop(pid)
        with contextlib.suppress(OSError):
            client.sendall(status.to_bytes(4, "big"))
        client.close()


def _become(request: dict[str, object], descriptors: list[int]) -> None:
    """Take over what the client was started with."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
    os.closerange(3, max(descriptors) + 1)
    os.environ.clear()
    os.environ.update(request["environ"])  # type: ignore[call-overload] - it is a dict
    os.chdir(str(request["folder"]))
    os.umask(int(str(request["mask"])))
    time.tzset()
    if request["terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    encoding = sys.stdout.encoding
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(open(0, "rb", closefd=False), encoding)  # type: ignore[misc]  # noqa: SIM115
    for name, number, errors in (("stdout", 1, sys.stdout.errors), ("stderr", 2, "backslashreplace")):
        raw = open(number, "wb", closefd=False)  # noqa: SIM115 - as long as the process lives
        buffered = number == 2 or os.isatty(number)
        stream = io.TextIOWrapper(raw, encoding, errors, line_buffering=buffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _end(code: object) -> None:
    """End as an interpreter does, without taking apart what was imported before the fork: that copies all of it.

    Returns where something is left to be said at the end.
    """
    if not isinstance(code, int | None):
        return
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    for module in _IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    sys.argv = ["vaultsession", *serve(sys.argv[1])]
    try:
        runpy.run_module("vaultsession", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        _end(end.code)
        raise
