"""From an unlocked vault to whoever reads its sessions: with the keys as they change, and the dictionaries."""

from __future__ import annotations

from ..format.dictionaries import Dictionaries
from ..vault import OpenVault, Vault, VaultPapers
from ..vault.live_keyring import LiveKeyring
from .reader import Reading


def reading_of(
    vault: Vault, opened: OpenVault, *, stamp: object = None, compressing: bool = False, patient: bool = False
) -> Reading:
    """Reads the sessions of a vault. ``stamp`` is the vault's from before it was unlocked.

    ``compressing`` chooses the dictionary that is written with; whoever only reads need not look for it. ``patient``:
    see ``VaultPapers``.
    """
    dictionaries = Dictionaries(opened.keyring, vault)
    if compressing:
        dictionaries.choose()
    return Reading(
        LiveKeyring(opened.keyring, VaultPapers(vault, opened, stamp=stamp, patient=patient), stamp), dictionaries
    )
