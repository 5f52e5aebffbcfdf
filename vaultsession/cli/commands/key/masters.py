"""``vaultsession key masters, rotate, prune``: the keys that sessions are sealed under."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from typer import Option

from ... import exit_codes, output
from ...output import Column, Form, JsonForm
from ...progress import bar
from ...prompts import Yes, confirm
from ...vault_options import Where, takes_options

_COLUMNS = (Column("key", style="bold", whole=True), Column("state"), Column("sessions", right=True))


@takes_options
def masters(where: Where, *, form: JsonForm) -> None:
    """List the keys that sessions are sealed under, and how many lie under each."""
    with where.open() as store:
        records = [{"key": use.id, "state": use.state, "sessions": use.sessions} for use in store.key_usage()]
    output.show(records, _COLUMNS, form, json={"keys": records})


@takes_options
def rotate(
    where: Where,
    *,
    prune: bool = Option(False, "--prune", help="Delete the old keys when nothing needs them."),
    drop: list[int] | None = Option(
        None, "--drop-dictionary", metavar="NUMBER", help="Seal sessions without it, and delete it. Repeatable."
    ),
    yes: Yes = False,
    form: JsonForm,
) -> None:
    """Put a new key in use and seal every session under it, while others go on working.

    A secret that was removed before, with an old copy of the keyring, opens nothing that is sealed from then on.
    Killed half-way, the same command goes on with it. Old keys are kept, retired: mirrors and backups may need them.
    Exit code 3 where sessions could not be read, and so stay under their old key.
    """
    if prune:
        _confirm_pruning(yes=yes)
    with where.open() as store:
        with bar("Rotating", interrupted="the same command goes on") as progress:
            done = store.rotate_key(progress=progress, drop_dictionaries=drop or ())
        pruned = store.prune_keys() if prune and not done.left else ()
    verb = "went on with a rotation that was begun before" if done.resumed else "a new key is in use"
    sentence = f"{verb}: {done.key}; {output.counted(done.replaced, 'session')} sealed under it"
    output.show(
        [{**done._asdict(), "left": len(done.left)}],
        ("key", "sessions", "replaced", "left"),
        form,
        json={**done._asdict(), "pruned": list(pruned)},
        people="\n".join([sentence, *_sentences(pruned)]),
    )
    if not prune and form is Form.TABLE:
        output.say(f"{output.counted(len(done.retired), 'retired key')} kept: `vaultsession key prune` deletes them")
    if done.left:
        output.say(
            f"vaultsession: {output.counted(len(done.left), 'session')} could not be read and stay under the old key: "
            "see `vaultsession doctor`"
        )
        raise typer.Exit(exit_codes.PARTIAL)


@takes_options
def prune(where: Where, *, yes: Yes = False, form: JsonForm) -> None:
    """Delete the retired keys. Refused while something here lies under one of them, or cannot be read.

    Copies of `tenants/` that were made before the rotation open no more: make another one.
    """
    _confirm_pruning(yes=yes)
    with where.open() as store:
        pruned = store.prune_keys()
    if yes and pruned:
        output.say(_LOST)
    sentence = "\n".join(_sentences(pruned)) or "there is no retired key"
    records = [{"pruned": key} for key in pruned]
    output.show(records, ("pruned",), form, json={"pruned": list(pruned)}, people=sentence)


_LOST = "Mirrors have to follow first, and backups under a retired key cannot be read once it is deleted."


def _confirm_pruning(*, yes: bool) -> None:
    if not yes:
        output.say(_LOST)
    confirm("Delete the retired keys for good?", yes=yes)


def _sentences(pruned: Sequence[str]) -> list[str]:
    return [f"deleted: {key}" for key in pruned]
