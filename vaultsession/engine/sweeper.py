"""The sweeper: one thread that removes what has expired, and sleeps in between."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import SweepRefused, VaultError
from ..util.fork import ForkSafe
from ..util.latch import Latch
from ..util.lazy import log

_SETTLING = 1.0
"""Seconds before the first sweep in a forked child: whatever else begins anew there has done so by then."""


class Sweeper(ForkSafe):
    """Calls ``sweep`` every ``interval`` seconds until stopped, also in the child of a fork.

    A sweep that fails, however it does, is logged and tried again next time.
    """

    def __init__(self, sweep: Callable[[], int], interval: float) -> None:
        super().__init__()
        self._sweep = sweep
        self._interval = interval
        self._is_stopped = False
        self._refusal: str | None = None
        self._start(interval)

    def stop(self) -> None:
        """End the thread; a sweep under way is finished first."""
        self._is_stopped = True
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def problem(self) -> str | None:
        """Why nothing is swept; None where the thread runs and was not refused."""
        if self._is_stopped or self._thread.is_alive():
            return self._refusal
        return "the thread that sweeps has ended: call start_sweeper again"

    def _start(self, first: float) -> None:
        self._stopped = Latch()
        self._thread = threading.Thread(target=self._run, args=(first,), name="vaultsession-sweeper", daemon=True)
        self._thread.start()

    def _begin_anew(self) -> None:
        """In the child of a fork, where the thread is not."""
        if self._is_stopped:
            return
        try:
            self._start(max(self._interval, _SETTLING))
        except RuntimeError as error:
            log.warning("nothing is swept in the child of a fork: %s", error)

    def _run(self, first: float) -> None:
        stopped, delay = self._stopped, first
        while not stopped.wait(delay):
            delay = self._interval
            try:
                removed, self._refusal = self._sweep(), None
            except VaultError as error:
                self._refusal = str(error) if isinstance(error, SweepRefused) else None
                log.warning("sweep failed, will try again in %g s: %s", self._interval, error)
            except Exception:  # noqa: BLE001 - whatever it is, the next sweep may do
                log.exception("sweep failed, will try again in %g s", self._interval)
            else:
                if removed:
                    log.info("swept %d expired sessions", removed)
