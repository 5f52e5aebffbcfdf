"""What dictionaries are worth on real conversations that they have not seen, source by source.

Run: ``python -m benchmarks.dictionaries [--seed N]``. ``VAULTSESSION_TEST_CONVERSATIONS`` names the directory that
holds the conversations: one ``*.jsonl.zst`` per source, each line a session with ``messages``.

Of each source four fifths of the sessions make a vault, which trains as ``vaultsession train`` does; the last fifth is
measured. *appended* are the records of one message each that have 0.5 to 2 KB, *whole* the sessions of 1 to 3 KB in
one record, both by bytes as stored against zstd at level 3 alone. *shipped* is the dictionary of the package, *trained*
that of the source, *mixed* that of a vault with all sources, *foreign* that of a vault with all sources but this one;
beside each of the last three the shipped one is tried too, as a store does.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import zstandard

from vaultsession import TrainingRefused, open_store
from vaultsession.format import payload
from vaultsession.format.dictionaries import shipped
from vaultsession.format.payload import Dictionary

from .harness import interleaved, median

WHERE = Path(
    os.environ.get("VAULTSESSION_TEST_CONVERSATIONS")
    or Path(__file__).resolve().parents[2] / "shared" / "data" / "conversations"
)
WINDOW = 64 << 20  # the frames were made with long-distance matching
LEVEL = 3
LIMIT = 1 << 27
MOST_RECORDS = 3000
APPENDED = range(512, 2049)
WHOLE = range(1024, 3073)

Conversation = list[Any]
KINDS = ("appended", "whole")
BARS = {"appended": 0.6, "whole": 0.85}


def sources() -> Iterator[tuple[str, list[Conversation]]]:
    for path in sorted(WHERE.glob("*.jsonl.zst")):
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        with path.open("rb") as file, decompressor.stream_reader(file) as reader:
            lines = io.TextIOWrapper(reader, encoding="utf-8", newline="\n")
            yield path.name.split(".jsonl")[0], [json.loads(line)["messages"] for line in lines]


def spelled_records(line: str) -> list[str]:
    """The records of a conversation in their own bytes."""
    decoder, place, found = json.JSONDecoder(), line.index('"messages":[') + len('"messages":['), []
    while True:
        _, end = decoder.raw_decode(line, place)
        found.append(line[place:end])
        if line[end] == "]":
            return found
        place = end + 1


def shuffled(found: Iterable[Conversation], seed: int) -> list[Conversation]:
    there = list(found)
    random.Random(seed).shuffle(there)
    return there


def split(found: Iterable[Conversation], seed: int) -> tuple[list[Conversation], list[Conversation]]:
    """Four fifths to learn from, and the last fifth."""
    there = shuffled(found, seed)
    first = max(1, len(there) // 5)
    return there[first:], there[:first]


def trained(conversations: Iterable[Conversation]) -> Dictionary | None:
    """The dictionary that a vault of these learns; None where it refuses."""
    with open_store("memory://") as store:
        for number, conversation in enumerate(conversations):
            store.create(f"{number}", messages=conversation)
        try:
            store.train()
        except TrainingRefused:
            return None
        return store._operations._reader.dictionaries.current[0]  # noqa: SLF001 - records are measured without a store


def records(held_out: Iterable[Conversation], seed: int) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
    for conversation in held_out:
        found["appended"] += [text for each in conversation if len(text := payload.body({}, [each])) in APPENDED]
        whole = payload.body({}, conversation)
        if len(whole) in WHOLE:
            found["whole"].append(whole)
    random.Random(seed).shuffle(found["appended"])
    return {kind: texts[:MOST_RECORDS] for kind, texts in found.items()}


def size(text: bytes, dictionary: Dictionary | None = None) -> int:
    """Bytes of a record as a store that has this dictionary keeps it; without any where there is none."""
    dictionaries = () if dictionary is None else (dictionary, shipped())
    return len(payload.pack(text, level=LEVEL, limit=LIMIT, dictionaries=dictionaries)[1])


def stored(texts: Iterable[bytes], dictionary: Dictionary | None = None) -> int:
    return sum(size(text, dictionary) for text in texts)


def larger(conversations: Iterable[Conversation], dictionaries: Iterable[Dictionary]) -> tuple[int, int]:
    """How many records there are, and how many a dictionary makes larger than zstd alone would."""
    count = worse = 0
    for conversation in conversations:
        for text in (payload.body({}, conversation), *(payload.body({}, [each]) for each in conversation[:50])):
            plain = size(text)
            for dictionary in dictionaries:
                count += 1
                worse += size(text, dictionary) > plain
    return count, worse


def ratio(texts: Sequence[bytes], dictionary: Dictionary | None, plain: int) -> str:
    return f"{stored(texts, dictionary) / plain:8.3f}" if dictionary else f"{'-':>8}"


def compare(seed: int) -> None:
    splits = {name: split(found, seed) for name, found in sources()}
    if not splits:
        raise SystemExit(
            f"no *.jsonl.zst in {WHERE}: set VAULTSESSION_TEST_CONVERSATIONS to a directory that holds some"
        )
    mixed = trained(shuffled((each for learned, _ in splits.values() for each in learned), seed))
    total = {kind: [0, 0] for kind in KINDS}
    checked = worse = 0
    sample: list[bytes] = []
    print(f"{'source':36} {'kind':8} {'records':>7} {'bytes':>8}  shipped  trained    mixed  foreign")
    for name, (learned, held_out) in splits.items():
        own = trained(learned)
        others = (each for other, (some, _) in splits.items() if other != name for each in some)
        foreign = trained(shuffled(others, seed))
        for kind, texts in records(held_out, seed).items():
            if not texts:
                continue
            sample = texts
            plain = stored(texts)
            ratios = " ".join(ratio(texts, each, plain) for each in (shipped(), own, mixed, foreign))
            print(f"{name:36} {kind:8} {len(texts):7} {plain:8} {ratios}", flush=True)
            if own is not None:
                total[kind][0] += plain
                total[kind][1] += stored(texts, own)
        counted = larger(held_out[:20], [each for each in (shipped(), own, mixed) if each])
        checked, worse = checked + counted[0], worse + counted[1]
    for kind, (plain, after) in total.items():
        print(f"{kind} records of sources that trained: {after / plain:.3f} of zstd alone (bar {BARS[kind]})")
    print(f"larger than zstd alone: {worse} of {checked} (bar 0)")
    if mixed is not None:
        timed(mixed, sample)


def timed(dictionary: Dictionary, texts: Sequence[bytes]) -> None:
    """All are tried for each small record: what that costs beside zstd alone."""
    text = b"".join(texts)
    for length in (500, 1000, 2000, 8000, 32000):
        piece = text[:length]
        times = interleaved({"alone": partial(size, piece), "all": partial(size, piece, dictionary)}, 300)
        print(
            f"{length:6} bytes: {median(times['alone']):6.1f} us alone, {median(times['all']):6.1f} us with all tried"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dictionaries", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    compare(parser.parse_args().seed)


if __name__ == "__main__":
    main()
