"""Sessions of Strands, by messages, and as a snapshot that each turn writes anew. It does not flush its files."""

from __future__ import annotations

import json
from typing import Any

from strands.session.file_session_manager import FileSessionManager
from strands.storage import LocalFileStorage
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from vaultsession import RawKey, open_store
from vaultsession.integrations.strands import VaultSessionRepository, VaultStorage

from ...sample import Message
from ..store import KEY, SESSION, AsyncHistory, History, Store

FRAMEWORK = "strands"

_AGENT = "agent"


class RepositoryHistory(History):
    """A repository with one agent; ``base`` is what is closed."""

    def __init__(self, repository: Any, base: Any = None) -> None:
        self._repository = repository
        self._base = base
        self._count = 0
        repository.create_session(Session(SESSION, SessionType.AGENT))
        repository.create_agent(SESSION, SessionAgent(_AGENT, {}, {}))

    def turn(self, messages: list[Message]) -> None:
        for message in messages:
            said: Any = {"role": message["role"], "content": [{"text": str(message["content"])}]}
            self._repository.create_message(SESSION, _AGENT, SessionMessage.from_message(said, self._count))
            self._count += 1

    def load(self) -> int:
        return len(self._repository.list_messages(SESSION, _AGENT))

    def close(self) -> None:
        if self._base is not None:
            self._base.close()


class SnapshotHistory(AsyncHistory):
    """The whole history under one key, as ``SnapshotSessionManager`` writes it."""

    def __init__(self, storage: Any) -> None:
        super().__init__()
        self._storage = storage
        self._messages: list[Message] = []

    def turn(self, messages: list[Message]) -> None:
        self._messages += messages
        self.run(self._storage.write("session/latest.json", json.dumps(self._messages).encode()))

    def load(self) -> int:
        return len(json.loads(self.run(self._storage.read("session/latest.json"))))

    def close(self) -> None:
        if isinstance(self._storage, VaultStorage):
            self._storage.close()
        super().close()


def _repository(directory: str, **settings: Any) -> RepositoryHistory:
    store = open_store(f"{directory}/vault", key=RawKey(KEY), **settings)
    return RepositoryHistory(VaultSessionRepository(store), store)


def _storage(directory: str) -> SnapshotHistory:
    return SnapshotHistory(VaultStorage.from_url(f"{directory}/vault", key=RawKey(KEY)))


def _files(directory: str) -> RepositoryHistory:
    return RepositoryHistory(FileSessionManager("other", storage_dir=directory))


STORES = (
    Store("VaultSessionRepository", durable=True, encrypts=True, open=_repository),
    Store(
        "VaultSessionRepository, no cache",
        durable=True,
        encrypts=True,
        open=lambda place: _repository(place, cache_bytes=0),
    ),
    Store(
        "VaultSessionRepository, os",
        durable=False,
        encrypts=True,
        open=lambda place: _repository(place, durability="os"),
    ),
    Store("FileSessionManager", durable=False, encrypts=False, open=_files),
    Store("VaultStorage", durable=True, encrypts=True, open=_storage),
    Store(
        "LocalFileStorage",
        durable=False,
        encrypts=False,
        open=lambda place: SnapshotHistory(LocalFileStorage(place)),
    ),
)
