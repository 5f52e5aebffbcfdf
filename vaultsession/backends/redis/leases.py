"""Turn leases among all that use one server: a key that expires by itself unless its holder, alive, renews it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from redis.exceptions import LockError

from ...errors import BackendUnavailable, LeaseTimeout
from .layout import RedisLayout
from .server import Server

LIFE = 30.0
"""Seconds after which the lease of a holder that died is free. A living one renews it three times as often."""

_ENDED = "the lease of a session ended before its holder let go of it: another may have answered meanwhile"

_log = logging.getLogger("vaultsession")


class RedisLeases:
    """Leases between processes and hosts. Safe from any thread.

    A holder that cannot reach the server for as long as a lease lives loses it, and is told in the log: what makes
    writes safe is ``commit``, not the lease.
    """

    def __init__(self, server: Server, layout: RedisLayout, *, life: float = LIFE) -> None:
        self._server = server
        self._layout = layout
        self._life = life

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        """See ``Leases.lease``. ``BackendUnavailable`` where the server does not answer."""
        lock = self._server.lock(self._layout.lease(key), self._life)
        with self._server.translating():
            waits = timeout is None or timeout > 0
            held = lock.acquire(blocking=waits, blocking_timeout=timeout if waits else None)
        if not held:
            raise LeaseTimeout(f"the session is being answered elsewhere; waited {timeout:g} s for its lease")
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(lock, done), name="vaultsession lease", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            done.set()
            renewing.join()
            self._release(lock)

    def _renew(self, lock: Any, done: threading.Event) -> None:  # noqa: ANN401 - redis-py's own lock
        while not done.wait(self._life / 3):
            try:
                with self._server.translating():
                    lock.reacquire()
            except BackendUnavailable as error:
                if isinstance(error.__cause__, LockError):
                    _log.warning(_ENDED)
                    return
                _log.warning("the lease of a session was not renewed, and will be tried again: %s", error)

    def _release(self, lock: Any) -> None:  # noqa: ANN401 - as above
        """Let go. A lease that has ended, or a server that is away, is no reason to fail what was done under it."""
        try:
            with self._server.translating():
                lock.release()
        except BackendUnavailable as error:
            if isinstance(error.__cause__, LockError):
                _log.warning(_ENDED)
            else:
                _log.warning("the lease of a session was not given back and ends by itself: %s", error)
