"""A process that has just begun: the store opened and its first operation done, beyond the imports.

Each sample is a process of its own, started in turns. A server (Redis) is running already, as a server is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from ..sample import Author
from .bench import Action, Bench
from .rival import Filling
from .rivals import BY_NAME, Entry

_LENGTH = 1000


def run(bench: Bench) -> None:
    """Append first, load the last messages first, to a history of 1000 messages."""
    history = [message for _ in range(_LENGTH // 2) for message in bench.author.turn()]
    with bench.opened() as stores:
        workload = "a fresh process: open and append a turn"
        ready = bench.filled(stores, workload, [Filling("fresh", history)])
        for entry in bench.entries:
            if entry.name in ready and not entry.served:
                stores.pop(entry.name).close()
        kinds = [(workload, "append"), ("a fresh process: open and load 1000 messages", "load")]
        for workload_of, operation in kinds[: bench.scale.starts]:
            actions = {
                entry.name: Action(lambda _, entry=entry, operation=operation: _first(bench, entry, operation))
                for entry in bench.entries
                if entry.name in ready
            }
            bench.measure(workload_of, actions, share=bench.scale.filling, rounds=bench.scale.starts)


def _first(bench: Bench, entry: Entry, operation: str) -> float:
    command = [sys.executable, "-m", "benchmarks.against.fresh", entry.name, bench.place(entry), operation]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise OSError(run.stderr.strip().rsplit("\n", 1)[-1])
    return float(run.stdout)


def _child(name: str, place: str, operation: str) -> None:
    entry = BY_NAME[name]
    entry.missing()  # which imports it
    turn = Author(os.getpid()).turn()
    began = time.perf_counter_ns()
    store = entry.open(place)
    if operation == "append":
        store.append("fresh", turn)
    else:
        store.load("fresh")
    print((time.perf_counter_ns() - began) / 1000)
    store.close()


if __name__ == "__main__":
    _child(*sys.argv[1:])
