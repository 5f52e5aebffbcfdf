"""``vaultsession init``: make a vault, and say where its key is."""

from __future__ import annotations

import contextlib

from typer import Argument, Option

from ...errors import Conflict, InvalidSetting
from ...util.clock import SystemClock
from ...vault.key_places import shares_home
from ...vault.key_sources import KeySources
from ...vault.secret import PASSPHRASE_FILE
from ..output import JsonForm, facts, say
from ..prompts import FirstSecret, ask_passphrase, warn_of_loss
from ..vault_options import Where, takes_options


@takes_options
def init(
    where: Where,
    *,
    path: str | None = Argument(None, help="The directory or URL; the same as --vault."),
    passphrase: bool = Option(
        False, "--passphrase", help="Open it with a passphrase, typed twice or from --passphrase-file."
    ),
    private_names: bool = Option(False, "--private-names", help="File names that tell nothing of the ids."),
    tenant_keys: bool = Option(
        False, "--tenant-keys", help="Seal the sessions of each tenant under keys that can be destroyed."
    ),
    form: JsonForm,
) -> None:
    """Make a new vault.

    Its key comes from --key-file (made where it is missing), --key-command, --passphrase or the environment.

    Else a new one is made, and kept in the keyring of your system or in a private file of your configuration directory.
    """
    if path is not None and where.vault is not None:
        raise InvalidSetting("give the path once")
    if passphrase and (where.key_file or where.key_command):
        raise InvalidSetting("a vault is made with one key: give --passphrase or a key, and add others later")
    settings = where.settings
    with contextlib.closing(where.location(path)) as location:
        place = location.vault
        if place.exists():
            raise Conflict(f"there is a vault at {place.path} already, and nothing was changed")
        if passphrase and where.passphrase_file is None and where.environ.get(PASSPHRASE_FILE):
            where = where._replace(passphrase_file=where.environ[PASSPHRASE_FILE])
        # Asked before anything is made, so that a change of mind leaves nothing behind.
        typed = ask_passphrase() if passphrase and where.passphrase_file is None else None
        first = FirstSecret(where, place.path, KeySources(where.environ), typed)
        names = not private_names and settings.names == "readable"
        vault = place.create(
            first.secret, readable_names=names, now=SystemClock().now(), tenant_keys=tenant_keys or settings.tenant_keys
        )
    record = {
        "vault": place.path,
        "vault_id": vault.keyring.vault_id.hex(),
        "names": "readable" if names else "private",
        "tenant_keys": vault.keyring.tenant_keys,
        "key": first.place,
    }
    facts(record, form=form)
    warn_of_loss(first.place)
    if first.file and "://" not in place.path and shares_home(first.file, place.path):
        say(
            "It lies in the same home as the vault: no protection from who gets that home, or a backup of it. "
            "Better: your system's keyring, another disk, or a passphrase."
        )
    if not passphrase:
        say("Add a passphrase as a second way in: vaultsession key add --new-passphrase")
