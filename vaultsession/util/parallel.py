"""The same work over many items, side by side: what waits for a disk or a server then waits together.

Flushes that are under way at the same time share a commit of the file system's journal, which is most of what each of
them waits for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

from .fork import ForkSafe

T = TypeVar("T")
R = TypeVar("R")

THREADS = 8
MOST = 4 * THREADS
"""Threads of all batches of a process together."""
AHEAD = 3 * THREADS
"""Items that may have been begun before the caller has what came of the first of them; with fewer threads fewer."""


def parallel_map(
    work: Callable[[T], R], items: Iterable[T], *, overlap: bool, threads: int = THREADS
) -> Generator[R, None, None]:
    """What the work gives for each item, in order; in so many threads if ``overlap``. To be exhausted, or closed.

    Fewer threads, or none, where other batches of this process have theirs already.

    What the work raises ends the iteration: what is under way is waited for, and the rest of the items is not begun.
    """
    count = _allowance.take(threads) if overlap else 0
    if not count:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a millisecond that only a batch pays

    pool = ThreadPoolExecutor(count, thread_name_prefix="vaultsession-batch")
    begun: deque[Future[R]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) == AHEAD * threads // THREADS:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        _allowance.give_back(count)


class _Allowance(ForkSafe):
    """How many the batches of this process may still have."""

    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._guard = threading.Lock()
        self._left = MOST

    def take(self, wanted: int) -> int:
        """So many, or those that are left."""
        with self._guard:
            taken = min(wanted, self._left)
            self._left -= taken
            return taken

    def give_back(self, taken: int) -> None:
        """They are at rest."""
        with self._guard:
            self._left = min(MOST, self._left + taken)


_allowance = _Allowance()
