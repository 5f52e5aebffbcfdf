"""Run: ``python -m benchmarks.against [--quick] [--only RIVAL,…] [--workloads NAME,…] [--json FILE] [--plots DIR]``.

The extra "bench" installs the rivals; what is not installed is listed as such. ``--quick`` takes about two minutes, all
of it about twenty.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from ..harness import log
from . import fresh, many_sessions, on_disk, one_session, processes
from .bench import FULL, QUICK, Bench
from .flushes import count_flushes
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
    parser.add_argument("--plots", help="write the plots into that directory, as SVG")
    chosen = parser.parse_args()
    workloads = _workloads(parser, chosen.workloads)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
        bench = Bench(_entries(parser, chosen.only), directory, QUICK if chosen.quick else FULL)
        bench.flushes = count_flushes(bench.entries, directory)
        for name in workloads:
            started = time.perf_counter()
            WORKLOADS[name](bench)
            log(f"[{name}: {time.perf_counter() - started:.0f} s]")
        conditions = _conditions(directory, quick=chosen.quick)
    conditions["seconds"] = round(time.perf_counter() - began)
    print("\n" + ", ".join(f"{name} {value}" for name, value in conditions.items()))
    if chosen.json:
        _write(chosen.json, bench, conditions)
    if chosen.plots:
        from .plots import draw  # noqa: PLC0415 - matplotlib takes a second to import

        draw(bench.cells, chosen.plots, conditions)


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
        print(f"{entry.name:<22}{(entry.version() if why is None else '-'):<10} {why or marks(entry.name)}", flush=True)
        if why is None:
            found.append(entry)
    if text and len(found) == 1:
        parser.error(f"no store {text}: there are {', '.join(entry.name for entry in ENTRIES)}")
    return found


def _conditions(directory: str, *, quick: bool) -> dict[str, object]:
    from vaultsession.disk import Disk  # noqa: PLC0415 - asked once, at the end

    return {
        "system": platform.system() + " " + platform.release(),
        "cores": os.cpu_count(),
        "file system": Disk().filesystem(directory),
        "python": platform.python_version(),
        "load at the end": round(os.getloadavg()[0], 1),
        "run": "quick" if quick else "full",
        "date": time.strftime("%Y-%m-%d"),
    }


def _write(path: str, bench: Bench, conditions: dict[str, object]) -> None:
    rivals = [
        {
            "name": entry.name,
            "version": entry.version(),
            "durable": entry.durable,
            "encrypted": entry.encrypted,
            "flushes": bench.flushes.get(entry.name, {}),
        }
        for entry in bench.entries
    ]
    results = [asdict(cell) for cell in bench.cells]
    text = json.dumps({"conditions": conditions, "rivals": rivals, "results": results}, indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
