"""Event loops: threads awaited under asyncio, and under trio where that runs.

Nothing of trio is imported here before a program that runs under it has done so.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .threads import SharedThreads

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


async def called(threads: SharedThreads, call: Callable[[], T]) -> T:
    """What a call returns from one of the threads. A task that is cancelled waits for it, as with ``settled``."""
    if _trio() is not None:
        return await settled(threads.submit(call))
    outcome: _Outcome[T] = _Outcome(loop=asyncio.get_running_loop())
    mailbox = threads.mailbox
    if mailbox is None or mailbox.loop is not outcome.get_loop():
        mailbox = threads.mailbox = Mailbox(outcome.get_loop())

    def work() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - the caller's
            mailbox.put(outcome, None, error)
        else:
            mailbox.put(outcome, result, None)

    threads.start(work)
    return await _waited_for(outcome)


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


class Mailbox:
    """What threads hand to one loop: outcomes that come together wake it up once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._is_called = False

    def put(self, outcome: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        """Have the loop settle the outcome. From any thread."""
        self._arrived.append((outcome, result, error))
        if not self._is_called:
            self._is_called = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop was closed: nobody waits any more
                self._arrived.clear()

    def _deliver(self) -> None:
        self._is_called = False  # before it is looked: what comes from now on calls again
        while self._arrived:
            _follow(*self._arrived.popleft())


async def _settled_in_asyncio(future: Future[T]) -> T:
    loop = asyncio.get_running_loop()
    outcome: _Outcome[T] = _Outcome(loop=loop)

    def tell(_: object) -> None:
        error = future.exception()
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_follow, outcome, None if error else future.result(), error)

    future.add_done_callback(tell)
    return await _waited_for(outcome)


async def _waited_for(outcome: _Outcome[T]) -> T:
    try:
        return await outcome
    except asyncio.CancelledError:
        if outcome.done():
            outcome.exception()  # retrieved, since nothing else will
        raise


def _follow(outcome: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if error is None:
        outcome.set_result(result)
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
