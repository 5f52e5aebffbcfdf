"""create, save, append, load of one session, beside the bare primitives."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from statistics import fmean

import orjson

import vaultsession
from vaultsession.backends.files.open_files import CONTAINERS

from ..floor import Floor
from ..harness import Report, interleaved, median
from ..sample import Author

KEY = bytes(range(32))
_SIZE = 20_000
_LARGE = 2_000_000
_PLACES = 8


def run(report: Report, directory: str, scale: float) -> None:
    author = Author()
    document = author.history(_SIZE)
    floor = Floor(os.path.join(directory, "floor"))
    with vaultsession.open_store(os.path.join(directory, "one"), key=KEY) as store:
        _creates(report, directory, document, scale)
        _writes(report, store, floor, document, scale)
        _saves_of_little(report, store, floor, author, scale)
        _loads(report, store, floor, author, scale)
    _appends_over_history(report, directory, floor, author, scale)
    _lives(report, directory, floor, author, scale)
    _first_of_a_process(report, directory, scale)


def _creates(report, directory, document, scale) -> None:
    """Over several directories in turn: what it costs to make a file depends on where the file system has put them."""
    stores = [vaultsession.open_store(os.path.join(directory, f"new-{each}"), key=KEY) for each in range(_PLACES)]
    floors = [Floor(os.path.join(directory, f"new-floor-{each}")) for each in range(_PLACES)]
    number, store, floor = itertools.count(), itertools.cycle(stores), itertools.cycle(floors)
    times = interleaved(
        {
            "ours": lambda: next(store).create(f"new-{next(number)}", messages=document),
            "floor": lambda: next(floor).create(document),
        },
        int(600 * scale),
    )
    report.compare("durable create of 20 KB / floor", times, 1.4)
    for each in stores:
        each.close()


def _writes(report, store, floor, document, scale) -> None:
    rounds = int(300 * scale)
    session = store.create("saved", messages=document)
    times = interleaved({"ours": lambda: store.save(session), "floor": lambda: floor.append(document)}, rounds * 3)
    report.compare("durable save of an existing 20 KB session / floor", times, 1.4)
    ours, bare = fmean(times["ours"]), fmean(times["floor"])
    detail = f"{ours:.1f} us against {bare:.1f} us"
    report.add("  the same, means, replacements included", ours / bare, "x", 1.7, detail=detail)


def _saves_of_little(report, store, floor, author, scale) -> None:
    """A loaded session of 2 MB, saved after little was changed: beside the floor that writes all of it."""
    document = author.history(_LARGE)
    grown, counted = store.create("grown", messages=document), store.create("counted", messages=document)
    turn = itertools.count()

    def message() -> None:
        grown.messages.append({"role": "user", "content": f"and another thing, the {next(turn)}th"})
        store.save(grown)

    def key() -> None:
        counted.state["turns"] = next(turn)
        store.save(counted)

    before, rounds = store.stats()["bytes"], max(10, int(60 * scale))
    calls = {"a message more": message, "a key changed": key, "floor": lambda: floor.append(document)}
    times = interleaved(calls, rounds, warm_up=0)
    written = (store.stats()["bytes"] - before) / (2 * rounds)
    for change in ("a message more", "a key changed"):
        report.compare(f"durable save of 2 MB with {change} / floor, all of it", times, 1, ours=change)
    whole = len(floor.seal(document))
    report.add("  bytes that such a save writes", written, "B", 1000, detail=f"the document takes {whole}")


def _appends_over_history(report, directory, floor, author, scale) -> None:
    turns = [author.turn() for _ in range(64)]
    turn = itertools.cycle(turns)
    history = {10: 10, 1000: 1000, 100_000: 100_000 if scale >= 1 else 20_000}
    with vaultsession.open_store(os.path.join(directory, "long"), key=KEY) as store:
        for name, messages in history.items():
            block = [message for _ in range(min(messages, 1000) // 2) for message in next(turn)]
            store.create(f"h{name}", messages=block)
            for _ in range(messages // 1000 - 1):
                store.append(f"h{name}", *block)
        calls = {f"h{name}": (lambda name=name: store.append(f"h{name}", *next(turn))) for name in history}
        times = interleaved({**calls, "floor": lambda: floor.append(next(turn))}, int(600 * scale))
        medians = {}
        for name, messages in history.items():
            medians[name] = median(times[f"h{name}"])
            report.compare(f"durable append of a turn, {messages} messages before / floor", times, 1.4, ours=f"h{name}")
        report.add("  append at the longest history / at 10", medians[100_000] / medians[10], "x", 1.2)
        store.create("few", messages=[message for _ in range(50) for message in next(turn)])
    with vaultsession.open_store(os.path.join(directory, "long"), key=KEY, cache_bytes=0) as store:
        times = interleaved(
            {"ours": lambda: store.messages("h100000", last=20), "floor": lambda: store.messages("few", last=20)},
            int(300 * scale),
        )
        report.compare("last 20 of the longest history, cold / of 100", times, 1.5)


def _lives(report, directory, floor, author, scale) -> None:
    """Conversations from their first turn on, without a pause between two turns: what a median over appends hides."""
    bars = {10: 1.6, 50: 1.4, 200: 1.4}
    turn = itertools.cycle([author.turn() for _ in range(64)])
    with vaultsession.open_store(os.path.join(directory, "lives"), key=KEY) as store:
        for turns, bar in bars.items():
            times: dict[str, list[float]] = {"ours": [], "floor": []}
            worst = []
            for life in range(max(3, int(2000 * scale) // turns)):
                store.create(f"{turns}-{life}", messages=next(turn))
                calls = {
                    "ours": lambda name=f"{turns}-{life}": store.append(name, *next(turn)),
                    "floor": lambda: floor.append(next(turn)),
                }
                lived = interleaved(calls, turns, warm_up=0)
                for name, found in lived.items():
                    times[name].extend(found)
                worst.append(max(lived["ours"]))
            ours, bare = fmean(times["ours"]), fmean(times["floor"])
            detail = f"{ours:.1f} us against {bare:.1f} us"
            report.add(f"mean of a turn over a life of {turns} / floor", ours / bare, "x", bar, detail=detail)
            detail = f"of all lives {max(worst) / 1000:.1f} ms"
            report.add("  the slowest append of such a life", median(worst) / 1000, "ms", None, detail=detail)


def _loads(report, store, floor, author, scale) -> None:
    session = store.create("warm", messages=author.history(_SIZE))
    text = orjson.dumps([session.state, *session.messages])
    path = floor.create(session.messages)
    large = store.create("large", messages=author.history(2_000_000))
    del large
    rounds = int(3000 * scale)
    times = interleaved(
        {
            "ours": lambda: store.load("warm").messages,
            "floor": lambda: (os.stat(path), orjson.loads(text)),
            "untouched": lambda: store.load("warm"),
            "untouched 2 MB": lambda: store.load("large"),
        },
        rounds,
    )
    report.compare("warm load of 20 KB, everything parsed / loads + stat", times, 1.3)
    report.add("warm load of 20 KB until touched", median(times["untouched"]), "us", 5)
    report.add("warm load of 2 MB until touched", median(times["untouched 2 MB"]), "us", 5)

    names = [f"cold-{number}" for number in range(CONTAINERS.most + 100)]
    paths = []
    for name in names:  # more sessions than descriptors are kept for, so that each load opens its file
        messages = author.history(_SIZE)
        store.create(name, messages=messages)
        paths.append(floor.create(messages))
    # No document is kept, no file is open, and the index is read each time. The keys of a container are derived when a
    # process first meets it.
    with vaultsession.open_store(store.origin.where, key=KEY, cache_bytes=0) as cold:
        for bar, what in ((None, "first load of a session by a process"), (1.8, "cold load of 20 KB")):
            name, file = itertools.cycle(names), itertools.cycle(paths)
            times = interleaved(
                {"ours": lambda: cold.load(next(name)).messages, "floor": lambda: floor.read(next(file))},  # noqa: B023 - called here
                len(names) - 10,
            )
            report.compare(f"{what} / read, AES-GCM, zstd, orjson", times, bar)


_FIRST = """
import sys, time, os
sys.path.insert(0, {root!r})
from benchmarks.sample import Author
from benchmarks.floor import Floor
turn = Author(3).turn()
if {bare!r}:
    floor = Floor({directory!r})
    began = time.perf_counter_ns()
    floor.append(turn)
    print(time.perf_counter_ns() - began)
else:
    import vaultsession
    store = vaultsession.open_store({directory!r}, key=bytes(range(32)))
    began = time.perf_counter_ns()
    store.append({name!r}, *turn)
    print(time.perf_counter_ns() - began)
    store.close()
"""


def _first_of_a_process(report, directory, scale) -> None:
    def once(*, bare: bool, where: str, name: str = "") -> float:
        code = _FIRST.format(root=os.getcwd(), bare=bare, directory=os.path.join(directory, where), name=name)
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return int(out.stdout) / 1000

    times: dict[str, list[float]] = {"h10": [], "h100000": [], "floor": []}
    for _ in range(max(5, int(25 * scale))):
        for name in ("h10", "h100000"):
            times[name].append(once(bare=False, where="long", name=name))
        times["floor"].append(once(bare=True, where="floor"))
    for name in ("h10", "h100000"):
        report.compare(f"first append of a fresh process, {name[1:]} messages / bare", times, 2.5, ours=name)
