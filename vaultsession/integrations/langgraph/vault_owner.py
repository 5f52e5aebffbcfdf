"""VaultOwner: what the classes of this folder do with the store that they stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...store.aio import AsyncSessionStore
from ...store.store import SessionStore
from ..adapter import StoreHandle, StoreOwner

T = TypeVar("T")


class VaultOwner(StoreOwner):
    """Stands on a store: its caller's, or one that was opened for it and is closed with it."""

    def _own(self, store: SessionStore[Any] | AsyncSessionStore[Any]) -> None:
        self._handle = StoreHandle(store)

    @property
    def _store(self) -> SessionStore[Any]:
        return self._handle.store

    async def _run(self, call: Callable[[], T]) -> T:
        """What the call returns, in the store's threads. It is finished even if its task is cancelled."""
        return await self._handle.aio._run(call)  # noqa: SLF001 - the adapters' way to the threads of a store
