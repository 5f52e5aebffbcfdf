"""ServerLeases: turn leases among processes and hosts. Each has a token, which its holder renews on the server.

A holder that died renews nothing, and its lease ends by itself. The server's clock alone says when: those of the hosts
need not agree.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

from ..errors import LeaseTimeout, VaultError
from ..format.ids import locator_of
from ..util.fork import ForkSafe
from .optimistic import pause

_log = logging.getLogger("vaultsession")

LIFE = 30.0
"""Seconds that a lease outlives its last renewal: for as long a holder that died keeps others waiting."""

_SLOWEST_LOOK = 5
"""Waiting looks again after 1 ms at first and 32 ms at last, as ``pause`` counts."""

_ENDED = "the lease of a session ended before its holder let go of it: another may have answered meanwhile"


class ServerLeases(ForkSafe, ABC):
    """One thread renews all that this process holds, while it holds any. Safe from any thread.

    A holder that cannot reach the server for as long as a lease lives loses it, and says so in the log: what makes
    writes safe is ``commit``, not the lease.
    """

    def __init__(self, *, life: float = LIFE, renewal: float | None = None) -> None:
        super().__init__()
        self._begin_anew()
        self.life = life
        self._renewal = life / 4 if renewal is None else renewal

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[bytes, str] = {}
        self._renewing: threading.Thread | None = None

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        """See ``Leases.lease``. ``BackendUnavailable`` where the server does not answer."""
        name, token = locator_of(key), os.urandom(16)
        until = None if timeout is None else time.monotonic() + timeout
        attempt = 0
        while not self._take(name, token):
            if until is not None and time.monotonic() >= until:
                raise LeaseTimeout(f"the session is being answered elsewhere; waited {timeout:g} s for its lease")
            pause(attempt)
            attempt = min(attempt + 1, _SLOWEST_LOOK)
        try:
            self._hold(name, token)
            yield
        finally:
            self._let_go(name, token)

    @abstractmethod
    def _take(self, name: str, token: bytes) -> bool:
        """Take the lease of that name unless it is another's."""

    @abstractmethod
    def _renew(self, name: str, token: bytes) -> bool:
        """Let it live on; False where it is ours no more."""

    @abstractmethod
    def _give_back(self, name: str, token: bytes) -> bool:
        """End it; False where it is ours no more."""

    def _hold(self, name: str, token: bytes) -> None:
        with self._changed:
            self._held[token] = name
            if self._renewing is None:
                self._renewing = threading.Thread(target=self._renew_all, name="vaultsession leases", daemon=True)
                self._renewing.start()

    def _let_go(self, name: str, token: bytes) -> None:
        """A lease that has ended, or a server that is away, is no reason to fail what was done under it."""
        idle: threading.Thread | None = None
        with self._changed:
            self._held.pop(token, None)
            if not self._held:
                idle, self._renewing = self._renewing, None
                self._changed.notify_all()
        if idle is not None:
            idle.join()
        try:
            if not self._give_back(name, token):
                _log.warning(_ENDED)
        except VaultError as error:
            _log.warning("the lease of a session was not given back and ends by itself: %s", error)

    def _renew_all(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._renewing is not me, self._renewal):
                    return
                held = list(self._held.items())
            for token, name in held:
                try:
                    if not self._renew(name, token):
                        _log.warning(_ENDED)
                        with self._changed:
                            self._held.pop(token, None)
                except VaultError as error:
                    _log.warning("the lease of a session was not renewed, and will be tried again: %s", error)
