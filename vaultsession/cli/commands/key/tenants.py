"""``vaultsession key destroy``: the keys of a tenant, and with them its sessions wherever they were copied to."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import output
from ...output import JsonForm
from ...prompts import Yes, confirm
from ...vault_options import VaultOptions, takes_options


@takes_options
def destroy(
    where: VaultOptions,
    *,
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose keys.")],
    yes: Yes = False,
    form: JsonForm,
) -> None:
    """Destroy the keys of a tenant and remove its sessions. The receipt says what that does not reach.

    Backups of these sessions are unreadable from then on, unless someone has a copy of the tenant's key file.
    It needs a vault that was made with `init --tenant-keys`.
    """
    confirm(f"Destroy the keys of tenant {output.escaped(tenant)} and remove its sessions for good?", yes=yes)
    with where.open() as store:
        receipt = store.destroy_tenant(tenant)
    keys, removed = output.counted(len(receipt.keys), "key"), output.counted(receipt.removed, "session")
    sentences = [f"destroyed {keys} of tenant {receipt.tenant}, removed {removed}"]
    if receipt.under_vault_key:
        sentences.append(
            f"{receipt.under_vault_key} of them were under the vault's own key: backups of those still open"
        )
    sentences += ["Beyond its reach:", *(f"- {said}" for said in receipt.not_covered)]
    record = receipt.document()
    output.show(
        [{**record, "keys": ",".join(receipt.keys)}],
        ("vault", "tenant", "destroyed_at", "keys", "removed", "under_vault_key"),
        form,
        json=record,
        people="\n".join(sentences),
    )
