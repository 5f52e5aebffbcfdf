"""The metadata of a vault brought to another place: a mirror's keeps up with its vault's, or a vault moves.

With the vault unlocked each value is proved before it is sent, and only an authentic one is believed to be newer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from ..backends.replication import Outcome
from ..errors import Conflict, Damaged, DurabilityUnknown, UnknownDictionary, UnknownKey
from ..format.cipher import Masters
from ..format.dictionaries import Dictionaries, key_id_of
from ..format.keys import Keyring
from ..util.lazy import log
from .key_store import MemoryKeyStore
from .live_keyring import LiveKeyring
from .metadata import parse_metadata
from .tenant_keys import TenantKeys
from .vault import UnlockedVault, Vault

_TRIES = 100


def follow_metadata(source: Vault, target: Vault, opened: UnlockedVault | None = None) -> Outcome:
    """Bring identity, key slots and dictionaries of ``target`` to what ``source`` has.

    ``opened`` is the source, unlocked; without it nothing is proved. ``Conflict`` where the target holds another vault:
    sessions of two vaults never lie in one place. ``AHEAD`` where its keyring was changed more often, or as often and
    otherwise: it is left as it is. ``Damaged`` where no copy of the source's keyring is authentic. Dictionaries follow
    before any record that needs them, but for one that does not prove itself; the keys of tenants do not, since what is
    kept twice cannot be destroyed.
    """
    opened = None if opened is None else source.reload(opened)
    outcome = _follow_keyring(source, target, opened)
    follow_dictionaries(source, target, opened)
    if opened is not None and outcome is Outcome.REPLACED:
        level_dictionaries(source, target, opened)
    return outcome


def follow_dictionaries(source: Vault, target: Vault, opened: UnlockedVault | None = None) -> None:
    """Bring the dictionaries that ``target`` does not list; one that does not prove itself is left out."""
    listed, keys = set(target.dictionaries()), _keys_of(opened, source, target)
    for number in source.dictionaries():
        if number in listed:
            continue
        data = proved_dictionary(number, source.dictionary(number), keys)
        if data is None:
            log.warning("dictionary %d of %s does not prove itself: it was not copied", number, source.path)
        elif not target.add_dictionary(number, data):
            target.level_dictionary(number, data)


def level_dictionaries(source: Vault, target: Vault, opened: UnlockedVault) -> None:
    """Replace each dictionary of ``target`` by the source's that proves itself, unless both lie under one key."""
    keys = _keys_of(opened, source, target)
    for number in target.dictionaries():
        ours = proved_dictionary(number, source.dictionary(number), keys)
        theirs = proved_dictionary(number, target.dictionary(number), keys)
        if ours is not None and (theirs is None or key_id_of(theirs) != key_id_of(ours)):
            target.level_dictionary(number, ours)


def lacking_dictionaries(source: Vault, target: Vault, opened: UnlockedVault) -> list[int]:
    """The numbers of the source's dictionaries of which ``target`` has no authentic copy."""
    keys = _keys_of(opened, source, target)
    return [
        number for number in source.dictionaries() if proved_dictionary(number, target.dictionary(number), keys) is None
    ]


def proved_dictionary(number: int, copies: Iterable[bytes], keys: Sequence[Masters] | None) -> bytes | None:
    """The first copy that was sealed under this number and one of the keys; without keys the first of all."""
    if keys is None:
        return next(iter(copies), None)
    for data in copies:
        for each in keys:
            with contextlib.suppress(UnknownDictionary):
                Dictionaries(each).open(number, data)
                return data
    return None


class _TenantsOf(MemoryKeyStore):
    """The keys of a vault at one moment, and the files of tenants as they are in one of its copies."""

    def __init__(self, keyring: Keyring, vault: Vault) -> None:
        super().__init__(keyring)
        self._vault = vault

    def tenant(self, name: str) -> bytes | None:
        return self._vault.tenant(name)


def _keys_of(opened: UnlockedVault | None, *vaults: Vault) -> Sequence[Masters] | None:
    """The keys of an unlocked vault, and of its tenants as far as one of these holds their files."""
    if opened is None:
        return None
    return [LiveKeyring(opened.keyring, _TenantsOf(opened.keyring, vault)) for vault in vaults]


def follow_tenants(source: Vault, target: Vault, opened: UnlockedVault | None = None) -> None:
    """Bring the keys of tenants too, for a vault that moves: a copy that is kept beside it shall not have them.

    Only where the target's keyring is not the newer one: it records whether a key was destroyed. With ``opened``,
    ``Damaged`` for keys that do not prove themselves, nothing follows behind them, and what the target has of the same
    tenant is merged: a key that only one side has is kept, and one that either has destroyed is destroyed.
    """
    for name in source.tenants():
        ours, theirs = source.tenant(name), target.tenant(name)
        if ours is None or ours == theirs:
            continue
        if opened is not None:
            ours = _merged(ours, theirs, opened.keyring, name)
        if not target.put_tenant(name, ours, theirs):
            raise Conflict(f"{target.path}: the keys of a tenant were changed by another process: try again")


def _merged(ours: bytes, theirs: bytes | None, keyring: Keyring, name: str) -> bytes:
    held = TenantKeys.decode(ours, keyring, name)
    if theirs is None:
        return ours
    try:
        other = TenantKeys.decode(theirs, keyring, name)
    except (Damaged, UnknownKey):  # it proves nothing: replaced
        return ours
    merged = held.merged(other)
    return ours if merged == held else merged.encode(keyring)


def _follow_keyring(source: Vault, target: Vault, opened: UnlockedVault | None) -> Outcome:
    for _ in range(_TRIES):
        ours = source.metadata(opened)
        identity, file = parse_metadata(ours, source.path)
        theirs = target.metadata() if target.exists() else None
        if theirs == ours:
            return Outcome.CURRENT
        if theirs is not None:
            there, other = parse_metadata(theirs, target.path)
            if there.vault_id != identity.vault_id:
                raise Conflict(f"{target.path} holds another vault than {source.path}: choose another place")
            if other.counter >= file.counter and (opened is None or opened.unlocked.proves(other)):
                return Outcome.AHEAD
        if target.put_metadata(ours, theirs):
            return Outcome.REPLACED
    raise DurabilityUnknown(f"{target.path}: the key slots were changed by others {_TRIES} times in a row: try again")
