"""The sweeper: one thread that removes what has expired, and sleeps in between."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..errors import VaultError

_log = logging.getLogger("vaultsession")


class Sweeper:
    """Calls ``sweep`` every ``interval`` seconds until stopped. A failed sweep is logged and tried again next time."""

    def __init__(self, sweep: Callable[[], int], interval: float) -> None:
        self._sweep = sweep
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vaultsession-sweeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a sweep under way is finished first."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                removed = self._sweep()
            except VaultError as error:
                _log.warning("sweep failed, will try again in %g s: %s", self._interval, error)
            else:
                if removed:
                    _log.info("swept %d expired sessions", removed)
