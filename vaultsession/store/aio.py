"""AsyncSessionStore: the verbs of a SessionStore for asyncio, in a pool of threads.

Files have no asynchronous form, so each verb runs in a small pool of threads. A load of what is in the cache and
unchanged never leaves the event loop. A write that was started is finished even if its task is cancelled: the
task is cancelled when the write has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack

from ..engine.erasure import Receipt
from ..engine.listing import Order
from ..engine.operations import Existing
from ..engine.rotation import KeyUse, Rotation
from ..engine.search import Match, Needle
from ..engine.trainer import Trained
from ..errors import LeaseTimeout
from ..format.dictionaries import USUAL_SIZE
from ..format.payload import Json
from ..util.clock import Duration
from .bulk import Imported, Verified
from .conversation import AsyncConversation
from .fields import ConversationFields, DocumentFields, Filters, ImportedFields, SessionFields, shows_fields
from .session import Page, Session, SessionInfo
from .steps import AsyncAgent
from .store import SessionStore
from .typed_state import StateT

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 8

_END: Any = object()
"""Behind the last item of a stream."""

_SLICE = 0.25
"""Seconds that one wait for a lease takes, where the whole wait has no end."""


class AsyncSessionStore(Generic[StateT]):
    """A SessionStore whose verbs are awaited. Made by ``open_store_async``; use it as an async context manager.

    Every verb has the parameters, the result and the errors of its twin in ``SessionStore``.

    >>> import asyncio
    >>> from vaultsession import open_store_async
    >>> async def main():
    ...     async with await open_store_async("memory://") as store:
    ...         info = await store.append("alice", {"role": "user", "content": "hi"}, create=True)
    ...         return await store.messages("alice")
    >>> asyncio.run(main())
    [{'role': 'user', 'content': 'hi'}]
    """

    def __init__(self, store: SessionStore[StateT], threads: ThreadPoolExecutor | None = None) -> None:
        self._store = store
        self._threads = threads or _pool()

    @classmethod
    async def opened(cls, opening: Callable[[], SessionStore[StateT]]) -> Self:
        """The store that ``opening`` makes, opened in a thread of its own pool."""
        threads = _pool()
        made: list[SessionStore[StateT]] = []
        try:
            await _settled(threads, lambda: made.append(opening()))
        except BaseException:
            if made:  # cancelled meanwhile: no caller has it to close
                await _settled(threads, made[0].close)
            threads.shutdown(wait=False)
            raise
        return cls(made[0], threads)

    @shows_fields(ImportedFields)
    async def create(
        self,
        id: str | None = None,
        *,
        state: StateT | None = None,
        messages: Sequence[Json] = (),
        **fields: Unpack[ImportedFields],
    ) -> Session[StateT]:
        """See ``SessionStore.create``."""
        return await self._run(self._store.create, id, state=state, messages=messages, **fields)

    @shows_fields(ImportedFields)
    async def save(
        self,
        session: Session[StateT] | str,
        *,
        overwrite: bool = False,
        state: StateT | None = None,
        messages: Sequence[Json] = (),
        **fields: Unpack[ImportedFields],
    ) -> Session[StateT]:
        """See ``SessionStore.save``."""
        return await self._run(self._store.save, session, overwrite=overwrite, state=state, messages=messages, **fields)

    async def load(self, id: str) -> Session[StateT]:
        """See ``SessionStore.load``. From the cache without leaving the event loop."""
        warm = self._store.load_if_warm(id)
        return warm if warm is not None else await self._run(self._store.load, id)

    async def get(self, id: str, default: Any = None) -> Any:  # noqa: ANN401 - as in dict.get
        """See ``SessionStore.get``."""
        return await self._run(self._store.get, id, default)

    @shows_fields(SessionFields)
    async def copy(
        self, id: str, new_id: str | None = None, *, until: int | None = None, **fields: Unpack[SessionFields]
    ) -> Session[StateT]:
        """See ``SessionStore.copy``."""
        return await self._run(self._store.copy, id, new_id, until=until, **fields)

    async def delete(self, id: str, *, shred: bool = False) -> bool:
        """See ``SessionStore.delete``."""
        return await self._run(self._store.delete, id, shred=shred)

    async def exists(self, id: str) -> bool:
        """See ``SessionStore.exists``."""
        return await self._run(self._store.exists, id)

    async def append(self, id: str, *messages: Json, create: bool = False, dedupe: bool = False) -> SessionInfo:
        """See ``SessionStore.append``."""
        return await self._run(self._store.append, id, *messages, create=create, dedupe=dedupe)

    async def messages(
        self, id: str, *, offset: int | None = None, limit: int | None = None, last: int | None = None
    ) -> list[Json]:
        """See ``SessionStore.messages``."""
        return await self._run(self._store.messages, id, offset=offset, limit=limit, last=last)

    async def pop(self, id: str, n: int = 1) -> list[Json]:
        """See ``SessionStore.pop``."""
        return await self._run(self._store.pop, id, n)

    async def clear(self, id: str) -> SessionInfo:
        """See ``SessionStore.clear``."""
        return await self._run(self._store.clear, id)

    async def update(self, id: str, changes: Mapping[str, Any] | Callable[[Session[StateT]], object]) -> SessionInfo:
        """See ``SessionStore.update``. A function is called in a thread."""
        return await self._run(self._store.update, id, changes)

    @contextlib.asynccontextmanager
    async def edit(self, id: str) -> AsyncIterator[Session[StateT]]:
        """See ``SessionStore.edit``."""
        session = await self.load(id)
        yield session
        await self.save(session)

    async def touch(self, id: str, ttl: Duration | None = None) -> SessionInfo:
        """See ``SessionStore.touch``."""
        return await self._run(self._store.touch, id, ttl)

    @contextlib.asynccontextmanager
    async def lease(self, id: str, timeout: float | None = None) -> AsyncIterator[None]:  # noqa: ASYNC109 - as its twin
        """See ``SessionStore.lease``. Waiting for a lease takes a thread of its own, so that waiters block no verb."""
        abandoned = threading.Event()
        wait = functools.partial(_entered, functools.partial(self._store.lease, id), timeout, abandoned)
        thread = ThreadPoolExecutor(1, thread_name_prefix="vaultsession-lease")
        try:
            entering = asyncio.get_running_loop().run_in_executor(thread, wait)
            try:
                held = await asyncio.shield(entering)
            except asyncio.CancelledError:
                # A cancelled waiter must not hold the lease for ever: it is released as soon as it is given.
                abandoned.set()
                entering.add_done_callback(lambda done: done.exception() or done.result().__exit__(None, None, None))
                raise
            try:
                yield
            finally:
                await _settled(thread, functools.partial(held.__exit__, None, None, None))
        finally:
            thread.shutdown(wait=False)

    @shows_fields(ConversationFields)
    def conversation(
        self, id: str | None = None, *, agent: AsyncAgent, **fields: Unpack[ConversationFields]
    ) -> AsyncConversation:
        """See ``SessionStore.conversation``. Not awaited itself: its own verbs are."""
        return AsyncConversation(self, id, agent=agent, **fields)

    @shows_fields(Filters)
    async def list(
        self,
        *,
        order: Order = "newest",
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """See ``SessionStore.list``."""
        return await self._run(self._store.list, order=order, limit=limit, offset=offset, after=after, **filters)

    @shows_fields(Filters)
    async def count(self, **filters: Unpack[Filters]) -> int:
        """See ``SessionStore.count``."""
        return await self._run(self._store.count, **filters)

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

    async def save_many(
        self, sessions: Iterable[Session[StateT] | DocumentFields], *, overwrite: bool = False
    ) -> Sequence[Session[StateT]]:
        """See ``SessionStore.save_many``."""
        return await self._run(self._store.save_many, sessions, overwrite=overwrite)

    async def load_many(self, ids: Iterable[str]) -> Mapping[str, Session[StateT]]:
        """See ``SessionStore.load_many``."""
        return await self._run(self._store.load_many, ids)

    async def delete_many(self, ids: Iterable[str]) -> int:
        """See ``SessionStore.delete_many``."""
        return await self._run(self._store.delete_many, ids)

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

    async def import_(
        self,
        lines: Iterable[bytes],
        *,
        existing: Existing = "error",
        progress: Callable[[int], object] | None = None,
    ) -> Imported:
        """See ``SessionStore.import_``. ``lines`` are read, and ``progress`` is called, in a thread."""
        return await self._run(self._store.import_, lines, existing=existing, progress=progress)

    async def sweep(self, *, dry_run: bool = False, progress: Callable[[int], object] | None = None) -> int:
        """See ``SessionStore.sweep``. ``progress`` is called in a thread."""
        return await self._run(self._store.sweep, dry_run=dry_run, progress=progress)

    async def start_sweeper(self, interval: Duration = "5m") -> None:
        """See ``SessionStore.start_sweeper``."""
        await self._run(self._store.start_sweeper, interval)

    async def verify(self, *, progress: Callable[[int], object] | None = None) -> Verified:
        """See ``SessionStore.verify``. ``progress`` is called in a thread."""
        return await self._run(self._store.verify, progress=progress)

    async def rotate_key(self, *, progress: Callable[[int, int], object] | None = None) -> Rotation:
        """See ``SessionStore.rotate_key``. ``progress`` is called in a thread."""
        return await self._run(self._store.rotate_key, progress=progress)

    async def prune_keys(self) -> tuple[str, ...]:
        """See ``SessionStore.prune_keys``."""
        return await self._run(self._store.prune_keys)

    async def key_usage(self) -> Sequence[KeyUse]:
        """See ``SessionStore.key_usage``."""
        return await self._run(self._store.key_usage)

    async def destroy_tenant(self, tenant_id: str) -> Receipt:
        """See ``SessionStore.destroy_tenant``."""
        return await self._run(self._store.destroy_tenant, tenant_id)

    async def reindex(self) -> None:
        """See ``SessionStore.reindex``."""
        await self._run(self._store.reindex)

    @shows_fields(Filters)
    async def train(
        self,
        *,
        size: int = USUAL_SIZE,
        dry_run: bool = False,
        progress: Callable[[int, int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> Trained:
        """See ``SessionStore.train``. ``progress`` is called in a thread."""
        return await self._run(self._store.train, size=size, dry_run=dry_run, progress=progress, **filters)

    async def stats(self) -> dict[str, Any]:
        """See ``SessionStore.stats``."""
        return await self._run(self._store.stats)

    async def health(self) -> dict[str, Any]:
        """See ``SessionStore.health``. In a thread of its own: a probe waits for no verb."""
        return await asyncio.to_thread(self._store.health)

    async def close(self) -> None:
        """See ``SessionStore.close``."""
        with contextlib.suppress(RuntimeError):  # the pool is gone: closed before
            await self._run(self._store.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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
        return await _settled(self._threads, functools.partial(context.run, verb, *args, **kwargs))


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


async def _settled(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    """What the call returns from its thread. A cancelled task waits for it: no write outlives its task."""
    running = asyncio.get_running_loop().run_in_executor(threads, call)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # retrieved, since nothing else will
        raise


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="vaultsession")
