"""Changes of a vault's keys, each in terms of one: ``_change``, which a kind of vault makes atomic and durable."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from ..format.keys import MasterKey
from .keyring_file import Unlocked
from .secret import Secret
from .unlocked import OpenVault


class Changes(ABC):
    """What a vault's keyring file can become. Returns when the change can no longer be lost."""

    __slots__ = ()

    def add_slot(self, vault: OpenVault, secret: Secret, *, label: str = "", now: int = 0) -> OpenVault:
        """One more secret that opens this vault; its slot is the last."""
        return self._change(vault, lambda current: current.add_slot(secret, label=label, now=now))

    def remove_slot(self, vault: OpenVault, slot_id: bytes) -> OpenVault:
        """One secret less, never the last. Who kept the secret *and* an old copy of the file still opens that copy."""
        return self._change(vault, lambda current: current.remove_slot(slot_id))

    def replace_keys(
        self, vault: OpenVault, change: Callable[[tuple[MasterKey, ...]], Iterable[MasterKey]]
    ) -> OpenVault:
        """Other master keys: ``change`` makes them of those of the moment, so that none gets lost."""
        return self._change(vault, lambda current: current.replace_masters(change(current.keyring.masters)))

    @abstractmethod
    def _change(self, vault: OpenVault, make: Callable[[Unlocked], bytes]) -> OpenVault:
        """Replace the file by what ``make`` makes of the newest, alone among all that change it."""
