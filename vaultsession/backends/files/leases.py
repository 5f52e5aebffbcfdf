"""Turn leases between processes: a lock file for each session that was leased, left in place.

The system lets go of a dead holder's. A second file is made for a session when somebody has to wait for its lease: who
holds that one is the next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ...errors import BackendUnavailable, LeaseTimeout
from ...format.ids import locator_of
from ...util.disk import Disk
from ..leases import LeaseAttempt, take_in_turn
from .layout import FilesLayout
from .locks import open_lock, try_lock, unlock
from .open_files import OpenFile


class FileLeases:
    """The leases of one vault directory. Safe from any thread and any process."""

    def __init__(self, disk: Disk, root: str) -> None:
        self._disk = disk
        self._layout = FilesLayout(root)

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        """See ``Leases.lease``. ``BackendUnavailable`` where there is no lock, or another thing in its place."""
        path = self._layout.lease(locator_of(key))
        held: _LeaseFiles | None = None
        try:
            try:
                held = _LeaseFiles(self._disk, path)
                take_in_turn(LeaseAttempt(held.is_first, held.take, held.become_next, held.stand_back), timeout)
            except LeaseTimeout:
                raise  # an OSError too
            except OSError as error:
                raise BackendUnavailable(f"cannot lock {error.filename or path}: {error.strerror or error}") from error
            yield
        finally:
            if held is not None:  # perhaps interrupted just after it was taken
                held.end()


class _LeaseFiles:
    """The file of a lease, and that of the next. Descriptors of its own, which exclude each other in a process too."""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self._next_path = path + "-next"
        self._lease = open_lock(disk, path)
        self._next: OpenFile | None = None

    def is_first(self) -> bool:
        try:
            self._disk.stat(self._next_path)
        except FileNotFoundError:  # nobody has ever waited here
            return True
        return False

    def take(self) -> bool:
        return try_lock(self._disk, self._lease.fd)

    def become_next(self) -> bool:
        if self._next is None:
            self._next = open_lock(self._disk, self._next_path)
        return try_lock(self._disk, self._next.fd)

    def stand_back(self) -> None:
        if self._next is not None:
            self._unlock(self._next)

    def end(self) -> None:
        self._unlock(self._lease)

    def _unlock(self, file: OpenFile) -> None:
        with contextlib.suppress(OSError):  # closed with the turn, and so unlocked
            unlock(self._disk, file.fd)
