"""``vaultsession key masters, rotate, prune``: the keys that sessions are sealed under."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import exit_codes, output
from ...output import AsJson, Column, Form
from ...progress import bar
from ...prompts import Yes, confirm
from ...vault_options import VaultOptions, takes_vault

_COLUMNS = (Column("key", style="bold", whole=True), Column("state"), Column("sessions", right=True))


@takes_vault
def masters(where: VaultOptions, *, as_json: AsJson = False) -> None:
    """List the keys that sessions are sealed under, and how many lie under each."""
    form = Form.chosen(as_json=as_json)
    with where.open() as store:
        records = [{"key": use.id, "state": use.state, "sessions": use.sessions} for use in store.key_usage()]
    if form is Form.JSON:
        output.document({"keys": records})
    elif form is Form.TSV:
        output.tsv([column.name for column in _COLUMNS], records)
    else:
        output.table(_COLUMNS, records)


@takes_vault
def rotate(
    where: VaultOptions,
    *,
    prune: Annotated[bool, typer.Option("--prune", help="Delete the old keys when nothing needs them.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put a new key in use and seal every session under it, while others go on working.

    Killed half-way, the same command goes on with it. Old keys are kept, retired: mirrors and backups may need them.
    Exit code 3 where sessions could not be read, and so stay under their old key.
    """
    form = Form.chosen(as_json=as_json)
    if prune:
        _confirm_pruning(yes=yes)
    with where.open() as store:
        with bar("Rotator") as progress:
            done = store.rotate_key(progress=progress)
        pruned = store.prune_keys() if prune and not done.left else ()
    if form is Form.JSON:
        output.document({**done._asdict(), "pruned": list(pruned)})
    elif form is Form.TSV:
        columns = ("key", "sessions", "replaced", "left")
        output.tsv(columns, [{**done._asdict(), "left": len(done.left)}])
    else:
        verb = "went on with a rotation that was begun before" if done.resumed else "a new key is in use"
        output.line(f"{verb}: {done.key}; {output.counted(done.replaced, 'session')} sealed under it")
        _tell_pruned(pruned)
    if not prune and form is Form.TABLE:
        output.say(f"{output.counted(len(done.retired), 'retired key')} kept: `vaultsession key prune` deletes them")
    if done.left:
        output.say(
            f"vaultsession: {output.counted(len(done.left), 'session')} could not be read and stay under the old key: "
            "see `vaultsession doctor`"
        )
        raise typer.Exit(exit_codes.PARTIAL)


@takes_vault
def prune(where: VaultOptions, *, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete the retired keys. Refused while a session here lies under one of them, or cannot be read."""
    form = Form.chosen(as_json=as_json)
    _confirm_pruning(yes=yes)
    with where.open() as store:
        pruned = store.prune_keys()
    if yes and pruned:
        output.say(_LOST)
    if form is Form.JSON:
        output.document({"pruned": list(pruned)})
    elif form is Form.TSV:
        output.tsv(("pruned",), [{"pruned": key} for key in pruned])
    else:
        _tell_pruned(pruned)
        if not pruned:
            output.line("there is no retired key")


_LOST = "Mirrors and backups whose sessions lie under a retired key cannot be read once it is deleted."


def _confirm_pruning(*, yes: bool) -> None:
    if not yes:
        output.say(_LOST)
    confirm("Delete the retired keys for good?", yes=yes)


def _tell_pruned(pruned: tuple[str, ...]) -> None:
    for key in pruned:
        output.line(f"deleted: {key}")
