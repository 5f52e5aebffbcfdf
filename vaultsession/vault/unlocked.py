"""A vault that was unlocked, and what all kinds of vaults can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..format.keys import Keyring, MasterKey
from .identity import Identity
from .keyring_file import Slot, Unlocked
from .secret import Secret

Candidates = Iterable[tuple[str, Secret]]
"""Secrets that may open a vault, each with the name of its source."""


@dataclass(frozen=True, slots=True)
class OpenVault:
    """An unlocked keyring, and which candidate opened it. ``findings``: what was wrong with a copy, in sentences.

    ``etag`` is that of the vault (``Vault.etag``) while it held this keyring, where that is known. Compare
    ``counter`` with the highest one that is remembered: a lower one is a rollback of the keyring.
    """

    unlocked: Unlocked
    source: str
    findings: tuple[str, ...] = ()
    etag: object = None

    @property
    def slot(self) -> Slot | None:
        """The slot that opened it."""
        return self.unlocked.slot

    @property
    def keyring(self) -> Keyring:
        """The keys of the vault."""
        return self.unlocked.keyring

    @property
    def counter(self) -> int:
        """Counts the changes of the keyring file."""
        return self.unlocked.counter

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The public facts of every slot."""
        return self.unlocked.slots


class Vault(Protocol):
    """Where a vault's identity and key slots are kept. Every change counts, and returns, when it cannot be lost."""

    @property
    def path(self) -> str:
        """Where it is, in words for people: no password is in it."""
        ...

    def exists(self) -> bool:
        """Whether there is a vault to open; False where one can be created."""
        ...

    def identity(self) -> Identity:
        """What it says in the open. ``VaultNotFound``; not proved before ``unlock``."""
        ...

    def slots(self) -> tuple[Slot, ...]:
        """The public facts of the key slots, not proved."""
        ...

    def create(
        self,
        secret: Secret | Callable[[bytes], Secret],
        *,
        readable_names: bool = True,
        label: str = "",
        now: int = 0,
        tenant_keys: bool = False,
    ) -> OpenVault:
        """Make a new vault; ``Conflict`` if there is one. A function is given the vault id and returns the secret."""
        ...

    def unlock(self, candidates: Candidates | Callable[[bytes], Candidates]) -> OpenVault:
        """Open with the first candidate that fits; a function is given the vault id and returns them.

        ``WrongKey``, ``KeyUnavailable``, ``Damaged``.
        """
        ...

    def reload(self, vault: OpenVault) -> OpenVault:
        """The keyring as it is now. ``RollbackDetected`` if it went back."""
        ...

    def add_slot(self, vault: OpenVault, secret: Secret, *, label: str = "", now: int = 0) -> OpenVault:
        """One more secret that opens this vault."""
        ...

    def remove_slot(self, vault: OpenVault, slot_id: bytes) -> OpenVault:
        """One secret less, never the last."""
        ...

    def replace_keys(
        self, vault: OpenVault, change: Callable[[tuple[MasterKey, ...]], Iterable[MasterKey]]
    ) -> OpenVault:
        """Other master keys, made of those of the moment so that none gets lost."""
        ...

    def etag(self) -> object:
        """A value that differs once the keyring has changed; quick to get."""
        ...

    def tenant(self, name: str) -> bytes | None:
        """The file of a tenant's keys; see ``tenants``."""
        ...

    def tenants(self) -> Sequence[str]:
        """The names of the tenants that have a file here."""
        ...

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Replace it if it is what is expected (None: absent); False if it is not. What was there is overwritten."""
        ...

    def dictionaries(self) -> Sequence[int]:
        """The numbers of the dictionaries that records may refer to; see ``dictionaries.Shelf``."""
        ...

    def dictionary(self, number: int) -> Sequence[bytes]:
        """The sealed copies of one, the best known first, not proved; none where there is none."""
        ...

    def add_dictionary(self, number: int, data: bytes) -> bool:
        """Keep a sealed one, durably and for ever; False where there is one of that number already."""
        ...

    def metadata(self) -> bytes:
        """Identity and key slots as one value (``papers``), unproved. ``VaultNotFound``."""
        ...

    def put_metadata(self, papers: bytes, expected: bytes | None) -> bool:
        """Become the vault that they speak of, or replace those expected (None: there is none); False if it is not so.

        For copies: nothing is proved here.
        """
        ...
