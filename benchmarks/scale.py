"""How far each engine goes with more processes, and more threads: 80 % loads and 20 % appends over 1 000 sessions.

::

    python -m benchmarks.scale [--quick] [--only redis-always,sqlite] [--processes 1,2,4,8] [--threads 4,16,64]
        [--directory DIR …] [--json FILE] [--rows FILE] [--readme]

``files`` is measured in each directory that is named, one after another: on several file systems, say. ``--rows`` takes
what an earlier run has kept, and ``--readme`` writes the table of ``benchmarks/README.md`` anew.

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
import random
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vaultsession import RawKey, SessionStore, open_store

from .harness import conditions, percentile, told
from .place import Place, thousands
from .sample import Author

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import servers
import sql_servers

KEY = RawKey(bytes(range(32)))
SESSIONS = 1000
HISTORY = 5_000
LOADS = 0.8
PATIENCE = 300
PLACE = Place("benchmarks.scale")


class Point(NamedTuple):
    """One engine with so many processes of so many threads. Times in milliseconds, of single operations."""

    engine: str
    processes: int
    threads: int
    per_second: float
    p50: float
    p99: float
    worst: float
    lost: int


@contextlib.contextmanager
def place(engine: str, directory: str | None) -> Iterator[str]:
    """Where a fresh vault of this engine is opened."""
    with contextlib.ExitStack() as stack:
        if engine in ("files", "sqlite"):
            directory = stack.enter_context(tempfile.TemporaryDirectory(dir=directory))
            yield f"{directory}/vault" if engine == "files" else f"sqlite:///{directory}/sessions.db"
        elif engine.startswith("redis-"):
            server = stack.enter_context(servers.redis_server("--appendfsync", engine.removeprefix("redis-")))
            yield server.url
        else:
            database = {"mariadb": sql_servers.mariadb, "postgresql": sql_servers.postgresql}[engine]
            yield stack.enter_context(database()).database()


ENGINES = ("files", "redis-always", "redis-everysec", "sqlite", "mariadb", "postgresql")


def measure(engine: str, where: str, counts: list[tuple[int, int]], seconds: float) -> Iterator[Point]:
    """The curve of one engine, over processes and threads."""
    history = Author().history(HISTORY)
    with open_store(where, key=KEY) as store:
        store.save_many({"id": f"s{number}", "messages": history} for number in range(SESSIONS))
    for processes, threads in counts:
        before = _messages(where)
        found = _together(where, processes, threads, seconds)
        times = sorted(taken for one, _ in found for taken in one)
        acknowledged = sum(appended for _, appended in found)
        yield Point(
            engine,
            processes,
            threads,
            len(times) / seconds,
            percentile(times, 0.5) / 1000,
            percentile(times, 0.99) / 1000,
            times[-1] / 1000,
            before + acknowledged - _messages(where),
        )


def _messages(where: str) -> int:
    with open_store(where, key=KEY) as store:
        return sum(info.message_count for info in store.list())


def _together(where: str, processes: int, threads: int, seconds: float) -> list[tuple[list[float], int]]:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(processes * threads), context.Queue()
    running = [
        context.Process(target=_child, args=(where, number, threads, seconds, start, results))
        for number in range(processes)
    ]
    for process in running:
        process.start()
    found = [results.get(timeout=PATIENCE) for _ in range(processes * threads)]
    for process in running:
        process.join()
    return found


def _child(where: str, number: int, threads: int, seconds: float, start: Any, results: Any) -> None:
    with open_store(where, key=KEY) as store:
        running = [
            threading.Thread(target=_work, args=(store, number * threads + thread, seconds, start, results))
            for thread in range(threads)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


def _work(store: SessionStore[Any], number: int, seconds: float, start: Any, results: Any) -> None:
    """Microseconds of each operation, and how many messages were acknowledged."""
    chance, turn = random.Random(number), Author(number).turn()
    appended = 0

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


def table(points: list[Point]) -> str:
    """Operations per second, and p99 in milliseconds, for a page of prose."""
    counts = list(dict.fromkeys((point.processes, point.threads) for point in points))
    lines = ["| | " + " | ".join(_named(*count) for count in counts) + " |", "|---" * (len(counts) + 1) + "|"]
    for engine in dict.fromkeys(point.engine for point in points):
        found = {(point.processes, point.threads): point for point in points if point.engine == engine}
        cells = [
            f"{thousands(round(found[count].per_second, -2))}/s, {found[count].p99:.1f} ms" if count in found else "-"
            for count in counts
        ]
        lines.append(f"| {engine} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _named(processes: int, threads: int) -> str:
    return f"{threads} threads" if threads > 1 else f"{processes} process{'es' * (processes > 1)}"


def _text(where: dict[str, Any], points: list[Point]) -> str:
    said = (
        "Operations per second, and what 99 of 100 take at most. Threads are those of one process. "
        f"{where['seconds']:g} seconds for each; {told({**where, 'file system': 'the vault where the row says'})}."
    )
    return f"{table(points)}\n\n{textwrap.fill(said, 120)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="half a second for each point, and two points for each engine"
    )
    parser.add_argument("--only", help=f"some of {', '.join(ENGINES)}")
    parser.add_argument("--processes", help="1,2,4,8 unless it is said")
    parser.add_argument("--threads", help="of one process; 4,16,64 unless it is said, and none with --quick")
    parser.add_argument("--directory", metavar="DIR", action="append", help="where vaults are made; several for files")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--rows", metavar="FILE", help="measure nothing: take the points of that file")
    parser.add_argument("--readme", action="store_true", help="write the table of benchmarks/README.md anew")
    given = parser.parse_args()
    if given.rows:
        kept = json.loads(Path(given.rows).read_text(encoding="utf-8"))
        points, where = [Point(**point) for point in kept["points"]], kept["conditions"]
    else:
        points, where = _measured(given)
    print("\n" + table(points))
    if given.json:
        rows = ",\n".join(json.dumps(point._asdict()) for point in points)
        text = f'{{"conditions": {json.dumps(where)},\n"points": [\n{rows}\n]}}\n'
        Path(given.json).write_text(text, encoding="utf-8")
    if given.readme:
        PLACE.write(Path(__file__).with_name("README.md"), _text(where, points))
    if any(point.lost for point in points):
        raise SystemExit("acknowledged appends are lost")


def _measured(given: argparse.Namespace) -> tuple[list[Point], dict[str, Any]]:
    counts = [(int(text), 1) for text in (given.processes or ("1,4" if given.quick else "1,2,4,8")).split(",")]
    threads = given.threads or ("" if given.quick else "4,16,64")
    counts += [(1, int(text)) for text in threads.split(",") if text]
    seconds = 0.5 if given.quick else 4.0
    directories = given.directory or [tempfile.gettempdir()]
    points: list[Point] = []
    print(f"{'':<24} {'':<12} {'per second':>11} {'p50 ms':>8} {'p99 ms':>8} {'worst ms':>9} {'lost':>5}")
    for engine in given.only.split(",") if given.only else ENGINES:
        for directory in directories if engine == "files" else directories[:1]:
            about = conditions(directory, quick=given.quick)
            name = f"files, {about['file system']}" if engine == "files" else engine
            try:
                with place(engine, directory) as where:
                    for point in measure(name, where, counts, seconds):
                        points.append(point)
                        print(
                            f"{name:<24} {_named(point.processes, point.threads):<12} {point.per_second:>11.0f} "
                            f"{point.p50:>8.2f} {point.p99:>8.2f} {point.worst:>9.1f} {point.lost:>5}",
                            flush=True,
                        )
            except servers.pytest.skip.Exception as missing:
                print(f"{name:<24} left out: {missing}")
    return points, {**conditions(directories[0], quick=given.quick), "seconds": seconds}


if __name__ == "__main__":
    main()
