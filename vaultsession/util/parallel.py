"""The same work over many items, side by side: what waits for a disk or a server then waits together.

Flushes that are under way at the same time share a commit of the file system's journal, which is most of what each of
them waits for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

THREADS = 8
AHEAD = 3 * THREADS
"""Items that may have been begun before the caller has taken what came of the first of them."""


def parallel_map(work: Callable[[T], R], items: Iterable[T], *, overlap: bool) -> Generator[R, None, None]:
    """What the work gives for each item, in order; in eight threads if ``overlap``. To be exhausted, or closed.

    What the work raises ends the iteration: what is under way is waited for, and the rest of the items is not begun.
    """
    if not overlap:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a millisecond that only a batch pays

    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vaultsession-batch")
    begun: deque[Future[R]] = deque()
    try:
        for item in items:
            begun.append(threads.submit(work, item))
            if len(begun) == AHEAD:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
