"""What begins anew in the child of a fork: locks that another thread held, threads that are not there, connections."""

from __future__ import annotations

import os
import weakref


class ForkSafe:
    """Begins anew in the child of each fork, where nothing of the parent's may be used."""

    def __init__(self) -> None:
        _alive.add(self)

    def _begin_anew(self) -> None:
        """Nothing held, nothing running, nothing connected."""
        raise NotImplementedError


_alive: weakref.WeakSet[ForkSafe] = weakref.WeakSet()


def _begin_all_anew() -> None:
    for each in list(_alive):
        each._begin_anew()  # noqa: SLF001 - our own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_anew)
