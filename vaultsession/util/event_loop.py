"""Event loops: threads awaited under asyncio, and under trio where that runs.

Nothing of trio is imported here before a program that runs under it has done so.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


async def result_of(future: Future[T]) -> T:
    """What a thread returns. A task that is cancelled waits no longer; the thread goes on."""
    loop = _trio()
    if loop is None:
        return await asyncio.shield(asyncio.wrap_future(future))
    await _done(loop, future).wait()
    return future.result()


async def settled(future: Future[T]) -> T:
    """What a thread returns. A task that is cancelled waits for it, and is cancelled when it has ended."""
    loop = _trio()
    if loop is None:
        return await _settled_in_asyncio(future)
    with loop.CancelScope(shield=True):
        await _done(loop, future).wait()
    try:
        await loop.lowlevel.checkpoint_if_cancelled()
    except BaseException:
        future.exception()  # retrieved, as under asyncio
        raise
    return future.result()


async def finished(future: Future[T]) -> T:
    """What a thread returns, also to a task that has been cancelled: for what has to be done behind it."""
    loop = _trio()
    if loop is None:
        return await _settled_in_asyncio(future)
    with loop.CancelScope(shield=True):
        await _done(loop, future).wait()
    return future.result()


async def in_thread(call: Callable[[], T]) -> T:
    """What the call returns from a thread of the loop's own."""
    loop = _trio()
    if loop is None:
        return await asyncio.to_thread(call)
    found: T = await loop.to_thread.run_sync(call)
    return found


class _Outcome(asyncio.Future[T]):
    """What a thread will return. No task leaves it: one that is cancelled raises ``CancelledError`` behind it.

    ``asyncio.shield`` around ``wrap_future`` does that too, in a third more of the time that the hop takes.
    """

    def cancel(self, msg: Any = None) -> bool:  # noqa: ANN401 - as of every future
        """Never."""
        del msg
        return False


async def _settled_in_asyncio(future: Future[T]) -> T:
    loop = asyncio.get_running_loop()
    outcome: _Outcome[T] = _Outcome(loop=loop)

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_follow, outcome, future)

    future.add_done_callback(tell)
    try:
        return await outcome
    except asyncio.CancelledError:
        if outcome.done():
            outcome.exception()  # retrieved, since nothing else will
        raise


def _follow(outcome: asyncio.Future[T], future: Future[T]) -> None:
    error = future.exception()
    if error is None:
        outcome.set_result(future.result())
    elif isinstance(error, StopIteration):  # no future takes it
        refused = RuntimeError("a function that was given to the store raised StopIteration")
        refused.__cause__ = error
        outcome.set_exception(refused)
    else:
        outcome.set_exception(error)


def _trio() -> Any:  # noqa: ANN401 - the module, whose types are not there where it is not
    """The module, where its loop is the one that runs in this thread; else None."""
    loop = sys.modules.get("trio")
    return loop if loop is not None and loop.lowlevel.in_trio_run() else None


def _done(loop: Any, future: Future[Any]) -> Any:  # noqa: ANN401 - as above
    """The event that is set in the loop when the thread has ended."""
    done = loop.Event()
    token = loop.lowlevel.current_trio_token()

    def tell(_: object) -> None:
        with contextlib.suppress(loop.RunFinishedError):
            token.run_sync_soon(done.set)

    future.add_done_callback(tell)
    return done
