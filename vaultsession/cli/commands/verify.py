"""``vaultsession verify``: open every record of every session."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from typer import Argument

from ...admin.doctor import known_keys, opened_read_only
from ...backends.files import FilesBackend
from ...backends.protocol import Backend
from ...engine.reader import Reader
from ...engine.verify import Verdict, Verification, check_all
from ...errors import SessionNotFound
from ...format.sealed import Query
from .. import exit_codes, output
from ..completers import complete_id
from ..output import Column, JsonForm
from ..progress import bar
from ..vault_options import VaultOptions, Where, takes_options

_COLUMNS = (
    Column("session", style="bold"),
    Column("verdict"),
    Column("records", right=True, wide=True),
    Column("bytes", show=output.size, right=True, wide=True),
    Column("problem"),
)


@takes_options
def verify(
    where: Where,
    *,
    ids: list[str] | None = Argument(None, metavar="ID", help="Only these sessions.", autocompletion=complete_id),
    form: JsonForm,
) -> None:
    """Open and authenticate every record of every session.

    Of each session that is listed or has a file. Nothing is changed.

    Exit code 6 where a session is damaged or its file is gone, 3 where one is only torn, locked or refused.
    """
    with (
        _opened(where) as (backend, reader),
        bar("Verifying", interrupted="nothing was changed") as progress,
    ):
        if ids:
            keys = [_existing(backend, reader, id) for id in dict.fromkeys(ids)]  # noqa: A001 - the word that everybody knows
        elif isinstance(backend, FilesBackend):
            keys = known_keys(backend)
        else:
            keys = [row.key for row in backend.scan(Query(newest_first=False))]
        checked = list(check_all(backend, reader, keys, lambda done: progress(done, len(keys))))
    verdicts = Counter(each.verdict for each in checked)
    counts = {str(each): verdicts[each] for each in Verdict}
    records = [_record(each) for each in checked]
    problems = [record for record in records if record["verdict"] != "ok"]
    totals = {
        "sessions": len(checked),
        **counts,
        "records": sum(each.records for each in checked),
        "bytes": sum(each.size for each in checked),
    }
    found = output.listed(counts) or "no sessions"
    read = f"{output.counted(totals['records'], 'record')}, {output.size(totals['bytes'])}"
    document = {**totals, "problems": problems}
    output.show_problems(records, problems, _COLUMNS, form, json=document, sentence=f"{found}; {read}")
    exit_codes.end(lost=bool(verdicts[Verdict.DAMAGED] or verdicts[Verdict.MISSING]), partial=bool(problems))


@contextlib.contextmanager
def _opened(where: VaultOptions) -> Iterator[tuple[Backend, Reader]]:
    """The vault, unlocked. Nothing is changed: files are opened for reading alone."""
    if where.is_directory:
        directory = where.directory()
        with opened_read_only(directory.path, where.candidates(directory)) as opened:
            yield opened.backend, opened.reader
        return
    with contextlib.closing(where.location()) as location:
        vault = where.existing(location.vault)
        reader = Reader.of_vault(vault, vault.unlock(where.candidates(vault)))
        with contextlib.closing(location.backend(reader.describe)) as backend:
            yield backend, reader


def _existing(backend: Backend, reader: Reader, id: str) -> str:
    """The key of a session. ``SessionNotFound``."""
    key = reader.key(id)
    if not (backend.has_file(key) if isinstance(backend, FilesBackend) else backend.head(key) is not None):
        raise SessionNotFound(f"there is no session {id!r}")
    return key


def _record(checkup: Verification) -> dict[str, object]:
    return {
        "session": checkup.key if checkup.head is None else checkup.head.id,
        "key": checkup.key,
        "verdict": str(checkup.verdict),
        "records": checkup.records,
        "bytes": checkup.size,
        "problem": checkup.problem,
    }
