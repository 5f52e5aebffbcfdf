"""How far each engine goes with more processes: 80 % loads and 20 % appends over 1 000 sessions, all on this machine.

::

    python -m benchmarks.scale [--quick] [--only redis-always,sqlite] [--processes 1,2,4,8] [--json FILE]

Every process opens the store by its URL, with a cache of its own that begins empty, and takes sessions at random.
Writes are durable but for ``redis-everysec``. Afterwards the messages are counted: what was acknowledged is there.
Clients and server share the cores of one machine here, so the curve bends where those are busy; a server on a host of
its own goes further.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vaultsession import RawKey, open_store

from .harness import percentile
from .sample import Author

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import servers
import sql_servers

KEY = RawKey(bytes(range(32)))
SESSIONS = 1000
HISTORY = 5_000
LOADS = 0.8
PATIENCE = 300


class Point(NamedTuple):
    """One engine with so many processes. Times in milliseconds, of single operations."""

    engine: str
    processes: int
    per_second: float
    p50: float
    p99: float
    worst: float
    lost: int


@contextlib.contextmanager
def place(engine: str) -> Iterator[str]:
    """Where a fresh vault of this engine is opened."""
    with contextlib.ExitStack() as stack:
        if engine in ("files", "sqlite"):
            directory = stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("VAULTSESSION_BENCH_DIR")))
            yield f"{directory}/vault" if engine == "files" else f"sqlite:///{directory}/sessions.db"
        elif engine.startswith("redis-"):
            server = stack.enter_context(servers.redis_server("--appendfsync", engine.removeprefix("redis-")))
            yield server.url
        else:
            database = {"mariadb": sql_servers.mariadb, "postgresql": sql_servers.postgresql}[engine]
            yield stack.enter_context(database()).database()


ENGINES = ("files", "redis-always", "redis-everysec", "sqlite", "mariadb", "postgresql")


def measure(engine: str, where: str, counts: list[int], seconds: float) -> Iterator[Point]:
    """The curve of one engine."""
    history = Author().history(HISTORY)
    with open_store(where, key=KEY) as store:
        store.save_many({"id": f"s{number}", "messages": history} for number in range(SESSIONS))
    for processes in counts:
        before = _messages(where)
        found = _together(where, processes, seconds)
        times = sorted(taken for one, _ in found for taken in one)
        acknowledged = sum(appended for _, appended in found)
        yield Point(
            engine,
            processes,
            len(times) / seconds,
            percentile(times, 0.5) / 1000,
            percentile(times, 0.99) / 1000,
            times[-1] / 1000,
            before + acknowledged - _messages(where),
        )


def _messages(where: str) -> int:
    with open_store(where, key=KEY) as store:
        return sum(info.message_count for info in store.list())


def _together(where: str, processes: int, seconds: float) -> list[tuple[list[float], int]]:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes), context.Queue()
    running = [
        context.Process(target=_child, args=(where, number, seconds, start, results)) for number in range(processes)
    ]
    for process in running:
        process.start()
    found = [results.get(timeout=PATIENCE) for _ in running]
    for process in running:
        process.join()
    return found


def _child(where: str, number: int, seconds: float, start: Any, results: Any) -> None:
    """Microseconds of each operation, and how many messages were acknowledged."""
    chance, turn = random.Random(number), Author(number).turn()
    appended = 0
    with open_store(where, key=KEY) as store:

        def one() -> None:
            nonlocal appended
            name = f"s{chance.randrange(SESSIONS)}"
            if chance.random() < LOADS:
                store.load(name).messages  # noqa: B018 - the touch is what parses
            else:
                store.append(name, *turn)
                appended += len(turn)

        for _ in range(20):
            one()
        start.wait()
        times = []
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            one()
            times.append((time.perf_counter() - began) * 1e6)
    results.put((times, appended))


def table(points: list[Point], counts: list[int]) -> str:
    """Operations per second, and p99 in milliseconds, for a page of prose."""
    head = "| | " + " | ".join(f"{count} process{'es' * (count > 1)}" for count in counts) + " |"
    lines = [head, "|---" * (len(counts) + 1) + "|"]
    for engine in dict.fromkeys(point.engine for point in points):
        cells = [
            f"{round(point.per_second, -2):.0f}/s, {point.p99:.1f} ms" for point in points if point.engine == engine
        ]
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="half a second for each point, and two points for each engine"
    )
    parser.add_argument("--only", help=f"some of {', '.join(ENGINES)}")
    parser.add_argument("--processes", help="1,2,4,8 unless it is said")
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    counts = [int(text) for text in (given.processes or ("1,4" if given.quick else "1,2,4,8")).split(",")]
    seconds = 0.5 if given.quick else 4.0
    points: list[Point] = []
    print(f"{'engine':<16} {'processes':>9} {'per second':>11} {'p50 ms':>8} {'p99 ms':>8} {'worst ms':>9} {'lost':>5}")
    for engine in given.only.split(",") if given.only else ENGINES:
        try:
            with place(engine) as where:
                for point in measure(engine, where, counts, seconds):
                    points.append(point)
                    print(
                        f"{engine:<16} {point.processes:>9} {point.per_second:>11.0f} {point.p50:>8.2f} "
                        f"{point.p99:>8.2f} {point.worst:>9.1f} {point.lost:>5}",
                        flush=True,
                    )
        except servers.pytest.skip.Exception as missing:
            print(f"{engine:<16} left out: {missing}")
    print("\n" + table(points, counts))
    if given.json:
        about = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        record = {**about, "seconds": seconds, "points": [point._asdict() for point in points]}
        Path(given.json).write_text(json.dumps(record, indent=1), encoding="utf-8")
    if any(point.lost for point in points):
        raise SystemExit("acknowledged appends are lost")


if __name__ == "__main__":
    main()
