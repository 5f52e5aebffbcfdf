"""VaultSaver: a checkpointer of LangGraph. ``thread_log`` says what it writes."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack, cast

from ...errors import Unreadable
from ...format.payload import Json
from ...format.thread_log import Beyond, RecordDraft, ThreadLog
from ...store.fields import SessionFields
from ...store.open import OpenFields, Place
from ..adapter import Lent, StoreHandle, StoreOwner, framework
from .serialized_values import SerializedValues
from .stored_checkpoints import StoredCheckpoint, channel_histories, copied, walks
from .thread_logs import ThreadLogs

with framework("langgraph-checkpoint", extra="langgraph", tried=("4.3", "4.4")):
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        get_checkpoint_id,
        get_checkpoint_metadata,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol

Config = Any
"""LangGraph's RunnableConfig."""

_log = logging.getLogger("vaultsession")

P = ParamSpec("P")
T = TypeVar("T")

_APART = ("channel_values", "channel_versions")
_SNAPSHOTS = "counters_since_delta_snapshot"


def _awaited(
    verb: Callable[Concatenate[VaultSaver, P], T],
) -> Callable[Concatenate[VaultSaver, P], Coroutine[Any, Any, T]]:
    """The verb of a saver, awaited: it runs in a thread, and is finished even if its task is cancelled."""

    @wraps(verb)
    async def run(saver: VaultSaver, /, *args: P.args, **kwargs: P.kwargs) -> T:
        call = partial(getattr(saver, verb.__name__), *args, **kwargs)
        return await saver._handle.run(call)  # noqa: SLF001 - a method of the class

    return run


class VaultSaver(StoreOwner, BaseCheckpointSaver[str]):
    """Keeps the checkpoints of a graph's threads: one session for each thread, with all of its namespaces.

    ``store`` stays its caller's; ``from_url`` opens one, which ``close`` or leaving its context closes. ``fields`` are
    those of ``SessionStore.create`` for the session of a new thread: ``ttl``, ``tenant_id`` …; ``user_id`` and
    ``assistant_id`` are taken from the configuration of a run that has them. Safe from any thread; sync and async.

    An unknown or expired thread has no checkpoint. A wrong key and damage are raised. A step is one record: the
    checkpoint with what changed in it, all or nothing, flushed before ``put`` returns.
    """

    def __init__(
        self, store: Lent, *, serde: SerializerProtocol | None = None, **fields: Unpack[SessionFields]
    ) -> None:
        super().__init__(serde=serde)
        self._handle = StoreHandle.of(store)
        self._logs = ThreadLogs(self._store, fields)

    @classmethod
    def from_url(
        cls, path_or_url: Place = None, *, serde: SerializerProtocol | None = None, **fields: Unpack[OpenFields]
    ) -> Self:
        """A saver over a vault that is opened for it as by ``open_store``, with the same errors, and closed with it."""
        return StoreHandle.opened(path_or_url, fields).closed_unless(lambda handle: cls(handle, serde=serde))

    # -- reading -------------------------------------------------------------------------------------------------------

    def get_tuple(self, config: Config) -> CheckpointTuple | None:
        """The checkpoint of the configuration's id, or the newest of its thread and namespace, or None."""
        thread, space = _place(config)
        name = get_checkpoint_id(config)

        def look(log: ThreadLog) -> StoredCheckpoint | None:
            found = log.checkpoint(space, name) if name else log.newest(space)
            return None if found is None else StoredCheckpoint(log, thread, space, found)

        stored = self._logs.read(thread, space, look)
        if stored is None:
            return None
        read = self._tuple(stored)
        return read._replace(config=config) if name else read

    def list(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """The checkpoints of a thread, or of all, newest first within a namespace.

        ``filter`` compares fields of the metadata; only checkpoints with an id below that of ``before`` are listed. Of
        all threads those that cannot be read are left out, and logged by their ids.
        """
        end = get_checkpoint_id(before) if before else None
        left = limit
        for thread, space, name in self._named(config):
            if left is not None and left <= 0:
                return
            if end and name >= end:
                continue
            stored = self._logs.read(thread, None, partial(self._match, thread, space, name, filter or {}))
            if stored is not None:
                left = None if left is None else left - 1
                yield self._tuple(stored)

    def _named(self, config: Config | None) -> Iterator[tuple[str, str, str]]:
        """Thread, namespace and id of each checkpoint that a configuration means."""
        if config is not None:
            thread, _ = _place(config)
            space, name = config["configurable"].get("checkpoint_ns"), get_checkpoint_id(config)
            yield from self._logs.read(thread, None, lambda log: _names(log, thread, space, name)) or ()
            return
        for thread in self._logs.threads():
            try:
                names = self._logs.read(thread, None, partial(_names, thread=thread))
            except Unreadable as error:
                _log.warning("thread %r was left out of a listing: %s", thread, error)
            else:
                yield from names or ()

    def _match(
        self, thread: str, space: str, name: str, filter: Mapping[str, Any], log: ThreadLog
    ) -> StoredCheckpoint | None:
        """The checkpoint, if its metadata match."""
        found = log.checkpoint(space, name)
        if found is None:
            return None  # removed meanwhile
        if filter:
            metadata = self._values.load(found.metadata)
            if not all(metadata.get(field) == value for field, value in filter.items()):
                return None
        return StoredCheckpoint(log, thread, space, found)

    def get_delta_channel_history(self, *, config: Config, channels: Sequence[str]) -> Mapping[str, Any]:
        """What the ancestors of a checkpoint wrote to channels, and the values that these began with: one walk."""
        if not channels:
            return {}
        thread, space = _place(config)
        name = get_checkpoint_id(config)
        histories = self._logs.read(thread, space, lambda log: channel_histories(log, space, name, channels)) or {}
        found: dict[str, Any] = {}
        for channel in channels:
            seed, writes = histories.get(channel, (None, []))
            found[channel] = {"writes": [(task, channel, self._values.load(value)) for task, value in reversed(writes)]}
            if seed is not None:
                found[channel]["seed"] = self._values.load(seed)
        return found

    def _tuple(self, stored: StoredCheckpoint) -> CheckpointTuple:
        """A checkpoint, made anew of what is stored."""
        checkpoint = self._values.load(stored.checkpoint.head)
        checkpoint["channel_versions"] = dict(stored.checkpoint.versions)
        checkpoint["channel_values"] = {channel: self._values.load(value) for channel, value in stored.values.items()}
        parent = stored.checkpoint.parent
        return CheckpointTuple(
            config=_config(stored.thread, stored.space, stored.checkpoint.id),
            checkpoint=checkpoint,
            metadata=self._values.load(stored.checkpoint.metadata),
            parent_config=_config(stored.thread, stored.space, parent) if parent else None,
            pending_writes=[(task, channel, self._values.load(value)) for task, channel, value in stored.writes],
        )

    # -- writing -------------------------------------------------------------------------------------------------------

    def put(
        self, config: Config, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> Config:
        """Keep a checkpoint, whose parent is the configuration's; ``new_versions`` says which values are new."""
        thread, space = _place(config)
        name, values = checkpoint["id"], checkpoint["channel_values"]
        rest = {key: value for key, value in checkpoint.items() if key not in _APART}
        record: Json = {"checkpoint": name, "head": self._values.dump(rest)}
        if parent := config["configurable"].get("checkpoint_id"):
            record["parent"] = parent
        record["metadata"] = self._values.dump(get_checkpoint_metadata(config, metadata))
        record["versions"] = dict(checkpoint["channel_versions"])

        def draft(log: ThreadLog) -> Json:
            return self._checkpoint_record(log, space, {**record}, values, new_versions)

        self._logs.write(thread, _owners(config), draft)
        return _config(_thread(config), space, name)

    def _checkpoint_record(
        self, log: ThreadLog, space: str, record: Json, values: Mapping[str, Any], new_versions: ChannelVersions
    ) -> Json:
        """The record of a checkpoint behind a log."""
        whole = False
        if not log.is_newest(space, record["checkpoint"]):
            if log.first:
                raise Beyond  # it may be there already
            newest = log.newest(space)
            if newest is not None and newest.id != record["checkpoint"]:
                record["top"] = newest.id
        else:
            whole = log.wants_whole(space)
        early = log.early(space, record["checkpoint"])
        if early is not None:
            record["early"] = early
        drafted = RecordDraft(log, space, whole=whole)
        written = {
            channel: (
                version,
                self._values.of_channel(drafted, channel, values[channel]) if channel in values else None,
            )
            for channel, version in new_versions.items()
        }
        if whole:
            for channel, version in record["versions"].items():
                if channel not in written or written[channel][0] != version:
                    found = log.value(space, channel, version, log.count)
                    written[channel] = (version, drafted.again(found))
            record["whole"] = [log.count, log.end]
        elif known := log.whole(space):
            record["whole"] = [*known]
        if written:
            record["values"] = [[channel, version, value] for channel, (version, value) in written.items()]
        return drafted.written(record)

    def put_writes(self, config: Config, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Keep the writes of a task that belong to a checkpoint: the first ones, and of special channels the last."""
        thread, space = _place(config)
        of = config["configurable"]["checkpoint_id"]
        placed = [(WRITES_IDX_MAP.get(channel, index), channel, value) for index, (channel, value) in enumerate(writes)]

        def draft(log: ThreadLog) -> Json | None:
            log.checkpoint(space, of)  # the whole log, unless it is known
            known = log.writes.get((space, of), {})
            fresh = [each for each in placed if each[0] < 0 or (task_id, each[0]) not in known]
            if not fresh:
                return None
            drafted = RecordDraft(log, space)
            record: Json = {"task": task_id, "of": of}
            if task_path:
                record["path"] = task_path
            record["writes"] = [
                [index, channel, self._values.of_write(drafted, value)] for index, channel, value in fresh
            ]
            return drafted.written(record)

        self._logs.write(thread, _owners(config), draft)

    # -- threads -------------------------------------------------------------------------------------------------------

    def delete_thread(self, thread_id: str) -> None:
        """Remove a thread, with all of its namespaces."""
        self._logs.delete(str(thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with its whole history. ``SessionExists`` where there is a target already."""
        self._logs.copy(str(source_thread_id), str(target_thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints that runs made, in all threads, and their writes. It looks into every thread."""
        runs = set(run_ids)
        for thread in [*self._logs.threads()] if runs else ():
            self._logs.rewrite(
                thread,
                lambda log: copied(log, lambda _, found: self._values.load(found.metadata).get("run_id") not in runs),
            )

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove all but the newest checkpoint of each namespace of threads; ``delete`` removes the threads.

        Ancestors that a delta channel of the newest checkpoint is made of are kept, back to its last snapshot.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy is 'keep_latest' or 'delete', not {strategy!r}")
        for thread in map(str, thread_ids):
            if strategy == "delete":
                self._logs.delete(thread)
            else:
                self._logs.rewrite(thread, self._latest)

    def _latest(self, log: ThreadLog) -> Sequence[Json] | None:
        kept: set[tuple[str, str]] = set()
        for space in log.checkpoints:
            newest = log.newest(space)
            if newest is None:
                continue
            kept.add((space, newest.id))
            deltas = self._values.load(newest.metadata).get(_SNAPSHOTS) or ()
            for chain in walks(log, space, newest, deltas).values():
                kept.update((space, each.id) for each in chain)
        return copied(log, lambda space, found: (space, found.id) in kept)

    # -- asyncio -------------------------------------------------------------------------------------------------------

    async def alist(
        self,
        config: Config | None,
        *,
        filter: dict[str, Any] | None = None,
        before: Config | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See ``list``."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (each := await self._handle.run(lambda: next(found, None))) is not None:
            yield each

    aget_tuple = _awaited(get_tuple)
    aget_delta_channel_history = _awaited(get_delta_channel_history)
    aput = _awaited(put)
    aput_writes = _awaited(put_writes)
    adelete_thread = _awaited(delete_thread)
    acopy_thread = _awaited(copy_thread)
    adelete_for_runs = _awaited(delete_for_runs)
    aprune = _awaited(prune)

    @property
    def _values(self) -> SerializedValues:
        return SerializedValues(self.serde)

    # -- versions ------------------------------------------------------------------------------------------------------

    def get_next_version(self, current: Any, channel: None) -> str:
        """The version behind another one: they sort by their number, and those of two branches differ."""
        del channel
        number = 0 if current is None else current if isinstance(current, int) else int(str(current).split(".")[0])
        return f"{number + 1:032}.{int.from_bytes(os.urandom(7), 'big') / (1 << 56):016}"


def _names(
    log: ThreadLog, thread: str, space: str | None = None, name: str | None = None
) -> Sequence[tuple[str, str, str]]:
    """The checkpoints of a log, newest first, namespace by namespace."""
    return [
        (thread, here, each)
        for here in log.checkpoints
        if space is None or here == space
        for each in sorted(log.checkpoints[here], reverse=True)
        if not name or each == name
    ]


def _thread(config: Config) -> Any:
    return config["configurable"]["thread_id"]


def _place(config: Config) -> tuple[str, str]:
    """The thread and the namespace of a configuration."""
    return str(_thread(config)), config["configurable"].get("checkpoint_ns", "")


def _config(thread: object, space: str, name: str) -> Config:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": space, "checkpoint_id": name}}


def _owners(config: Config) -> SessionFields:
    """Whose thread it is, as far as the configuration of a run says so."""
    found = {name: config["configurable"].get(name) for name in ("user_id", "assistant_id")}
    named = {name: value for name, value in found.items() if isinstance(value, str) and value}
    return cast("SessionFields", named)
