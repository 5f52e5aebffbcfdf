"""``vaultsession verify``: open every record of every session."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SessionNotFound
from . import exit_codes, output
from .output import AsJson, Column, Form
from .progress import bar
from .vaults import Where, takes_vault

if TYPE_CHECKING:
    from ..doctor import Checkup, OpenedVault

_COLUMNS = (
    Column("session", style="bold"),
    Column("verdict"),
    Column("records", right=True, wide=True),
    Column("bytes", show=output.size, right=True, wide=True),
    Column("problem"),
)
_VERDICTS = ("ok", "torn", "locked", "refused", "damaged", "missing", "erased")
_LOST = frozenset({"damaged", "missing"})


@takes_vault
def verify(
    where: Where,
    *,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Only these sessions.")] = None,
    as_json: AsJson = False,
) -> None:
    """Open and authenticate every record of every session.

    Of each session that is listed or has a file. Nothing is changed.

    Exit code 6 where a session is damaged or its file is gone, 3 where one is only torn, locked or refused.
    """
    from ..disk import Disk  # noqa: PLC0415 - with the next: the store is dear to import, and --help does without
    from ..doctor import check_all, known_keys, opened_read_only  # noqa: PLC0415 - as above

    form = Form.chosen(as_json=as_json)
    directory = where.directory(Disk())
    with opened_read_only(directory.path, where.candidates(directory)) as vault, bar("Verifying") as progress:
        if ids:
            keys = [_existing(vault, directory.path, name) for name in dict.fromkeys(ids)]
        else:
            keys = known_keys(vault.backend, os.path.join(directory.path, "sessions"))
        checked = list(check_all(vault.backend, vault.reading, keys, lambda done: progress(done, len(keys))))
    counts = Counter(str(each.verdict) for each in checked)
    records = [_record(each) for each in checked]
    problems = [record for record in records if record["verdict"] != "ok"]
    totals = {
        "sessions": len(checked),
        **{verdict: counts[verdict] for verdict in _VERDICTS},
        "records": sum(each.records for each in checked),
        "bytes": sum(each.size for each in checked),
    }
    if form is Form.JSON:
        output.document({**totals, "problems": problems})
    elif form is Form.TSV:
        output.tsv([column.name for column in _COLUMNS], records)
    else:
        if problems:
            output.table(_COLUMNS, problems)
        output.line(_sentence(counts, totals["records"], totals["bytes"]))
    if any(counts[verdict] for verdict in _LOST):
        raise typer.Exit(exit_codes.INTEGRITY)
    if problems:
        raise typer.Exit(exit_codes.PARTIAL)


def _existing(vault: OpenedVault, path: str, id: str) -> str:
    from ..doctor import key_of  # noqa: PLC0415 - as above

    key = key_of(vault.reading, id)
    if not os.path.lexists(os.path.join(path, "sessions", f"{key}.vss")):
        raise SessionNotFound(f"there is no session {id!r}")
    return key


def _record(checkup: Checkup) -> dict[str, object]:
    return {
        "session": checkup.key if checkup.head is None else checkup.head.id,
        "key": checkup.key,
        "verdict": str(checkup.verdict),
        "records": checkup.records,
        "bytes": checkup.size,
        "problem": checkup.problem,
    }


def _sentence(counts: Counter[str], records: int, size: int) -> str:
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict]) or "no sessions"
    return f"{told}; {output.counted(records, 'record')}, {output.size(size)}"
