"""How much room real conversations take, written whole and built turn by turn, and how much is written to build them.

Run: ``python -m benchmarks.disk [--share N] [--directory DIR] [--json FILE]``; ``--share 5`` takes every fifth
conversation. ``VAULTSESSION_TEST_CONVERSATIONS`` names the directory of them, as for ``benchmarks.dictionaries``.

Sizes are bytes of the container files. *JSON* is what the messages take as compact JSON; *whole* is one ``create``, and
*turn by turn* one ``append`` per message. *trained* is the same in a vault that learned a dictionary: each half of the
conversations is measured in a vault that learned from the other. *beside the bodies* is the header, frames, nonces,
heads, tags and footers. *written* is all that went to containers while they were built, over what the records of single
messages would have been: what merging costs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

import vaultsession
from vaultsession.format import payload
from vaultsession.format import record as v1
from vaultsession.format.dictionaries import shipped
from vaultsession.format.head import Head, encode
from vaultsession.format.sealed import Container
from vaultsession.util.disk import Disk

from .dictionaries import Conversation, sources
from .harness import Report, log
from .sample import Author

KEY = bytes(range(32))
KIB = 1024
CLASSES = {"up to 2 KB": 2 * KIB, "2 to 20 KB": 20 * KIB, "20 to 200 KB": 200 * KIB, "above 200 KB": 1 << 62}
WHOLE_BARS = {"2 to 20 KB": 0.4, "20 to 200 KB": 0.25, "above 200 KB": 0.17}
TURN_BAR = 1.6
LENGTHS = (10, 1000, 10_000)

Store = vaultsession.SessionStore
Named = tuple[str, Conversation]


@dataclass
class Sum:
    """One class of sizes. Bytes, by the way in which they were written."""

    sessions: int = 0
    messages: int = 0
    json: int = 0
    alone: int = 0
    written: int = 0
    replaced: int = 0
    stored: Counter[str] = field(default_factory=Counter)
    beside: Counter[str] = field(default_factory=Counter)


class CountingDisk(Disk):
    """Counts the bytes that are written to containers, and how often one is put in its place."""

    def __init__(self) -> None:
        self.written = self.replaced = 0
        self.pwrite = self._counting(Disk.pwrite)
        self.rename = self._renaming

    def _counting(self, call: Callable[..., int]) -> Any:
        def counted(*arguments: Any) -> int:
            done = call(*arguments)
            self.written += done
            return done

        return counted

    def _renaming(self, source: str, target: str) -> None:
        Disk.rename(source, target)
        self.replaced += target.endswith(".vss")


def whole(store: Store, name: str, conversation: Conversation) -> None:
    store.create(name, messages=conversation)


def turn_by_turn(store: Store, name: str, conversation: Conversation) -> None:
    for message in conversation:
        store.append(name, message, create=True)


WAYS = {"whole": whole, "turn by turn": turn_by_turn}


def opened(path: str, disk: Disk | None = None) -> Store:
    return vaultsession.open_store(path, key=KEY, durability="os", disk=disk)


def sizes(path: str) -> Iterator[tuple[str, int, int]]:
    """``(name, bytes, those that are no body)`` of every session of a vault."""
    for file in Path(path, "sessions").iterdir():
        data = file.read_bytes()
        records = v1.records_from(Container(data[: v1.HEADER_SIZE], 0, data), v1.HEADER_SIZE)
        bodies = sum(max(0, len(record.body) - v1.TAG_SIZE) for record in records)
        yield file.name.split("~")[0], len(data), len(data) - bodies


def alone(name: str, conversation: Conversation) -> int:
    """What the records of its messages would take, were none ever merged."""
    bare = v1.SMALLEST_RECORD + v1.TAG_SIZE + len(encode(Head(name, 1 << 50, 1 << 50, 99, 9999, 99, 0, 9999, 80)))
    texts = [payload.body({}, [message]) for message in conversation]
    return sum(bare + len(payload.pack(text, level=3, limit=1 << 27, dictionaries=(shipped(),))[1]) for text in texts)


def class_of(conversation: Conversation) -> str:
    size = len(orjson.dumps(conversation))
    return next(name for name, largest in CLASSES.items() if size <= largest)


def measure(directory: str, found: Sequence[Named]) -> dict[str, Sum]:
    classes = {name: class_of(conversation) for name, conversation in found}
    sums = {name: Sum() for name in CLASSES}
    for name, conversation in found:
        one = sums[classes[name]]
        one.sessions += 1
        one.messages += len(conversation)
        one.json += len(orjson.dumps(conversation))
        one.alone += alone(name, conversation)
    for way, write in WAYS.items():
        disk, path = CountingDisk(), os.path.join(directory, way)
        with opened(path, disk) as store:
            for name, conversation in found:
                written, replaced = disk.written, disk.replaced
                write(store, name, conversation)
                if write is turn_by_turn:
                    sums[classes[name]].written += disk.written - written
                    sums[classes[name]].replaced += disk.replaced - replaced - 1
        for name, size, beside in sizes(path):
            sums[classes[name]].stored[way] += size
            sums[classes[name]].beside[way] += beside
        log(f"{way}: done")
        for half in (0, 1):
            _measure_trained(os.path.join(directory, f"{way} {half}"), way, found[half::2], found[1 - half :: 2], sums)
    return sums


def _measure_trained(
    path: str, way: str, learned: Sequence[Named], others: Sequence[Named], sums: dict[str, Sum]
) -> None:
    with opened(path) as store:
        for name, conversation in learned:
            store.create(name, messages=conversation)
        try:
            store.train()
        except vaultsession.TrainingRefused as error:
            log(f"measured with the dictionary of the package: {error}")
        for name, conversation in others:
            WAYS[way](store, name, conversation)
    classes = {name: class_of(conversation) for name, conversation in others}
    for name, size, _ in sizes(path):
        if name in classes:
            sums[classes[name]].stored[f"{way}, trained"] += size
    log(f"{way}, trained: done")


def tell(report: Report, sums: dict[str, Sum]) -> None:
    for name, one in sums.items():
        if not one.sessions:
            continue
        stored, beside = one.stored, one.beside
        told = f"{one.sessions} sessions, {one.messages} messages, {one.json} bytes of JSON"
        report.add(f"{name}: whole / JSON", stored["whole"] / one.json, "x", WHOLE_BARS.get(name), detail=told)
        report.add("  whole, trained / JSON", stored["whole, trained"] / one.json, "x")
        bar = TURN_BAR if name in WHOLE_BARS else None
        report.add("  turn by turn / whole", stored["turn by turn"] / stored["whole"], "x", bar)
        report.add("  turn by turn, trained / whole", stored["turn by turn, trained"] / stored["whole"], "x")
        for way in WAYS:
            report.add(f"  beside the bodies, {way}", 100 * beside[way] / stored[way], "%")
        told = f"one replacement for {one.messages / max(1, one.replaced):.0f} messages"
        report.add("  written turn by turn / records alone", one.written / one.alone, "x", detail=told)


def tell_lengths(report: Report, directory: str) -> None:
    """What merging costs over one long conversation."""
    for length in LENGTHS:
        author = Author()
        messages = [message for _ in range(length // 2) for message in author.turn()]
        disk, path = CountingDisk(), os.path.join(directory, f"long {length}")
        with opened(path, disk) as store:
            written = disk.written
            turn_by_turn(store, "long", messages)
            written = disk.written - written
        ((_, size, _),) = sizes(path)
        told = f"{size} bytes in the end, {disk.replaced - 1} replacements"
        report.add(
            f"written over {length} messages / records alone", written / alone("long", messages), "x", detail=told
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.disk", description=__doc__)
    parser.add_argument("--share", type=int, default=1, help="1: all conversations; 5: every fifth")
    parser.add_argument("--directory", help="where the vaults are made")
    parser.add_argument("--json", help="write the rows there")
    chosen = parser.parse_args()
    every = [conversation for _, conversations in sources() for conversation in conversations]
    found = [(f"n{number}", each) for number, each in enumerate(every) if number % chosen.share == 0]
    report = Report()
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
        if found:
            tell(report, measure(directory, found))
        else:
            log("no conversations: set VAULTSESSION_TEST_CONVERSATIONS to a directory that holds some")
        tell_lengths(report, directory)
    print(report.closing_line())
    if chosen.json:
        report.save(chosen.json)


if __name__ == "__main__":
    main()
