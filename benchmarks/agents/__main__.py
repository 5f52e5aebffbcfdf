"""Run: ``python -m benchmarks.agents [--only NAME,…] [--rounds 100] [--directory DIR] [--json FILE]``.

The extra "frameworks" installs what is measured; a framework that is missing is named and left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from ..harness import conditions, log, told
from . import frameworks
from .table import AgentRow, measure, table


def main() -> None:
    names = [module.name for module in pkgutil.iter_modules(frameworks.__path__)]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agents", description=__doc__)
    parser.add_argument("--only", help=f"of {', '.join(names)}, separated by commas")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--directory", help="where the stores are made; on the file system to measure")
    parser.add_argument("--json", help="write the conditions and every row there")
    chosen = parser.parse_args()
    wanted = chosen.only.split(",") if chosen.only else names
    if unknown := set(wanted) - set(names):
        parser.error(f"no framework {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    rows: list[AgentRow] = []
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
        for name in wanted:
            try:
                found = importlib.import_module(f"{frameworks.__name__}.{name}")
            except ModuleNotFoundError as error:
                log(f"{name}: left out: {error}")
                continue
            rows += measure(found.FRAMEWORK, found.STORES, directory, chosen.rounds)
        where = conditions(directory, quick=False)
    print(table(rows))
    print(told(where))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({"conditions": where, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
