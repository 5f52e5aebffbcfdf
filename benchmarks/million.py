"""A million sessions in one vault: built, listed, swept, reopened, and its index deleted and derived anew.

Run: ``python -m benchmarks.million [--sessions N,…] [--directory DIR] [--json FILE]``. Vaults of 10 000, 100 000 and a
million sessions are measured one after another unless others are named. Every step is a process of its own, so that its
peak of memory is its own; "nothing" imports the package and does nothing, and what a step takes above that is the
vault's. Each step also says how it grew from the number before, in time and in memory: ten times the sessions in ten
times the time is linear, and what does not depend on the number grows by nothing. The last two numbers, drawn out by
their growth, say what ten times as many would take; nobody has tried.

It is built with ``durability="os"``: a million flushes measure the disk and nothing else. A million sessions take four
gigabytes of files, most of it the rest of their blocks, a million inodes, and an index of three quarters of one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import vaultsession
from vaultsession.backends.files.index_schema import SIDE_FILES
from vaultsession.backends.files.layout import FilesLayout

KEY = bytes(range(32))
_USERS_SESSIONS = 200
_PAGE = 50
_WALK = 1000
_MEMORY = 100e6
"""Bytes that a process may take at its highest, whatever the number of sessions."""
_EXPIRING = 100
"""One session of so many has expired when it is swept."""


def _open(path: str) -> vaultsession.SessionStore:
    return vaultsession.open_store(path, key=KEY, create=False)


def nothing(path: str, sessions: int) -> str:
    del path, sessions
    return "the package imported"


def build(path: str, sessions: int) -> str:
    message = {"role": "user", "content": "Where did we stop yesterday?"}
    every = max(1, sessions // _USERS_SESSIONS)
    with vaultsession.open_store(path, key=KEY, durability="os", cache_bytes=0) as store:
        for number in range(sessions):
            user = "alice" if number % every == 0 else f"user-{number % 9973}"
            expiring = {"ttl": 0.001} if number % _EXPIRING == 1 else {}
            store.create(
                f"session-{number}", user_id=user, labels={"client": "desktop"}, messages=[message], **expiring
            )
    return "created one by one, not flushed"


def reopen(path: str, sessions: int) -> str:
    del sessions
    with _open(path) as store:
        store.load("session-0")
    return "opened, and one session loaded"


def list_page(path: str, sessions: int) -> str:
    with _open(path) as store:
        found = store.list(user_id="alice", limit=_PAGE)
    if len(found) != min(_PAGE, sessions):
        raise SystemExit(f"{len(found)} of {_PAGE} sessions listed")
    return f"opened, and the newest {_PAGE} of a user listed"


def count(path: str, sessions: int) -> str:
    with _open(path) as store:
        found, alice = store.count(), store.count(user_id="alice")
    living = sessions - sum(1 for number in range(sessions) if number % _EXPIRING == 1)
    if found != living:
        raise SystemExit(f"{found} sessions counted of {living}")
    return f"opened, {found} counted, {alice} of a user counted"


def walk(path: str, sessions: int) -> str:
    del sessions
    seen, after = 0, None
    with _open(path) as store:
        while True:
            page = store.list(limit=_WALK, after=after)
            seen += len(page)
            after = page.after
            if after is None:
                return f"all {seen} listed, {_WALK} at a time"


def append(path: str, sessions: int) -> str:
    chosen = range(0, sessions, max(1, sessions // 1000))
    with _open(path) as store:
        for number in chosen:
            if number % _EXPIRING != 1:
                store.append(f"session-{number}", {"role": "user", "content": "Go on."})
    return f"{len(chosen)} sessions appended to, flushed"


def sweep(path: str, sessions: int) -> str:
    del sessions
    with _open(path) as store:
        removed = store.sweep()
    return f"{removed} expired ones removed"


def sweep_again(path: str, sessions: int) -> str:
    del sessions
    with _open(path) as store:
        removed = store.sweep()
    if removed:
        raise SystemExit(f"{removed} sessions were left by the sweep before")
    return "nothing to remove"


def die(path: str, sessions: int) -> str:
    del sessions
    store = _open(path)
    store.append("session-0", {"role": "user", "content": "Last words."})
    print(json.dumps({"what": "one append, and the process gone without closing", **_spent()}), flush=True)
    os._exit(0)


def after_death(path: str, sessions: int) -> str:
    with _open(path) as store:
        found = store.list(user_id="alice", limit=_PAGE)
    return f"opened after that: rows compared with the files; {len(found)} of {min(_PAGE, sessions)} listed"


def stats(path: str, sessions: int) -> str:
    del sessions
    with _open(path) as store:
        told = store.stats()
    return f"opened, {told['sessions']} sessions of {told['bytes'] / 1e6:.0f} MB told"


def reindex(path: str, sessions: int) -> str:
    with _open(path) as store:
        store.reindex()
        found = store.list(user_id="alice", limit=_PAGE)
    return f"every row derived anew beside the index that is there; {len(found)} of {min(_PAGE, sessions)} listed"


def rebuild(path: str, sessions: int) -> str:
    index = FilesLayout(path).index
    for name in (index, *(index + side for side in SIDE_FILES)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
    with _open(path) as store:
        found = store.list(user_id="alice", limit=_PAGE)
        total = store.count()
    return f"index deleted, derived anew: {total} sessions, {len(found)} of {min(_PAGE, sessions)} listed"


STEPS: tuple[Callable[[str, int], str], ...] = (
    nothing,
    build,
    reopen,
    list_page,
    count,
    stats,
    walk,
    append,
    sweep,
    sweep_again,
    die,
    after_death,
    reindex,
    rebuild,
    reopen,
)


@dataclass(frozen=True)
class Result:
    """One step at one number of sessions. ``peak`` in bytes of resident memory."""

    step: str
    sessions: int
    seconds: float
    peak: int
    what: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--sessions", default="10000,100000,1000000", help="one number, or several with commas")
    parser.add_argument("--directory", help="where the vault is made; on the file system to measure")
    parser.add_argument("--json", help="write the results there")
    parser.add_argument("--step", nargs=3, metavar=("NAME", "PATH", "SESSIONS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        name, path, number = chosen.step
        _step(name, path, int(number))
        return
    results: list[Result] = []
    for sessions in map(int, chosen.sessions.split(",")):
        with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
            results += _run(os.path.join(directory, "vault"), sessions, results)
    _tell(results)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n", encoding="utf-8")


def _run(path: str, sessions: int, before: list[Result]) -> list[Result]:
    print(f"\n{sessions:,} sessions\n  {'':<14}{'seconds':>9}{'peak MB':>9}{'us each':>9}  {'grew by':<16}", flush=True)
    found: list[Result] = []
    for number, step in enumerate(STEPS):
        command = [sys.executable, "-m", "benchmarks.million", "--step", step.__name__, path, str(sessions)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise SystemExit(f"{step.__name__}: {run.stderr}")
        result = Result(step.__name__, sessions, **json.loads(run.stdout))
        found.append(result)
        smaller = before[len(before) - len(STEPS) + number] if before else None
        grew = "" if smaller is None else f"{result.seconds / smaller.seconds:.1f} x {result.peak / smaller.peak:.2f} x"
        each = result.seconds / sessions * 1e6
        print(
            f"  {step.__name__:<14}{result.seconds:>9.2f}{result.peak / 1e6:>9.1f}{each:>9.2f}  {grew:<16}"
            f"{result.what}",
            flush=True,
        )
    index = os.path.getsize(FilesLayout(path).index)
    with os.scandir(FilesLayout(path).sessions) as entries:
        taken = sum(entry.stat().st_blocks * 512 for entry in entries)
    print(f"  the index takes {index / 1e6:.1f} MB, {index / sessions:.0f} bytes for each; files {taken / 1e6:.0f} MB")
    return found


def _tell(results: list[Result]) -> None:
    """The highest memory, and what ten times the largest number would take if each step grew on as it did."""
    largest = results[-len(STEPS) :]
    highest = max(largest, key=lambda result: result.peak)
    verdict = "within" if highest.peak <= _MEMORY else "BEYOND"
    print(
        f"\n{highest.sessions:,} sessions: at most {highest.peak / 1e6:.0f} MB of memory ({highest.step}), of which "
        f"{largest[0].peak / 1e6:.0f} MB are the package; {verdict} {_MEMORY / 1e6:.0f} MB"
    )
    if len(results) == len(STEPS):
        return
    before = results[-2 * len(STEPS) : -len(STEPS)]
    further = largest[0].sessions / before[0].sessions
    told = []
    for result, smaller in zip(largest[1:], before[1:], strict=True):
        seconds = result.seconds * max(1.0, result.seconds / smaller.seconds) ** (math.log(10) / math.log(further))
        told.append(f"{result.step} {seconds:.1f} s" if seconds < 600 else f"{result.step} {seconds / 60:.0f} min")
    print(f"{10 * largest[0].sessions:,} sessions would take: {', '.join(told)}")


_began = time.perf_counter()


def _step(name: str, path: str, sessions: int) -> None:
    what = globals()[name](path, sessions)
    print(json.dumps({"what": what, **_spent()}))


def _spent() -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": time.perf_counter() - _began, "peak": peak}


if __name__ == "__main__":
    main()
