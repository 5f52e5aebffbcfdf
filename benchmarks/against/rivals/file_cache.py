"""cachelib's ``FileSystemCache``: a pickled file for each session, renamed into place and never flushed."""

from __future__ import annotations

from cachelib import FileSystemCache

from ..rival import Message, Rival


class FileCache(Rival):
    """Without a bound on sessions; nothing excludes another process between reading and writing."""

    def __init__(self, directory: str, *, cold: bool) -> None:
        del cold
        self._cache = FileSystemCache(directory, threshold=0, default_timeout=0)

    def save(self, id: str, messages: list[Message]) -> None:
        if not self._cache.set(id, messages):
            raise OSError("not written")

    def append(self, id: str, messages: list[Message]) -> None:
        self.save(id, self.load(id) + messages)

    def load(self, id: str) -> list[Message]:
        found = self._cache.get(id)
        if found is None:
            raise KeyError(id)
        return found


ADAPTER = FileCache
