"""Questions to a person at a terminal; elsewhere an option has to answer them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ..errors import BackendUnavailable, InvalidSetting, KeyUnavailable
from ..util.disk import Disk, write_new
from ..vault.key_places import KeyFile, Prompt
from ..vault.key_sources import KeySources
from ..vault.secret import Passphrase, RawKey, Secret
from . import exit_codes
from .output import say
from .vault_options import VaultOptions, absolute

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be done.")]


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if ``--yes`` was given or a person says so. Without a terminal, ``--yes`` is needed."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidSetting("there is no terminal to ask on: confirm with --yes, or look first with --dry-run")
    if not typer.confirm(question, err=True):
        say("vaultsession: nothing was done")
        raise typer.Exit(exit_codes.ERROR)


def ask_passphrase() -> Passphrase:
    """A passphrase typed twice. ``KeyUnavailable`` without a terminal."""
    words: list[Secret | None] = []
    for question in ("New passphrase: ", "The same again: "):
        try:
            words.append(Prompt(question).secret())
        except KeyUnavailable as error:
            raise KeyUnavailable(f"{error}, so a passphrase cannot be asked for") from None
    first, again = words
    if not isinstance(first, Passphrase) or not isinstance(again, Passphrase):
        raise InvalidSetting("a passphrase cannot be empty")
    if first.words != again.words:
        raise InvalidSetting("the two passphrases are not the same: nothing was changed, try again")
    return first


def key_in_file(path: str, vault: str) -> tuple[RawKey, bool]:
    """The key in a private file, and whether it was made just now: a file that is missing gets a new key.

    Never within the vault: a key beside the data protects nothing.
    """
    path = absolute(path)
    inside = os.path.join(os.path.realpath(vault), "")
    if os.path.realpath(path).startswith(inside):
        raise InvalidSetting(f"{path} lies within the vault, where a key protects nothing: name a file elsewhere")
    found = KeyFile(path).secret()
    if found is not None:
        return found, False
    made = RawKey.generate()
    disk = Disk()
    try:
        write_new(disk, path, made.text().encode() + b"\n")
        disk.sync_directory(os.path.dirname(path))
    except OSError as error:
        raise BackendUnavailable(f"the new key could not be kept in {path}: {error.strerror or error}") from error
    return made, True


class FirstSecret:
    """Where the secret of a new vault comes from. ``place`` names it once it was asked for, ``file`` one of a key."""

    def __init__(self, where: VaultOptions, vault: str, sources: KeySources, typed: Secret | None = None) -> None:
        self.place = self.file = ""
        self._where, self._vault, self._sources, self._typed = where, vault, sources, typed

    def secret(self, vault_id: bytes) -> Secret:
        """The secret, kept safe before it is used."""
        if self._typed is not None:
            self.place = "the passphrase that you typed"
            return self._typed
        if self._where.key_file is not None:
            key, is_new = key_in_file(self._where.key_file, self._vault)
            self.file = absolute(self._where.key_file)
            self.place = f"{'new ' if is_new else ''}key file {self.file}"
            return key
        source, found = self._sources.for_creation(self._where.key, vault_id, self._vault)
        self.place = source.name
        self.file = source.path if isinstance(source, KeyFile) else ""
        return found


def warn_of_loss(place: str) -> None:
    """What a new key means."""
    say(f"The key: {place}. Keep a copy in a safe place: who loses it loses the data, and nobody can help.")
