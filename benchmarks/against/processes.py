"""Four processes on one store: a mix over many sessions, and appends alone to four hot ones.

What was acknowledged is counted by each process and looked for afterwards: a store whose append reads, changes and
writes with nothing around it loses some. What raises (a lock that was waited for too long, say) is an error, not an
acknowledgement. The processes are forked from one that has imported everything.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import random
import time
from dataclasses import dataclass, field
from typing import Any

from ..sample import Author
from .bench import Bench
from .rival import Filling, Rival
from .rivals import BY_NAME, ENTRIES

PROCESSES = 4
HOT = 4
MIXED = "four processes, 80 % loads and 20 % appends"
APPENDS = f"four processes, appends to {HOT} sessions"
ONE = ": one operation"
_TURN = 2
_LOADS = 0.8
_GRACE = 90.0


@dataclass
class Tally:
    """What the processes did. Times in microseconds."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    appended: int = 0
    errors: list[str] = field(default_factory=list)


def run(bench: Bench) -> None:
    """Each store for a while, in turns, as often as there are repetitions; the order is drawn anew for each."""
    shared = bench.scale.shared
    history = bench.author.history(3000)
    mixed = [Filling(f"s{number}", history) for number in range(shared)]
    hot = [Filling(f"s{number}", history) for number in range(HOT)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"benchmarks.against.rivals.{entry.module}" for entry in ENTRIES])
    _together(bench, context, f"{MIXED}, {shared} sessions", mixed, _LOADS)
    _together(bench, context, APPENDS, hot, 0.0)


def _together(bench: Bench, context: Any, workload: str, sessions: list[Filling], loads: float) -> None:
    with bench.opened() as stores:
        ready = bench.filled(stores, sessions, workload)
        taking_part = [entry for entry in bench.entries if entry.name in ready and entry.excludes]
        for entry in taking_part:
            if not entry.served:
                stores.pop(entry.name).close()
        tallies = {entry.name: Tally() for entry in taking_part}
        for _ in range(bench.scale.repetitions):
            for entry in bench.chance.sample(taking_part, len(taking_part)):
                work = (entry.name, bench.place(entry), bench.scale.running, len(sessions), loads)
                _all(context, work, tallies[entry.name])
        for entry in taking_part:
            _account(bench, workload, entry.name, tallies[entry.name], _kept(entry.name, bench.place(entry), sessions))
    bench.show(workload)
    bench.show(f"{workload}{ONE}")


def _account(bench: Bench, workload: str, name: str, tally: Tally, kept: int | str) -> None:
    said = tally.appended * _TURN
    lost = kept if isinstance(kept, str) else f"{max(0, said - kept)} of {said} lost"
    errors = f", {len(tally.errors)} errors: {tally.errors[0][:60]}" if tally.errors else ""
    bench.note(workload, name, tally.rates, unit="/s", note=lost + errors)
    worst = f"worst {max(tally.times) / 1000:.1f} ms" if tally.times else "nothing was done"
    bench.note(f"{workload}{ONE}", name, tally.times, unit="us", note=worst)


def _kept(name: str, place: str, sessions: list[Filling]) -> int | str:
    """Messages that are there beyond those of the beginning."""
    with contextlib.closing(BY_NAME[name].open(place)) as store:
        try:
            return sum(len(store.load(each.id)) - len(each.messages) for each in sessions)
        except Exception as error:  # noqa: BLE001 - a session that is not read again is worth telling
            return f"not readable afterwards: {type(error).__name__}"


def _all(context: Any, work: tuple[Any, ...], tally: Tally) -> None:
    start, results = context.Barrier(PROCESSES), context.Queue()
    running = [context.Process(target=_child, args=(number, start, results, *work)) for number in range(PROCESSES)]
    for process in running:
        process.start()
    rate = 0.0
    try:
        for _ in running:
            times, appended, errors, took = results.get(timeout=work[2] + _GRACE)
            tally.times += times
            tally.appended += appended
            tally.errors += errors
            rate += len(times) / took
    except queue.Empty:
        tally.errors.append("a process did not come to its end")
        for process in running:
            process.kill()
    for process in running:
        process.join()
    tally.rates.append(rate)


def _child(
    number: int, start: Any, results: Any, name: str, place: str, seconds: float, sessions: int, loads: float
) -> None:
    try:
        store = BY_NAME[name].open(place)
    except Exception as error:  # noqa: BLE001 - the others wait for this one, and go on
        start.wait(timeout=_GRACE)
        results.put(([], 0, [f"not opened: {type(error).__name__}: {error}"], seconds))
        return
    start.wait(timeout=_GRACE)
    results.put(_work(store, random.Random(number), seconds, sessions, loads))
    store.close()


def _work(
    store: Rival, chance: random.Random, seconds: float, sessions: int, loads: float
) -> tuple[list[float], int, list[str], float]:
    """What took how long, how many appends were acknowledged, what was raised, and how many seconds it all took."""
    turn = Author(chance.randrange(1000)).turn()
    times, errors, appended = [], [], 0
    start = time.perf_counter()
    while (began := time.perf_counter()) < start + seconds:
        name, reads = f"s{chance.randrange(sessions)}", chance.random() < loads
        try:
            if reads:
                len(store.load(name))
            else:
                store.append(name, turn)
                appended += 1
        except Exception as error:  # noqa: BLE001 - counted, and told
            errors.append(f"{type(error).__name__}: {error}")
        else:
            times.append((time.perf_counter() - began) * 1e6)
    return times, appended, errors, time.perf_counter() - start
