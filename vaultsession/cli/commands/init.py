"""``vaultsession init``: make a vault, and say where its key is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import Conflict, InvalidSetting
from ..output import AsJson, Form, document, facts, say
from ..prompts import ask_passphrase, key_in_file, warn_of_loss
from ..vault_options import VaultOptions, takes_vault

if TYPE_CHECKING:
    from ...vault.secret import Secret


@takes_vault
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
    as_json: AsJson = False,
) -> None:
    """Make a new vault.

    Its key comes from --key-file (made where it is missing), --key-command, --passphrase or the environment.

    Else a new one is made, and kept in the keyring of your system or in a private file of your configuration directory.
    """
    from ...store.configuration import environment  # noqa: PLC0415 - as above
    from ...store.settings import Settings  # noqa: PLC0415 - as above
    from ...util.clock import SystemClock  # noqa: PLC0415 - with the next: what --help does without

    if path is not None and where.vault is not None:
        raise InvalidSetting("give the path once")
    if passphrase and (where.key_file or where.key_command):
        raise InvalidSetting("a vault is made with one key: give --passphrase or a key, and add others later")
    settings = Settings.from_environment(environment())
    site = where.site(path)
    with contextlib.closing(site):
        place = site.vault
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
    if Form.chosen(as_json=as_json) is Form.JSON:
        document(record)
    else:
        facts(record)
    warn_of_loss(first.place)
    if not passphrase:
        say("Add a passphrase as a second way in: vaultsession key add --new-passphrase")


class _FirstSecret:
    """Where the secret of a new vault comes from. ``place`` names it once it was asked for."""

    def __init__(self, where: VaultOptions, vault: str, *, passphrase: bool) -> None:
        from ...store.configuration import environment  # noqa: PLC0415 - as above
        from ...vault.secret import PASSPHRASE_FILE  # noqa: PLC0415 - as above

        self.place = ""
        self._where, self._vault = where, vault
        self._environ = environment()
        if passphrase and where.passphrase_file is None and self._environ.get(PASSPHRASE_FILE):
            self._where = replace(where, passphrase_file=self._environ[PASSPHRASE_FILE])
        # Asked before anything is made, so that whoever thinks better of it leaves nothing behind.
        self._typed = ask_passphrase() if passphrase and self._where.passphrase_file is None else None

    def secret(self, vault_id: bytes) -> Secret:
        """The secret, kept safe before it is used."""
        from ...vault.key_sources import KeySources  # noqa: PLC0415 - as above

        if self._typed is not None:
            self.place = "the passphrase that you typed"
            return self._typed
        if self._where.key_file:
            key, is_new = key_in_file(self._where.key_file, self._vault)
            file = os.path.abspath(os.path.expanduser(self._where.key_file))
            self.place = f"{'new ' if is_new else ''}key file {file}"
            return key
        source, found = KeySources(self._environ).for_creation(self._where.key(), vault_id, self._vault)
        self.place = source.name
        return found
