"""Where the keys of a store are kept: in its vault, or in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from ..errors import BackendUnavailable
from ..format.keys import Keyring, MasterKey
from .vault import UnlockedVault, Vault

Change = Callable[[tuple[MasterKey, ...]], Iterable[MasterKey]]


class KeyStore(Protocol):
    """Where keys are kept. A change counts, and returns, when it cannot be lost. Safe from any thread."""

    def etag(self) -> object:
        """A value that differs once the keyring has changed; quick to get."""
        ...

    def load(self) -> Keyring:
        """The keyring as it is kept now. ``RollbackDetected`` if it went back."""
        ...

    def change(self, change: Change) -> Keyring:
        """Other master keys, made of those of the moment so that none gets lost."""
        ...

    def tenant(self, name: str) -> bytes | None:
        """The sealed keys of a tenant."""
        ...

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Replace them if they are what is expected (None: absent); False if not. The old bytes are overwritten."""
        ...


class VaultKeyStore:
    """The keys of an unlocked vault.

    ``patient`` is for a store that goes on without its server: while that is away the keys are as they were seen last.
    What is sealed meanwhile under a key that others have retired opens all the same, until they prune it.
    """

    def __init__(self, vault: Vault, opened: UnlockedVault, *, etag: object = None, patient: bool = False) -> None:
        self.tenant = vault.tenant
        self.put_tenant = vault.put_tenant
        self._vault = vault
        self._opened = opened
        self._patient = patient
        self._etag = etag
        self._lock = threading.Lock()

    def etag(self) -> object:
        """That of the vault."""
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


class MemoryKeyStore:
    """Keys that end with the process."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._changes = 0
        self._tenants: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def etag(self) -> object:
        """How often the keyring was changed."""
        return self._changes

    def load(self) -> Keyring:
        """The keyring."""
        return self._keyring

    def change(self, change: Change) -> Keyring:
        """Other master keys."""
        with self._lock:
            self._keyring = replace(self._keyring, masters=tuple(change(self._keyring.masters)))
            self._changes += 1
            return self._keyring

    def tenant(self, name: str) -> bytes | None:
        """A tenant's keys."""
        return self._tenants.get(name)

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Compare and swap."""
        with self._lock:
            if self._tenants.get(name) != expected:
                return False
            self._tenants[name] = data
            return True
