"""Descriptors: how many this package may keep open in the process, and what closes some when there are no more."""

from __future__ import annotations

import errno
import os
import threading
import weakref
from typing import Protocol

from .fork import ForkSafe

try:
    import resource
except ImportError:  # pragma: no cover - Windows only
    LIMIT = 512
else:
    LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

_SHARE = 16
"""Of those that are open this part is closed together."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE)


def share(most: int, part: int) -> int:
    """That part of the descriptors of the process, and at most so many; 4 at least."""
    return most if LIMIT < 0 else max(4, min(most, LIMIT // part))  # negative: no limit


class Holder(Protocol):
    """What keeps files open that it can do without."""

    def __len__(self) -> int:
        """How many."""
        ...

    def close_one(self) -> bool:
        """Close the one that was used longest ago; False where none can be closed now."""
        ...


class Budget(ForkSafe):
    """A bound on what all holders of one kind keep open in this process. Safe from any thread."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self._begin_anew()
        _budgets.append(self)

    def _begin_anew(self) -> None:
        self._guard = threading.RLock()
        self._room = 0
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()

    def join(self, holder: Holder) -> None:
        """Count what it holds from now on."""
        with self._guard:
            self._holders.add(holder)

    def keep(self) -> None:
        """One more is open: close what is beyond the bound, of the holder that has most open.

        They are counted only where so many were opened since the last time as there was room for; so of a large number
        a few more are closed.
        """
        with self._guard:
            self._room -= 1
            if self._room >= 0:
                return
            holders = list(self._holders)
        total = sum(map(len, holders))
        if total > self.most:
            least = self.most - self.most // _SHARE
            while total > least:
                holders.sort(key=len)
                if not holders or not holders[-1].close_one():
                    break
                total -= 1
        self._room = self.most - total

    def clear(self) -> None:
        """Close all that can be closed."""
        with self._guard:
            holders = list(self._holders)
        for holder in holders:
            while holder.close_one():
                pass


_budgets: list[Budget] = []


def open_patiently(path: str, flags: int, mode: int = 0o777) -> int:
    """``os.open``; where no descriptor is left, what the stores of this process can do without is closed first."""
    try:
        return os.open(path, flags, mode)
    except OSError as error:
        if error.errno not in EXHAUSTED:
            raise
    for budget in _budgets:
        budget.clear()
    return os.open(path, flags, mode)
