"""``vaultsession verify``: open every record of every session."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import SessionNotFound
from .. import exit_codes, output
from ..completers import complete_id
from ..output import AsJson, Column, Form
from ..progress import bar
from ..vault_options import VaultOptions, takes_vault

if TYPE_CHECKING:
    from ...backends.protocol import Backend
    from ...engine.reader import Reader
    from ...engine.verify import Verification

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
    where: VaultOptions,
    *,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Only these sessions.", autocompletion=complete_id)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open and authenticate every record of every session.

    Of each session that is listed or has a file. Nothing is changed.

    Exit code 6 where a session is damaged or its file is gone, 3 where one is only torn, locked or refused.
    """
    from ...engine.verify import check_all  # noqa: PLC0415 - the store is dear to import, and --help does without

    form = Form.chosen(as_json=as_json)
    with _opened(where) as vault, bar("Verifying") as progress:
        keys = list(map(vault.existing, dict.fromkeys(ids))) if ids else vault.known()
        checked = list(check_all(vault.backend, vault.reader, keys, lambda done: progress(done, len(keys))))
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


@dataclass(frozen=True, slots=True)
class _Opened:
    """A vault to be looked at. ``sessions``: the directory of its files; None where an engine keeps it."""

    backend: Backend
    reader: Reader
    sessions: str | None

    def known(self) -> list[str]:
        """The key of each session that is listed or has a file."""
        from ...admin.doctor import known_keys  # noqa: PLC0415 - as above
        from ...format.sealed import Query  # noqa: PLC0415 - as above

        if self.sessions is None:
            return [row.key for row in self.backend.scan(Query(newest_first=False))]
        return known_keys(self.backend, self.sessions)

    def existing(self, id: str) -> str:
        """The key of a session. ``SessionNotFound``."""
        from ...admin.doctor import key_of  # noqa: PLC0415 - as above

        key = key_of(self.reader, id)
        if self.sessions is None:
            is_there = self.backend.head(key) is not None
        else:
            is_there = os.path.lexists(os.path.join(self.sessions, f"{key}.vss"))
        if not is_there:
            raise SessionNotFound(f"there is no session {id!r}")
        return key


@contextlib.contextmanager
def _opened(where: VaultOptions) -> Iterator[_Opened]:
    """The vault, unlocked. Nothing is changed: files are opened for reading alone."""
    from ...admin.doctor import opened_read_only  # noqa: PLC0415 - as above
    from ...engine.vault_reader import reader_of  # noqa: PLC0415 - as above

    if where.is_directory:
        directory = where.directory()
        with opened_read_only(directory.path, where.candidates(directory)) as vault:
            yield _Opened(vault.backend, vault.reader, os.path.join(directory.path, "sessions"))
        return
    with contextlib.closing(where.site()) as site:
        reader = reader_of(site.vault, where.existing(site.vault).unlock(where.candidates(site.vault)))
        with contextlib.closing(site.backend(reader.describe)) as backend:
            yield _Opened(backend, reader, None)


def _record(checkup: Verification) -> dict[str, object]:
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
