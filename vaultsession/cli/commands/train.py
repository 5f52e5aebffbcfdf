"""``vaultsession train``: learn a dictionary from the vault's own sessions, so that new records become smaller."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from typer import Option

from .. import output
from ..output import JsonForm
from ..progress import bar
from ..prompts import DryRun
from ..vault_options import Where, takes_options

if TYPE_CHECKING:
    from ...engine.trainer import Trained

_KIB = 1024


@takes_options
def train(
    where: Where,
    *,
    size: int = Option(112, "--size", metavar="KIB", min=4, max=256, help="How large it may become, in KiB."),
    user: str | None = Option(None, "--user", metavar="ID", help="Learn from this user only."),
    tenant: str | None = Option(None, "--tenant", metavar="ID", help="Learn from this tenant only."),
    assistant: str | None = Option(None, "--assistant", metavar="ID", help="Learn from this assistant only."),
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Learn a compression dictionary from the newest sessions, and say what it is worth.

    What it is worth is measured on sessions that it did not learn from. It is kept only if records become smaller; then
    new records are compressed with it. It holds pieces of what it learned from, also when those sessions are removed:
    sealed, it stays until `key rotate --drop-dictionary`. In a vault made with --tenant-keys give a --tenant; the
    dictionary serves that tenant alone, and goes with its keys.
    """
    with where.open() as store, bar("Learning") as progress:
        trained = store.train(
            size=size * _KIB, dry_run=dry_run, progress=progress, user_id=user, tenant_id=tenant, assistant_id=assistant
        )
    record = {**dataclasses.asdict(trained), "ratio": round(trained.ratio, 3)}
    output.result(record, form, _sentences(trained, dry_run=dry_run))


def _sentences(trained: Trained, *, dry_run: bool) -> str:
    said = "would be kept" if dry_run else f"is kept as number {trained.number}"
    if dry_run and not trained.is_worthwhile:
        said = "would not be kept, since nothing is gained"
    learned = output.counted(trained.sessions, "session")
    unseen = output.counted(trained.records, "record")
    plain, before, after = map(output.size, (trained.plain, trained.before, trained.after))
    sizes = f"{plain} with zstd alone, {before} until now, {after} with it ({trained.ratio:.2f} of zstd alone)"
    return (
        f"learned {output.size(trained.size)} from {output.size(trained.sampled)} of {learned}; the dictionary {said}\n"
        f"{unseen} that it has not seen: {sizes}"
    )
