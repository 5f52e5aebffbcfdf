"""``vaultsession key``: what opens a vault, and what its sessions are sealed under."""

from __future__ import annotations

import typer

from ...output import HELP_STYLE
from . import masters, slots, tenants

app = typer.Typer(
    help="Keys: the secrets that open a vault, and the keys that its sessions are sealed under.",
    no_args_is_help=True,
    rich_markup_mode=HELP_STYLE,
)

_SECRETS, _KEYS = "Secrets that open the vault", "Keys of the sessions"

app.command("list", rich_help_panel=_SECRETS)(slots.list_slots)
app.command("add", rich_help_panel=_SECRETS)(slots.add)
app.command("remove", rich_help_panel=_SECRETS)(slots.remove)
app.command("passphrase", rich_help_panel=_SECRETS)(slots.passphrase)
app.command("masters", rich_help_panel=_KEYS)(masters.masters)
app.command("rotate", rich_help_panel=_KEYS)(masters.rotate)
app.command("prune", rich_help_panel=_KEYS)(masters.prune)
app.command("destroy", rich_help_panel=_KEYS)(tenants.destroy)
app.command("restore", rich_help_panel=_KEYS)(tenants.restore)
