"""Where the keys of a store are kept: in its vault, or in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import BackendUnavailable, RollbackDetected
from ..format.keys import Keyring, MasterKey
from ..util.lazy import log
from .keyring_file import FIRST_COUNTER
from .vault import UnlockedVault, Vault

if TYPE_CHECKING:
    from ..backends.files import FilesBackend

_COUNTER, _MARK = "keyring counter", "keyring mark"

Change = Callable[[tuple[MasterKey, ...]], Iterable[MasterKey]]


class KeyringMemory:
    """Which keyring an index has seen last, so that an older copy that comes back is found out.

    Without an index it does nothing. An index that cannot be read is no reason to refuse sessions: it counts as a
    removed one, since an attacker who can make it unreadable can also remove it.
    """

    def __init__(self, index: FilesBackend | None = None) -> None:
        self.index = index

    def why_older(self, vault: UnlockedVault) -> str | None:
        """Why the keyring is an old copy, in words; None if it is not. ``BackendUnavailable``."""
        if self.index is None:
            return None
        kept = self.index.remembered()
        counter, mark = kept.get(_COUNTER), kept.get(_MARK)
        if counter is not None and vault.counter < counter:
            return f"the key slots are an old copy (change {vault.counter}, while change {counter} has been seen)"
        if mark is not None and not vault.unlocked.descends_from(mark):
            return "the key slots were made from an old copy: they do not descend from the keys that have been seen"
        return None

    def refuse_older(self, vault: UnlockedVault, reload: Callable[[UnlockedVault], UnlockedVault]) -> None:
        """``RollbackDetected`` for an old copy of the keyring; any other is remembered.

        ``reload`` gives the keyring of this moment: others may have changed it since it was unlocked.
        """
        try:
            problem = self.why_older(vault)
            if problem is not None:
                vault = reload(vault)
                problem = self.why_older(vault)
        except BackendUnavailable as error:
            log.warning("whether the key slots are the newest copy could not be looked at: %s", str(error))
            return
        if problem is not None:
            raise RollbackDetected(
                f"{problem}: restore the newer keyring file, or delete index.sqlite if the old copy is meant"
            )
        self.remember(vault)

    def accept(self, vault: UnlockedVault) -> None:
        """Remember this keyring in the place of a newer one that was seen. ``BackendUnavailable``."""
        if self.index is not None:
            self.index.remember(_MARK, vault.unlocked.mark)
            self.index.remember(_COUNTER, vault.counter)

    def remember(self, vault: UnlockedVault) -> None:
        """Keep what is newest. Where that fails now, the next opening does it."""
        if self.index is None or vault.counter == FIRST_COUNTER:  # nothing is older than the first
            return
        try:
            if self.index.remembered().get(_COUNTER, 0) < vault.counter:
                self.accept(vault)
        except BackendUnavailable as error:
            log.warning("the number of changes of the key slots was not noted, and will be: %s", str(error))


class VaultKeyStore:
    """The keys of an unlocked vault. A change counts, and returns, when it cannot be lost. Safe from any thread.

    ``patient`` is for a store that goes on without its server: while that is away the keys are as they were seen last.
    What is sealed meanwhile under a key that others have retired opens all the same, until they prune it. What this
    store changes it has remembered by the ``memory`` when it returns.
    """

    def __init__(
        self,
        vault: Vault,
        opened: UnlockedVault,
        *,
        etag: object = None,
        patient: bool = False,
        memory: KeyringMemory | None = None,
    ) -> None:
        self.tenants = vault.tenants
        self.tenant = vault.tenant
        self.settle_tenant = vault.settle_tenant
        self.put_tenant = vault.put_tenant
        self._vault = vault
        self._opened = opened
        self._patient = patient
        self._memory = memory or KeyringMemory()
        self._etag = etag
        self._lock = threading.Lock()

    def etag(self) -> object:
        """A value that differs once the keyring has changed; quick to get."""
        try:
            self._etag = self._vault.etag()
        except BackendUnavailable:
            if not self._patient or self._etag is None:
                raise
        return self._etag

    def load(self) -> Keyring:
        """The keyring as it is kept now. ``RollbackDetected`` if it went back."""
        with self._lock:
            self._opened = self._vault.reload(self._opened)
            return self._opened.keyring

    def change(self, change: Change) -> Keyring:
        """Other master keys, made of those of the moment so that none gets lost."""
        with self._lock:
            self._opened = self._vault.replace_keys(self._opened, change)
            self._memory.remember(self._opened)
            return self._opened.keyring


class MemoryKeyStore:
    """Keys that end with the process; see ``VaultKeyStore``."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._changes = 0
        self._tenants: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def etag(self) -> object:
        return self._changes

    def load(self) -> Keyring:
        return self._keyring

    def change(self, change: Change) -> Keyring:
        with self._lock:
            self._keyring = self._keyring._replace(masters=tuple(change(self._keyring.masters)))
            self._changes += 1
            return self._keyring

    def tenants(self) -> Sequence[str]:
        return tuple(self._tenants)

    def tenant(self, name: str) -> bytes | None:
        return self._tenants.get(name)

    def settle_tenant(self, name: str) -> None:
        del name  # nothing outlives the process

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        with self._lock:
            if self._tenants.get(name) != expected:
                return False
            self._tenants[name] = data
            return True


KeyStore = VaultKeyStore | MemoryKeyStore
"""Where the keys of a store are kept."""
