"""What a run found, as a small file: medians and spreads, one line of JSON for each cell."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .bench import Bench
from .table import Cell


@dataclass(frozen=True)
class Results:
    """``conditions`` of the run by name; ``stores`` that took part: how each was used, and how often it flushes."""

    conditions: dict[str, Any]
    stores: list[dict[str, Any]]
    cells: list[Cell]
    digest: str = ""
    """Of the file that they were read from."""

    @classmethod
    def of(cls, bench: Bench, conditions: dict[str, Any]) -> Results:
        stores = [
            {
                "name": entry.name,
                "how": entry.how,
                "package": entry.package,
                "version": entry.version(),
                "durable": entry.durable,
                "encrypted": entry.encrypted,
                "flushes": bench.flushes.get(entry.name, {}),
            }
            for entry in bench.entries
        ]
        return cls(conditions, stores, bench.cells)

    @classmethod
    def load(cls, path: Path) -> Results:
        data = path.read_bytes()
        found = json.loads(data)
        names = [field.name for field in fields(Cell)]
        cells = [Cell(**dict(zip(names, row, strict=True))) for row in found["cells"]]
        return cls(found["conditions"], found["stores"], cells, hashlib.sha256(data).hexdigest()[:16])

    def save(self, path: Path) -> None:
        columns = json.dumps([field.name for field in fields(Cell)])
        rows = [[_short(value) for value in asdict(cell).values()] for cell in self.cells]
        parts = [
            f'"conditions": {json.dumps(self.conditions)}',
            f'"stores": [\n{_lines(self.stores)}\n]',
            f'"columns": {columns}',
            f'"cells": [\n{_lines(rows)}\n]',
        ]
        path.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")

    def cell(self, workload: str, store: str) -> Cell | None:
        """Of the first workload that begins so; with ``…`` in it, also ends so."""
        begin, _, end = workload.partition("…")
        fitting = (each for each in self.cells if each.workload.startswith(begin) and each.workload.endswith(end))
        return next((each for each in fitting if each.rival == store), None)


def _lines(values: list[Any]) -> str:
    return ",\n".join(json.dumps(value) for value in values)


def _short(value: Any) -> Any:
    """Four digits: more of them are noise."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
