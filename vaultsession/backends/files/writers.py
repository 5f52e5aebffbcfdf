"""Writer markers: how the next store that opens notices one that died.

The index is written behind the sessions, so a process that dies in between leaves a listing that lags. A store that
writes holds the flock of a marker file for life, and the file is dirty from before its first session byte until its
index is flushed. A dirty marker that no process holds is that of a dead writer.

A marker is written when a store begins its first write, and flushed by another thread while that write is being
prepared (``flush``); ``wait`` stands before the first session byte.

Behind its state a marker holds the token that its last writer left in the index as well, when it closed: an index that
lacks the token of a clean marker is older than its vault.

Decision (2026-11): a fixed pool of files, taken in order, in place of one file per store. A new file costs its creation
and a flush of the directory, each time; the pool pays that once per number of writers at one time.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading

from ...errors import BackendUnavailable
from ...util.disk import READ, READ_WRITE, Disk, opened, why_not_private, write_all
from ...util.latch import Latch
from ...util.reentry import not_ours
from .layout import WRITERS, FilesLayout
from .locks import open_lock, try_lock, unlock
from .open_files import OpenFile

_CLEAN = b"0"
_DIRTY = b"1"
_TOKEN = struct.Struct("<q")
_SIZE = 1 + _TOKEN.size


def token_name(number: int) -> str:
    """The name under which the index keeps the token of a marker."""
    return f"writer-{number:02x}"


class WriterMarkers:
    """This store's marker, and those of writers that died. ``OSError`` passes through."""

    def __init__(self, disk: Disk, layout: FilesLayout, *, durable: bool) -> None:
        self.held = False
        self.flushed = False
        self._flush_begun = True
        self._flush_ended = Latch()
        self._failure: OSError | None = None
        self._disk = disk
        self._layout = layout
        self._durable = durable
        self._mutex = threading.RLock()
        self._own: OpenFile | None = None
        self._number = 0
        self._is_new = False
        self._token = b""

    def take(self) -> bool:
        """Mark this store as writing; ``flush`` comes next. False: only the markers of dead writers are left."""
        with not_ours(self._mutex):
            if self.held:
                return True
            dead = False
            for number in range(WRITERS):
                descriptor = open_lock(self._disk, self._layout.writer(number))
                if not try_lock(self._disk, descriptor.fd):
                    continue
                if self._disk.pread(descriptor.fd, 1, 0) == _DIRTY:  # left for the next opening, which rebuilds
                    self.unlock([descriptor])
                    dead = True
                    continue
                try:
                    self._is_new = not self._disk.pread(descriptor.fd, 1, 0)
                    write_all(self._disk, descriptor.fd, _DIRTY, 0)
                except BaseException:
                    self.unlock([descriptor])
                    del descriptor  # the error may be kept, and this frame with it
                    raise
                self._flush_ended.clear()
                self._flush_begun = False
                self._own, self._number, self.held, self._failure = descriptor, number, True, None
                return True
        if dead:
            return False
        raise BackendUnavailable(f"{self._layout.root}: {WRITERS} stores are writing to this vault; that is the most")

    def flush(self) -> None:
        """Flush the marker that ``take`` wrote, and end every ``wait``. A failure is final."""
        with not_ours(self._mutex):
            if self._flush_begun:
                return
            self._flush_begun = True
            own = self._own
        try:
            if own is not None and self._durable:
                self._flush_file(own, new=self._is_new)
            self.flushed = True
        except OSError as error:
            self._failure = error.with_traceback(None)  # its frames would keep the descriptor open
        finally:
            self._flush_ended.set()

    def wait(self) -> None:
        """Return when the marker is flushed. If that failed it is released, and the next writer takes one again."""
        self._flush_ended.wait()
        if not self.flushed:
            failure = self._failure or OSError("the flush of the writer's marker was interrupted")
            self._failure = None
            self.release(clean=False)
            try:
                raise failure
            finally:
                del failure  # raised from here it refers to this frame, and the frames above it hold descriptors

    def tokens(self) -> dict[str, int]:
        """By the name under which the index keeps it, the token of each clean marker."""
        found: dict[str, int] = {}
        for number in range(WRITERS):
            try:
                with opened(self._disk, self._layout.writer(number), READ) as fd:
                    data = self._disk.pread(fd, _SIZE, 0)
            except FileNotFoundError:
                break
            except OSError:
                continue
            if data[:1] == _CLEAN and len(data) == _SIZE:
                found[token_name(number)] = _TOKEN.unpack(data[1:])[0]
        return found

    def new_token(self) -> dict[str, int]:
        """The token that ``release`` is to leave in the marker, for the index to be given before."""
        token = int.from_bytes(os.urandom(8)) >> 1
        self._token = _TOKEN.pack(token)
        return {token_name(self._number): token}

    def release(self, *, clean: bool) -> None:
        """Unlock the marker; ``clean``: the index has everything that this store wrote, flushed."""
        with not_ours(self._mutex):
            own, self._own, self.held, self.flushed = self._own, None, False, False
            if own is None:
                return
            try:
                if clean:
                    self._write(own, _CLEAN + self._token)
            except OSError as error:
                raise error.with_traceback(None)  # noqa: B904 - the same one, without the frames that keep the file open
            finally:
                self._token = b""
                self.unlock([own])
                del own  # as in ``take``

    def dead(self) -> list[OpenFile]:
        """The markers of writers that died, locked: ``clear`` or ``unlock`` comes next."""
        found: list[OpenFile] = []
        for number in range(WRITERS):
            try:
                descriptor = OpenFile(self._disk, self._disk.open(self._layout.writer(number), READ_WRITE))
            except FileNotFoundError:
                break  # they are made in order and never deleted
            except OSError:  # not ours to write: nor is it ours to clear
                continue
            if self._is_dirty(descriptor) and try_lock(self._disk, descriptor.fd):
                if self._is_dirty(descriptor):
                    found.append(descriptor)
                else:
                    self.unlock([descriptor])
        return found

    def clear(self, markers: list[OpenFile]) -> None:
        """Mark them clean and unlock them: the index was rebuilt and flushed."""
        for marker in markers:
            self._write(marker, _CLEAN)
        self.unlock(markers)

    def unlock(self, markers: list[OpenFile]) -> None:
        """Leave them as they are, for the next opening. One that cannot be unlocked is unlocked as it is closed."""
        for marker in markers:
            with contextlib.suppress(OSError):
                unlock(self._disk, marker.fd)

    def _is_dirty(self, marker: OpenFile) -> bool:
        return why_not_private(self._disk.fstat(marker.fd)) is None and self._disk.pread(marker.fd, 1, 0) == _DIRTY

    def _write(self, marker: OpenFile, state: bytes) -> None:
        new = not self._disk.pread(marker.fd, 1, 0)
        write_all(self._disk, marker.fd, state, 0)
        if self._durable:
            self._flush_file(marker, new=new)

    def _flush_file(self, marker: OpenFile, *, new: bool) -> None:
        if new:
            self._disk.fsync(marker.fd)
            self._disk.sync_directory(self._layout.locks)
        else:
            self._disk.fdatasync(marker.fd)
