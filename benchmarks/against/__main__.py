"""Run: ``python -m benchmarks.against [--quick] [--only RIVAL,…] [--workloads NAME,…] [--json FILE] [--plots DIR]``.

The extra "bench" installs the rivals; what is not installed is listed as such. ``--quick`` takes about two minutes, all
of it about twenty. ``--draw FILE`` measures nothing and takes the results of an earlier run instead, for ``--plots``
and for ``--readme``, which writes the table of ``benchmarks/README.md`` anew.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from ..harness import conditions, log
from . import fresh, many_sessions, on_disk, one_session, processes, readme
from .bench import FULL, QUICK, Bench
from .flushes import count_flushes
from .results import Results
from .rivals import ENTRIES, OURS, Entry
from .table import marks

WORKLOADS = {
    "save": one_session.save,
    "create": one_session.create,
    "append": one_session.append,
    "load": one_session.load,
    "lists": many_sessions.lists,
    "fresh": fresh.run,
    "disk": on_disk.run,
    "processes": processes.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="beginnings of names, separated by commas")
    parser.add_argument("--workloads", help=f"of {', '.join(WORKLOADS)}, separated by commas")
    parser.add_argument("--directory", help="where the stores are made; on the file system to measure")
    parser.add_argument("--json", help="write the conditions and every cell there")
    parser.add_argument("--draw", metavar="FILE", help="measure nothing: take the results of that file")
    parser.add_argument("--plots", help="write the plots into that directory, as SVG")
    parser.add_argument("--readme", action="store_true", help="write the table of the comparison anew")
    chosen = parser.parse_args()
    results = Results.load(Path(chosen.draw)) if chosen.draw else _measured(parser, chosen)
    if chosen.json and not chosen.draw:
        results.save(Path(chosen.json))
        results = Results.load(Path(chosen.json))
    if chosen.readme:
        readme.PLACE.write(readme.HERE, readme.text(results))
    if chosen.plots:
        from .plots import draw  # noqa: PLC0415 - matplotlib takes a second to import

        draw(results, chosen.plots)


def _measured(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> Results:
    workloads = _workloads(parser, chosen.workloads)
    began = time.perf_counter()
    took = {}
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
        bench = Bench(_entries(parser, chosen.only), directory, QUICK if chosen.quick else FULL)
        bench.flushes = count_flushes(bench.entries, directory)
        took["flushes"] = time.perf_counter() - began
        for name in workloads:
            started = time.perf_counter()
            WORKLOADS[name](bench)
            took[name] = time.perf_counter() - started
            log(f"[{name}: {took[name]:.0f} s]")
        where = conditions(directory, quick=chosen.quick)
    where["seconds"] = round(time.perf_counter() - began)
    print("\n" + ", ".join(f"{name} {value}" for name, value in where.items()))
    print("seconds of each part: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in took.items()))
    _tell_gaps(bench)
    return Results.of(bench, where)


def _tell_gaps(bench: Bench) -> None:
    """What is not measured, and why: once more at the end, where it is not overlooked."""
    gaps = [cell for cell in bench.cells if cell.median is None]
    print(f"\nnot measured: {len(gaps)} of {len(bench.cells)}" + (", by store:" if gaps else ""))
    for entry in bench.entries:
        if of_store := [f"{cell.workload}: {cell.note}" for cell in gaps if cell.rival == entry.name]:
            print(f"  {entry.name}\n    " + "\n    ".join(of_store))


def _workloads(parser: argparse.ArgumentParser, text: str | None) -> list[str]:
    names = text.split(",") if text else list(WORKLOADS)
    if unknown := [name for name in names if name not in WORKLOADS]:
        parser.error(f"no workload {', '.join(unknown)}: there are {', '.join(WORKLOADS)}")
    return names


def _entries(parser: argparse.ArgumentParser, text: str | None) -> list[Entry]:
    """The stores asked for that are installed; ours is always one of them."""
    wanted = [part.strip() for part in text.split(",") if part.strip()] if text else [""]
    found = []
    print(f"{'store':<22}{'version':<10} {'':<20}")
    for entry in ENTRIES:
        if entry.name != OURS and not any(entry.name.startswith(part) for part in wanted):
            continue
        why = entry.missing()
        print(f"{entry.name:<22}{(entry.version() if why is None else '-'):<10} {why or _about(entry)}", flush=True)
        if why is None:
            found.append(entry)
    if text and len(found) == 1:
        parser.error(f"no store {text}: there are {', '.join(entry.name for entry in ENTRIES)}")
    return found


def _about(entry: Entry) -> str:
    return f"{marks(entry.name):<20} {entry.how}"


if __name__ == "__main__":
    sys.exit(main())
