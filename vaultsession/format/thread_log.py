"""ThreadLog: the records of a thread of LangGraph, folded; and RecordDraft, a record that is to be put behind them.

A record is a checkpoint or the writes of a task. Nothing is updated in place::

    {"checkpoint": id, "ns", "parent", "top", "head", "metadata", "versions",
     "values": [[channel, version, value]], "early",
     "whole", "base", "elements", "readable"}
    {"task": id, "of": checkpoint, "ns", "path", "writes": [[index, channel, value]],
     "base", "elements", "readable"}

What is empty is left out. ``head`` is the checkpoint without values and versions. ``elements`` are new elements of
lists: all of the log's are counted through, from ``base`` on in this record; ``readable`` is for searches. A value is
null (the channel is empty), a text or ``[type, text]`` (``binary_text``), ``{"ranges": [from, to, …]}`` (a list, by the
numbers of its elements) or ``{"at": number}`` (an element alone).

A checkpoint has the value that the log gave a channel and version last, up to that checkpoint's own record: versions
that repeat on a branch do not mix. ``early`` is the first record about a checkpoint, where that is not this one: writes
may come before it. ``top`` is the greatest id of its namespace, where that is not its own. ``whole`` is
the number of a record that has every value of its checkpoint, and that of the first element which it needs: what this
checkpoint needs is read from there on.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import UnsupportedFormat
from ..util.named_tuple import NamedTuple
from .binary_text import readable
from .ids import LONGEST_ID, composed
from .payload import Json

FRAMEWORK, LOG, THREAD = "framework", "log", "thread"
"""Labels of a thread's session: ``langgraph``; the format of its log and which log it is; its id, where that is odd."""

NAME, FORMAT = "langgraph", "1"
ALL_MESSAGES = 1 << 53
"""A log is never cut at its beginning, whatever the store does with other sessions."""

Value = Any
"""A value as a record has it: JSON."""

Version = str | int | float

SHARED = 24
"""Characters from which on an element is looked for among those that are there: a range costs as much as less."""

_WHOLE_FROM = 192 << 10
_WHOLE_AGAIN = 3
"""Characters behind the last whole record, at least and as a multiple of it, before another one is written."""

_RECORD = 400
"""Bytes that a record takes in memory beside its texts."""


class Beyond(Exception):
    """What is asked for stands before the records that were read, or nowhere."""


class LoggedCheckpoint(NamedTuple):
    """A checkpoint without its values, by the number of its record. ``early`` is that of the first one about it."""

    id: str
    parent: str | None
    head: Value
    metadata: Value
    versions: Mapping[str, Version]
    position: int
    early: int


class LoggedWrite(NamedTuple):
    """A write of a task to a channel."""

    path: str
    channel: str
    value: Value


class ThreadLog:
    """The records of a thread from number ``first`` on, whose elements are counted from ``base`` on.

    Not safe to share between threads. A log that does not begin with the first record raises ``Beyond`` where an answer
    may stand before it.
    """

    def __init__(self, *, first: int = 0, base: int = 0) -> None:
        self.first = first
        self.base = base
        self.count = first
        self.elements: list[str] = []
        self.checkpoints: dict[str, dict[str, LoggedCheckpoint]] = {}
        self.writes: dict[tuple[str, str], dict[tuple[str, int], LoggedWrite]] = {}
        self.memory: dict[tuple[str, str], Any] = {}
        """What the writer of this process remembers of the list that it put last, by namespace and channel."""
        self.weight = 0
        self._values: dict[tuple[str, str, Version], list[tuple[int, Value]]] = {}
        self._tops: dict[str, str] = {}
        self._orphans: dict[tuple[str, str], int] = {}
        self._wholes: dict[str, tuple[int, int]] = {}
        self._since: dict[str, list[int]] = {}
        self._numbers: dict[str, int] | None = None

    @property
    def end(self) -> int:
        """The number of the next element."""
        return self.base + len(self.elements)

    # -- folding -------------------------------------------------------------------------------------------------------

    def take_all(self, records: Iterable[Json]) -> None:
        """Fold the records behind those that were folded. ``UnsupportedFormat`` for what is none of this version."""
        for record in records:
            try:
                self.take(record)
            except (LookupError, TypeError, ValueError, AttributeError):
                raise UnsupportedFormat(f"record {self.count} is of no checkpoint that this version knows") from None

    def take(self, record: Json) -> None:
        """Fold one record."""
        elements = record.get("elements", ())
        if elements:
            if record["base"] != self.end:
                raise ValueError("elements that are not behind the others")
            if self._numbers is not None:
                self._numbers.update({text: self.end + at for at, text in enumerate(elements) if len(text) >= SHARED})
            self.elements += elements
        size = sum(map(len, elements))
        if "checkpoint" in record:
            size += self._take_checkpoint(record)
        else:
            size += self._take_writes(record)
        for since in self._since.values():
            since[0] += size
        self.weight += size + _RECORD
        self.count += 1

    def _take_checkpoint(self, record: Json) -> int:
        space: str = record.get("ns", "")
        name, position = record["checkpoint"], self.count
        size = len(record["head"])
        for channel, version, value in record.get("values", ()):
            known = self._values.setdefault((space, channel, version), [])
            known.append((position, value))
            if type(value) is str:
                size += len(value)
        here = self.checkpoints.setdefault(space, {})
        here.pop(name, None)
        self._orphans.pop((space, name), None)
        early: int = record.get("early", position)
        if early >= self.first:  # else its writes may stand before what was read
            here[name] = LoggedCheckpoint(
                name, record.get("parent"), record["head"], record["metadata"], record["versions"], position, early
            )
        top: Any = record.get("top", name)
        self._tops[space] = top
        whole: Sequence[int] | None = record.get("whole")
        if whole is not None and whole[0] == position:
            self._wholes[space] = position, whole[1]
            self._since[space] = [0, size + sum(map(len, record.get("elements", ())))]
        else:
            self._since.setdefault(space, [0, 0])
        return size

    def _take_writes(self, record: Json) -> int:
        space, of, task, path = record.get("ns", ""), record["of"], record["task"], record.get("path", "")
        if of not in self.checkpoints.get(space, ()):
            self._orphans.setdefault((space, of), self.count)
        kept = self.writes.setdefault((space, of), {})
        size = 0
        for index, to, value in record["writes"]:
            if index < 0 or (task, index) not in kept:  # the first one stands; of special channels the last
                kept[task, index] = LoggedWrite(path, to, value)
            if type(value) is str:
                size += len(value)
        return size

    # -- reading -------------------------------------------------------------------------------------------------------

    def newest(self, space: str) -> LoggedCheckpoint | None:
        """The checkpoint with the greatest id of a namespace."""
        top = self._tops.get(space)
        found = None if top is None else self.checkpoints[space].get(top)
        if found is None and self.first:
            raise Beyond
        return found

    def checkpoint(self, space: str, name: str) -> LoggedCheckpoint | None:
        """The checkpoint of that id."""
        found = self.checkpoints.get(space, {}).get(name)
        if found is None and self.first:
            raise Beyond
        return found

    def value(self, space: str, channel: str, version: Version, position: int) -> Value:
        """The value of a channel's version as it was known at a place of the log; None where it is empty or unknown."""
        known = self._values.get((space, channel, version))
        if known is not None:
            at = bisect_right(known, position, key=lambda each: each[0])
            if at:
                return known[at - 1][1]
        if self.first:
            raise Beyond
        return None

    def values(self, space: str, checkpoint: LoggedCheckpoint) -> dict[str, Value]:
        """The values of a checkpoint by channel, without empty ones; lists and elements as ``{"texts": …}``."""
        found = {}
        for channel, version in checkpoint.versions.items():
            value = self.value(space, channel, version, checkpoint.position)
            if value is not None:
                found[channel] = self.resolved(value)
        return found

    def resolved(self, value: Value) -> Value:
        """The value with the texts of its elements in place of their numbers: ``{"texts": […]}``, ``{"text": …}``."""
        if type(value) is not dict:
            return value
        if "at" in value:
            return {"text": self.texts((value["at"], value["at"] + 1))[0]}
        return {"texts": self.texts(value["ranges"])}

    def texts(self, ranges: Sequence[int]) -> list[str]:
        """The elements of ranges of numbers."""
        found: list[str] = []
        for start, stop in zip(ranges[::2], ranges[1::2], strict=True):
            if start < self.base:
                raise Beyond
            if stop > self.end:
                raise UnsupportedFormat(f"an element that is not there, of {self.end}")
            found += self.elements[start - self.base : stop - self.base]
        return found

    # -- writing -------------------------------------------------------------------------------------------------------

    def is_newest(self, space: str, name: str) -> bool:
        """Whether a checkpoint of that id would be the greatest of its namespace."""
        top = self._tops.get(space)
        if top is None and self.first:
            raise Beyond
        return top is None or name > top

    def early(self, space: str, name: str) -> int | None:
        """The first record about a checkpoint that is there already, or whose writes are."""
        found = self.checkpoints.get(space, {}).get(name)
        return self._orphans.get((space, name)) if found is None else found.early

    def wants_whole(self, space: str) -> bool:
        """Whether the next checkpoint of the namespace should have all of its values.

        Not while there are writes of a checkpoint that may be the next newest one: who reads from here would miss them.
        """
        since, size = self._since.get(space, (0, 0))
        if since <= max(_WHOLE_FROM, _WHOLE_AGAIN * size):
            return False
        return not any(name > self._tops.get(at, "") for at, name in self._orphans)

    def whole(self, space: str) -> tuple[int, int] | None:
        """The place of the last whole record of a namespace, and where its elements begin, for others to be read by."""
        return self._wholes.get(space)

    def number(self, text: str) -> int | None:
        """The number of an element with that text, the newest such."""
        if self._numbers is None:
            self._numbers = {each: self.base + at for at, each in enumerate(self.elements) if len(each) >= SHARED}
        return self._numbers.get(text)


class RecordDraft:
    """The elements of a record that is to stand behind a log. ``floor``: no element before it is referred to."""

    def __init__(self, log: ThreadLog, space: str, *, whole: bool = False) -> None:
        self.log = log
        self.space = space
        self.elements: list[str] = []
        self._numbers: dict[str, int] = {}
        known = log.whole(space)
        self.floor = log.end if whole else known[1] if known else log.base

    def at(self, text: str) -> Value:
        """A value that is an element by itself, or the text of a small one."""
        return {"at": self._number(text)} if len(text) >= SHARED else text

    def ranges(self, texts: Iterable[str], known: Sequence[int] = ()) -> list[int]:
        """The ranges of a list that begins with the ``known`` ones, and goes on with elements of those texts."""
        ranges = list(known)
        for text in texts:
            number = self._number(text)
            if ranges and ranges[-1] == number:
                ranges[-1] += 1
            else:
                ranges += number, number + 1
        return ranges

    def prefix(self, texts: Sequence[str], ranges: Sequence[int]) -> tuple[int, list[int]]:
        """How many of the texts a list of those ranges begins with, and their ranges."""
        kept: list[int] = []
        done = 0
        for start, stop in zip(ranges[::2], ranges[1::2], strict=True):
            if start < self.floor:
                break
            here = self.log.elements[start - self.log.base : stop - self.log.base]
            same = next(
                (at for at, (one, other) in enumerate(zip(here, texts[done:], strict=False)) if one != other),
                min(len(here), len(texts) - done),
            )
            if same:
                kept += start, start + same
                done += same
            if same < stop - start:
                break
        return done, kept

    def again(self, value: Value) -> Value:
        """A value of the log, for this record."""
        if type(value) is not dict:
            return value
        if "at" in value:
            return self.at(self.log.resolved(value)["text"])
        return {"ranges": self.ranges(self.log.texts(value["ranges"]))}

    def written(self, record: Json) -> Json:
        """The record with what it adds."""
        if self.space:
            record["ns"] = self.space
        if self.elements:
            record["base"], record["elements"] = self.log.end, self.elements
            if found := readable(self.elements):
                record["readable"] = found
        return record

    def _number(self, text: str) -> int:
        if len(text) >= SHARED:
            number = self._numbers.get(text)
            if number is None:
                number = self.log.number(text)
            if number is not None and number >= self.floor:
                return number
        number = self.log.end + len(self.elements)
        self.elements.append(text)
        if len(text) >= SHARED:
            self._numbers[text] = number
        return number


def session_id(thread: str) -> str:
    """The id of a thread's session: its own where it can be one."""
    if "%" not in thread and len(thread.encode("utf-8", "surrogatepass")) <= LONGEST_ID:
        return thread
    return composed(thread)


def labels_of(thread: str) -> dict[str, str]:
    """The labels of a thread whose log begins now."""
    labels = {FRAMEWORK: NAME, LOG: new_log()}
    return labels if session_id(thread) == thread else {**labels, THREAD: thread}


def new_log() -> str:
    """The label of a log that begins now."""
    return f"{FORMAT}.{os.urandom(6).hex()}"
