"""From an unlocked vault to a reader of its sessions: with the keys as they change, and the dictionaries."""

from __future__ import annotations

from ..format.dictionaries import Dictionaries
from ..vault import UnlockedVault, Vault
from ..vault.key_store import VaultKeyStore
from ..vault.live_keyring import LiveKeyring
from .reader import Reader


def reader_of(
    vault: Vault, opened: UnlockedVault, *, etag: object = None, compressing: bool = False, patient: bool = False
) -> Reader:
    """Reads the sessions of a vault. ``etag`` is the vault's from before it was unlocked.

    ``compressing`` chooses the dictionary that is written with; readers skip it. ``patient``:
    see ``VaultKeyStore``.
    """
    dictionaries = Dictionaries(opened.keyring, vault)
    if compressing:
        dictionaries.choose()
    return Reader(
        LiveKeyring(opened.keyring, VaultKeyStore(vault, opened, etag=etag, patient=patient), etag), dictionaries
    )
