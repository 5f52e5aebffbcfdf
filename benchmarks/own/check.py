"""Whether the ratios to the floor are still what they should be, wide enough for noise: for machines that build.

Ours and the floor take turns, and of each pair the ratio counts: a machine that is busy for a while is busy for both.
The median of the pairs is compared with the limit. What is over its limit is measured once more, with more pairs, and
is over only if it is over again. The limits are about twice what is measured on a quiet machine: they say nothing of a
few per cent, and everything of an append that reads the history or a load that parses three times. Where a flush costs
nothing (a file system in memory) the floor of a write is a third of what it is on a disk, and its limit is doubled.
"""

from __future__ import annotations

import itertools
import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

import vaultsession

from ..floor import Floor
from ..harness import Report, interleaved
from ..sample import Author

KEY = bytes(range(32))
_PAIRS = 150
_AGAIN = 4
_SHORT, _LONG = 10, 10_000
_WRITE = 3.0
_FREE = 20.0
"""Microseconds: a flush that takes less reaches no disk."""


@dataclass(frozen=True)
class Pair:
    """Two calls, and how many times as long as the second the first may take."""

    what: str
    ours: Callable[[], object]
    floor: Callable[[], object]
    limit: float
    each: int = 1
    """Calls that are timed together: more than one where a call takes microseconds."""

    def ratio(self, pairs: int) -> float:
        times = interleaved({"ours": self.ours, "floor": self.floor}, pairs, each=self.each)
        return statistics.median(ours / floor for ours, floor in zip(times["ours"], times["floor"], strict=True))


def run(report: Report, directory: str) -> bool:
    """Whether every ratio is within its limit."""
    floor = Floor(os.path.join(directory, "floor"))
    try:
        with vaultsession.open_store(os.path.join(directory, "checked"), key=KEY) as store:
            return judge(report, _pairs(store, floor, _WRITE if _flush(directory) > _FREE else 2 * _WRITE))
    finally:
        floor.close()


def judge(report: Report, pairs: Iterable[Pair]) -> bool:
    """Measure and report each; a second try, with more pairs, for what is over its limit."""
    within = True
    for pair in pairs:
        ratio = pair.ratio(_PAIRS)
        again = ratio > pair.limit
        if again:
            first, ratio = ratio, pair.ratio(_PAIRS * _AGAIN)
        detail = f"second try, after {first:.2f}" if again else ""
        report.add(pair.what, ratio, "x", pair.limit, detail=detail)
        within = within and ratio <= pair.limit
    return within


def _flush(directory: str) -> float:
    """Microseconds of an fdatasync after a file grew."""
    fd = os.open(os.path.join(directory, "flushed"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        times = interleaved({"write": lambda: os.write(fd, bytes(1000)), "flush": lambda: os.fdatasync(fd)}, 20)
    finally:
        os.close(fd)
    return statistics.median(times["flush"])


def _pairs(store: vaultsession.SessionStore, floor: Floor, write: float) -> list[Pair]:
    author = Author()
    document, turns = author.history(20_000), [author.turn() for _ in range(64)]
    turn = itertools.cycle(turns)
    saved = store.create("saved", messages=document)
    for length in (_SHORT, _LONG):
        store.create(f"h{length}", messages=[message for _ in range(length // 2) for message in next(turn)])
    store.create("short", messages=[message for _ in range(_SHORT * 2) for message in next(turn)])
    warm = store.create("warm", messages=document)
    parsed = orjson.dumps([warm.state, *document])
    path = floor.create(document)
    numbers = itertools.count()

    def save() -> None:
        saved.state["turn"] = next(numbers)
        store.save(saved)

    def append(length: int) -> Callable[[], object]:
        return lambda: store.append(f"h{length}", *next(turn))

    return [
        Pair("append of a turn / floor", append(_SHORT), lambda: floor.append(next(turn)), write),
        Pair(f"  behind {_LONG} messages / behind {_SHORT}", append(_LONG), append(_SHORT), 2.0),
        Pair("save of 20 KB / floor", save, lambda: floor.append(document), write),
        Pair("create of 20 KB / floor", lambda: store.create(messages=document), lambda: floor.create(document), write),
        Pair(
            "warm load of 20 KB, parsed / loads + stat",
            lambda: store.load("warm").messages,
            lambda: (os.stat(path), orjson.loads(parsed)),
            3.0,
            each=10,
        ),
        Pair(
            f"last 20 of {_LONG} messages / of {_SHORT * 4}",
            lambda: store.messages(f"h{_LONG}", last=20),
            lambda: store.messages("short", last=20),
            3.0,
            each=10,
        ),
    ]
