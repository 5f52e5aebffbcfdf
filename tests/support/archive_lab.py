"""Archives of small files: a directory with the files of agents, and an archiver over them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vaultsession.admin.archive.archiver import Archived, Archiver
from vaultsession.admin.archive.original import bytes_of
from vaultsession.admin.archive.run import ArchiveOptions, archive
from vaultsession.admin.importers import Skipped
from vaultsession.store.store import SessionStore
from vaultsession.util.clock import Clock, SystemClock

LONG_AGO = 1_700_000_000


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "user", "uuid": f"u{number}", "sessionId": "s", "cwd": "/home/me/project",
        "timestamp": f"2026-01-02T12:00:{number % 60:02}.000Z", "message": {"role": "user", "content": f"wörd {number}"}, **more,
    }  # fmt: skip


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for each in events)


def write(path: Path, data: bytes, *, modified: int = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (modified, modified))
    return path


def append(path: Path, data: bytes, *, modified: int = LONG_AGO + 60) -> Path:
    with path.open("ab") as stream:
        stream.write(data)
    os.utime(path, (modified, modified))
    return path


class LaterClock(SystemClock):
    """An hour later: what was made just now is old."""

    def now(self) -> int:
        return super().now() + 3_600_000_000


def run(store: SessionStore[Any], source: Path | str, *, clock: Clock | None = None, **options: Any) -> list[Archived]:
    """What became of each file; nothing may be skipped."""
    wanted = ArchiveOptions(sources=(str(source),), **options)
    found = list(archive(store, wanted, environ={}, clock=clock or LaterClock()))
    skipped = [each for each in found if isinstance(each, Skipped)]
    assert not skipped, skipped
    return [each for each in found if isinstance(each, Archived)]


def sealed_bytes(store: SessionStore[Any], id: str) -> bytes:
    """What a file was, by its session."""
    archiver, data = Archiver(store), b""
    for part in archiver.parts(id):
        read = archiver.elements.read(part.id)
        assert read is not None
        data += bytes_of(part.original, read.state, read.elements)
    return data


def outcomes(done: Iterable[Archived]) -> list[str]:
    return [str(each.outcome) for each in done]
