"""diskcache: pickled values in SQLite, and in files where they are large."""

from __future__ import annotations

from diskcache import Cache

from ..rival import Message, Rival


class DiskCache(Rival):
    """The default flushes no commit and no file. ``durable`` flushes each commit, and keeps large values inside.

    Nothing is evicted, and writes do not remove what has expired on the way: the sweep does.
    """

    def __init__(self, directory: str, *, cold: bool, durable: bool = False) -> None:
        del cold
        more = {"sqlite_synchronous": 2, "disk_min_file_size": 1 << 40} if durable else {}
        self._cache = Cache(directory, eviction_policy="none", cull_limit=0, timeout=30, **more)

    def save(self, id: str, messages: list[Message]) -> None:
        self._cache.set(id, messages, retry=True)

    def append(self, id: str, messages: list[Message]) -> None:
        with self._cache.transact(retry=True):
            self._cache.set(id, self._cache.get(id) + messages)

    def load(self, id: str) -> list[Message]:
        return self._cache[id]

    def expiring(self, id: str, messages: list[Message]) -> None:
        self._cache.set(id, messages, expire=0.0001, retry=True)

    def sweep(self) -> int:
        return self._cache.expire()

    def close(self) -> None:
        self._cache.close()


ADAPTER = DiskCache
