"""``vaultsession key list, add, remove, passphrase``: the slots of a keyring, each opened by one secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer import Argument, Option

from ....errors import InvalidSetting, KeyUnavailable, WrongKey
from ....util.clock import SystemClock, to_datetime
from ....vault.key_places import PassphraseFile, Prompt
from ... import output
from ...output import Column, Form, JsonForm
from ...prompts import DryRun, Yes, ask_passphrase, confirm, key_in_file, warn_of_loss
from ...vault_options import VaultOptions, Where, absolute, takes_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....vault import UnlockedVault, Vault
    from ....vault.key_slot import Slot
    from ....vault.secret import Secret

_COLUMNS = (
    Column("slot", style="bold", whole=True),
    Column("kind"),
    Column("label"),
    Column("created_at", "created", output.ago, right=True),
)
_UNTIL = "an old copy of the keyring file opens with the old secret what is sealed until the next `key rotate`"
_KINDS = {"RAW": "raw key", "ARGON2ID": "passphrase (Argon2id)", "SCRYPT": "passphrase (scrypt)"}


@takes_options
def list_slots(where: Where, *, form: JsonForm) -> None:
    """List the key slots. It needs no key, and says so where there was none to prove them."""
    with where.locked_vault() as vault:
        opened = where.proved(vault)
        _write(vault.slots() if opened is None else opened.slots, form, proved=opened is not None)
        if opened is None:
            output.say("not proved, since no key was at hand: who can write to the vault can write what stands here")


@takes_options
def add(
    where: Where,
    *,
    new_passphrase: bool = Option(False, "--new-passphrase", help="A passphrase, typed twice."),
    new_passphrase_file: str | None = Option(
        None, "--new-passphrase-file", metavar="FILE", help="A passphrase from a private file."
    ),
    new_key_file: str | None = Option(
        None, "--new-key-file", metavar="FILE", help="The key in this private file, made where it is missing."
    ),
    label: str = Option("", "--label", help="What you want to call it."),
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
    where: Where,
    *,
    slot: str = Argument(..., metavar="SLOT", help="Its id, or as much of its front as is unique."),
    yes: Yes = False,
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Remove a secret. What is sealed from the next `key rotate` on it opens never again.

    With an old copy of the keyring file it still opens what was sealed before that.
    """
    with where.locked_vault() as vault:
        opened, opened_with = where.unlock(vault)  # what is confirmed is what was proved
        _remember(where, opened_with)
        found = _named(opened.slots, slot)
        if len(opened.slots) == 1:
            raise InvalidSetting(
                "this is the last key slot, and without it nobody could open the vault: add another first"
            )
        if not dry_run:
            label = f", {output.escaped(found.label)}" if found.label else ""
            confirm(f"Remove key slot {found.name} ({_KINDS[found.kind.name]}{label}) for good?", yes=yes)
            vault.remove_slot(opened, found.id)
            try:
                _remember(where, opened_with)
            except WrongKey:
                output.say("The secret that you used just now no longer opens this vault.")
        _write([found], form)
        output.say("would be removed" if dry_run else f"removed: {_UNTIL}")


@takes_options
def passphrase(
    where: Where,
    *,
    new_passphrase_file: str | None = Option(
        None, "--new-passphrase-file", metavar="FILE", help="The new one, from a private file."
    ),
    form: JsonForm,
) -> None:
    """Change the passphrase that opens the vault: at once, since no session is sealed under it.

    If others may know the old one, `key rotate --prune` must follow: with it and an old copy of the keyring file they
    read what was sealed before that, and nothing later.
    """
    with where.locked_vault() as vault:
        opened, opened_with = where.unlock(vault)
        _remember(where, opened_with)
        old = opened.slot
        if not old.takes_passphrase:
            old = _passphrase_slot(vault, opened)
        secret, _ = _new_secret(vault.path, new_passphrase_file, None)
        # In this order: killed in between, both open it.
        changed = vault.add_slot(opened, secret, label=old.label, now=SystemClock().now())
        changed = vault.remove_slot(changed, old.id)
        _remember(where, secret)
        _write(changed.slots[-1:], form)
        output.say(f"the passphrase was changed: {_UNTIL}")


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
    return vault.unlock([(prompt.name, words)]).slot


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


def _named(slots: Sequence[Slot], text: str) -> Slot:
    found = [slot for slot in slots if slot.name.startswith(text.lower())]
    if len(found) == 1 and text:
        return found[0]
    problem = "more than one key slot begins with" if found else "there is no key slot"
    raise InvalidSetting(f"{problem} {text!r}: this vault has {', '.join(slot.name for slot in slots)}")


def _write(slots: Sequence[Slot], form: Form, *, proved: bool = True) -> None:
    records = [
        {
            "slot": slot.name,
            "kind": _KINDS[slot.kind.name],
            "label": slot.label,
            "created_at": to_datetime(slot.created).isoformat(),
        }
        for slot in slots
    ]
    output.show(records, _COLUMNS, form, json={"slots": records, "proved": proved})
