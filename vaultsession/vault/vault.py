"""A vault: its identity, its key slots and its keys, over the ``MetadataStore`` that keeps them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from ..errors import Conflict, DurabilityUnknown, KeyUnavailable, WrongKey
from ..format.keys import Keyring, MasterKey
from ..util.named_tuple import NamedTuple
from . import keyring_file
from .identity import Identity
from .key_slot import Slot
from .keyring_copies import KeyringCopies
from .keyring_file import KeyringFile, UnlockedKeyring
from .metadata import DICTIONARY, TENANT, VAULT, MetadataStore, parse_metadata
from .secret import Secret

Candidates = Iterable[tuple[str, Secret]]
"""Secrets that may open a vault, each with the name of its source."""

_TRIES = 100


class UnlockedVault(NamedTuple):
    """An unlocked keyring, and which candidate opened it. ``findings``: what was wrong with a copy, in sentences.

    ``etag`` is that of the vault while it held this keyring, where that is known. Compare ``counter`` with the highest
    one that is remembered: a lower one is a rollback of the keyring.
    """

    unlocked: UnlockedKeyring
    source: str
    findings: tuple[str, ...] = ()
    etag: object = None

    @property
    def slot(self) -> Slot:
        return self.unlocked.slot

    @property
    def keyring(self) -> Keyring:
        return self.unlocked.keyring

    @property
    def counter(self) -> int:
        """Counts the changes of the keyring file."""
        return self.unlocked.counter

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self.unlocked.slots


class Vault(NamedTuple):
    """Who a vault is, and its keys. Immutable; safe from any thread and process.

    A change counts, and returns, when it cannot be lost. It is made of the metadata of the moment: of two changes at
    once the second is made of the first.
    """

    storage: MetadataStore

    @property
    def path(self) -> str:
        """Where it is, in words for people: no password is in it."""
        return self.storage.where

    def exists(self) -> bool:
        """Whether there is a vault to open; False where one can be created, or was half created."""
        return self.storage.exists()

    def etag(self) -> object:
        """A value that differs once the keyring has changed; quick to get."""
        return self.storage.etag()

    def identity(self) -> Identity:
        """What ``vault.json`` says. ``VaultNotFound``; not proved before ``unlock``."""
        return Identity.decode(self.storage.identity())

    def slots(self) -> tuple[Slot, ...]:
        """The public facts of the key slots, without a key and hence not proved."""
        return self._read().newest.slots

    def takes_passphrase(self) -> bool:
        """Whether a passphrase may open it, as far as its slots say."""
        return any(slot.takes_passphrase for slot in self.slots())

    def create(
        self,
        secret: Secret | Callable[[bytes], Secret],
        *,
        readable_names: bool = True,
        label: str = "",
        now: int = 0,
        tenant_keys: bool = False,
    ) -> UnlockedVault:
        """Make a new vault. ``Conflict`` if there is one: open it.

        A function in place of the secret gets the vault id and returns the secret, kept safe already. In a directory it
        is called when it is certain that this process makes the vault: of two that try at once only one stores a key.
        """
        made: list[UnlockedKeyring] = []

        def make() -> bytes:
            keyring = Keyring.generate(readable_names=readable_names, created=now, tenant_keys=tenant_keys)
            chosen = secret(keyring.vault_id) if callable(secret) else secret
            made.append(keyring_file.create(keyring, chosen, label=label, now=now))
            return Identity.of(keyring).encode() + made[0].data

        etag = self.storage.create(make)
        return UnlockedVault(made[0], "the key that it was created with", etag=etag)

    def unlock(self, candidates: Candidates | Callable[[bytes], Candidates]) -> UnlockedVault:
        """Open with the first candidate that fits, each asked for only when those before it failed.

        A function in place of them is given the vault id, not proved by then. ``WrongKey`` names those tried,
        ``KeyUnavailable`` if there was none, ``Damaged`` where the key is right and the keyring is not. A copy that is
        behind or damaged is mended, and ``findings`` say so.
        """
        found = self._read()
        tried = []
        for source, secret in candidates(found.identity.vault_id) if callable(candidates) else candidates:
            try:
                unlocked = found.unlock(secret)
            except WrongKey as error:
                tried.append(f"{source}: {error}")
                continue
            self.storage.proved(found.value(unlocked.data))
            findings = (*found.findings(unlocked), *self.storage.findings())
            if findings:
                copies = found.to_replace(unlocked.data, _is_ours(unlocked))
                self.storage.mend(VAULT, found.value(unlocked.data), copies)
            return UnlockedVault(unlocked, source, findings)
        if not tried:
            raise KeyUnavailable(f"no key was given for the vault {self.path}")
        raise WrongKey(f"the vault {self.path} does not open with {'; '.join(tried)}", tried=tuple(tried))

    def reload(self, vault: UnlockedVault) -> UnlockedVault:
        """The keyring as it is now, after another process may have changed it. ``RollbackDetected`` if it went back."""
        found = self._read()
        unlocked = found.authentic(vault.unlocked)
        self.storage.proved(found.value(unlocked.data))
        return vault._replace(unlocked=unlocked)

    def add_slot(self, vault: UnlockedVault, secret: Secret, *, label: str = "", now: int = 0) -> UnlockedVault:
        """One more secret that opens this vault; its slot is the last."""
        return self._change(vault, lambda current: current.add_slot(secret, label=label, now=now))

    def remove_slot(self, vault: UnlockedVault, slot_id: bytes) -> UnlockedVault:
        """One secret less, never the last. Its owner still opens an old copy of the keyring with it."""
        return self._change(vault, lambda current: current.remove_slot(slot_id))

    def replace_keys(
        self, vault: UnlockedVault, change: Callable[[tuple[MasterKey, ...]], Iterable[MasterKey]]
    ) -> UnlockedVault:
        """Other master keys, made of those of the moment so that none gets lost."""
        return self._change(vault, lambda current: current.replace_masters(change(current.keyring.masters)))

    def metadata(self, opened: UnlockedVault | None = None) -> bytes:
        """Identity and key slots as one value: the newest that an unlocked vault proves, or the newest, unproved.

        ``VaultNotFound``; ``Damaged`` where none is authentic, ``RollbackDetected`` where those are older.
        """
        found = self._read()
        return found.value((found.newest if opened is None else found.authentic(opened.unlocked)).data)

    def put_metadata(self, value: bytes, expected: bytes | None) -> bool:
        """Become the vault of this value, or replace the one expected (None: there is none); False if it is not so.

        For copies: nothing is proved here, and the one that is replaced is kept aside. ``Damaged``,
        ``UnsupportedFormat``.
        """
        identity, _ = parse_metadata(value, self.path)
        if expected is None:
            with contextlib.suppress(Conflict):
                self.storage.create(lambda: value)
                return True
            return False
        found = self._read()
        newest = found.newest.data
        if found.identity != identity or found.value(newest) != expected:
            return False
        if value != expected:
            self.storage.keep_older(expected)
        return self.storage.put_if(VAULT, value, found.to_replace(newest, lambda _: True))

    def tenant(self, name: str) -> bytes | None:
        """The sealed keys of a tenant; see ``tenant_keys``."""
        found = self.storage.read(TENANT + name)
        return found[0].data if found else None

    def settle_tenant(self, name: str) -> None:
        """Return when the keys that were read cannot be lost."""
        self.storage.settle(TENANT + name)

    def tenants(self) -> tuple[str, ...]:
        """The names of the tenants that have keys of their own."""
        return tuple(name.removeprefix(TENANT) for name in self.storage.names(TENANT))

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Replace them if they are what is expected (None: absent); False if not. The old bytes are overwritten."""
        found = self.storage.read(TENANT + name)
        if (found[0].data if found else None) != expected:
            return False
        return self.storage.put_if(TENANT + name, data, found)

    def dictionaries(self) -> tuple[int, ...]:
        """The numbers of the dictionaries that records may refer to."""
        return tuple(int(name.removeprefix(DICTIONARY)) for name in self.storage.names(DICTIONARY))

    def dictionary(self, number: int) -> tuple[bytes, ...]:
        """The sealed copies of one that can be read, the best known first, not proved; none where there is none."""
        copies = self.storage.read(f"{DICTIONARY}{number}")
        return tuple(copy.data for copy in copies if copy.data is not None)

    def add_dictionary(self, number: int, data: bytes) -> bool:
        """Keep a sealed one, durably; False where there is one of that number already."""
        return self.storage.put_if(f"{DICTIONARY}{number}", data, ())

    def level_dictionary(self, number: int, data: bytes) -> None:
        """Replace the copies of one that are not the bytes that were proved."""
        name = f"{DICTIONARY}{number}"
        self.storage.put_if(name, data, self.storage.read(name))

    def delete_dictionary(self, number: int) -> None:
        """Remove it for good."""
        self.storage.delete(f"{DICTIONARY}{number}")

    def _change(self, vault: UnlockedVault, make: Callable[[UnlockedKeyring], bytes]) -> UnlockedVault:
        """Replace the keyring by what ``make`` makes of the newest."""
        for _ in range(_TRIES):
            found = self._read()
            current = found.authentic(vault.unlocked)
            data = make(current)
            if self.storage.put_if(VAULT, found.value(data), found.to_replace(current.data, _is_ours(current))):
                return vault._replace(unlocked=current.reopen(keyring_file.parse(data)))
        raise DurabilityUnknown(f"{self.path}: the key slots were changed by others {_TRIES} times in a row: try again")

    def _read(self) -> KeyringCopies:
        return KeyringCopies.of(self.storage.read(VAULT))


def _is_ours(known: UnlockedKeyring) -> Callable[[KeyringFile], bool]:
    return lambda file: known.proves(file) or known.is_ancestor(file)
