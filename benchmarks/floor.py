"""The physical limit: bare system calls with the same serialiser, compressor and cipher, and nothing else."""

from __future__ import annotations

import os
from typing import Any

import orjson
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_BOUND = bytes(20)


class Floor:
    """orjson, zstd level 3, AES-256-GCM, and the system calls of one durable operation."""

    def __init__(self, directory: str, *, key: bytes | None = None) -> None:
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self._cipher = AESGCM(key or os.urandom(32))
        self._squeeze = zstandard.ZstdCompressor(level=3)
        self._inflate = zstandard.ZstdDecompressor()
        self._fd = os.open(os.path.join(directory, "grown"), os.O_RDWR | os.O_CREAT, 0o600)
        self._end = 0
        self._made = 0

    def seal(self, value: Any) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, self._squeeze.compress(orjson.dumps(value)), _BOUND)

    def open(self, data: bytes) -> Any:
        return orjson.loads(self._inflate.decompress(self._cipher.decrypt(data[:12], data[12:], _BOUND)))

    def create(self, value: Any) -> str:
        """Temp, write, fsync, rename, fsync of the directory."""
        self._made += 1
        path = os.path.join(self.directory, f"made-{self._made}")
        self.create_as(path, self.seal(value))
        return path

    def create_as(self, path: str, data: bytes) -> None:
        """The same at a path, with bytes that are sealed already."""
        fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.rename(path + ".tmp", path)
        fd = os.open(os.path.dirname(path), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def append(self, value: Any) -> None:
        """One pwrite and one fdatasync at the end of an open file."""
        data = self.seal(value)
        os.pwrite(self._fd, data, self._end)
        os.fdatasync(self._fd)
        self._end += len(data)

    def read(self, path: str) -> Any:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        data = os.read(fd, os.fstat(fd).st_size)
        os.close(fd)
        return self.open(data)

    def close(self) -> None:
        os.close(self._fd)
