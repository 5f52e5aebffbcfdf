"""Locks between threads and processes: the commit stripes, and the lock of the index.

A lock file is made on first use and never deleted. ``flock`` belongs to the open file, so two threads that share its
descriptor would both get in: a mutex stands beside it, and is taken first.

Decision (2026-11): a blocking ``flock``, not filelock's polling. Four processes on hot sessions waited 351 ms at worst
with polling every 50 ms, and 11 ms at worst with the kernel's queue.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType

from ...errors import BackendUnavailable
from ...util.descriptors import Budget, share
from ...util.disk import CREATE, PRIVATE_FILE, Disk, refuse_link, why_not_private
from ...util.reentry import Lock, is_ours, not_ours
from .layout import FilesLayout, stripe_of
from .open_files import OpenFile

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows only
    _EXCLUSIVE, _TRY, _UNLOCK = 2, 6, 8
else:
    _EXCLUSIVE, _TRY, _UNLOCK = fcntl.LOCK_EX, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN


def lock(disk: Disk, fd: int) -> None:
    """Wait until the open file is locked for this process alone."""
    if hasattr(disk, "flock"):
        disk.flock(fd, _EXCLUSIVE)
    else:  # where there is no flock; only simulated
        import filelock  # noqa: PLC0415 - where the kernel has flock, the package is not needed here

        filelock.lock_descriptor(fd)


def try_lock(disk: Disk, fd: int) -> bool:
    """Lock the open file unless another holds it."""
    if hasattr(disk, "flock"):
        try:
            disk.flock(fd, _TRY)
        except BlockingIOError:
            return False
        return True
    import filelock  # noqa: PLC0415 - as above

    return filelock.lock_descriptor(fd, blocking=False)


def unlock(disk: Disk, fd: int) -> None:
    """Unlock the open file. Closing would not do while a forked child holds a copy of the descriptor."""
    if hasattr(disk, "flock"):
        disk.flock(fd, _UNLOCK)
    else:
        import filelock  # noqa: PLC0415 - as above

        filelock.unlock_descriptor(fd)


def open_lock(disk: Disk, path: str) -> OpenFile:
    """A lock file, made if it is missing."""
    refuse_link(disk, os.path.dirname(path))
    descriptor = OpenFile(disk, disk.open(path, CREATE, PRIVATE_FILE))
    if reason := why_not_private(disk.fstat(descriptor.fd)):
        raise BackendUnavailable(f"{path}: {reason}; it is not used as a lock")
    return descriptor


class PathLock:
    """One lock file. To be held as ``with lock.mutex, lock:``, in this order, for microseconds; not re-entrant.

    The mutex is entered by the ``with`` statement itself and not in ``__enter__``: there, an interrupt could arrive
    between its acquisition and the caller's block, and leave it locked for ever.
    """

    __slots__ = ("_budget", "_descriptor", "_disk", "_mutex", "_path")

    def __init__(self, disk: Disk, path: str, budget: Budget | None = None) -> None:
        self._mutex = threading.RLock()
        self._budget = budget
        self._disk = disk
        self._path = path
        self._descriptor: OpenFile | None = None

    @property
    def mutex(self) -> Lock:
        """What threads wait for. ``BackendUnavailable`` in a signal handler that interrupted its holder."""
        return not_ours(self._mutex)

    def is_ours(self) -> bool:
        """Whether this thread holds the mutex."""
        return is_ours(self._mutex)

    def __enter__(self) -> None:
        descriptor = self._descriptor
        try:
            if descriptor is None:
                descriptor = self._descriptor = open_lock(self._disk, self._path)
                if self._budget is not None:
                    self._budget.keep()
            lock(self._disk, descriptor.fd)
        except OSError as error:
            raise BackendUnavailable(f"{self._path}: {error.strerror or error}") from error
        except BaseException:
            if descriptor is not None:
                unlock(self._disk, descriptor.fd)  # an interrupt after the lock was granted
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            try:
                unlock(self._disk, self._descriptor.fd)
            except OSError:
                self._descriptor = None  # closed, and so unlocked; what was done under the lock is done

    @property
    def is_open(self) -> bool:
        """Whether its file is open."""
        return self._descriptor is not None

    def close_if_idle(self) -> bool:
        """Close the file where it is open and no thread is inside; whether it was."""
        if self._descriptor is None or self.is_ours() or not self._mutex.acquire(blocking=False):
            return False
        try:
            was_open, self._descriptor = self._descriptor is not None, None
        finally:
            self._mutex.release()
        return was_open

    def close(self) -> None:
        """Close the file, once no caller holds it. It is opened again if it is needed again."""
        with self.mutex:
            self._descriptor = None


LOCKS = Budget(share(64, 16))
"""Lock files of stripes that the stores of this process keep open together."""


class Stripes:
    """The commit locks: a fixed set, so that their number does not grow with the sessions. Each is made when asked for.

    Sixty-four of them took a tenth of the opening of a store, and most stores lock few sessions.
    """

    __slots__ = ("__weakref__", "_disk", "_layout", "_locks")

    def __init__(self, disk: Disk, layout: FilesLayout) -> None:
        self._disk = disk
        self._layout = layout
        self._locks: dict[int, PathLock] = {}
        LOCKS.join(self)

    def __len__(self) -> int:
        return sum(lock.is_open for lock in list(self._locks.values()))

    def close_one(self) -> bool:
        """See ``Holder``."""
        return any(lock.close_if_idle() for lock in list(self._locks.values()))

    def of(self, locator: str) -> PathLock:
        """The lock that guards this session, and others: the same object for all threads of this store."""
        return self.numbered(stripe_of(locator))

    def numbered(self, number: int) -> PathLock:
        """The lock of a stripe. Several are taken in ascending order, so that no two threads wait in a circle."""
        made = self._locks.get(number)
        if made is None:
            made = self._locks.setdefault(number, PathLock(self._disk, self._layout.stripe(number), LOCKS))
        return made

    def close(self) -> None:
        """Close every file, once no caller holds it."""
        for stripe in list(self._locks.values()):
            stripe.close()
