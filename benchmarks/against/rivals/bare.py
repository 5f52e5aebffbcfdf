"""The floor: bare system calls, with and without the cryptography and the compression that vaultsession does.

One file for each session, of frames that begin with whether the document begins anew there. What it knows of a file it
keeps in memory; it takes no lock, checks nothing and lists nothing.
"""

from __future__ import annotations

import os
import struct

import orjson

from ...floor import Floor
from ..rival import Message, Rival

_FRAME = struct.Struct("<BI")
_MORE, _ANEW = 0, 1


class Bare(Rival):
    """Two flushes to create, one to save or append."""

    def __init__(self, directory: str, *, cold: bool, sealed: bool) -> None:
        del cold
        self._directory = directory
        floor = Floor(f"{directory}/floor", key=bytes(range(32)))
        self._seal, self._open = (floor.seal, floor.open) if sealed else (orjson.dumps, orjson.loads)
        self._files: dict[str, tuple[int, int, int]] = {}  # descriptor, where the document begins, where it ends
        self._floor = floor

    def create(self, id: str, messages: list[Message]) -> None:
        self._floor.create_as(self._path(id), self._frame(_ANEW, messages))

    def save(self, id: str, messages: list[Message]) -> None:
        if not os.path.exists(self._path(id)):
            return self.create(id, messages)
        fd, _, end = self._file(id)
        frame = self._frame(_ANEW, messages)
        self._write(fd, frame, end)
        self._files[id] = fd, end, end + len(frame)
        return None

    def append(self, id: str, messages: list[Message]) -> None:
        fd, begin, end = self._file(id)
        frame = self._frame(_MORE, messages)
        self._write(fd, frame, end)
        self._files[id] = fd, begin, end + len(frame)

    def load(self, id: str) -> list[Message]:
        fd, begin, end = self._file(id)
        data = os.pread(fd, end - begin, begin)
        found: list[Message] = []
        at = 0
        while at < len(data):
            kind, size = _FRAME.unpack_from(data, at)
            at += _FRAME.size
            messages = self._open(data[at : at + size])
            found = messages if kind == _ANEW else found + messages
            at += size
        return found

    def close(self) -> None:
        for fd, _, _ in self._files.values():
            os.close(fd)
        self._floor.close()

    def _frame(self, kind: int, messages: list[Message]) -> bytes:
        data = self._seal(messages)
        return _FRAME.pack(kind, len(data)) + data

    def _write(self, fd: int, frame: bytes, end: int) -> None:
        os.pwrite(fd, frame, end)
        os.fdatasync(fd)

    def _file(self, id: str) -> tuple[int, int, int]:
        if id not in self._files:
            if len(self._files) >= 256:
                os.close(self._files.pop(next(iter(self._files)))[0])
            fd = os.open(self._path(id), os.O_RDWR | os.O_CLOEXEC)
            self._files[id] = fd, 0, os.fstat(fd).st_size
        return self._files[id]

    def _path(self, id: str) -> str:
        return f"{self._directory}/{id}"


ADAPTER = Bare
