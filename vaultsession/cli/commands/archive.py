"""``vaultsession archive``: the plaintext that agents leave behind, sealed, and removed where that is wanted."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from typer import Argument, Option

from ...admin.archive.archiver import Archived, ArchiveOutcome
from ...admin.archive.follower import ArchiveFollower, Minute
from ...admin.archive.run import ArchiveOptions
from ...admin.archive.run import archive as archive_files
from ...admin.archive.timers import Timer, timer
from ...admin.importers import Skipped
from ...errors import BackendUnavailable, DurabilityUnknown, InvalidSetting
from ...util.clock import to_duration
from .. import exit_codes, output
from ..output import Column, Form, JsonForm
from ..progress import bar
from ..prompts import DryRun, Yes, confirm
from ..vault_options import VaultOptions, Where, takes_options

_INTERRUPTED = "what was sealed stays, and the same command goes on"
_COLUMNS = (
    Column("source"),
    Column("files", right=True),
    Column("bytes", show=output.size, right=True),
    *(Column(str(each), right=True, wide=True) for each in ArchiveOutcome),
    Column("added", show=output.size, right=True),
    Column("freed", show=output.size, right=True),
)


@takes_options
def archive(
    where: Where,
    *,
    sources: list[str] | None = Argument(
        None,
        metavar="SOURCE",
        help="claude-code, codex, copilot-cli, gemini-cli, pi, or a path; without any, every agent that is here.",
    ),
    older_than: str | None = Option(
        None, "--older-than", metavar="SPAN", help="Only files not written to for so long: 14d."
    ),
    project: str | None = Option(None, "--project", metavar="DIR", help="Only sessions of work in this directory."),
    remove: bool = Option(
        False, "--remove", help="Remove each file after its session was read back and compared with it."
    ),
    shred: bool = Option(
        False, "--shred", help="Write noise over what is removed. An SSD keeps the old bytes all the same."
    ),
    follow: bool = Option(False, "--follow", "-f", help="Go on, and seal what is written."),
    print_timer: Timer | None = Option(
        None, "--print-timer", help="Print what runs this command every hour, and change nothing."
    ),
    yes: Yes = False,
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Seal the plaintext sessions that agents leave behind.

    Finds what Claude Code, Codex, Copilot CLI, Gemini CLI and Pi keep, and makes a session of each file, which `ls`,
    `show` and `grep` know; `vaultsession restore` gives the file back byte for byte. A session that grew is appended
    to.

    With --remove a file goes when its session was flushed, read back and found equal to it; one that is open, or was
    written to in the last 15 minutes, is left for another time. A run that was killed is gone on with by the next.

    Exit code 3 where something could not be done; the rest is done.
    """
    if shred and not remove:
        raise InvalidSetting("--shred is about what --remove removes: give both")
    options = ArchiveOptions(
        sources=tuple(sources or ()),
        older_than=0 if older_than is None else to_duration(older_than),
        project=project,
        keys=where.secret_files,
        remove=remove,
        shred=shred,
        dry_run=dry_run,
    )
    if print_timer is not None:
        output.line(timer(print_timer, _command(where, options)).rstrip())
        return
    if remove and not dry_run:
        confirm("Remove each plaintext file once it is sealed and compared?", yes=yes)
    # What is removed has to be on the disk, and a cache would only hold what nobody asks for again.
    # What waited in memory for a server would be lost with this process.
    durability = "sync" if remove else where.settings.durability
    with where.open(durability=durability, cache_bytes=0, fallback="none") as store:
        if follow:
            for minute in ArchiveFollower(store, options).run():
                output.line(_told(minute))
                sys.stdout.flush()
            return
        rows: dict[str, Counter[str]] = defaultdict(Counter)
        problems: list[dict[str, str]] = []
        with bar("Archiving", shown=form is Form.TABLE, interrupted=_INTERRUPTED) as progress:
            try:
                for number, done in enumerate(archive_files(store, options), 1):
                    _note(done, rows, problems)
                    progress(number)
            except (BackendUnavailable, DurabilityUnknown) as error:  # a full disk, say: the rest has to wait
                if not rows:
                    raise
                problems.append({"place": where.path, "reason": f"{error}; {_INTERRUPTED}"})
    _show(rows, problems, form, dry_run=dry_run)
    exit_codes.end(partial=bool(problems))


def _note(done: Archived | Skipped, rows: dict[str, Counter[str]], problems: list[dict[str, str]]) -> None:
    if isinstance(done, Skipped):
        problems.append({"place": done.place, "reason": done.reason})
        return
    row = rows[done.agent or "files"]
    row["files"] += 1
    row["bytes"] += done.size
    row[str(done.outcome)] += 1
    row["added"] += done.added
    row["freed"] += done.size if done.removed else 0
    row["in use"] += done.is_busy
    if done.problem and not done.is_busy:
        problems.append({"place": done.path, "reason": done.problem})


def _show(rows: dict[str, Counter[str]], problems: list[dict[str, str]], form: Form, *, dry_run: bool) -> None:
    records: list[dict[str, Any]] = [
        {"source": name, **{column.name: row[column.name] for column in _COLUMNS[1:]}, "in_use": row["in use"]}
        for name, row in sorted(rows.items())
    ]
    if form is Form.JSON:
        output.document({"dry_run": dry_run, "sources": records, "problems": problems})
        return
    output.say_some([f"{each['place']}: {each['reason']}" for each in problems])
    if records:
        output.show(records, _COLUMNS, form)
    if form is not Form.TABLE:
        return
    if not records:
        output.line("nothing was found to archive")
    elif in_use := sum(record["in_use"] for record in records):
        output.line(f"{output.counted(in_use, 'file')} in use, left for another time")
    if dry_run:
        output.line("(nothing was changed)")


def _told(minute: Minute) -> str:
    """A minute of following, as one line."""
    counts = {name: count for name, count in minute.items() if name != "bytes"}
    return f"{output.listed(counts) or 'all is sealed'}; {output.size(minute['bytes'])} sealed"


def _command(where: VaultOptions, options: ArchiveOptions) -> list[str]:
    """The words that run this command from anywhere."""
    program = shutil.which("vaultsession")
    begin = [os.path.abspath(program)] if program else [sys.executable, "-m", "vaultsession"]
    named: list[tuple[str, str | None, Callable[[str], str]]] = [
        ("--vault", where.vault, lambda path: path if "://" in path else os.path.abspath(os.path.expanduser(path))),
        ("--key-file", where.key_file, os.path.abspath),
        ("--key-command", where.key_command, str),
        ("--passphrase-file", where.passphrase_file, os.path.abspath),
        ("--project", options.project, os.path.abspath),
        ("--older-than", f"{options.older_than // 1_000_000}s" if options.older_than else None, str),
    ]
    words = [word for name, value, spell in named if value for word in (name, spell(value))]
    flags = ["--remove", "--yes"] * options.remove + ["--shred"] * options.shred
    paths = [source if os.sep not in source else os.path.abspath(source) for source in options.sources]
    return [*begin, "archive", *words, *flags, *paths]
