"""What the engines cost: an append against a bare round trip of the same bytes, on servers of this machine.

::

    python -m benchmarks.engines --only redis [--rounds 400] [--url redis://…]
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import redis

from vaultsession import RawKey, open_store

from .harness import Report, interleaved
from .sample import Author

KEY = RawKey(bytes(range(32)))
APPEND_BAR = 1.5


@contextmanager
def redis_here(flushes: str) -> Iterator[str]:
    """A redis-server of this run, with an append-only file."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("there is no redis-server: install it with `apt install redis-server`, or give --url")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        words = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""]
        process = subprocess.Popen([*words, "--appendonly", "yes", "--appendfsync", flushes], stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(port=port)
            for _ in range(500):
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.01)
            client.close()
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def measure_redis(report: Report, url: str, rounds: int) -> None:
    bare = redis.Redis.from_url(url, protocol=2)
    author = Author()
    prefix = f"bench-{os.urandom(4).hex()}"
    row = os.urandom(450)

    def whole(record: bytes) -> None:
        """What any store has to do that lists what it keeps: the bytes, a row beside them, two indexes."""
        pipeline = bare.pipeline(transaction=True)
        pipeline.append(f"{prefix}:bare", record)
        pipeline.set(f"{prefix}:row", row)
        pipeline.zadd(f"{prefix}:index", {"session": time.monotonic_ns()})
        pipeline.zadd(f"{prefix}:user", {"session": time.monotonic_ns()})
        pipeline.execute()

    with open_store(f"{url}?prefix={prefix}", key=KEY) as store:
        for size in (300, 2_000, 20_000):
            turn = {"role": "user", "content": author.text(size)}
            name, numbers = f"session {size}", count()
            store.create(name)
            before = store.stats()["bytes"]
            store.append(name, turn)
            # The bytes of one record; none of what is kept beside it.
            record = os.urandom(store.stats()["bytes"] - before)
            store.delete(name)
            store.create(name, user_id="someone")

            def append(name: str = name, turn: dict[str, str] = turn, numbers: count[int] = numbers) -> None:
                if next(numbers) % 200 == 199:
                    store.clear(name)
                store.append(name, turn)

            times = interleaved(
                {
                    "floor": lambda record=record: bare.append(f"{prefix}:bare", record),
                    "whole": lambda record=record: whole(record),
                    "ours": append,
                    "load": lambda name=name: store.load(name),
                },
                rounds,
            )
            bare.delete(f"{prefix}:bare")
            report.compare(f"append {size} B ({len(record)} B sealed) / a bare APPEND", times, APPEND_BAR)
            report.compare("  the same / a transaction that does as much unsealed", times, floor="whole")
            report.compare(f"load {size} B, cached / a bare APPEND", times, ours="load")
        for number in range(1000):
            store.create(f"listed {number}", user_id=f"user {number % 20}")
        pages = {
            "floor": bare.ping,
            "ours": lambda: store.list(limit=50),
            "user": lambda: store.list(user_id="user 3", limit=50),
        }
        times = interleaved(pages, max(20, rounds // 4))
        report.compare("list 50 of 1000 / a bare PING", times)
        report.compare("list 50 of one user / a bare PING", times, ours="user")
    for key in bare.scan_iter(f"{prefix}:*", count=1000):
        bare.delete(key)
    bare.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["redis"], default="redis")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--url", help="a server that runs already")
    chosen = parser.parse_args()
    report = Report()
    if chosen.url:
        measure_redis(report, chosen.url, chosen.rounds)
    else:
        for flushes in ("everysec", "always"):
            print(f"appendfsync {flushes}")
            with redis_here(flushes) as url:
                measure_redis(report, url, chosen.rounds)
    print(report.closing_line())


if __name__ == "__main__":
    main()
