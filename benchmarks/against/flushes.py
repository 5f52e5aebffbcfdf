"""How often each operation flushes: counted by strace in a run of its own, which nothing is measured in.

Counted are fsync, fdatasync and sync_file_range of the process, its threads and the server that it started, between two
marks. A mark is a system call that nobody else makes: the priority of a user number that stands for the section.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter

from ..harness import log
from ..sample import Author
from .rivals import BY_NAME, Entry

OPERATIONS = ("create", "save", "append")
_TIMES = 5
_FIRST_MARK = 7_000_000
_TRACED = "fsync,fdatasync,sync_file_range,getpriority"
_MARK = re.compile(r"getpriority\(PRIO_USER, (\d+)")
_FLUSH = re.compile(r"^\d+\s+(?:fsync|fdatasync|sync_file_range)\(")


def count_flushes(entries: list[Entry], directory: str) -> dict[str, dict[str, float]]:
    """Flushes by store and operation; empty where there is no strace, or where it is not allowed."""
    strace = shutil.which("strace")
    if strace is None:
        log("flushes: not counted, since strace is not installed")
        return {}
    with tempfile.TemporaryDirectory(dir=directory) as place:
        trace = os.path.join(place, "trace")
        command = [strace, "-f", "--seccomp-bpf", "-qq", "-e", f"trace={_TRACED}", "-e", "signal=none", "-o", trace]
        names = [entry.name for entry in entries]
        run = subprocess.run(
            [*command, sys.executable, "-m", "benchmarks.against.flushes", place, *names],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            log(f"flushes: not counted: {run.stderr.strip()[-300:]}")
            return {}
        for line in run.stderr.splitlines():
            if line.startswith("flushes of "):
                log(line)
        with open(trace, encoding="utf-8", errors="replace") as file:
            counted = _between_marks(file)
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for number, name in enumerate(names):
        for place_of, operation in enumerate(OPERATIONS):
            section = number * len(OPERATIONS) + place_of
            if section in counted:
                found[name][operation] = counted[section] / _TIMES
    return found


def _between_marks(lines) -> dict[int, int]:
    """Flushes of each section whose end was reached; a section is marked at its beginning and at its end."""
    current: int | None = None
    seen: Counter[int] = Counter()
    done: dict[int, int] = {}
    for line in lines:
        if mark := _MARK.search(line):
            section = int(mark[1]) - _FIRST_MARK
            if current == section:
                done[section] = seen[section]
                current = None
            else:
                current = section
        elif current is not None and _FLUSH.match(line):
            seen[current] += 1
    return done


def _mark(section: int) -> None:
    with contextlib.suppress(OSError):  # there is no such user, and nobody minds
        os.getpriority(os.PRIO_USER, _FIRST_MARK + section)


def _traced(place: str, names: list[str]) -> None:
    author = Author()
    history, turn = author.history(20_000), author.turn()
    for number, name in enumerate(names):
        try:
            store = BY_NAME[name].open(os.path.join(place, str(number)))
            with contextlib.closing(store):
                store.create("warm", history)
                store.save("warm", history)
                store.append("warm", turn)
                calls = (
                    lambda times, store=store: store.create(f"new-{times}", history),
                    lambda _, store=store: store.save("warm", history),
                    lambda _, store=store: store.append("warm", turn),
                )
                for place_of, call in enumerate(calls):
                    section = number * len(OPERATIONS) + place_of
                    _mark(section)
                    for times in range(_TIMES):
                        call(times)
                    _mark(section)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the others are counted
            print(f"flushes of {name}: not counted: {type(error).__name__}: {error}", file=sys.stderr)


if __name__ == "__main__":
    _traced(sys.argv[1], sys.argv[2:])
