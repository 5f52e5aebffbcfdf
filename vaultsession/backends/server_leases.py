"""ServerLeases: turn leases among processes and hosts. Each has a token, which its holder renews on the server.

A holder that died renews nothing, and its lease ends by itself. The server's clock alone says when: those of the hosts
need not agree. Who is the next (see ``LeaseAttempt``) holds a lease as well, of a name that is derived.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

from ..errors import VaultError
from ..format.ids import LOCATOR_LENGTH, locator_of
from ..util.fork import ForkSafe
from ..util.latch import Latch
from ..util.lazy import log
from ..util.lru import LRU
from .leases import OVERTAKING, LeaseAttempt, take_in_turn

LIFE = 30.0
"""Seconds that a lease outlives its last renewal: for as long a holder that died keeps others waiting."""

_RETURNED = 256
"""Leases of which a process knows when it gave them back last."""

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
        self._guard = threading.RLock()
        self._held: dict[bytes, str] = {}
        self._renewing: tuple[threading.Thread, Latch] | None = None
        self._returned: LRU[str, float] = LRU(most=_RETURNED)

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        """See ``Leases.lease``. ``BackendUnavailable`` where the server does not answer."""
        name, token = locator_of(key), os.urandom(16)
        place = hashlib.sha256(b"next " + name.encode()).hexdigest()[:LOCATOR_LENGTH]
        turn = LeaseAttempt(
            is_first=lambda: not self._returned_lately(name),  # to look whether others wait would cost a round trip
            take=lambda: self._take(name, token),
            become_next=lambda: self._take(place, token) and self._hold(place, token),
            stand_back=lambda: self._let_go(place, token),
        )
        take_in_turn(turn, timeout)
        try:
            self._hold(name, token)
            yield
        finally:
            self._returned.keep(name, time.monotonic())
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

    def _returned_lately(self, name: str) -> bool:
        since = self._returned.get(name)
        return since is not None and time.monotonic() - since < OVERTAKING

    def _hold(self, name: str, token: bytes) -> bool:
        """Have the lease renewed from now on. True."""
        with self._guard:
            self._held[token] = name
            if self._renewing is None:
                ended = Latch()
                thread = threading.Thread(
                    target=self._renew_all, args=(ended,), name="vaultsession leases", daemon=True
                )
                self._renewing = thread, ended
                thread.start()
        return True

    def _let_go(self, name: str, token: bytes) -> None:
        """A lease that has ended, or a server that is away, is no reason to fail what was done under it."""
        idle: tuple[threading.Thread, Latch] | None = None
        with self._guard:
            self._held.pop(token, None)
            if not self._held:
                idle, self._renewing = self._renewing, None
        if idle is not None:
            thread, ended = idle
            ended.set()
            thread.join()
        try:
            if not self._give_back(name, token):
                log.warning(_ENDED)
        except VaultError as error:
            log.warning("the lease of a session was not given back and ends by itself: %s", error)

    def _renew_all(self, ended: Latch) -> None:
        while not ended.wait(self._renewal):
            with self._guard:
                held = list(self._held.items())
            for token, name in held:
                try:
                    if not self._renew(name, token):
                        log.warning(_ENDED)
                        with self._guard:
                            self._held.pop(token, None)
                except VaultError as error:
                    log.warning("the lease of a session was not renewed, and will be tried again: %s", error)
