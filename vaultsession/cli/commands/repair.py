"""``vaultsession repair``: mend what doctor finds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from typer import Option

from ...admin.repair import Repair, Repaired, RepairOutcome
from ...vault.secret import Secret
from .. import output
from ..output import Form, JsonForm
from ..prompts import DryRun, Yes, confirm
from ..vault_options import Where, takes_options
from .doctor import WELL, candidates, end, print_finding


@takes_options
def repair(
    where: Where,
    *,
    recover: list[str] | None = Option(
        None, "--recover", metavar="ID", help="Recover this session to its last authentic record; repeatable."
    ),
    quarantine_damaged: bool = Option(
        False, "--quarantine-damaged", help="Move damaged sessions to quarantine; none is deleted."
    ),
    accept_restored: bool = Option(
        False,
        "--accept-restored",
        help="Take what only the index contradicts, as after a restored backup: nothing proves then that it is the "
        "newest.",
    ),
    yes: Yes = False,
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Mend what `doctor` finds and can be mended.

    What cannot be read is never deleted: it goes to quarantine, and foreign files are left alone. A damaged session is
    left as it is unless an option asks for more.

    Exit code 0 where nothing but information is left, 3 for warnings, 6 for errors.
    """
    directory = where.directory()
    mending = Repair(
        directory.path,
        _Again(candidates(where, directory)),
        quarantine_damaged=quarantine_damaged,
        accept_restored=accept_restored,
        allow_network=where.settings.allow_network,
    )
    mending.recover = frozenset(map(mending.key_named, recover or ()))
    remaining = mending.look()
    done = mending.plan(remaining)
    if any(each.outcome is RepairOutcome.PLANNED for each in done) and not dry_run:
        if form is Form.TABLE and not yes:
            _print(done)
        confirm("Do this?", yes=yes)
        done, remaining = mending.act(remaining)
    fields = [{"outcome": str(each.outcome), **each.finding.fields(), "said": each.sentence} for each in done]
    left = [finding.fields() for finding in remaining]
    document = {"vault": directory.path, "dry_run": dry_run, "findings": fields, "remaining": left}
    columns = ("outcome", "severity", "name", "place", "sentence", "said")
    output.show(fields, columns, form, json=document, people=lambda _: _print(done))
    end(remaining)


class _Again:
    """Secrets, each asked for once however often they are iterated: the operator types a passphrase once."""

    def __init__(self, asked: Iterator[tuple[str, Secret]]) -> None:
        self._asked = asked

    def __iter__(self) -> Iterator[tuple[str, Secret]]:
        self._asked, again = itertools.tee(self._asked)
        return again


def _print(done: list[Repaired]) -> None:
    if not done:
        output.line(WELL)
    for each in done:
        print_finding(each.finding, str(each.outcome), each.sentence)
