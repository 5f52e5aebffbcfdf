"""``vaultsession init``: make a vault, and say where its key is."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Annotated

import typer

from ...errors import Conflict, InvalidSetting
from ...util.clock import SystemClock
from ...vault.key_places import KeyFile, shares_home
from ...vault.key_sources import KeySources
from ...vault.secret import PASSPHRASE_FILE, Secret
from ..output import JsonForm, facts, say
from ..prompts import ask_passphrase, key_in_file, warn_of_loss
from ..vault_options import VaultOptions, absolute, takes_options


@takes_options
def init(
    where: VaultOptions,
    *,
    path: Annotated[
        str | None, typer.Argument(help="The directory or URL; the same as --vault.", show_default=False)
    ] = None,
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help="Open it with a passphrase, typed twice or from --passphrase-file."),
    ] = False,
    private_names: Annotated[
        bool, typer.Option("--private-names", help="File names that tell nothing of the ids.")
    ] = False,
    tenant_keys: Annotated[
        bool, typer.Option("--tenant-keys", help="Seal the sessions of each tenant under keys that can be destroyed.")
    ] = False,
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
        first = _FirstSecret(where, place.path, passphrase=passphrase)
        names = not private_names and settings.names == "readable"
        vault = place.create(
            first.secret,
            readable_names=names,
            now=SystemClock().now(),
            tenant_keys=tenant_keys or settings.tenant_keys,
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


class _FirstSecret:
    """Where the secret of a new vault comes from. ``place`` names it once it was asked for, ``file`` one of a key."""

    def __init__(self, where: VaultOptions, vault: str, *, passphrase: bool) -> None:
        self.place = ""
        self.file = ""
        self._where, self._vault = where, vault
        if passphrase and where.passphrase_file is None and where.environ.get(PASSPHRASE_FILE):
            self._where = replace(where, passphrase_file=where.environ[PASSPHRASE_FILE])
        # Asked before anything is made, so that a change of mind leaves nothing behind.
        self._typed = ask_passphrase() if passphrase and self._where.passphrase_file is None else None

    def secret(self, vault_id: bytes) -> Secret:
        """The secret, kept safe before it is used."""
        if self._typed is not None:
            self.place = "the passphrase that you typed"
            return self._typed
        if self._where.key_file:
            key, is_new = key_in_file(self._where.key_file, self._vault)
            self.file = absolute(self._where.key_file)
            self.place = f"{'new ' if is_new else ''}key file {self.file}"
            return key
        source, found = KeySources(self._where.environ).for_creation(self._where.key, vault_id, self._vault)
        self.place = source.name
        self.file = source.path if isinstance(source, KeyFile) else ""
        return found
