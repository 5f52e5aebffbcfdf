"""The same work over many items, side by side: what waits for a disk or a server then waits together.

Flushes that are under way at the same time share a commit of the file system's journal, which is most of what each of
them waits for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

from .fork import ForkSafe

T = TypeVar("T")
R = TypeVar("R")

THREADS = 8
MOST = 4 * THREADS
"""Threads of all batches of a process together."""
_WAITS = 1.4
"""How often as long as it takes of the processor some work takes that waits enough for threads to be worth it."""

AHEAD = 3 * THREADS
"""Items that may have been begun before the caller has what came of the first of them; with fewer threads fewer."""


def parallel_map(
    work: Callable[[T], R], items: Iterable[T], *, overlap: bool, threads: int = THREADS, at_once: bool = True
) -> Generator[R, None, None]:
    """What the work gives for each item, in order; in so many threads if ``overlap``. To be exhausted, or closed.

    Fewer threads, or none, where other batches of this process have theirs already. Unless ``at_once`` none as long as
    the work hardly waits: then threads wait for the interpreter, and do less than half of what one does (of saves to a
    file system in memory, say).

    What the work raises ends the iteration: what is under way is waited for, and the rest of the items is not begun.
    """
    items = iter(items)
    if overlap and not at_once:
        yield from _until_it_waits(work, items)
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


def _until_it_waits(work: Callable[[T], R], items: Iterator[T]) -> Iterator[R]:
    """What the work gives for each item, up to that at which it has waited. The first is not counted: it is cold."""
    took = worked = 0.0
    for number, item in enumerate(items):
        began, busy = time.perf_counter(), time.thread_time()
        result = work(item)
        if number:
            took += time.perf_counter() - began
            worked += time.thread_time() - busy
        yield result
        if took > _WAITS * worked:
            return


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
