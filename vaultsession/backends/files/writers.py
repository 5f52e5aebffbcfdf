"""Writer markers: how a store that died is noticed by the next one that opens.

The index is written behind the sessions, so whoever dies in between leaves a listing that lags. A store that writes
holds the flock of a marker file for life, and the file says "dirty" from before its first session byte until its
index is flushed. A marker that says so and is held by nobody is that of a dead writer.

A marker is written when a store begins its first write and flushed by another thread while that write is being prepared
(``assure``); ``wait`` is what stands before the first session byte.

Decision (2026-11): a fixed pool of files, taken in order, in place of one file per store. A new file costs its creation
and a flush of the directory, each time; the pool pays that once per number of writers at one time.
"""

from __future__ import annotations

import contextlib
import threading

from ...errors import BackendUnavailable
from ...util.disk import READ_WRITE, Disk, why_not_private, write_all
from .layout import WRITERS, FilesLayout
from .locks import open_lock, try_lock, unlock
from .open_files import OpenFile

_CLEAN = b"0"
_DIRTY = b"1"


class WriterMarkers:
    """This store's marker, and those of writers that died. ``OSError`` passes through."""

    def __init__(self, disk: Disk, layout: FilesLayout, *, flush: bool) -> None:
        self.held = False
        self.assured = False
        self._settled = threading.Event()
        self._assuring = True
        self._failure: OSError | None = None
        self._disk = disk
        self._layout = layout
        self._flush = flush
        self._mutex = threading.Lock()
        self._own: OpenFile | None = None
        self._is_new = False

    def take(self) -> bool:
        """Mark this store as writing; to be flushed by ``assure``. False: only the markers of dead writers are left."""
        with self._mutex:
            if self.held:
                return True
            dead = False
            for number in range(WRITERS):
                descriptor = open_lock(self._disk, self._layout.writer(number))
                if not try_lock(self._disk, descriptor.fd):
                    continue
                if self._disk.pread(descriptor.fd, 1, 0) == _DIRTY:  # left for the next opening, which reconciles
                    unlock(self._disk, descriptor.fd)
                    dead = True
                    continue
                try:
                    self._is_new = not self._disk.pread(descriptor.fd, 1, 0)
                    write_all(self._disk, descriptor.fd, _DIRTY, 0)
                except BaseException:
                    unlock(self._disk, descriptor.fd)
                    raise
                self._settled.clear()
                self._assuring = False
                self._own, self.held, self._failure = descriptor, True, None
                return True
        if dead:
            return False
        raise BackendUnavailable(f"{self._layout.root}: {WRITERS} stores are writing to this vault; that is the most")

    def assure(self) -> None:
        """Flush the marker that ``take`` wrote, and let those go on who ``wait``. A failure is final."""
        with self._mutex:
            if self._assuring:
                return
            self._assuring = True
            own = self._own
        try:
            if own is not None and self._flush:
                self._flush_file(own, new=self._is_new)
            self.assured = True
        except OSError as error:
            self._failure = error.with_traceback(None)  # its frames would keep the descriptor open
        finally:
            self._settled.set()

    def wait(self) -> None:
        """Until the marker is flushed. If that failed the marker is let go, and the next writer takes one again."""
        self._settled.wait()
        if not self.assured:
            failure = self._failure or OSError("the flush of the writer's marker was interrupted")
            self._failure = None
            self.release(clean=False)
            try:
                raise failure
            finally:
                del failure  # raised from here it refers to this frame, and the frames above it hold descriptors

    def release(self, *, clean: bool) -> None:
        """Let go of the marker; ``clean`` says that the index holds all that this store wrote, flushed."""
        with self._mutex:
            own, self._own, self.held, self.assured = self._own, None, False, False
            if own is None:
                return
            try:
                if clean:
                    self._say(own, _CLEAN)
            finally:
                unlock(self._disk, own.fd)

    def dead(self) -> list[OpenFile]:
        """The markers of writers that died, locked: to be given to ``absolve`` or ``leave``."""
        found: list[OpenFile] = []
        for number in range(WRITERS):
            try:
                descriptor = OpenFile(self._disk, self._disk.open(self._layout.writer(number), READ_WRITE))
            except FileNotFoundError:
                break  # they are made in order and never deleted
            except OSError:  # not ours to write: nor is it ours to absolve
                continue
            if self._is_dirty(descriptor) and try_lock(self._disk, descriptor.fd):
                if self._is_dirty(descriptor):
                    found.append(descriptor)
                else:
                    unlock(self._disk, descriptor.fd)
        return found

    def absolve(self, markers: list[OpenFile]) -> None:
        """The index was reconciled with the files and flushed: what these writers owed is done."""
        for marker in markers:
            self._say(marker, _CLEAN)
        self.leave(markers)

    def leave(self, markers: list[OpenFile]) -> None:
        """Unlock them as they are, for the next opening."""
        for marker in markers:
            with contextlib.suppress(OSError):
                unlock(self._disk, marker.fd)

    def _is_dirty(self, marker: OpenFile) -> bool:
        return why_not_private(self._disk.fstat(marker.fd)) is None and self._disk.pread(marker.fd, 1, 0) == _DIRTY

    def _say(self, marker: OpenFile, state: bytes) -> None:
        new = not self._disk.pread(marker.fd, 1, 0)
        write_all(self._disk, marker.fd, state, 0)
        if self._flush:
            self._flush_file(marker, new=new)

    def _flush_file(self, marker: OpenFile, *, new: bool) -> None:
        if new:
            self._disk.fsync(marker.fd)
            self._disk.sync_directory(self._layout.locks)
        else:
            self._disk.fdatasync(marker.fd)
