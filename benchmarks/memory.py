"""What a process needs to serve a large vault: its memory at the highest, each verb in a process of its own.

Run: ``python -m benchmarks.memory [--sessions N] [--directory DIR] [--json FILE]``, on Linux. Two vaults are built,
of 10 000 sessions and of N (100 000: about a minute). Each row is what the highest resident size (VmHWM) of a process
that opened a vault and did one thing comes to in a vault of a million, beyond an empty one: what it takes with 10 000,
where all bounded caches are full, and from there on what the sessions beyond those take, in proportion.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import vaultsession

from .harness import Report, log

KEY = bytes(range(32))
BAR = 100
"""Megabytes, for a million sessions."""
FEW, MILLION = 10_000, 1_000_000

STEPS = {
    "open": "",
    "list a page of 50": "store.list(limit=50)",
    "count": "store.count(user_id='user-7')",
    "sweep": "store.sweep()",
    "stats": "store.stats()",
    "verify": "store.verify()",
    "rebuild what changed": "store._backend.reindex(everything=False)",
    "reindex": "store.reindex()",
    "open without an index": "",
}
_STEP = """
import sys, vaultsession
with vaultsession.open_store(sys.argv[1], key=bytes(range(32)), durability="os") as store:
    {step}
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmHWM")))
"""


def build(path: str, sessions: int) -> None:
    began = time.perf_counter()
    with vaultsession.open_store(path, key=KEY, durability="os", cache_bytes=0) as store:
        message = {"role": "user", "content": "Where did we stop yesterday?"}
        for number in range(sessions):
            store.create(f"session-{number}", user_id=f"user-{number % 997}", messages=[message])
    log(f"built {sessions} sessions in {time.perf_counter() - began:.1f} s")


def highest(path: str, name: str) -> tuple[float, float]:
    """``(megabytes, seconds)`` of the process that does this step."""
    if name == "open without an index":
        for file in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
            if os.path.exists(os.path.join(path, file)):
                os.remove(os.path.join(path, file))
    began = time.perf_counter()
    told = subprocess.run(
        [sys.executable, "-c", _STEP.format(step=STEPS[name] or "pass"), path], check=True, capture_output=True
    )
    return int(told.stdout) / 1024, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--directory", help="where the vaults are made")
    parser.add_argument("--json", help="write the rows there")
    chosen = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
        sizes = (0, FEW, chosen.sessions)
        paths = {size: os.path.join(directory, f"{size}") for size in sizes}
        for size, path in paths.items():
            build(path, size)
        for name in STEPS:
            taken = {size: highest(path, name) for size, path in paths.items()}
            empty, few, many = (taken[size][0] for size in sizes)
            grown = (many - few) / (chosen.sessions - FEW) * (MILLION - FEW)
            told = f"{empty:.0f}, {few:.0f} and {many:.0f} MB with {', '.join(map(str, sizes))} sessions"
            seconds = taken[chosen.sessions][1]
            report.add(f"{name}, for a million", few - empty + grown, "MB", BAR, detail=f"{told}; {seconds:.1f} s")
    print(report.closing_line())
    if chosen.json:
        report.save(chosen.json)


if __name__ == "__main__":
    main()
