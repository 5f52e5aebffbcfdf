"""What a mirror costs a save: with its follower up, down or frozen, against the same store without one.

    python -m benchmarks.mirror [--rounds 300] [--json mirror.json] [--redis URL]

Bars: the median at most 1.10 times, the 99th percentile at most 1.5 times the unmirrored one; appends of ten seconds'
outage all arrive, in order. Stores are measured in turns, each in its own vault on the same disk.
"""

# ruff: noqa: SLF001 - a follower that can be frozen is put where no setting reaches

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.backends import MemoryBackend
from vaultsession.backends.mirror import Follower, MirrorBackend, Replicator
from vaultsession.backends.replication import Outcome
from vaultsession.errors import BackendUnavailable
from vaultsession.util.clock import SystemClock

from .harness import Report, interleaved, log, median, percentile
from .sample import Author

STATES = ("up", "down", "frozen")


class Remote(MemoryBackend):
    """A follower in this process: what is measured is the mirror, not a network."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.answers = threading.Event()
        self.answers.set()

    def commit(self, key: str, update: Any) -> Any:
        self.answers.wait()
        if self.down:
            raise BackendUnavailable("connection refused")
        return super().commit(key, update)

    def opened(self) -> Follower:
        self.answers.wait()
        if self.down:
            raise BackendUnavailable("connection refused")
        return Follower(self, lambda: Outcome.CURRENT)

    def close(self) -> None:
        pass


def store_at(path: Path, remote: Remote | None, redis: str | None = None) -> SessionStore:
    store = open_store(path, key=RawKey.generate(), mirror=redis)
    if remote is not None:
        mirror = Replicator(store._backend, remote.opened, where="memory", clock=SystemClock(), drain=0.5)
        wrapped = MirrorBackend(store._backend, mirror)
        for holder in (store, store._operations, store._cache, store._listing):
            holder._backend = wrapped
    return store


def stores(directory: Path, redis: str | None) -> tuple[dict[str, SessionStore], dict[str, Remote]]:
    remotes = {state: Remote() for state in STATES}
    remotes["down"].down = True
    found: dict[str, SessionStore] = {"none": store_at(directory / "none", None)}
    for state in STATES:
        if state == "up" and redis:
            found[state] = store_at(directory / state, None, redis)
        else:
            found[state] = store_at(directory / state, remotes[state])
    remotes["frozen"].answers.clear()
    return found, remotes


def measure(report: Report, what: str, calls: dict[str, Any], rounds: int) -> None:
    times = interleaved(calls, rounds, warm_up=20)
    for state in STATES:
        detail = f"{median(times[state]):.0f} us against {median(times['none']):.0f} us"
        report.add(
            f"{what}, mirror {state}: median", median(times[state]) / median(times["none"]), "x", 1.10, detail=detail
        )
        ours, bare = percentile(times[state], 0.99), percentile(times["none"], 0.99)
        report.add(f"{what}, mirror {state}: p99", ours / bare, "x", 1.5, detail=f"{ours:.0f} us against {bare:.0f} us")


def outage(report: Report, directory: Path, appends: int, seconds: float) -> None:
    remote = Remote()
    store = store_at(directory / "outage", remote)
    store.create("a")
    remote.down = True
    began = time.perf_counter()
    for number in range(appends):
        store.append("a", {"role": "user", "content": str(number)})
    time.sleep(max(0.0, seconds - (time.perf_counter() - began)))
    remote.down = False
    began = time.perf_counter()
    mirror = store._backend.mirror  # type: ignore[attr-defined]  # it is Mirrored
    key = store._key("a")
    while remote._sessions.get(key) is None or remote._sessions[key].row.version != store._backend.head(key).version:  # type: ignore[union-attr]  # as above
        time.sleep(0.005)
    took = time.perf_counter() - began
    primary, follower = store._backend.read(key), remote.read(key)
    arrived = primary is not None and follower is not None and primary.data == follower.data
    written = [message["content"] for message in store.messages("a")]
    in_order = written == [str(number) for number in range(appends)]
    report.add(
        f"{appends} appends in an outage of {seconds:g} s: arrived in order",
        arrived and in_order,
        "yes",
        1,
        at_least=True,
    )
    report.add("  caught up after the follower was back", took, "s", detail=mirror.status().words)
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--appends", type=int, default=10_000)
    parser.add_argument("--outage", type=float, default=10.0)
    parser.add_argument("--redis", help="a server for the follower that is up")
    parser.add_argument("--json")
    options = parser.parse_args()
    report, author = Report(), Author()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        found, remotes = stores(directory, options.redis)
        history = author.history(20_000)
        for store in found.values():
            store.save("kept", messages=history)
        loaded = {name: store.load("kept") for name, store in found.items()}
        log("saves of 20 KB, one session")
        measure(report, "save", {name: lambda n=name: found[n].save(loaded[n]) for name in found}, options.rounds)
        turn = author.turn()
        log("appends of one turn, one session")
        measure(
            report, "append", {name: lambda n=name: found[n].append("kept", *turn) for name in found}, options.rounds
        )
        numbers = {name: itertools.count() for name in found}
        log("creates of 1.5 KB, always another session")
        calls = {name: lambda n=name: found[n].create(f"new {next(numbers[n])}", messages=turn) for name in found}
        measure(report, "create", calls, options.rounds)
        remotes["frozen"].answers.set()
        for store in found.values():
            store.close()
        outage(report, directory, options.appends, options.outage)
    print(report.closing_line())
    if options.json:
        report.save(options.json)


if __name__ == "__main__":
    main()
