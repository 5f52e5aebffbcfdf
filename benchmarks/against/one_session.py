"""One session at a time: saved, made, loaded, appended to, its end read; over its size."""

from __future__ import annotations

import itertools

from ..sample import Message
from .bench import LEFT_OUT, Action, Bench
from .rival import Filling, Rival

SIZES = {"2 KB": 2_000, "20 KB": 20_000, "200 KB": 200_000, "2 MB": 2_000_000}


def save(bench: Bench) -> None:
    """The whole history anew, with another last message each time: what a turn does to a store of documents."""
    with bench.opened() as stores:
        for size, wanted in SIZES.items():
            workload = f"save of an existing session, {size}"
            history = bench.author.history(wanted)
            ends = itertools.cycle([bench.author.turn()[1] for _ in range(16)])
            actions = {}
            ready = _patient(bench, "save", workload, stores, wanted)
            for name, store in bench.filled(ready, [Filling(f"save-{wanted}", history)], workload).items():
                actions[name] = Action(
                    lambda messages, store=store, name=f"save-{wanted}": store.save(name, messages),
                    lambda history=history, ends=ends: [*history[:-1], next(ends)],
                )
            _paced(bench, "save", bench.measure(workload, actions, flushes="save", plot=wanted), wanted)


def create(bench: Bench) -> None:
    """A new session with its history."""
    number = itertools.count()
    with bench.opened() as stores:
        for size, wanted in SIZES.items():
            workload = f"create, {size}"
            history = bench.author.history(wanted)
            actions = {
                name: Action(
                    lambda name, store=store, history=history: store.create(name, history),
                    lambda: f"new-{next(number)}",
                )
                for name, store in _patient(bench, "create", workload, stores, wanted).items()
            }
            _paced(bench, "create", bench.measure(workload, actions, flushes="create", plot=wanted), wanted)


def load(bench: Bench) -> None:
    """The whole history, parsed: the same again and again, and another one each time in a store without a cache."""
    for size in ("20 KB", "200 KB"):
        with bench.opened() as stores:
            sessions = [Filling(f"s{number}", bench.author.history(SIZES[size])) for number in range(bench.scale.colds)]
            ready = bench.filled(stores, sessions, f"warm load, {size}", f"cold load, {size}")
            actions = {name: Action(lambda _, store=store: len(store.load("s0"))) for name, store in ready.items()}
            bench.measure(f"warm load, {size}", actions)
            _cold(bench, size, ready)


def _cold(bench: Bench, size: str, ready: dict[str, Rival]) -> None:
    """The same files, in stores that were opened anew and decode each time. Each session is loaded once."""
    colds = {}
    try:
        actions = {}
        for entry in bench.entries:
            if entry.name not in ready:
                continue
            colds[entry.name] = store = entry.open(bench.place(entry), cold=True)
            names = itertools.cycle(f"s{number}" for number in range(1, bench.scale.colds))
            actions[entry.name] = Action(
                lambda name, store=store: len(store.load(name)), lambda names=names: next(names)
            )
        bench.measure(f"cold load, {size}", actions, rounds=bench.scale.colds - 1)
    finally:
        for store in colds.values():
            store.close()


def append(bench: Bench) -> None:
    """One turn behind a history, and the last 20 messages of it, over the length of the history."""
    turns = [bench.author.turn() for _ in range(64)]
    with bench.opened() as stores:
        for length in bench.scale.histories:
            workload, reader = f"append of a turn, {length} messages before", f"last 20 of {length} messages"
            turn = itertools.cycle(turns)
            history: list[Message] = [message for _ in range(length // 2) for message in next(turn)]
            ready = _patient(bench, "append", workload, stores, length)
            ready = bench.filled(ready, [Filling(f"h{length}", history)], workload)
            actions = {
                name: Action(
                    lambda messages, store=store, name=f"h{length}": store.append(name, messages),
                    lambda turn=turn: next(turn),
                )
                for name, store in ready.items()
            }
            _paced(bench, "append", bench.measure(workload, actions, flushes="append", plot=length), length)
            for name, store in stores.items():
                if store.last is not None and name not in ready:
                    bench.note(reader, name, [], unit="", note=f"{LEFT_OUT}, as its append was")
            bench.measure(
                reader,
                {
                    name: Action(lambda _, store=store, name=f"h{length}": len(store.last(name, 20)))
                    for name, store in ready.items()
                    if store.last is not None
                },
                plot=length,
            )


def _patient(bench: Bench, family: str, workload: str, stores: dict[str, Rival], units: int) -> dict[str, Rival]:
    return {name: store for name, store in stores.items() if not bench.is_too_slow(family, name, units, workload)}


def _paced(bench: Bench, family: str, turns: dict, units: int) -> None:
    for name, turn in turns.items():
        if turn.times:
            bench.paced(family, name, units, min(turn.times) / 1e6)
