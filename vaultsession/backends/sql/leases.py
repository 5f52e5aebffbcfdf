"""Turn leases among processes and hosts: a row with a token, which its holder renews and anyone may take over late.

The server's clock alone says what is late, in the statement that takes it; the clocks of the hosts need not agree.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator

import sqlalchemy as sa

from ...errors import LeaseTimeout, VaultError
from ...format.ids import locator_of
from .database import Database, OutcomeUnknown, pause
from .tables import Tables

_log = logging.getLogger("vaultsession")

LIFE = 30
"""Seconds that a lease outlives its holder's last renewal: as long a holder that died keeps others waiting."""

RENEWAL = LIFE / 4

_NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "mysql": "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
}
"""Microseconds since 1970, by the clock of the server."""

_SLOWEST_LOOK = 7
"""Waiting looks again after 1 ms at first and 100 ms at last, as ``pause`` counts."""


class SqlLeases:
    """Leases as rows. One thread renews all that this process holds. Safe from any thread."""

    def __init__(self, database: Database, tables: Tables, *, life: float = LIFE, renewal: float = RENEWAL) -> None:
        self._database = database
        self._renewal = renewal
        now: sa.ColumnElement[int] = sa.literal_column(_NOW[database.dialect], sa.BigInteger)
        later = now + int(life * 1_000_000)
        rows = tables.leases.c
        here: sa.BindParameter[bytes] = sa.bindparam("here")
        token: sa.BindParameter[bytes] = sa.bindparam("mine")
        self._take = tables.leases.insert().values(locator=here, token=token, expires=later)
        self._take_over = tables.leases.update().where(rows.locator == here, rows.expires <= now)
        self._take_over = self._take_over.values(token=token, expires=later)
        self._renew = tables.leases.update().where(rows.locator == here, rows.token == token).values(expires=later)
        self._let_go = tables.leases.delete().where(rows.locator == here, rows.token == token)
        self._renewing: threading.Thread | None = None
        self._begin()

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        """See ``Leases.lease``."""
        names = {"here": locator_of(key).encode(), "mine": os.urandom(16)}
        patience = None if timeout is None else max(0.0, timeout)
        began, attempt = time.monotonic(), 0
        while not self._is_taken(names):
            if patience is not None and time.monotonic() - began >= patience:
                raise LeaseTimeout(f"the session is being answered elsewhere; waited {timeout:g} s for its lease")
            pause(attempt)
            attempt = min(attempt + 1, _SLOWEST_LOOK)
        try:
            self._hold(names)
            yield
        finally:
            with self._changed:
                self._held.pop(names["mine"], None)
            try:
                self._database.change(lambda connection: connection.execute(self._let_go, names).rowcount >= 0)
            except (VaultError, OutcomeUnknown) as error:
                _log.warning("a lease could not be given back; it ends by itself in %s s: %s", LIFE, error)

    def close(self) -> None:
        """Renew no longer. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.join()

    def begin_anew(self) -> None:
        """In the child of a fork: the leases are the parent's, and so is the thread that renews them."""
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[bytes, dict[str, bytes]] = {}
        self._renewing = None
        self._closed = False

    def _is_taken(self, names: dict[str, bytes]) -> bool:
        def take_over(connection: sa.Connection) -> bool:
            return connection.execute(self._take_over, names).rowcount == 1

        def take(connection: sa.Connection) -> bool:
            connection.execute(self._take, names)
            return True

        try:
            return self._database.change(take) or self._database.change(take_over)
        except OutcomeUnknown:
            # Perhaps it is ours. If so, the look that finds it held waits until it ends by itself.
            return False

    def _hold(self, names: dict[str, bytes]) -> None:
        with self._changed:
            self._held[names["mine"]] = names
            if self._renewing is None and not self._closed:
                self._renewing = threading.Thread(target=self._renew_all, name="vaultsession leases", daemon=True)
                self._renewing.start()

    def _renew_all(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, self._renewal):
                    return
                held = list(self._held.values())
            for names in held:
                try:
                    self._database.ask(lambda connection, names=names: connection.execute(self._renew, names).rowcount)  # type: ignore[misc] # a lambda with a default is not inferred
                except VaultError as error:
                    _log.warning("a lease could not be renewed: %s", error)
