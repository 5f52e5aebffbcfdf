"""Open containers, and the state of each while its descriptor is open.

An open descriptor pins its inode, and containers only grow or are replaced. So where one ``lstat`` of the path gives
this inode at this size, nothing has changed. (Times would not do: inodes are reused at once.)
"""

from __future__ import annotations

import errno
import threading

from ...format.sealed import IndexRow, Tombstone, Witness
from ...util.descriptors import Budget, share
from ...util.disk import Disk
from ...util.lru import LRU
from ...util.named_tuple import NamedTuple

CONTAINERS = Budget(share(1024, 4))
"""Containers that the stores of this process keep open together.

With 256, four processes over 1 000 sessions spent a fifth of their time opening files again. 256 it is where a process
may open 1 024 files, as most systems have it.
"""


class OpenFile:
    """A file descriptor, closed when the last reference to it goes.

    Never closed explicitly: another thread may be reading, and the kernel would hand out the number again.
    """

    __slots__ = ("_disk", "_failed", "_flushed", "_mutex", "fd", "written")

    def __init__(self, disk: Disk, fd: int) -> None:
        self._disk = disk
        self._mutex = threading.RLock()
        self._flushed = 0
        self._failed = False
        self.fd = fd
        self.written = 0

    def flush(self, end: int) -> None:
        """Flush what this process has written up to ``end``; threads share a flush that was begun after their writes.

        The kernel reports a failed flush once per open file, and the next one may pass although the data is gone: after
        a failure every flush of this descriptor fails.
        """
        with self._mutex:
            if self._failed:
                raise OSError(errno.EIO, "an earlier flush of this file failed")
            if self._flushed >= end:
                return
            written = self.written
            try:
                self._disk.fdatasync(self.fd)
            except OSError:
                self._failed = True
                raise
            self._flushed = written

    def __del__(self) -> None:
        try:  # noqa: SIM105 - once for each file that is opened: suppress() takes as long as the call
            self._disk.close(self.fd)
        except OSError:
            pass


class DirectoryFlush:
    """Flushes of a directory that threads share: a change is covered by one that was begun after it."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._guard = threading.Lock()
        self._mutex = threading.RLock()
        self._asked = self._flushed = self._failed = 0

    def __call__(self) -> None:
        """Flush what this thread has changed. A failure is that of all which the flush would have covered."""
        with self._guard:
            self._asked += 1
            mine = self._asked
        with self._mutex:
            if self._failed >= mine:
                raise OSError(errno.EIO, "the flush of the directory failed, which this was a part of")
            if self._flushed >= mine:
                return
            asked = self._asked
            try:
                self._disk.sync_directory(self._path)
            except OSError:
                self._failed = asked
                raise
            self._flushed = asked


class FileState(NamedTuple):
    """A container as it was seen last. Immutable, so that a reader never sees half of a change.

    ``row`` None: the head in the bytes up to ``size`` was not read yet. ``witness`` and ``tombstone`` are what the
    index said before the file was opened, or what this process has since seen *of this inode*. ``entry_flushed``: a
    power cut does not take the directory entry back. ``verified``: the row was written here, or read thoroughly.
    ``preallocated``: zero bytes behind the container, which the file has beside its ``size``. ``unproved``: the witness
    was written and not flushed, see ``Container``. ``linked``: the file has another name, in a backup by hard links, so
    that a writer replaces it and does not write to it. ``end``: the version that the last record was found to have,
    where the head was not read; empty where nobody has asked.
    """

    path: str
    descriptor: OpenFile
    device: int
    inode: int
    mode: int
    size: int
    header: bytes
    row: IndexRow | None
    witness: Witness | None
    tombstone: Tombstone | None
    entry_flushed: bool
    writable: bool
    verified: bool
    preallocated: int = 0
    unproved: bool = False
    linked: bool = False
    end: bytes = b""

    @property
    def is_extensible(self) -> bool:
        """Whether a record may be written behind the row: it is verified, and the last of the container."""
        return self.row is not None and self.verified and not self.row.torn


class OpenFiles:
    """States by key; the least recently used go first, and their files are closed. Safe from any thread.

    All of a process share one ``budget``.
    """

    def __init__(self, budget: Budget = CONTAINERS) -> None:
        self._budget = budget
        self._states: LRU[str, FileState] = LRU()
        self.get = self._states.get
        """The state of a key, to be compared with the path before it is believed; None where its file is not open."""
        self.peek = self._states.peek
        """The same where the state is put back in a moment."""
        budget.join(self)

    def __len__(self) -> int:
        return len(self._states)

    def put(self, key: str, state: FileState) -> None:
        """Replace the state of a key."""
        is_new = self.peek(key) is None  # two threads may both count it: the budget counts again before it closes any
        self._states.keep(key, state)
        if is_new:
            self._budget.keep()

    def close_one(self) -> bool:
        """See ``Holder``."""
        return bool(self._states.evict())  # dropped outside its lock: the last reference closes a file

    def drop(self, key: str) -> None:
        """Forget a key."""
        self._states.forget(key)

    def clear(self) -> None:
        """Forget all."""
        self._states.clear()
