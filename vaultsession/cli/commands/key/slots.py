"""``vaultsession key list, add, remove, passphrase``: the slots of a keyring, each opened by one secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ....errors import InvalidSetting, KeyUnavailable, WrongKey
from ....util.clock import SystemClock, to_datetime
from ....vault.key_places import PassphraseFile, Prompt
from ... import output
from ...output import Column, Form, JsonForm
from ...prompts import DryRun, Yes, ask_passphrase, confirm, key_in_file, warn_of_loss
from ...vault_options import VaultOptions, absolute, takes_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ....vault import UnlockedVault, Vault
    from ....vault.key_slot import Slot
    from ....vault.secret import Secret

_COLUMNS = (
    Column("slot", style="bold", whole=True),
    Column("kind"),
    Column("label"),
    Column("created_at", "created", output.ago, right=True),
)
_KINDS = {"RAW": "raw key", "ARGON2ID": "passphrase (Argon2id)", "SCRYPT": "passphrase (scrypt)"}


@takes_options
def list_slots(where: VaultOptions, *, form: JsonForm) -> None:
    """List the key slots. This needs no key, and proves nothing about them."""
    with where.locked_vault() as vault:
        _write(vault.slots(), form)


@takes_options
def add(
    where: VaultOptions,
    *,
    new_passphrase: Annotated[bool, typer.Option("--new-passphrase", help="A passphrase, typed twice.")] = False,
    new_passphrase_file: Annotated[
        str | None, typer.Option("--new-passphrase-file", metavar="FILE", help="A passphrase from a private file.")
    ] = None,
    new_key_file: Annotated[
        str | None,
        typer.Option("--new-key-file", metavar="FILE", help="The key in this private file, made where it is missing."),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="What you want to call it.")] = "",
    form: JsonForm,
) -> None:
    """Add a secret that opens the vault. It needs one that does so already."""
    if [new_passphrase, new_passphrase_file is not None, new_key_file is not None].count(True) != 1:
        raise InvalidSetting("give one of --new-passphrase, --new-passphrase-file and --new-key-file")
    with where.locked_vault() as vault:
        opened, opened_with = where.unlock(vault)
        _remember(where, opened_with)
        secret, place = _new_secret(vault.path, new_passphrase_file, new_key_file)
        changed = vault.add_slot(opened, secret, label=label, now=SystemClock().now())
        _remember(where, opened_with)
        _write(changed.slots[-1:], form)
        if place:
            warn_of_loss(place)


@takes_options
def remove(
    where: VaultOptions,
    *,
    slot: Annotated[str, typer.Argument(metavar="SLOT", help="Its id, or as much of its front as is unique.")],
    yes: Yes = False,
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Remove a secret. With it, an old copy of the keyring file still opens."""
    with where.locked_vault() as vault:
        found = _named(vault.slots(), slot)
        if not dry_run:
            confirm(f"Remove key slot {found.name} ({_KINDS[found.kind.name]}) for good?", yes=yes)
        opened, opened_with = where.unlock(vault)
        _remember(where, opened_with)
        if len(opened.slots) == 1:
            raise InvalidSetting(
                "this is the last key slot, and without it nobody could open the vault: add another first"
            )
        if not dry_run:
            vault.remove_slot(opened, found.id)
            try:
                _remember(where, opened_with)
            except WrongKey:
                output.say("The secret that you used just now no longer opens this vault.")
        _write([found], form)
        output.say("would be removed" if dry_run else "removed")


@takes_options
def passphrase(
    where: VaultOptions,
    *,
    new_passphrase_file: Annotated[
        str | None, typer.Option("--new-passphrase-file", metavar="FILE", help="The new one, from a private file.")
    ] = None,
    form: JsonForm,
) -> None:
    """Change the passphrase that opens the vault: at once, since no session is sealed under it.

    With the old one, an old copy of the keyring file still opens: where that matters, a `key rotate` must follow, and
    what was there before stays readable with it.
    """
    with where.locked_vault() as vault:
        opened, opened_with = where.unlock(vault)
        _remember(where, opened_with)
        old = opened.slot
        if old is None or not old.takes_passphrase:
            old = _passphrase_slot(vault, opened)
        secret, _ = _new_secret(vault.path, new_passphrase_file, None)
        # In this order: killed in between, both open it.
        changed = vault.add_slot(opened, secret, label=old.label, now=SystemClock().now())
        changed = vault.remove_slot(changed, old.id)
        _remember(where, secret)
        _write(changed.slots[-1:], form)
        output.say("the passphrase was changed")


def _passphrase_slot(vault: Vault, opened: UnlockedVault) -> Slot:
    """The slot of the passphrase that is to be changed in a vault that a key opened; which of several a person says."""
    slots = [slot for slot in opened.slots if slot.takes_passphrase]
    if not slots:
        raise InvalidSetting("no passphrase opens this vault: add one with `key add --new-passphrase`")
    if len(slots) == 1:
        return slots[0]
    prompt = Prompt("The passphrase to change: ")
    words = prompt.secret()
    if words is None:
        raise KeyUnavailable("a passphrase cannot be empty")
    found = vault.unlock([(prompt.name, words)]).slot
    if found is None:
        raise WrongKey("no key slot has this passphrase")
    return found


def _new_secret(vault: str, passphrase_file: str | None, key_file: str | None) -> tuple[Secret, str]:
    """The secret that is to be added, and where it lies if it was made just now."""
    if key_file is not None:
        key, is_new = key_in_file(key_file, vault)
        return key, f"new key file {absolute(key_file)}" if is_new else ""
    if passphrase_file is None:
        return ask_passphrase(), ""
    source = PassphraseFile(absolute(passphrase_file))
    words = source.secret()
    if words is None:
        raise KeyUnavailable(f"{source.name}: there is no such file")
    return words, ""


def _remember(where: VaultOptions, secret: Secret) -> None:
    """Open the store once: it refuses slots that are an old copy, and remembers how often they were changed."""
    with where.open(key=secret):
        pass


def _named(slots: Iterable[Slot], text: str) -> Slot:
    held = list(slots)
    found = [slot for slot in held if slot.name.startswith(text.lower())]
    if len(found) == 1 and text:
        return found[0]
    problem = "more than one key slot begins with" if found else "there is no key slot"
    raise InvalidSetting(f"{problem} {text!r}: this vault has {', '.join(slot.name for slot in held)}")


def _write(slots: Iterable[Slot], form: Form) -> None:
    records = [
        {
            "slot": slot.name,
            "kind": _KINDS[slot.kind.name],
            "label": slot.label,
            "created_at": to_datetime(slot.created).isoformat(),
        }
        for slot in slots
    ]
    output.show(records, _COLUMNS, form, json={"slots": records})
