"""``vaultsession repair``: mend what doctor finds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from .. import exit_codes, output
from ..output import AsJson, Form
from ..prompts import DryRun, Yes, confirm
from ..vault_options import VaultOptions, takes_vault

if TYPE_CHECKING:
    from ...admin.repair import Repaired
    from ...vault.secret import Secret

_STYLES = {"mended": "green", "planned": "cyan", "left": "yellow", "failed": "bold red"}


@takes_vault
def repair(
    where: VaultOptions,
    *,
    recover: Annotated[
        list[str] | None,
        typer.Option("--recover", metavar="ID", help="Recover this session to its last authentic record; repeatable."),
    ] = None,
    quarantine_damaged: Annotated[
        bool, typer.Option("--quarantine-damaged", help="Move damaged sessions to quarantine; none is deleted.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Mend what `doctor` finds and can be mended.

    What cannot be read is never deleted: it goes to quarantine, and foreign files are left alone. A damaged session is
    left as it is unless one of the two options asks for more.

    Exit code 0 where nothing but information is left, 3 for warnings, 6 for errors.
    """
    from ...admin.doctor import Severity  # noqa: PLC0415 - the store is dear to import, and --help does without
    from ...admin.repair import Repair, RepairOutcome  # noqa: PLC0415 - as above
    from .doctor import candidates  # noqa: PLC0415 - as above

    form = Form.chosen(as_json=as_json)
    directory = where.directory()
    mending = Repair(
        directory.path,
        _Again(candidates(where, directory)),
        quarantine_damaged=quarantine_damaged,
        allow_network=where.allows_network,
    )
    mending.recover = frozenset(map(mending.key_named, recover or ()))
    remaining = mending.look()
    done = mending.plan(remaining)
    if any(each.outcome is RepairOutcome.PLANNED for each in done) and not dry_run:
        if form is Form.TABLE and not yes:
            _tell(done)
        confirm("Do this?", yes=yes)
        done, remaining = mending.act(remaining)
    fields = [{"outcome": str(each.outcome), **each.finding.fields(), "said": each.sentence} for each in done]
    if form is Form.JSON:
        left = [finding.fields() for finding in remaining]
        output.document({"vault": directory.path, "dry_run": dry_run, "findings": fields, "remaining": left})
    elif form is Form.TSV:
        output.tsv(("outcome", "severity", "name", "place", "sentence", "said"), fields)
    else:
        _tell(done)
    worst = max((finding.severity for finding in remaining), default=Severity.INFO)
    if worst >= Severity.WARNING:
        raise typer.Exit(exit_codes.INTEGRITY if worst >= Severity.ERROR else exit_codes.PARTIAL)


class _Again:
    """Secrets that are asked for once, however often they are looked through: nobody types a passphrase twice."""

    def __init__(self, asked: Iterator[tuple[str, Secret]]) -> None:
        self._asked = asked

    def __iter__(self) -> Iterator[tuple[str, Secret]]:
        self._asked, again = itertools.tee(self._asked)
        return again


def _tell(done: list[Repaired]) -> None:
    if not done:
        output.line("Nothing was found: the vault is well.")
    for each in done:
        outcome = str(each.outcome)
        head = Text(f"{outcome}  ", style=_STYLES[outcome])
        head.append(each.finding.name, style="bold")
        if each.finding.place:
            head.append(f"  {output.escaped(each.finding.place)}", style="dim")
        output.data().print(head)
        output.paragraph(Text(output.escaped(each.finding.sentence)), indent=2)
        output.paragraph(Text(output.escaped(each.sentence), style=_STYLES[outcome]), indent=2)
