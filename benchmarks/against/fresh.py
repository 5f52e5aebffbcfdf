"""A process that has just begun: its imports, and beyond them the store opened and its first operation done.

Each sample is a process of its own, started in turns. Some libraries import more of themselves when they are first
used: a process that is not measured finds out what, and the others import that too before they begin, so that no store
pays for its imports twice and none hides them. A server (Redis) is running already, as a server is.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from ..sample import Author
from .bench import Action, Bench
from .rival import Filling
from .rivals import BY_NAME, Entry

APPEND = "a fresh process: open and append a turn"
LOAD = "a fresh process: open and load 20 KB"
IMPORTS = "a fresh process: its imports before that"
_LENGTH = 1000


def run(bench: Bench) -> None:
    """Append first, behind a history of 1000 messages; load a whole session first."""
    history = [message for _ in range(_LENGTH // 2) for message in bench.author.turn()]
    sessions = [Filling("long", history), Filling("short", bench.author.history(20_000))]
    with bench.opened() as stores:
        ready = bench.filled(stores, sessions, APPEND, LOAD, IMPORTS)
        entries = [entry for entry in bench.entries if entry.name in ready]
        for entry in entries:
            if not entry.served:
                stores.pop(entry.name).close()
        imports: dict[str, list[float]] = defaultdict(list)
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # nothing is measured yet
            found = pool.map(lambda entry: _late(bench, entry), entries)
        late = {entry.name: modules for entry, modules in zip(entries, found, strict=True)}
        for workload, operation in ((APPEND, "append"), (LOAD, "load")):
            actions = {
                entry.name: Action(
                    lambda _, entry=entry, operation=operation: _first(
                        bench, entry, operation, late[entry.name], imports[entry.name]
                    )
                )
                for entry in entries
            }
            writes = operation == "append"
            bench.measure(workload, actions, writes=writes, share=bench.scale.starting, rounds=bench.scale.starts)
        for name, times in imports.items():
            bench.note(IMPORTS, name, times, unit="us")
        bench.show(IMPORTS)


def _first(bench: Bench, entry: Entry, operation: str, late: list[str], imports: list[float]) -> float:
    imported, took = map(float, _ask(bench, entry, operation, *late).split())
    imports.append(imported)
    return took


def _late(bench: Bench, entry: Entry) -> list[str]:
    try:
        return _ask(bench, entry, "modules").split()
    except OSError:
        return []  # it fails as it is measured, too, and is told there


def _ask(bench: Bench, entry: Entry, *more: str) -> str:
    command = [sys.executable, "-m", "benchmarks.against.fresh", entry.name, bench.place(entry), *more]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise OSError(run.stderr.strip().rsplit("\n", 1)[-1])
    return run.stdout.rstrip("\n").rsplit("\n", 1)[-1]  # a library may greet the world


def _child(name: str, place: str, operation: str, *late: str) -> None:
    entry, turn = BY_NAME[name], Author(os.getpid()).turn()
    began = time.perf_counter_ns()
    entry.missing()  # which imports it
    for module in late:
        with contextlib.suppress(ImportError):  # it was there, under a name that is made as its package is used
            importlib.import_module(module)
    imported = time.perf_counter_ns()
    if operation == "modules":
        before = set(sys.modules)
        store = entry.open(place)
        store.append("short", turn)
        store.load("short")
        print(*(module for module in list(sys.modules) if module not in before))
    else:
        store = entry.open(place)
        if operation == "append":
            store.append("long", turn)
        else:
            store.load("short")
        print((imported - began) / 1000, (time.perf_counter_ns() - imported) / 1000)
    store.close()


if __name__ == "__main__":
    _child(*sys.argv[1:])
