"""``vaultsession key destroy, restore``: the keys of tenants, which lie apart from those of the vault."""

from __future__ import annotations

from typer import Argument, Option

from ....errors import InvalidSetting
from ....util.disk import Disk
from ....vault import Vault, VaultDirectory
from ....vault.replication import follow_tenants
from ... import output
from ...output import JsonForm
from ...prompts import Yes, confirm
from ...vault_options import Where, absolute, takes_options


@takes_options
def destroy(
    where: Where,
    *,
    tenant: str = Option(..., "--tenant", metavar="NAME", help="Whose keys."),
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


@takes_options
def restore(
    where: Where,
    *,
    copy: str = Argument(..., metavar="COPY", help="The directory that has a copy of tenants/."),
    form: JsonForm,
) -> None:
    """Bring the keys of tenants back from a copy. What the vault has of the same tenants is kept.

    A key that only one side has serves from then on; one that either side has destroyed stays destroyed.
    """
    source = Vault(VaultDirectory(absolute(copy), Disk(), allow_network=where.settings.allow_network))
    with where.locked_vault() as vault:
        opened, _ = where.unlock(vault)
        names = source.tenants()
        if not names:
            raise InvalidSetting(f"there are no keys of tenants at {copy}: name the directory that has tenants/ in it")
        follow_tenants(source, vault, opened)
        vault.replace_keys(opened, lambda masters: masters)  # so that every process notices
    output.show(
        [{"tenant": name} for name in names],
        ("tenant",),
        form,
        json={"tenants": list(names)},
        people=f"the keys of {output.counted(len(names), 'tenant')} are in the vault",
    )
