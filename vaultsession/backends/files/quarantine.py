"""Quarantine: copies of what was damaged, before anything is cut or replaced. Bounded; the oldest go first."""

from __future__ import annotations

import contextlib
import os

from ...util.disk import Disk, read_all, shred_file, write_new
from .layout import FilesLayout
from .open_files import FileState

MOST_BYTES = 64 << 20
MOST_ENTRIES = 256


class Quarantine:
    """The ``quarantine`` directory. Called under the stripe of a session, or under the lock of the index."""

    def __init__(
        self,
        disk: Disk,
        layout: FilesLayout,
        *,
        flush: bool,
        most_bytes: int = MOST_BYTES,
        most_entries: int = MOST_ENTRIES,
    ) -> None:
        self._disk = disk
        self._path = layout.quarantine
        self._flush = flush
        self._most_bytes = most_bytes
        self._most_entries = most_entries

    def keep(self, key: str, state: FileState, start: int) -> None:
        """Copy the bytes of a container from ``start`` on, or as many of them as may be kept. ``OSError``."""
        size = min(state.size - start, self._most_bytes)
        if size <= 0:
            return
        self._make_room(size)
        write_new(
            self._disk,
            self._fresh(f"{key}.{start}"),
            read_all(self._disk, state.descriptor.fd, size, start),
            flush=self._flush,
        )
        if self._flush:
            self._disk.sync_directory(self._path)

    def take(self, path: str) -> None:
        """Move a file here by its name, never following it. One that is gone is none of ours."""
        try:
            size = self._disk.stat(path).st_size
            if size > self._most_bytes:
                self._disk.unlink(path)
                return
            self._make_room(size)
            self._disk.replace(path, self._fresh(os.path.basename(path)))
        except FileNotFoundError:
            return

    def forget(self, *locators: str, shred: bool = False) -> int:
        """Remove every copy of these sessions: what their erasure asks for. Returns how many there were."""
        gone = 0
        try:
            names = self._disk.listdir(self._path)
        except FileNotFoundError:
            return 0
        for name in names:
            if name.partition(".")[0].endswith(locators):
                path = os.path.join(self._path, name)
                if shred:
                    shred_file(self._disk, path)
                else:
                    with contextlib.suppress(FileNotFoundError):  # made room for by another: the others go all the same
                        self._disk.unlink(path)
                gone += 1
        return gone

    def entries(self) -> list[tuple[int, int, str]]:
        """``(changed, size, name)``, oldest first; the time is the file system's, in nanoseconds."""
        found = []
        try:
            names = self._disk.listdir(self._path)
        except FileNotFoundError:
            return []
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = self._disk.stat(os.path.join(self._path, name))
                found.append((status.st_mtime_ns, status.st_size, name))
        return sorted(found)

    def _make_room(self, size: int) -> None:
        entries = self.entries()
        total = sum(entry[1] for entry in entries)
        while entries and (len(entries) >= self._most_entries or total + size > self._most_bytes):
            _, freed, name = entries.pop(0)
            total -= freed
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(os.path.join(self._path, name))

    def _fresh(self, name: str) -> str:
        return os.path.join(self._path, f"{name}.{os.urandom(8).hex()}")
