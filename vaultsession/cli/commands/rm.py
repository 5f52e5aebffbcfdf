"""``vaultsession rm``: remove sessions at once."""

from __future__ import annotations

import typer
from typer import Argument, Option

from .. import exit_codes, output
from ..completers import complete_id
from ..output import Form, JsonForm
from ..prompts import DryRun, Yes, confirm
from ..vault_options import Where, takes_options


@takes_options
def rm(
    where: Where,
    *,
    ids: list[str] = Argument(..., metavar="ID", help="The sessions.", autocompletion=complete_id),
    shred: bool = Option(False, "--shred", help="Overwrite the file before it goes, and its copies in quarantine."),
    yes: Yes = False,
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Remove sessions.

    What is shredded may still lie in journals, snapshots, worn cells of a medium, mirrors and backups: only keys that
    are destroyed reach those, see `vaultsession key destroy`.

    Exit code 3 where some of them were not there, 4 where none was.
    """
    ids = list(dict.fromkeys(ids))
    if not dry_run:
        confirm(f"Remove {output.counted(len(ids), 'session')} for good?", yes=yes)
    with where.open() as store:
        done = [
            {"id": name, "removed": store.exists(name) if dry_run else store.delete(name, shred=shred)} for name in ids
        ]
    verb = "would be removed" if dry_run else "removed"
    sentences = [
        f"{output.escaped(each['id'])}: {verb if each['removed'] else 'there is no such session'}" for each in done
    ]
    document = {"dry_run": dry_run, "sessions": done}
    output.show(done, ("id", "removed"), form, json=document, people="\n".join(sentences))
    missing = sum(not each["removed"] for each in done)
    if missing:
        if form is not Form.TABLE:
            output.say(
                f"vaultsession: {missing} of {len(done)} not found (`vaultsession ls` shows those that there are)"
            )
        raise typer.Exit(exit_codes.NOT_FOUND if missing == len(done) else exit_codes.PARTIAL)
