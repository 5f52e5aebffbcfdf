"""A history as one value of py-key-value, as servers keep state: each turn puts all of it."""

from __future__ import annotations

from typing import Any

from key_value.aio.stores.memory import MemoryStore

from vaultsession import RawKey
from vaultsession.integrations.key_value import VaultKeyValueStore

from ...sample import Message
from ..store import KEY, SESSION, AsyncHistory, Store

FRAMEWORK = "key-value"


class ValueHistory(AsyncHistory):
    """One key."""

    def __init__(self, store: Any) -> None:
        super().__init__()
        self._store = store
        self._messages: list[Message] = []

    def turn(self, messages: list[Message]) -> None:
        self._messages += messages
        self.run(self._store.put(SESSION, {"messages": self._messages}))

    def load(self) -> int:
        return len(self.run(self._store.get(SESSION))["messages"])

    def close(self) -> None:
        if isinstance(self._store, VaultKeyValueStore):
            self.run(self._store.close())
        super().close()


def _ours(directory: str, **settings: Any) -> ValueHistory:
    return ValueHistory(VaultKeyValueStore.from_url(f"{directory}/vault", key=RawKey(KEY), **settings))


def _tree(directory: str) -> ValueHistory:
    from key_value.aio.stores.filetree import FileTreeStore  # noqa: PLC0415 - needs a package of its own

    return ValueHistory(FileTreeStore(data_directory=directory))


STORES = (
    Store("VaultKeyValueStore", durable=True, encrypts=True, open=_ours),
    Store("VaultKeyValueStore, os", durable=False, encrypts=True, open=lambda place: _ours(place, durability="os")),
    Store("FileTreeStore", durable=False, encrypts=False, open=_tree),
    Store("MemoryStore", durable=False, encrypts=False, open=lambda _: ValueHistory(MemoryStore())),
)
