"""A vault whose sessions an engine keeps: its identity and key slots lie beside them, as one paper.

::

    paper "vault"               vault.json, one line, then the keyring file (``slots``)
    paper "dictionaries"        the numbers of the dictionaries, ascending, one per line
    paper "dictionary-<number>" a dictionary, sealed: there before its number is listed
    paper "tenants"             the names of the tenants that have keys of their own, one per line
    paper "tenant/<name>"       the keys of one tenant (``tenants``): its name was listed before

One value, replaced by compare-and-swap: of two that create or change at once, one is told to look again, and there is
no moment between identity and keys for a crash. An engine answers for its own durability; there is no second copy.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..backends.protocol import Engine
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
from ..format.keys import KEY_SIZE, Keyring
from . import keyring_file
from .changes import Changes
from .identity import Identity
from .keyring_file import KeyringFile, Slot, Unlocked
from .metadata import joined, parse_metadata
from .secret import Secret
from .unlocked import Candidates, OpenVault

_log = logging.getLogger("vaultsession")

PAPER = "vault"
TENANT = "tenant/"
TENANTS = "tenants"
REGISTER = "dictionaries"

_TRIES = 100
_LINES = re.compile(rb"(?:[1-9][0-9]{4,9}\n){0,1000}")


@dataclass(frozen=True, slots=True)
class EngineVault(Changes):
    """The papers of a vault in an engine. Immutable; safe from any thread, process and host."""

    engine: Engine

    @property
    def path(self) -> str:
        """Where the engine is; no password is in it."""
        return self.engine.where

    def exists(self) -> bool:
        """Whether there is a vault to open."""
        return self.engine.metadata(PAPER) is not None

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
        tenant_keys: bool = False,
    ) -> OpenVault:
        """Make a new vault. ``Conflict`` if there is one, or another process was quicker: open it."""
        if self.exists():
            raise Conflict(f"{self.path}: there is a vault already: open it")
        keyring = Keyring.generate(readable_names=readable_names, created=now, tenant_keys=tenant_keys)
        chosen = secret(keyring.vault_id) if callable(secret) else secret
        vault_key = os.urandom(KEY_SIZE)
        data = keyring_file.create(keyring, chosen, label=label, now=now, vault_key=vault_key)
        if not self.engine.put_metadata(PAPER, joined(Identity.of(keyring), data), None):
            raise Conflict(f"{self.path}: another process made a vault in this moment: open it")
        file = keyring_file.parse(data)
        return OpenVault(file.reopen(vault_key, file.slots[0]), "the key that it was created with")

    def unlock(self, candidates: Candidates | Callable[[bytes], Candidates]) -> OpenVault:
        """Open with the first candidate that fits, each asked for only when those before it failed."""
        _, identity, file = self._read()
        tried = []
        for source, secret in candidates(identity.vault_id) if callable(candidates) else candidates:
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

    def etag(self) -> object:
        """The paper as it is: one round trip."""
        return self.engine.metadata(PAPER)

    def tenant(self, name: str) -> bytes | None:
        """The paper of a tenant's keys."""
        return self.engine.metadata(TENANT + name)

    def tenants(self) -> tuple[str, ...]:
        """The names that are listed: of each tenant that has a paper, and of some that nearly had one."""
        return tuple((self.engine.metadata(TENANTS) or b"").decode("ascii", "replace").split())

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Compare and swap it. What an engine still keeps of what was there, in its logs say, is its own affair."""
        if expected is None:
            self._list(TENANTS, name)
        return self.engine.put_metadata(TENANT + name, data, expected)

    def dictionaries(self) -> tuple[int, ...]:
        """The numbers that are listed."""
        return _numbers(self.engine.metadata(REGISTER))

    def dictionary(self, number: int) -> tuple[bytes, ...]:
        """The sealed bytes of one, or nothing."""
        paper = self.engine.metadata(f"dictionary-{number}")
        return () if paper is None else (paper,)

    def add_dictionary(self, number: int, data: bytes) -> bool:
        """Keep a sealed one, then list it; False where there is one of that number already."""
        if not self.engine.put_metadata(f"dictionary-{number}", data, None):
            return False
        self._list(REGISTER, str(number))
        return True

    def metadata(self) -> bytes:
        """Identity and key slots, as they lie there."""
        paper = self.engine.metadata(PAPER)
        if paper is None:
            raise VaultNotFound(f"there is no vault at {self.path}: make one with `vaultsession init`")
        return paper

    def put_metadata(self, papers: bytes, expected: bytes | None) -> bool:
        """Those of a copy, by compare-and-swap."""
        return self.engine.put_metadata(PAPER, papers, expected)

    def _list(self, register: str, name: str) -> None:
        """Put a name on a list, which is sorted by its length and then as text: numbers ascend."""
        for _ in range(_TRIES):
            listed = self.engine.metadata(register)
            names = sorted({*(listed or b"").split(), name.encode()}, key=lambda each: (len(each), each))
            paper = b"".join(each + b"\n" for each in names)
            if paper == listed or self.engine.put_metadata(register, paper, listed):
                return
        raise DurabilityUnknown(f"{self.path}: the {register} were listed by others {_TRIES} times in a row")

    def keeping(self) -> Callable[[], None]:
        """What puts the papers back as they are now, where the engine comes back without any.

        Sessions are nothing without them. ``BackendUnavailable`` where another vault has been made there meanwhile.
        """
        paper, identity, _ = self._read()
        names = [f"dictionary-{number}" for number in self.dictionaries()]
        names += [TENANT + name for name in self.tenants()]
        others = {
            name: found for name in (*names, REGISTER, TENANTS) if (found := self.engine.metadata(name)) is not None
        }

        def put_back() -> None:
            if self.engine.put_metadata(PAPER, paper, None):
                for name, data in others.items():
                    self.engine.put_metadata(name, data, None)
                _log.warning("%s came back without the papers of this vault: they were put back", self.path)
            elif self.identity().vault_id != identity.vault_id:
                raise BackendUnavailable(f"{self.path}: another vault is there now: restore the one that was there")

        return put_back

    def _change(self, vault: OpenVault, make: Callable[[Unlocked], bytes]) -> OpenVault:
        for _ in range(_TRIES):
            paper, current = self._current(vault)
            data = make(current)
            written = joined(Identity.of(current.keyring), data)
            if self.engine.put_metadata(PAPER, written, paper):
                return replace(vault, unlocked=keyring_file.parse(data).reopen(current.vault_key, current.slot))
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
        paper = self.metadata()
        return paper, *parse_metadata(paper, self.path)


def _proved(unlocked: Unlocked, identity: Identity) -> Unlocked:
    if Identity.of(unlocked.keyring) != identity:
        raise Damaged("the vault's identity was altered: it disagrees with its sealed copy in the keyring")
    return unlocked


def _numbers(paper: bytes | None) -> tuple[int, ...]:
    """What the register lists. It is not sealed: each dictionary proves itself, and none is believed for its number."""
    if paper is None:
        return ()
    if _LINES.fullmatch(paper) is None:
        raise Damaged("the list of the vault's dictionaries is not what this package writes: restore it from a backup")
    return tuple(map(int, paper.split()))
