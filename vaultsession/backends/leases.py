"""Turn leases: one holder answers a session at a time, for as long as a model call takes.

Not what makes writes safe (that is the commit lock of a backend); what keeps two processes from answering one message.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Protocol

import filelock

from ..errors import BackendUnavailable, LeaseTimeout
from ..format.ids import locator_of


class Leases(Protocol):
    """Hands out the turn lease of a session."""

    def lease(self, key: str, timeout: float | None) -> contextlib.AbstractContextManager[None]:
        """Hold the session's lease; ``LeaseTimeout`` after so many seconds, None waits for ever. Not re-entrant."""
        ...


class LocalLeases:
    """Leases within one process, for a vault that no other process can reach."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        """See ``Leases.lease``."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise LeaseTimeout(f"the session is being answered elsewhere; waited {timeout:g} s for its lease")
        try:
            yield
        finally:
            lock.release()


class FileLeases:
    """Leases between processes: one lock file per leased session, left in place. The system frees a dead holder's."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        """See ``Leases.lease``."""
        path = os.path.join(self._directory, f"lease-{locator_of(key)}")
        # A lock of its own for each call: the descriptors exclude each other, threads of one process included.
        # Without the option a file system that refuses locks would get one that excludes no other process.
        lock = filelock.FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        except filelock.Timeout:
            raise LeaseTimeout(f"the session is being answered elsewhere; waited {timeout:g} s for its lease") from None
        except (OSError, NotImplementedError) as error:
            raise BackendUnavailable(f"cannot lock {path}: {error}") from error
        try:
            yield
        finally:
            lock.release()
