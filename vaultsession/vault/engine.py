"""A vault whose sessions an engine keeps: its identity and key slots lie beside them, as one paper.

::

    paper "vault"          vault.json, one line, then the keyring file (``slots``)

One value, replaced by compare-and-swap: of two that create or change at once, one is told to look again, and there is
no moment between identity and keys for a crash. An engine answers for its own durability; there is no second copy.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from .. import slots
from ..backend import Engine
from ..errors import (
    BackendUnavailable,
    Conflict,
    Damaged,
    DurabilityUnknown,
    KeyUnavailable,
    RollbackDetected,
    VaultNotFound,
    WrongKey,
)
from ..identity import LARGEST_FACTS, Identity
from ..keys import KEY_SIZE, Keyring, MasterKey
from ..secret import Secret
from ..slots import KeyringFile, Slot, Unlocked
from .opened import OpenVault

_log = logging.getLogger("vaultsession")

PAPER = "vault"

_TRIES = 100


@dataclass(frozen=True, slots=True)
class EngineVault:
    """The papers of a vault in an engine. Immutable; safe from any thread, process and host."""

    engine: Engine

    @property
    def path(self) -> str:
        """Where the engine is; no password is in it."""
        return self.engine.where

    def exists(self) -> bool:
        """Whether there is a vault to open."""
        return self.engine.paper(PAPER) is not None

    def identity(self) -> Identity:
        """What the paper says in the open. Not proved before ``unlock``."""
        return self._read()[1]

    def slots(self) -> tuple[Slot, ...]:
        """The public facts of the key slots, not proved."""
        return self._read()[2].slots

    def create(
        self,
        secret: Secret | Callable[[bytes], Secret],
        *,
        readable_names: bool = True,
        label: str = "",
        now: int = 0,
    ) -> OpenVault:
        """Make a new vault. ``Conflict`` if there is one, or another process was quicker: open it."""
        if self.exists():
            raise Conflict(f"{self.path}: there is a vault already: open it")
        keyring = Keyring.generate(readable_names=readable_names, created=now)
        chosen = secret(keyring.vault_id) if callable(secret) else secret
        vault_key = os.urandom(KEY_SIZE)
        data = slots.create(keyring, chosen, label=label, now=now, vault_key=vault_key)
        if not self.engine.put_paper(PAPER, Identity.of(keyring).encode() + data, None):
            raise Conflict(f"{self.path}: another process made a vault in this moment: open it")
        file = slots.parse(data)
        return OpenVault(file.reopen(vault_key, file.slots[0]), "the key that it was created with")

    def unlock(self, candidates: Iterable[tuple[str, Secret]]) -> OpenVault:
        """Open with the first candidate that fits, each asked for only when those before it failed."""
        _, identity, file = self._read()
        tried = []
        for source, secret in candidates:
            try:
                unlocked = file.unlock(secret)
            except WrongKey as error:
                tried.append(f"{source}: {error}")
                continue
            return OpenVault(_proved(unlocked, identity), source)
        if not tried:
            raise KeyUnavailable(f"no key was given for the vault {self.path}")
        raise WrongKey(f"the vault {self.path} does not open with {'; '.join(tried)}", tried=tuple(tried))

    def reload(self, vault: OpenVault) -> OpenVault:
        """The keyring as it is now. ``RollbackDetected`` if it went back."""
        return replace(vault, unlocked=self._current(vault)[1])

    def add_slot(self, vault: OpenVault, secret: Secret, *, label: str = "", now: int = 0) -> OpenVault:
        """One more secret that opens this vault; its slot is the last."""
        return self._change(vault, lambda current: current.add_slot(secret, label=label, now=now))

    def remove_slot(self, vault: OpenVault, slot_id: bytes) -> OpenVault:
        """One secret less, never the last. Who kept the secret *and* an old paper still opens that paper."""
        return self._change(vault, lambda current: current.remove_slot(slot_id))

    def replace_keys(
        self, vault: OpenVault, change: Callable[[tuple[MasterKey, ...]], Iterable[MasterKey]]
    ) -> OpenVault:
        """Other master keys: ``change`` makes them of those of the moment, so that none gets lost."""
        return self._change(vault, lambda current: current.replace_masters(change(current.keyring.masters)))

    def keeping(self) -> Callable[[], None]:
        """What puts the paper back as it is now, where the engine comes back without any: sessions are nothing without.

        ``BackendUnavailable`` where another vault has been made there meanwhile.
        """
        paper, identity, _ = self._read()

        def put_back() -> None:
            if self.engine.put_paper(PAPER, paper, None):
                _log.warning("%s came back without the key slots of this vault: they were put back", self.path)
            elif self.identity().vault_id != identity.vault_id:
                raise BackendUnavailable(f"{self.path}: another vault is there now: restore the one that was there")

        return put_back

    def _change(self, vault: OpenVault, make: Callable[[Unlocked], bytes]) -> OpenVault:
        for _ in range(_TRIES):
            paper, current = self._current(vault)
            data = make(current)
            written = Identity.of(current.keyring).encode() + data
            if self.engine.put_paper(PAPER, written, paper):
                return replace(vault, unlocked=slots.parse(data).reopen(current.vault_key, current.slot))
        raise DurabilityUnknown(f"{self.path}: the key slots were changed by others {_TRIES} times in a row: try again")

    def _current(self, vault: OpenVault) -> tuple[bytes, Unlocked]:
        """The paper of the moment, and what the vault key that is known says of it."""
        paper, identity, file = self._read()
        known = vault.unlocked
        current = known if file.data == known.data else file.reopen(known.vault_key, known.slot)
        if current.counter < known.counter:
            raise RollbackDetected(f"the keyring was set back from change {known.counter} to {current.counter}")
        return paper, _proved(current, identity)

    def _read(self) -> tuple[bytes, Identity, KeyringFile]:
        paper = self.engine.paper(PAPER)
        if paper is None:
            raise VaultNotFound(f"there is no vault at {self.path}: make one with `vaultsession init`")
        facts = paper[: paper.find(b"\n", 0, LARGEST_FACTS) + 1]
        identity = Identity.decode(facts)
        file = slots.parse(paper[len(facts) :])
        if file.vault_id != identity.vault_id:
            raise Damaged(f"{self.path}: the key slots belong to another vault: restore the paper from a backup")
        return paper, identity, file


def _proved(unlocked: Unlocked, identity: Identity) -> Unlocked:
    if Identity.of(unlocked.keyring) != identity:
        raise Damaged("the vault's identity was altered: it disagrees with its sealed copy in the keyring")
    return unlocked
