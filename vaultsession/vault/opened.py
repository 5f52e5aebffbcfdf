"""A vault that was unlocked, and what all kinds of vaults can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ..identity import Identity
from ..keys import Keyring, MasterKey
from ..secret import Secret
from ..slots import Slot, Unlocked


@dataclass(frozen=True, slots=True)
class OpenVault:
    """An unlocked keyring, and which candidate opened it. ``findings``: what was wrong with a copy, in sentences.

    Compare ``counter`` with the highest one that is remembered: a lower one is a rollback of the keyring.
    """

    unlocked: Unlocked
    source: str
    findings: tuple[str, ...] = ()

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
    ) -> OpenVault:
        """Make a new vault; ``Conflict`` if there is one. A function is given the vault id and returns the secret."""
        ...

    def unlock(self, candidates: Iterable[tuple[str, Secret]]) -> OpenVault:
        """Open with the first candidate that fits. ``WrongKey``, ``KeyUnavailable``, ``Damaged``."""
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

    def papers(self) -> bytes:
        """Identity and key slots as one value (``papers``), unproved. ``VaultNotFound``."""
        ...

    def put_papers(self, papers: bytes, expected: bytes | None) -> bool:
        """Become the vault that they speak of, or replace those expected (None: there is none); False if it is not so.

        For copies: nothing is proved here.
        """
        ...
