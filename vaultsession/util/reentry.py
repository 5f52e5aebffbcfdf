"""Re-entry: a signal handler runs within whatever its thread was doing, and would wait for ever for its lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..errors import BackendUnavailable

if TYPE_CHECKING:
    Lock = threading.RLock
else:
    Lock = type(threading.RLock())


def is_ours(lock: Lock) -> bool:
    """Whether this thread holds the lock. It says so itself: no interrupt can leave a wrong answer behind."""
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 - as threading.Condition asks


def not_ours(lock: Lock) -> Lock:
    """The lock that is given, to be held. ``BackendUnavailable`` at once where this thread holds it."""
    if lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - ``is_ours``, which every write would call
        raise BackendUnavailable(
            "this thread is in the middle of an operation of the store, and a signal handler or a finalizer of it "
            "asked for another: leave a flag there, and write when the operation has returned"
        )
    return lock
