"""A history as one value of cachelib, as Flask-Session keeps a session: each turn sets all of it."""

from __future__ import annotations

from typing import Any

from cachelib import FileSystemCache

from vaultsession import RawKey
from vaultsession.integrations.cachelib import VaultCache

from ...sample import Message
from ..store import KEY, SESSION, History, Store

FRAMEWORK = "cachelib"


class CachedHistory(History):
    """One key."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self._messages: list[Message] = []

    def turn(self, messages: list[Message]) -> None:
        self._messages += messages
        self._cache.set(SESSION, self._messages)

    def load(self) -> int:
        return len(self._cache.get(SESSION))

    def close(self) -> None:
        if isinstance(self._cache, VaultCache):
            self._cache.close()


def _ours(directory: str, **settings: Any) -> CachedHistory:
    return CachedHistory(VaultCache.from_url(f"{directory}/vault", key=RawKey(KEY), default_timeout=0, **settings))


STORES = (
    Store("VaultCache", durable=True, encrypts=True, open=_ours),
    Store("VaultCache, os", durable=False, encrypts=True, open=lambda place: _ours(place, durability="os")),
    Store(
        "FileSystemCache",
        durable=False,
        encrypts=False,
        open=lambda place: CachedHistory(FileSystemCache(place, default_timeout=0)),
    ),
)
