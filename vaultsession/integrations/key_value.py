"""py-key-value: ``VaultKeyValueStore``, an ``AsyncKeyValue`` with its side protocols, for FastMCP and others.

A key is one session of the vault::

    id      "key-value/COLLECTION/KEY", as ``composed_id`` has it
    state   {"collection": …, "key": …, "value": {…}}
    labels  framework, collection

It expires with its ``ttl``, of which ``cull`` removes what is left, as does every sweep of the vault.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, Unpack, cast

from ..errors import InvalidDocument, PartialFailure
from ..store.fields import DocumentFields, SessionFields
from ..store.open import OpenFields, Place
from ..store.session import Session
from .adapter import AsyncStoreOwner, Lent, StoreHandle, as_json, composed_id, framework, labelled

with framework("py-key-value-aio", extra="key-value", tried=("0.4.6", "0.5")):
    from key_value.aio._utils.managed_entry import ManagedEntry
    from key_value.aio.errors import SerializationError
    from key_value.aio.stores.base import (
        BaseCullStore,
        BaseDestroyCollectionStore,
        BaseDestroyStore,
        BaseEnumerateCollectionsStore,
        BaseEnumerateKeysStore,
    )

_PREFIX = "key-value"
_LABELS = {"framework": _PREFIX}


class VaultKeyValueStore(
    AsyncStoreOwner, BaseEnumerateKeysStore, BaseEnumerateCollectionsStore, BaseDestroyCollectionStore,
    BaseDestroyStore, BaseCullStore,
):  # fmt: skip
    """Keys in collections, in a vault. Several event loops and processes may use one.

    ::

        server = FastMCP("tools", session_state_store=VaultKeyValueStore.from_url("sessions"))

    ``fields`` are those of new sessions: ``user_id``, ``labels`` …. A batch is written side by side, each key by
    itself. Listing the collections looks at all keys. What ``destroy`` removes are the keys, and nothing else.
    """

    def __init__(
        self, store: Lent, *, default_collection: str | None = None, seed: Any = None, **fields: Unpack[SessionFields]
    ) -> None:
        self._handle = StoreHandle.of(store)
        self._fields = fields
        super().__init__(default_collection=default_collection, seed=seed, stable_api=True)

    @classmethod
    def from_url(
        cls,
        path_or_url: Place = None,
        *,
        default_collection: str | None = None,
        fields: SessionFields | None = None,
        **settings: Unpack[OpenFields],
    ) -> Self:
        """In a store of its own, opened as ``open_store`` does. ``close`` closes it."""
        return StoreHandle.opened(path_or_url, settings).closed_unless(
            lambda handle: cls(handle, default_collection=default_collection, **fields or {})
        )

    async def __aenter__(self) -> Self:
        await self.setup()
        return self

    # -- entries -------------------------------------------------------------------------------------------------------

    async def _get_managed_entry(self, *, collection: str, key: str) -> Any:
        return _entry(await self._handle.aio.get(_id(collection, key)))

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[Any]:
        ids = [_id(collection, key) for key in keys]
        found = await _whole(self._handle.aio.load_many(ids))
        return [_entry(found.get(each)) for each in ids]

    async def _put_managed_entry(self, *, key: str, collection: str, managed_entry: Any) -> None:
        await self._put({key: managed_entry}, collection)

    async def _put_managed_entries(
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[Any],
        ttl: float | None,
        created_at: datetime,
        expires_at: datetime | None,
    ) -> None:
        del ttl, created_at, expires_at  # they stand in each entry
        await self._put(dict(zip(keys, managed_entries, strict=True)), collection)

    async def _put(self, entries: Mapping[str, Any], collection: str) -> None:
        """Write entries of one life span, or remove what is there where that has ended in the meantime."""
        documents = [self._document(collection, key, entry) for key, entry in entries.items()]
        try:
            try:
                await _whole(self._handle.aio.save_many(documents))
            except InvalidDocument:
                await _whole(self._handle.aio.save_many([_plain(document) for document in documents]))
        except InvalidDocument:
            if not any(entry.is_expired for entry in entries.values()):
                raise
            await self._delete_managed_entries(collection=collection, keys=[*entries])

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        return await self._handle.aio.delete(_id(collection, key))

    async def _delete_managed_entries(self, *, keys: Sequence[str], collection: str) -> int:
        ids = [_id(collection, key) for key in dict.fromkeys(keys)]
        return int(await _whole(self._handle.aio.delete_many(ids)))

    # -- all of a collection, and of all -------------------------------------------------------------------------------

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> builtins.list[str]:
        if limit is not None and limit < 1:
            return []
        found = await self._handle.aio.list(labels=_labels(collection), limit=limit)
        return [info.title if info.title is not None else (await self._names(info.id))[1] for info in found]

    async def _get_collection_names(self, *, limit: int | None = None) -> builtins.list[str]:
        found: dict[str, str] = {}
        async for label, name in self._each_collection():
            if limit is not None and len(found) >= limit:
                break
            if label not in found:
                found[label] = (await self._names(name))[0]
        return [*found.values()]

    async def _delete_collection(self, *, collection: str) -> bool:
        found = await self._handle.aio.list(labels=_labels(collection))
        return bool(await _whole(self._handle.aio.delete_many([info.id for info in found])))

    async def _delete_store(self) -> bool:
        found = await self._handle.aio.list(labels=_LABELS)
        await _whole(self._handle.aio.delete_many([info.id for info in found]))
        return True

    async def _cull(self) -> None:
        await self._handle.aio.sweep()

    async def _each_collection(self) -> AsyncIterator[tuple[str, str]]:
        seen: set[str] = set()
        for info in await self._handle.aio.list(labels=_LABELS):
            label = info.labels.get("collection", "")
            if label not in seen:
                seen.add(label)
                yield label, info.id

    async def _names(self, id: str) -> tuple[str, str]:
        """The collection and the key of a session."""
        session: Session[Any] = await self._handle.aio.load(id)
        return session.state["collection"], session.state["key"]

    def _document(self, collection: str, key: str, entry: Any) -> DocumentFields:
        fields = {
            **labelled(self._fields, _labels(collection)),
            "id": _id(collection, key),
            "state": {"collection": collection, "key": key, "value": dict(entry.value)},
            "title": key if len(key) <= _LONGEST_TITLE else None,
            "ttl": None,
            "sliding": False,
            "created_at": entry.created_at,
            "expires_at": entry.expires_at,
        }
        return cast("DocumentFields", fields)


_LONGEST_TITLE = 1000
"""Characters of a key that a listing shows by itself."""


def _id(collection: str, key: str) -> str:
    return composed_id(_PREFIX, collection, key)


def _labels(collection: str) -> dict[str, str]:
    return {**_LABELS, "collection": composed_id(collection)}


def _entry(session: Session[Any] | None) -> Any:
    if session is None:
        return None
    return ManagedEntry(value=session.state["value"], created_at=session.created_at, expires_at=session.expires_at)


def _plain(document: DocumentFields) -> DocumentFields:
    """With a value that has become JSON first. ``SerializationError`` for one that cannot."""
    try:
        return {**document, "state": as_json(document["state"])}
    except (TypeError, ValueError) as error:
        raise SerializationError(f"Failed to serialize object to JSON: {error}") from error


async def _whole(verb: Any) -> Any:
    """What a verb over many returns; the error of the first that failed."""
    try:
        return await verb
    except PartialFailure as error:
        raise next(iter(error.failures.values())) from error
