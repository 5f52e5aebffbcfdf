"""Locks between threads and processes: the commit stripes, and the lock of the index.

A lock file is made on first use and never deleted. ``flock`` belongs to the open file, so two threads that share its
descriptor would both get in: a mutex stands beside it, and is taken first.

Decision (2026-11): a blocking ``flock``, not filelock's polling. Four processes on hot sessions waited 351 ms at worst
with polling every 50 ms, and 11 ms at worst with the kernel's queue. A process that was stopped holds its locks for as
long: the queue is waited in by a thread, and left after a bounded time. That thread costs as much as a commit, so for
the millisecond in which most locks are free again their file is looked at: a third less CPU with four processes on four
locks, and no longer waits.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from ...errors import BackendUnavailable
from ...util.deadline import within
from ...util.descriptors import Budget, share
from ...util.disk import CREATE, PRIVATE_FILE, Disk, refuse_link, why_not_private
from ...util.reentry import Lock, is_ours, not_ours
from .layout import FilesLayout, refusal, stripe_of
from .open_files import OpenFile

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows only
    _EXCLUSIVE, _TRY, _UNLOCK = 2, 6, 8
else:
    _EXCLUSIVE, _TRY, _UNLOCK = fcntl.LOCK_EX, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN


PATIENCE = 60.0
"""Seconds that a lock is waited for: it is held for microseconds, and for as long as a flush that was made to wait."""

_LOOK = 0.01
_LOOKS, _MOMENT = 16, 50e-6
"""Looks at a lock before it is waited for, and the seconds between them: the kernel makes them twice as long."""


def try_lock(disk: Disk, fd: int) -> bool:
    """Lock the open file unless another holds it."""
    if hasattr(disk, "flock"):
        try:
            disk.flock(fd, _TRY)
        except BlockingIOError:
            return False
        return True
    import filelock  # noqa: PLC0415 - where the kernel has flock, the package is not needed

    return filelock.lock_descriptor(fd, blocking=False)


def unlock(disk: Disk, fd: int) -> None:
    """Unlock the open file. Closing would not do while a forked child holds a copy of the descriptor."""
    if hasattr(disk, "flock"):
        disk.flock(fd, _UNLOCK)
    else:
        import filelock  # noqa: PLC0415 - as above

        filelock.unlock_descriptor(fd)


def lock_rarely(disk: Disk, fd: int, path: str) -> None:
    """Lock the open file by looking now and then: for what is seldom waited for. ``BackendUnavailable`` in the end."""
    until = time.monotonic() + PATIENCE
    while not try_lock(disk, fd):
        if time.monotonic() > until:
            raise _too_long(disk, fd, path)
        time.sleep(_LOOK)


def _too_long(disk: Disk, fd: int, path: str) -> BackendUnavailable:
    holder = holder_of(disk, fd)
    return BackendUnavailable(
        f"{path}: {holder or 'another process'} has held this lock for more than {PATIENCE:g} s: it was stopped, or "
        "waits for its disk; others can go on when it does, or when it is ended"
    )


def holder_of(disk: Disk, fd: int) -> str:
    """The process that holds a lock of the open file, as Linux tells it; empty where that is not known."""
    status = disk.fstat(fd)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as table:
        for row in table:
            fields = row.split()
            if "->" not in fields and fields[5] == device and fields[4].isdigit():
                return f"process {fields[4]}"
    return ""


def open_lock(disk: Disk, path: str) -> OpenFile:
    """A lock file, made if it is missing."""
    refuse_link(disk, os.path.dirname(path))
    descriptor = OpenFile(disk, disk.open(path, CREATE, PRIVATE_FILE))
    if reason := why_not_private(disk.fstat(descriptor.fd)):
        raise BackendUnavailable(f"{path}: {reason}; it is not used as a lock")
    return descriptor


class _Queue:
    """One place in the kernel's queue for a lock, which nobody can leave: what comes too late is unlocked again."""

    def __init__(self, disk: Disk, file: OpenFile) -> None:
        self._disk = disk
        self._file: OpenFile | None = file
        self._guard = threading.Lock()
        self._is_left = False
        self.is_over = False

    def wait(self) -> None:
        """Return with the lock."""
        file = self._file
        if file is None:
            return
        try:
            if hasattr(self._disk, "flock"):
                self._disk.flock(file.fd, _EXCLUSIVE)
            else:  # where there is no flock; only simulated
                import filelock  # noqa: PLC0415 - where the kernel has flock, the package is not needed here

                filelock.lock_descriptor(file.fd)
        finally:
            with self._guard:
                self.is_over = True
                if self._is_left:
                    self._unlock()

    def leave(self) -> None:
        """Unlock what was granted, or will be."""
        with self._guard:
            self._is_left = True
            if self.is_over:
                self._unlock()

    def _unlock(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # closed with the last reference, and so unlocked
                unlock(self._disk, file.fd)


class PathLock:
    """One lock file. To be held as ``with lock.mutex, lock:``, in this order, for microseconds; not re-entrant.

    The mutex is entered by the ``with`` statement itself and not in ``__enter__``: there, an interrupt could arrive
    between its acquisition and the caller's block, and leave it locked for ever.
    """

    __slots__ = ("_budget", "_descriptor", "_disk", "_given_up", "_mutex", "_path")

    def __init__(self, disk: Disk, path: str, budget: Budget | None = None) -> None:
        self._mutex = threading.RLock()
        self._budget = budget
        self._disk = disk
        self._path = path
        self._descriptor: OpenFile | None = None
        self._given_up: _Queue | None = None

    @property
    def mutex(self) -> Lock:
        """What threads wait for. ``BackendUnavailable`` in a signal handler that interrupted its holder."""
        mutex = self._mutex
        return not_ours(mutex) if mutex._is_owned() else mutex  # type: ignore[attr-defined]  # noqa: SLF001 - see is_ours

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
            if not try_lock(self._disk, descriptor.fd):
                self._wait(descriptor)
        except OSError as error:
            raise refusal(self._path, error) from error
        except BaseException:
            if self._descriptor is not None:
                unlock(self._disk, self._descriptor.fd)  # an interrupt after the lock was granted
            raise

    def _wait(self, descriptor: OpenFile) -> None:
        """Look for a moment, then wait in the kernel's queue: not where one that gave up is still in it."""
        for _ in range(_LOOKS):
            time.sleep(_MOMENT)
            if try_lock(self._disk, descriptor.fd):
                return
        if self._given_up is not None and not self._given_up.is_over:
            raise _too_long(self._disk, descriptor.fd, self._path)
        queue = _Queue(self._disk, descriptor)
        try:
            within(PATIENCE, f"the lock {self._path}", queue.wait)
        except RuntimeError:  # no thread can be started: at the end of an interpreter, or there are too many
            lock_rarely(self._disk, descriptor.fd, self._path)
        except BaseException as error:
            self._descriptor = None  # it is locked when its turn comes, and must not be ours then
            queue.leave()
            if isinstance(error, TimeoutError):
                self._given_up = queue
                raise _too_long(self._disk, descriptor.fd, self._path) from None
            raise

    def __exit__(self, *_: object) -> None:
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

    __slots__ = ("__weakref__", "_disk", "_layout", "_locks", "_met")

    def __init__(self, disk: Disk, layout: FilesLayout) -> None:
        self._disk = disk
        self._layout = layout
        self._locks: dict[int, PathLock] = {}
        self._met: dict[str, PathLock] = {}
        LOCKS.join(self)

    def __len__(self) -> int:
        return sum([lock.is_open for lock in list(self._locks.values())])

    def close_one(self) -> bool:
        """See ``Holder``."""
        return any(lock.close_if_idle() for lock in list(self._locks.values()))

    def of(self, locator: str) -> PathLock:
        """The lock that guards this session, and others: the same object for all threads of this store."""
        start = locator[:2]  # which the stripe is the function of
        met = self._met.get(start)
        if met is None:
            met = self._met[start] = self.numbered(stripe_of(locator))
        return met

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
