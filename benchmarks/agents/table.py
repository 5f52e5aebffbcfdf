"""One table for all frameworks: a turn and a load, at 10 and 1 000 messages, and the bytes of the longer history."""

from __future__ import annotations

import gc
import itertools
import os
import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..harness import Call, log, median
from ..sample import Author, Message
from .store import Store, bytes_in

SIZES = (10, 1000)
_TURNS = 64
_WARM_UP = 3


@dataclass(frozen=True)
class AgentRow:
    """One store. Microseconds by the number of messages before; bytes of the last of ``SIZES``, before its turns."""

    framework: str
    store: str
    durable: bool
    encrypts: bool
    turn: dict[int, float]
    load: dict[int, float]
    stored: int


def measure(framework: str, stores: Sequence[Store], directory: str, rounds: int) -> list[AgentRow]:
    """A row for each store, all in turns so that noise meets them alike."""
    turn: dict[str, dict[int, float]] = {store.name: {} for store in stores}
    load: dict[str, dict[int, float]] = {store.name: {} for store in stores}
    stored = dict.fromkeys(turn, 0)
    for size in SIZES:
        opened = {}
        for store in stores:
            place = os.path.join(directory, f"{framework}-{size}-{store.name.replace(' ', '-').replace(',', '')}")
            os.makedirs(place)
            opened[store.name] = store.open(place)
            for messages in _history(size):
                opened[store.name].turn(messages)
            if opened[store.name].load() != size:
                raise AssertionError(f"{store.name} does not keep what it is given")
            stored[store.name] = bytes_in(place)
        author = Author(size)
        turns = itertools.cycle([author.turn() for _ in range(_TURNS)])
        loads = in_turns({name: each.load for name, each in opened.items()}, rounds)
        writes = in_turns(
            {name: lambda each=each, turns=turns: each.turn(_fresh(next(turns))) for name, each in opened.items()},
            rounds,
        )
        for name, each in opened.items():
            load[name][size], turn[name][size] = median(loads[name]), median(writes[name])
            each.close()
        log(f"{framework}: {size} messages")
    return [
        AgentRow(framework, each.name, each.durable, each.encrypts, turn[each.name], load[each.name], stored[each.name])
        for each in stores
    ]


def in_turns(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Microseconds of every call, in an order that is drawn anew for each round: who follows a slow one is slower."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    chance, order = random.Random(7), [*calls]
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds + _WARM_UP):
            chance.shuffle(order)
            for name in order:
                began = time.perf_counter_ns()
                calls[name]()
                if number >= _WARM_UP:
                    times[name].append((time.perf_counter_ns() - began) / 1000)
    finally:
        gc.enable()
    return times


def table(rows: Iterable[AgentRow]) -> str:
    """The rows as Markdown, ours in bold."""
    sizes = [f"{size:,}".replace(",", " ") for size in SIZES]
    head = ["store", "flushes", "encrypts", *(f"turn at {size}" for size in sizes)]
    head += [*(f"load of {size}" for size in sizes), "on disk"]
    found = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        name = f"**{row.framework}: {row.store}**" if row.store.startswith("Vault") else f"{row.framework}: {row.store}"
        cells = [name, "yes" if row.durable else "no", "yes" if row.encrypts else "no"]
        cells += [_time(row.turn[size]) for size in SIZES] + [_time(row.load[size]) for size in SIZES]
        found.append(f"| {' | '.join([*cells, f'{row.stored // 1024} KB' if row.stored else '-'])} |")
    return "\n".join(found)


def _history(size: int) -> Iterable[list[Message]]:
    """The turns of a history of so many messages."""
    author = Author(size)
    return [_fresh(author.turn()) for _ in range(size // 2)]


_number = itertools.count()


def _fresh(messages: list[Message]) -> list[Message]:
    """The messages with ids of their own."""
    return [{**message, "id": f"msg_{next(_number):032x}"} for message in messages]


def _time(micros: float) -> str:
    return f"{micros / 1000:.2f} ms" if micros >= 1000 else f"{micros:.0f} µs"
