"""What the tests of the command line share: outcomes, a vault, and the ends of a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import termios
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaultsession import SessionStore, open_store
from vaultsession.vault.key_places import KeyFile

ROOT = Path(__file__).parents[2]
PATIENCE = 60


@dataclass(frozen=True)
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        header, *lines = self.out.splitlines()
        return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


@dataclass(frozen=True)
class Place:
    """A vault with a key file, which the environment names."""

    path: Path
    key_file: Path

    def open(self, **settings: Any) -> SessionStore:
        return open_store(self.path, key=KeyFile(str(self.key_file)), create=False, **settings)

    def file(self, slug: str) -> Path:
        (found,) = self.path.glob(f"sessions/{slug}~*.vss")
        return found


Run = Callable[..., Outcome]


def take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that passphrases are asked for on it, and Ctrl-C is one


def chunks(leader: int, pause: float | None = None) -> Iterator[bytes]:
    """What is written there as it comes; nothing where nothing came for so many seconds."""
    with contextlib.suppress(OSError):  # Linux ends a terminal so
        while True:
            if pause is not None and not select.select([leader], [], [], pause)[0]:
                yield b""
            elif chunk := os.read(leader, 65536):
                yield chunk
            else:
                return


def plain(text: str) -> str:
    """The text without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
