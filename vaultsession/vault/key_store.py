"""The keys of an unlocked vault, as whoever uses them for long sees them: see ``livekeys``."""

from __future__ import annotations

import threading

from ..errors import BackendUnavailable
from ..format.keys import Keyring
from .live_keyring import Change
from .unlocked import OpenVault, Vault


class VaultKeyStore:
    """``KeyStore`` of a vault. Safe from any thread.

    ``patient`` is for a store that goes on without its server: while that is away the keys are as they were seen last.
    What is sealed meanwhile under a key that others have retired opens all the same, until they prune it.
    """

    def __init__(self, vault: Vault, opened: OpenVault, *, etag: object = None, patient: bool = False) -> None:
        self._vault = vault
        self._opened = opened
        self._patient = patient
        self._etag = etag
        self._lock = threading.Lock()

    def etag(self) -> object:
        """A value that differs once the keyring has changed."""
        try:
            self._etag = self._vault.etag()
        except BackendUnavailable:
            if not self._patient or self._etag is None:
                raise
        return self._etag

    def load(self) -> Keyring:
        """The keyring as it is now."""
        with self._lock:
            self._opened = self._vault.reload(self._opened)
            return self._opened.keyring

    def change(self, change: Change) -> Keyring:
        """Other master keys."""
        with self._lock:
            self._opened = self._vault.replace_keys(self._opened, change)
            return self._opened.keyring

    def tenant(self, name: str) -> bytes | None:
        """The file of a tenant's keys."""
        return self._vault.tenant(name)

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Compare and swap it."""
        return self._vault.put_tenant(name, data, expected)
