"""``vaultsession key destroy``: the keys of a tenant, and with them its sessions wherever they were copied to."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import output
from ...output import AsJson, Form
from ...prompts import Yes, confirm
from ...vault_options import VaultOptions, takes_vault


@takes_vault
def destroy(
    where: VaultOptions,
    *,
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose keys.")],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Destroy the keys of a tenant and remove its sessions. The receipt says what that does not reach.

    Backups of these sessions are unreadable from then on, unless someone has a copy of the tenant's key file.
    It needs a vault that was made with `init --tenant-keys`.
    """
    form = Form.chosen(as_json=as_json)
    confirm(f"Destroy the keys of tenant {output.escaped(tenant)} and remove its sessions for good?", yes=yes)
    with where.open() as store:
        receipt = store.destroy_tenant(tenant)
    if form is Form.JSON:
        output.document(receipt.document())
        return
    record = receipt.document()
    if form is Form.TSV:
        columns = ("vault", "tenant", "destroyed_at", "keys", "removed", "under_vault_key")
        output.tsv(columns, [{**record, "keys": ",".join(receipt.keys)}])
        return
    noun = output.counted(receipt.removed, "session")
    output.line(f"destroyed {output.counted(len(receipt.keys), 'key')} of tenant {receipt.tenant}, removed {noun}")
    if receipt.under_vault_key:
        output.line(f"{receipt.under_vault_key} of them were under the vault's own key: backups of those still open")
    output.line("Beyond its reach:")
    for said in receipt.not_covered:
        output.line(f"- {said}")
