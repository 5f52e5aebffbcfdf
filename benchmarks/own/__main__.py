"""Run: ``python -m benchmarks.own [--quick] [--only NAME] [--directory DIR] [--json FILE]``.

``--quick`` takes about a minute and smaller vaults; its figures are for seeing that all of it runs. ``--check``
measures nothing but a few ratios to the floor, in some seconds, and fails where one is over its limit. ``--rows FILE``
measures nothing: it takes the rows of an earlier run, for ``--readme``, which writes the tables of ``README.md`` and
``benchmarks/README.md`` anew.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from ..harness import Report, conditions
from . import check, importing, many_sessions, one_session, processes, readme, reads, stages, threads

PARTS = {
    "stages": stages.run,
    "reads": reads.run,
    "one": one_session.run,
    "many": many_sessions.run,
    "threads": threads.run,
    "processes": processes.run,
    "import": importing.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--directory", help="where the vaults are made; on the file system to measure")
    parser.add_argument("--json", help="write the rows there")
    parser.add_argument("--rows", metavar="FILE", help="measure nothing: take the rows of that file")
    parser.add_argument("--readme", action="store_true", help="write the tables of the documents anew")
    chosen = parser.parse_args()
    if chosen.rows:
        where, rows = readme.load(Path(chosen.rows))
        within = True
    else:
        report, where, within = _measured(chosen)
        rows = report.rows
        if chosen.json:
            report.save(chosen.json, where)
    if chosen.readme:
        readme.write(where, rows)
    return 0 if within else 1


def _measured(chosen: argparse.Namespace) -> tuple[Report, dict[str, object], bool]:
    report, within = Report(), True
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
        if chosen.check:
            within = check.run(report, directory)
        else:
            for name in chosen.only or PARTS:
                PARTS[name](report, directory, 0.1 if chosen.quick else 1.0)
        where = conditions(directory, quick=chosen.quick)
    print(report.closing_line())
    return report, where, within


if __name__ == "__main__":
    sys.exit(main())
