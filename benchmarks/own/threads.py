"""Threads and tasks of one process: what an awaited verb costs, and how appends go with more of either.

Threads are started before the clock, and each appends several times: a start takes as much as a third of an append, and
what a thread compresses with is made by its first one. With one append a thread, starts included, 64 threads seemed to
be slower than one.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import vaultsession
from vaultsession import AsyncSessionStore, SessionStore
from vaultsession.format.payload import Json

from ..harness import Report, median
from ..sample import Author

KEY = bytes(range(32))
SESSIONS = 64
TASKS = 100
EACH = 5
"""Appends to a session in one round."""
_COUNTS = (1, 4, 16, 64)


def run(report: Report, directory: str, scale: float) -> None:
    rounds = max(2, int(10 * scale))
    turn = Author().turn()
    with vaultsession.open_store(os.path.join(directory, "threads"), key=KEY) as store:
        names = [f"s{number}" for number in range(TASKS)]
        store.save_many({"id": name, "messages": turn} for name in names)
        hops, awaited, threaded = asyncio.run(_awaited(store, names, turn, rounds))
        tasks, others = (TASKS * EACH * 1e6 / median(times) for times in (awaited, threaded))
        report.add("an awaited verb beside the same call in place", median(hops), "us", 40)
        report.add(
            f"{TASKS} tasks appending to as many sessions / as many threads",
            tasks / others,
            "x",
            0.9,
            at_least=True,
            detail=f"{tasks:.0f}/s against {others:.0f}/s",
        )
        taken: dict[int, list[float]] = {count: [] for count in _COUNTS}
        for _ in range(rounds):
            for count in _COUNTS:
                taken[count].append(_by_threads(store, names[:SESSIONS], turn, count))
        for count in _COUNTS:
            what = f"appends to {SESSIONS} sessions by {count} thread{'s' * (count > 1)}"
            report.add(what, SESSIONS * EACH * 1e6 / median(taken[count]), "/s")


async def _awaited(
    store: SessionStore[Any], names: list[str], turn: list[Json], rounds: int
) -> tuple[list[float], list[float], list[float]]:
    """Microseconds of a hop, and of the appends to each session by tasks and by threads, in turns."""
    tasks, threads = [], []
    awaited = AsyncSessionStore(store)

    async def work(name: str) -> None:
        for _ in range(EACH):
            await awaited.append(name, *turn)

    hops = [await _taken(lambda: awaited.run(lambda _: None)) for _ in range(100 * rounds)]
    for _ in range(rounds):
        tasks.append(await _taken(lambda: asyncio.gather(*map(work, names))))
        threads.append(_by_threads(store, names, turn, len(names)))
    return hops, tasks, threads


async def _taken(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1e6


def _by_threads(store: SessionStore[Any], names: list[str], turn: list[Json], count: int) -> float:
    """Microseconds that so many threads take for the appends to each session, once they run."""
    ready = threading.Barrier(count + 1)

    def work(mine: list[str]) -> None:
        ready.wait()
        for _ in range(EACH):
            for name in mine:
                store.append(name, *turn)

    running = [threading.Thread(target=work, args=(names[first::count],)) for first in range(count)]
    for thread in running:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in running:
        thread.join()
    return (time.perf_counter() - began) * 1e6
