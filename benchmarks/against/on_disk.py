"""Bytes on disk of real conversations, as a share of their JSON: written whole, and built turn by turn.

The bytes are those of all files once the store is closed. A store that is out of time is told by how many it has done,
and its share is that of those.

The conversations are those of the directory in ``VAULTSESSION_TEST_CONVERSATIONS`` (``*.jsonl.zst``, one session a line
with its ``messages``), else made up. A store that takes only a role and a text is given each record as a text.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import zstandard

from ..sample import Author, Message
from .bench import Bench
from .rival import Filling, Rival
from .rivals import BY_NAME, OURS

CLASSES = {
    "2-20 KB": (2_000, 20_000, 20),
    "20-200 KB": (20_000, 200_000, 6),
    "200 KB and more": (200_000, 1 << 40, 2),
}
"""Sizes of a line, and how many of them for each one that the scale asks for."""
_WINDOW = 1 << 27


def run(bench: Bench) -> None:
    """Sizes of everything in the store's directory, once it is closed."""
    found, origin = _conversations(bench)
    for size, conversations in found.items():
        for how, write in (("whole", _whole), ("turn by turn", _by_turns)):
            workload = f"bytes on disk / JSON, {origin} of {size}, {how}"
            for entry in bench.entries:
                place = bench.place(entry)
                try:
                    ratio, done = _measure(bench, entry.name, place, conversations, write)
                except Exception as error:  # noqa: BLE001 - whatever a library raises, the others go on
                    bench.note(workload, entry.name, [], unit="", note=f"failed: {type(error).__name__}: {error}"[:90])
                    continue
                finally:
                    shutil.rmtree(place, ignore_errors=True)
                note = "" if done == len(conversations) else f"{done} of {len(conversations)} in the time there was"
                bench.note(workload, entry.name, [ratio], unit="x", note=note)
            bench.show(workload)


def _measure(
    bench: Bench,
    name: str,
    place: str,
    conversations: list[list[Message]],
    write: Callable[[Rival, str, list[Message]], None],
) -> tuple[float, int]:
    deadline = time.monotonic() + bench.scale.keeping
    plain = done = 0
    with contextlib.closing(BY_NAME[name].open(place)) as store:
        for number, messages in enumerate(conversations):
            given = messages if store.takes_any_json else [_as_text(each) for each in messages]
            write(store, f"c{number}", given)
            plain += len(orjson.dumps(messages))
            done += 1
            if name != OURS and time.monotonic() > deadline:
                break
    return _size(place) / plain, done


def _whole(store: Rival, id: str, messages: list[Message]) -> None:
    store.fill([Filling(id, messages)])


def _by_turns(store: Rival, id: str, messages: list[Message]) -> None:
    store.create(id, messages[:2])
    for at in range(2, len(messages), 2):
        store.append(id, messages[at : at + 2])


def _as_text(message: Message) -> Message:
    return {"role": "user", "content": orjson.dumps(message).decode()}


def _size(place: str) -> int:
    return sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())


def _conversations(bench: Bench) -> tuple[dict[str, list[list[Message]]], str]:
    """Some of each class of size, spread over all that there are; and where they come from."""
    where = os.environ.get("VAULTSESSION_TEST_CONVERSATIONS")
    beside = Path(__file__).parents[3] / "shared" / "data" / "conversations"
    files = sorted(Path(where or beside).glob("*.jsonl.zst"))
    every = list(_real(files)) if files else list(_made_up(bench.author))
    found = {}
    for name, (low, high, times) in CLASSES.items():
        fitting = [line for line in every if low <= len(line) < high]
        wanted = times * bench.scale.conversations
        chosen = [orjson.loads(line)["messages"] for line in fitting[:: max(1, len(fitting) // wanted)]]
        if kept := [messages for messages in chosen if all(isinstance(each, dict) for each in messages)]:
            found[name] = kept[:wanted]
    return found, "conversations" if files else "made-up conversations"


def _real(files: list[Path]) -> Iterator[bytes]:
    for path in files:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        with path.open("rb") as file, reader.stream_reader(file) as stream:
            yield from io.BufferedReader(stream)


def _made_up(author: Author) -> Iterator[bytes]:
    for size in (5_000, 10_000, 50_000, 100_000, 300_000, 1_000_000):
        for _ in range(4):
            yield orjson.dumps({"messages": author.history(size)})
