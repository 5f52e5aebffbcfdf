"""Four processes on one vault: a mix over many sessions, and appends to a few hot ones beside the bare floor."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from typing import Any

import vaultsession

from ..floor import Floor
from ..harness import Report, percentile
from ..place import thousands
from ..sample import Author

KEY = bytes(range(32))
PROCESSES = 4
SESSIONS = 1000
HOT = 4


def run(report: Report, directory: str, scale: float) -> None:
    seconds = max(1.0, 4 * scale)
    path = os.path.join(directory, "shared")
    with vaultsession.open_store(path, key=KEY) as store:
        history = Author().history(5000)
        for number in range(SESSIONS):
            store.create(f"s{number}", messages=history)
        for number in range(HOT):
            store.create(f"hot{number}")
    times, _ = _all(_mixed, path, seconds)
    report.add("four processes, 80/20 over 1000 sessions: p99", percentile(times, 0.99) / 1000, "ms", 4)
    report.add("  operations per second", len(times) / seconds, "/s", detail=f"worst {max(times) / 1000:.1f} ms")
    times, _ = _all(_met, path, seconds)
    report.add("  the same once each process has met each session", len(times) / seconds, "/s")

    ours, acknowledged = _all(_hot, path, seconds)
    with vaultsession.open_store(path, key=KEY) as store:
        kept = sum(len(store.load(f"hot{number}").messages) for number in range(HOT))
    bare_path = os.path.join(directory, "bare")
    os.makedirs(bare_path)
    bare, _ = _all(_bare, bare_path, seconds)
    report.add(
        "four processes on 4 hot sessions: appends / bare floor",
        len(ours) / len(bare),
        "x",
        0.7,
        at_least=True,
        detail=f"{thousands(len(ours) / seconds)}/s against {thousands(len(bare) / seconds)}/s",
    )
    report.add("  p99", percentile(ours, 0.99) / 1000, "ms", 3, detail=f"worst {max(ours) / 1000:.1f} ms")
    report.add("  acknowledged appends that are lost", sum(acknowledged) * 2 - kept, "", 0)


def _all(worker: Callable[..., tuple[list[float], int]], path: str, seconds: float) -> tuple[list[float], list[int]]:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES)
    results: Any = context.Queue()
    running = [
        context.Process(target=_child, args=(worker, path, seconds, number, start, results))
        for number in range(PROCESSES)
    ]
    for process in running:
        process.start()
    found = [results.get(timeout=120) for _ in running]
    for process in running:
        process.join()
    return [time for times, _ in found for time in times], [done for _, done in found]


def _child(worker, path, seconds, number, start, results) -> None:
    results.put(worker(path, seconds, number, start))


def _timed(call: Callable[[], object], seconds: float, start) -> tuple[list[float], int]:
    call()
    start.wait()
    times = []
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        call()
        times.append((time.perf_counter() - began) * 1e6)
    return times, len(times) + 1


def _met(path: str, seconds: float, number: int, start) -> tuple[list[float], int]:
    return _mixed(path, seconds, number, start, meet=True)


def _mixed(path: str, seconds: float, number: int, start, *, meet: bool = False) -> tuple[list[float], int]:
    """A session that a process meets for the first time takes it four times as much as one that it knows."""
    chance, turn = random.Random(number), Author(number).turn()
    with vaultsession.open_store(path, key=KEY) as store:
        for name in range(SESSIONS if meet else 0):
            store.load(f"s{name}")

        def one() -> None:
            name = f"s{chance.randrange(SESSIONS)}"
            if chance.random() < 0.8:
                store.load(name).messages  # noqa: B018 - the touch is what parses
            else:
                store.append(name, *turn)

        return _timed(one, seconds, start)


def _hot(path: str, seconds: float, number: int, start) -> tuple[list[float], int]:
    chance, turn = random.Random(number), Author(number).turn()
    with vaultsession.open_store(path, key=KEY) as store:
        return _timed(lambda: store.append(f"hot{chance.randrange(HOT)}", *turn), seconds, start)


def _bare(path: str, seconds: float, number: int, start) -> tuple[list[float], int]:
    """The same primitives under the same kind of lock, on files that all four write, and one flush behind it."""
    chance, turn = random.Random(number), Author(number).turn()
    floor = Floor(os.path.join(path, f"own-{number}"))
    flags = os.O_RDWR | os.O_CREAT
    files = [os.open(os.path.join(path, f"hot-{name}"), flags, 0o600) for name in range(HOT)]
    locks = [os.open(os.path.join(path, f"lock-{name}"), flags, 0o600) for name in range(HOT)]

    def one() -> None:
        name = chance.randrange(HOT)
        fcntl.flock(locks[name], fcntl.LOCK_EX)
        try:
            data = floor.seal(turn)
            os.pwrite(files[name], data, os.fstat(files[name]).st_size)
        finally:
            fcntl.flock(locks[name], fcntl.LOCK_UN)
        os.fdatasync(files[name])

    return _timed(one, seconds, start)
