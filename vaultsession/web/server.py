"""The server: on a port of loopback, until it is interrupted; and the browser that it opens."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from ..errors import InvalidSetting
from .access import OPENING, Access
from .app import create_app

if TYPE_CHECKING:
    from ..store.store import SessionStore

HOST = "127.0.0.1"
_GRACE = 1
"""Seconds that an answer may go on after the end was asked for: a stream would never end."""


class Bound:
    """A port of this machine, taken; ``address`` opens the page. ``InvalidSetting`` where it cannot be had."""

    def __init__(self, port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind((HOST, port))
            self.socket.listen(128)
        except OSError as error:
            self.socket.close()
            why = "another program has it" if error.errno == errno.EADDRINUSE else error.strerror
            raise InvalidSetting(
                f"port {port} cannot be had ({why}): give another with --port, or none for one that is free"
            ) from None
        self.port: int = self.socket.getsockname()[1]
        self.access = Access(self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def address(self) -> str:
        """The opening address. Whoever has it reads the sessions, as long as the server runs."""
        return f"http://{HOST}:{self.port}{OPENING}?token={self.access.token}"


def serve(store: SessionStore[Any], bound: Bound, *, writable: bool, begun: Callable[[], object] = bool) -> None:
    """Answer until SIGINT or SIGTERM. ``begun`` is called when the first request could be answered."""
    config = uvicorn.Config(
        create_app(store, bound.access, writable=writable),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # an error is a page; its traceback could hold what was said
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
    )
    _Server(config, begun).run([bound.socket])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, begun: Callable[[], object]) -> None:
        super().__init__(config)
        self._begun = begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As ever; then say that it has begun."""
        await super().startup(sockets)
        self._begun()


@contextlib.contextmanager
def browser(address: str) -> Iterator[Callable[[], bool]]:
    """A function that opens the browser there, and says whether there is one.

    The browser is given a private file that leads on: its arguments can be read by every user of the machine.
    """
    with tempfile.TemporaryDirectory(prefix="vaultsession-") as directory:
        path = os.path.join(directory, "open.html")

        def show() -> bool:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(
                    f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(address)}">'
                    f'<title>vaultsession</title><a href="{escape(address)}">Open your sessions</a>'
                )
            try:
                return webbrowser.open(f"file://{path}")
            except webbrowser.Error:
                return False

        yield show
