"""What a log has of its checkpoints: taken out whole, walked back through, or copied behind another log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from langgraph.checkpoint.base import writes_sort_key

from ...format.payload import Json
from ...format.thread_log import LoggedCheckpoint, RecordDraft, ThreadLog, Value


class StoredCheckpoint:
    """What a log has of a checkpoint, taken out of it."""

    def __init__(self, log: ThreadLog, thread: str, space: str, checkpoint: LoggedCheckpoint) -> None:
        self.thread = thread
        self.space = space
        self.checkpoint = checkpoint
        self.values = log.values(space, checkpoint)
        self.writes = [*writes_of(log, space, checkpoint.id)]


def walks(
    log: ThreadLog, space: str, newest: LoggedCheckpoint, channels: Sequence[str]
) -> dict[str, list[LoggedCheckpoint]]:
    """The ancestors of a checkpoint that have a say in its channels: back to the first one with a value."""
    chains: dict[str, list[LoggedCheckpoint]] = {channel: [] for channel in channels}
    left, seen = set(channels), {newest.id}
    parent = newest.parent
    while parent and left and parent not in seen:
        seen.add(parent)
        found = log.checkpoint(space, parent)
        if found is None:
            break
        for channel in [*left]:
            chains[channel].append(found)
            version = found.versions.get(channel)
            if version is not None and log.value(space, channel, version, found.position) is not None:
                left.discard(channel)
        parent = found.parent
    return chains


def channel_histories(
    log: ThreadLog, space: str, name: str | None, channels: Sequence[str]
) -> dict[str, tuple[Value, list[tuple[str, Value]]]]:
    """By channel: the value that its history begins with, None where there is none, and its writes, newest first."""
    target = log.checkpoint(space, name) if name else log.newest(space)
    if target is None:
        return {}
    found: dict[str, tuple[Value, list[tuple[str, Value]]]] = {}
    for channel, chain in walks(log, space, target, channels).items():
        writes = [
            (task, value)
            for each in chain
            for task, to, value in reversed([*writes_of(log, space, each.id)])
            if to == channel
        ]
        seed = None
        if chain and channel in chain[-1].versions:
            seed = log.value(space, channel, chain[-1].versions[channel], chain[-1].position)
        found[channel] = (None if seed is None else log.resolved(seed), writes)
    return found


def writes_of(log: ThreadLog, space: str, of: str) -> Iterator[tuple[str, str, Value]]:
    """The writes that belong to a checkpoint, in the order in which a run applies them."""
    kept = log.writes.get((space, of), {})
    for task, index in sorted(kept, key=lambda key: writes_sort_key(kept[key].path, *key)):
        yield task, kept[task, index].channel, log.resolved(kept[task, index].value)


class CheckpointCopy:
    """The records of a checkpoint of one log, behind another one."""

    def __init__(self, source: ThreadLog, target: ThreadLog, space: str) -> None:
        self._source = source
        self._target = target
        self._space = space

    def checkpoint(self, found: LoggedCheckpoint) -> Json:
        """The record of the checkpoint itself."""
        drafted = RecordDraft(self._target, self._space)
        record: Json = {"checkpoint": found.id, "head": found.head, "metadata": found.metadata}
        if found.parent:
            record["parent"] = found.parent
        if not self._target.is_newest(self._space, found.id):
            newest = self._target.newest(self._space)
            record["top"] = found.id if newest is None else newest.id
        record["versions"] = dict(found.versions)
        values = []
        for channel, version in found.versions.items():
            value = self._source.value(self._space, channel, version, found.position)
            there = self._target.value(self._space, channel, version, self._target.count)
            if value is not None or there is not None:
                value = self._again(drafted, value, there)
                if value != there:
                    values.append([channel, version, value])
        if values:
            record["values"] = values
        return drafted.written(record)

    def writes(self, of: str) -> Iterator[Json]:
        """The records of its writes."""
        for (task, index), write in self._source.writes.get((self._space, of), {}).items():
            drafted = RecordDraft(self._target, self._space)
            record: Json = {"task": task, "of": of}
            if write.path:
                record["path"] = write.path
            record["writes"] = [[index, write.channel, self._again(drafted, write.value)]]
            yield drafted.written(record)

    def _again(self, drafted: RecordDraft, value: Value, there: Value = None) -> Value:
        """The value, for the other log, which has another one of that version maybe."""
        resolved = self._source.resolved(value)
        if type(resolved) is not dict:
            return resolved
        if "text" in resolved:
            return drafted.at(resolved["text"])
        texts = resolved["texts"]
        done, kept = drafted.prefix(texts, there.get("ranges", ())) if type(there) is dict else (0, ())
        return {"ranges": drafted.ranges(texts[done:], kept)}


def copied(log: ThreadLog, keeps: Callable[[str, LoggedCheckpoint], bool]) -> Sequence[Json] | None:
    """The records of a log of some checkpoints, with their values and writes; None where it keeps all of them."""
    left = [
        (found.position, space, found)
        for space, here in log.checkpoints.items()
        for found in here.values()
        if keeps(space, found)
    ]
    if len(left) == sum(map(len, log.checkpoints.values())):
        return None
    made = ThreadLog()
    records: list[Json] = []

    def put(record: Json) -> None:
        made.take_all([record])
        records.append(record)

    for _, space, found in sorted(left, key=lambda each: each[0]):
        draft = CheckpointCopy(log, made, space)
        put(draft.checkpoint(found))
        for record in draft.writes(found.id):
            put(record)
    return records
