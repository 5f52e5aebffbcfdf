"""Questions to a person at a terminal; elsewhere an option has to answer them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ..errors import BackendUnavailable, InvalidSetting, KeyUnavailable
from ..util.disk import Disk, write_new
from ..vault.key_places import KeyFile, Prompt
from ..vault.secret import Passphrase, RawKey, Secret
from . import exit_codes
from .output import say
from .vault_options import absolute

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


def warn_of_loss(place: str) -> None:
    """What a new key means."""
    say(f"The key: {place}. Keep a copy in a safe place: who loses it loses the data, and nobody can help.")
