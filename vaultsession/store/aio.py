"""AsyncSessionStore: the verbs of a SessionStore for asyncio and trio, in a pool of threads.

Files have no asynchronous form, so each verb runs in a thread, of a pool that all stores of the process share. A load
of what is in the cache and unchanged never leaves the event loop. A write that was started is finished even if its task
is cancelled: the task is cancelled when the write has ended.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from ..engine.search import Match, Needle
from ..errors import LeaseTimeout
from ..util.event_loop import called, finished, in_thread, result_of, settled
from ..util.threads import SharedThreads
from .conversation import AsyncConversation
from .fields import ConversationFields, Filters, shows_fields
from .open import OpenFields, Place, open_store
from .session import Session
from .steps import AsyncAgent
from .store import SessionStore
from .typed_state import StateT

P = ParamSpec("P")
T = TypeVar("T")

_END: Any = object()
"""Behind the last item of a stream."""

_SLICE = 0.25
"""Seconds that one wait for a lease takes, where the whole wait has no end."""


def _awaited(
    verb: Callable[Concatenate[SessionStore[StateT], P], T],
) -> Callable[Concatenate[AsyncSessionStore[StateT], P], Coroutine[Any, Any, T]]:
    """The verb of a store, awaited: it runs in a thread."""
    name = verb.__name__

    @functools.wraps(verb)
    async def run(store: AsyncSessionStore[StateT], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await store._run(getattr(store._store, name), *args, **kwargs)  # noqa: SLF001 - a method of the class

    return run


class AsyncSessionStore(Generic[StateT]):
    """A SessionStore whose verbs are awaited. Made by ``open_store_async``; use it as an async context manager.

    ``AsyncSessionStore(store)`` is one over a store that is open, for a program with callers of both kinds: one store,
    which either closes. Every verb has the parameters, the result and the errors of its twin in ``SessionStore``. What
    a verb is given to call or to read runs in a thread: ``progress``, the function of ``update``, the ``lines`` of
    ``import_``.

    >>> import asyncio
    >>> from vaultsession import open_store_async
    >>> async def main():
    ...     async with await open_store_async("memory://") as store:
    ...         info = await store.append("alice", {"role": "user", "content": "hi"}, create=True)
    ...         return await store.messages("alice")
    >>> asyncio.run(main())
    [{'role': 'user', 'content': 'hi'}]
    """

    def __init__(self, store: SessionStore[StateT], threads: SharedThreads | None = None) -> None:
        self._store = store
        self._threads = threads or SharedThreads()

    @classmethod
    async def opened(cls, opening: Callable[[], SessionStore[StateT]]) -> Self:
        """The store that ``opening`` makes, opened in a thread."""
        threads = SharedThreads()
        made: list[SessionStore[StateT]] = []
        try:
            await settled(threads.submit(lambda: made.append(opening())))
        except BaseException:
            if made:  # cancelled meanwhile: no caller has it to close
                await finished(threads.submit(made[0].close))
            threads.close()
            raise
        return cls(made[0], threads)

    create = _awaited(SessionStore[StateT].create)
    save = _awaited(SessionStore[StateT].save)

    async def load(self, id: str) -> Session[StateT]:
        """See ``SessionStore.load``. From the cache without leaving the event loop."""
        warm = self._store.load_if_warm(id)
        return warm if warm is not None else await self._run(self._store.load, id)

    get = _awaited(SessionStore.get)
    copy = _awaited(SessionStore[StateT].copy)
    delete = _awaited(SessionStore.delete)
    exists = _awaited(SessionStore.exists)
    append = _awaited(SessionStore.append)
    replace_last = _awaited(SessionStore.replace_last)
    info = _awaited(SessionStore.info)
    messages = _awaited(SessionStore.messages)
    pop = _awaited(SessionStore.pop)
    clear = _awaited(SessionStore.clear)
    touch = _awaited(SessionStore.touch)
    update = _awaited(SessionStore[StateT].update)
    snapshot = _awaited(SessionStore[StateT].snapshot)

    @contextlib.asynccontextmanager
    async def edit(self, id: str) -> AsyncIterator[Session[StateT]]:
        """See ``SessionStore.edit``."""
        session = await self.load(id)
        yield session
        await self.save(session)

    @contextlib.asynccontextmanager
    async def lease(self, id: str, timeout: float | None = None) -> AsyncIterator[None]:  # noqa: ASYNC109 - as its twin
        """See ``SessionStore.lease``. Waiting for a lease takes a thread of its own, so that waiters block no verb."""
        abandoned = threading.Event()
        wait = functools.partial(_entered, functools.partial(self._store.lease, id), timeout, abandoned)
        thread = ThreadPoolExecutor(1, thread_name_prefix="vaultsession-lease")
        try:
            entering = thread.submit(wait)
            try:
                held = await result_of(entering)
            except BaseException:
                # A cancelled waiter must not hold the lease for ever: it is released as soon as it is given.
                abandoned.set()
                entering.add_done_callback(lambda done: done.exception() or done.result().__exit__(None, None, None))
                raise
            try:
                yield
            finally:
                await finished(thread.submit(held.__exit__, None, None, None))
        finally:
            thread.shutdown(wait=False)

    @shows_fields(ConversationFields)
    def conversation(
        self, id: str | None = None, *, agent: AsyncAgent, **fields: Unpack[ConversationFields]
    ) -> AsyncConversation:
        """See ``SessionStore.conversation``. Not awaited itself: its own verbs are."""
        return AsyncConversation(self, id, agent=agent, **fields)

    list = _awaited(SessionStore.list)
    count = _awaited(SessionStore.count)

    @shows_fields(Filters)
    def search(
        self,
        needle: Needle,
        *,
        ignore_case: bool = False,
        state: bool = False,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[Match]:
        """See ``SessionStore.search``. ``progress`` is called in a thread."""
        found = self._store.search(
            needle, ignore_case=ignore_case, state=state, limit=limit, progress=progress, **filters
        )
        return self._streamed(found)

    save_many = _awaited(SessionStore[StateT].save_many)
    load_many = _awaited(SessionStore[StateT].load_many)

    def load_each(self, ids: Iterable[str]) -> AsyncIterator[Session[StateT]]:
        """See ``SessionStore.load_each``. ``ids`` are read in a thread."""
        return self._streamed(self._store.load_each(ids))

    delete_many = _awaited(SessionStore.delete_many)

    @shows_fields(Filters)
    def export(
        self,
        ids: Iterable[str] | None = None,
        *,
        progress: Callable[[int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[bytes]:
        """See ``SessionStore.export``. ``progress`` is called in a thread."""
        return self._streamed(self._store.export(ids, progress=progress, **filters))

    import_ = _awaited(SessionStore.import_)
    sweep = _awaited(SessionStore.sweep)
    verify = _awaited(SessionStore.verify)
    rotate_key = _awaited(SessionStore.rotate_key)
    prune_keys = _awaited(SessionStore.prune_keys)
    key_usage = _awaited(SessionStore.key_usage)
    destroy_tenant = _awaited(SessionStore.destroy_tenant)
    start_sweeper = _awaited(SessionStore.start_sweeper)
    reindex = _awaited(SessionStore.reindex)
    train = _awaited(SessionStore.train)
    stats = _awaited(SessionStore.stats)

    async def health(self) -> dict[str, Any]:
        """See ``SessionStore.health``. In a thread of its own: a probe waits for no verb."""
        return await in_thread(self._store.health)

    @property
    def closed(self) -> bool:
        """See ``SessionStore.closed``."""
        return self._store.closed

    async def close(self) -> None:
        """See ``SessionStore.close``."""
        with contextlib.suppress(RuntimeError):  # closed before
            await finished(self._threads.submit(self._store.close))
        self._threads.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def run(self, function: Callable[[SessionStore[StateT]], T]) -> T:
        """What a function returns that is called with the store, in one thread: several verbs, awaited once.

        As with a verb, what was begun is finished even if the task is cancelled.
        """
        return await self._run(function, self._store)

    async def _streamed(self, found: Iterator[T]) -> AsyncIterator[T]:
        """What an iterator gives, each looked for in a thread; it is closed with this one."""
        try:
            while (item := await self._run(next, found, _END)) is not _END:
                yield item
        finally:
            if isinstance(found, Generator):
                found.close()

    async def _run(self, verb: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        context = contextvars.copy_context()  # for spans: their parent is the caller's
        return await called(self._threads, functools.partial(context.run, verb, *args, **kwargs))


def _entered(
    lease: Callable[[float | None], contextlib.AbstractContextManager[None]],
    timeout: float | None,
    abandoned: threading.Event,
) -> contextlib.AbstractContextManager[None]:
    """The lease, entered. A wait without end is one of slices, so that no thread waits for a task that has ended."""
    while True:
        held = lease(_SLICE if timeout is None else timeout)
        try:
            held.__enter__()
        except LeaseTimeout:
            if timeout is not None or abandoned.is_set():
                raise
            continue
        if abandoned.is_set():
            held.__exit__(None, None, None)
            raise LeaseTimeout("given to a task that had stopped waiting")
        return held


@overload
async def open_store_async(
    path_or_url: Place = None, *, state_type: type[StateT], **fields: Unpack[OpenFields]
) -> AsyncSessionStore[StateT]: ...
@overload
async def open_store_async(path_or_url: Place = None, **fields: Unpack[OpenFields]) -> AsyncSessionStore: ...
async def open_store_async(path_or_url: Place = None, **fields: Any) -> AsyncSessionStore[Any]:
    """``open_store``, for asyncio: the same parameters.

    >>> import asyncio
    >>> async def main():
    ...     async with await open_store_async("memory://", ttl="24h") as store:
    ...         return (await store.create("alice")).ttl
    >>> asyncio.run(main())
    datetime.timedelta(days=1)
    """
    return await AsyncSessionStore.opened(functools.partial(open_store, path_or_url, **fields))


open_store_async.__signature__ = inspect.signature(open_store).replace(  # type: ignore[attr-defined]
    return_annotation="AsyncSessionStore[Any]"
)
