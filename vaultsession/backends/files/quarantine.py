"""Quarantine: copies of damaged files, taken before they are cut or replaced. Bounded; the oldest go first."""

from __future__ import annotations

import contextlib
import os

from ...util.disk import Disk, read_all, shred_file, write_new
from .layout import FilesLayout
from .open_files import FileState

MAX_BYTES = 64 << 20
MAX_ENTRIES = 256


class Quarantine:
    """The ``quarantine`` directory. Called under the stripe of a session, or under the lock of the index."""

    def __init__(
        self,
        disk: Disk,
        layout: FilesLayout,
        *,
        durable: bool,
        max_bytes: int = MAX_BYTES,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._disk = disk
        self._path = layout.quarantine
        self._durable = durable
        self._max_bytes = max_bytes
        self._max_entries = max_entries

    def keep(self, key: str, state: FileState, start: int) -> None:
        """Copy the bytes of a container from ``start`` on, or as many of them as may be kept. ``OSError``."""
        size = min(state.size - start, self._max_bytes)
        if size <= 0:
            return
        self._evict(size)
        write_new(
            self._disk,
            self._fresh(f"{key}.{start}"),
            read_all(self._disk, state.descriptor.fd, size, start),
            flush=self._durable,
        )
        if self._durable:
            self._disk.sync_directory(self._path)

    def take(self, path: str) -> None:
        """Move a file here by its name, never following a link. A file that is gone is skipped."""
        with contextlib.suppress(FileNotFoundError):
            size = self._disk.stat(path).st_size
            if size > self._max_bytes:
                self._disk.unlink(path)
                return
            self._evict(size)
            # ``forget`` finds it by the key that its name begins with.
            self._disk.replace(path, self._fresh(os.path.basename(path).removeprefix(".")))

    def forget(self, *locators: str, shred: bool = False) -> int:
        """Remove every copy of these sessions, as their erasure requires. Returns how many there were."""
        removed = 0
        for name in self._names():
            if name.partition(".")[0].endswith(locators):
                path = os.path.join(self._path, name)
                if shred:
                    shred_file(self._disk, path)
                else:
                    with contextlib.suppress(FileNotFoundError):  # evicted by another process
                        self._disk.unlink(path)
                removed += 1
        return removed

    def entries(self) -> list[tuple[int, int, str]]:
        """``(changed, size, name)``, oldest first; the time is the file system's, in nanoseconds."""
        found = []
        for name in self._names():
            with contextlib.suppress(FileNotFoundError):
                status = self._disk.stat(os.path.join(self._path, name))
                found.append((status.st_mtime_ns, status.st_size, name))
        return sorted(found)

    def _names(self) -> list[str]:
        try:
            return self._disk.listdir(self._path)
        except FileNotFoundError:
            return []

    def _evict(self, size: int) -> None:
        """Remove the oldest copies until so many bytes fit."""
        entries = self.entries()
        total = sum(entry[1] for entry in entries)
        while entries and (len(entries) >= self._max_entries or total + size > self._max_bytes):
            _, freed, name = entries.pop(0)
            total -= freed
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(os.path.join(self._path, name))

    def _fresh(self, name: str) -> str:
        return os.path.join(self._path, f"{name}.{os.urandom(8).hex()}")
