"""The metadata of a vault brought to another place: a mirror's keeps up with its vault's, or a vault moves.

With the vault unlocked each value is proved before it is sent, and only an authentic one is believed to be newer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..backends.replication import Outcome
from ..errors import Conflict, DurabilityUnknown, UnknownDictionary
from ..format.dictionaries import Dictionaries
from .keyring_file import KeyringFile
from .metadata import parse_metadata
from .tenant_keys import TenantKeys
from .vault import UnlockedVault, Vault

_log = logging.getLogger("vaultsession")

_TRIES = 100


def follow_metadata(source: Vault, target: Vault, opened: UnlockedVault | None = None) -> Outcome:
    """Bring identity, key slots and dictionaries of ``target`` to what ``source`` has.

    ``opened`` is the source, unlocked; without it nothing is proved. ``Conflict`` where the target holds another vault:
    sessions of two vaults never lie in one place. ``AHEAD`` where its keyring was changed more often, or as often and
    otherwise: it is left as it is. ``Damaged`` where no copy of the source's keyring is authentic. Dictionaries follow
    before any record that needs them, but for one that does not prove itself; the keys of tenants do not, since what is
    kept twice cannot be destroyed.
    """
    outcome = _follow_keyring(source, target, opened)
    follow_dictionaries(source, target, opened)
    return outcome


def follow_dictionaries(source: Vault, target: Vault, opened: UnlockedVault | None = None) -> None:
    """Bring the dictionaries that ``target`` does not list; one that does not prove itself is left out."""
    listed = set(target.dictionaries())
    for number in source.dictionaries():
        if number in listed:
            continue
        data = proved_dictionary(number, source.dictionary(number), opened)
        if data is None:
            _log.warning("dictionary %d of %s does not prove itself: it was not copied", number, source.path)
        elif not target.add_dictionary(number, data):
            target.level_dictionary(number, data)


def level_dictionaries(source: Vault, target: Vault, opened: UnlockedVault) -> None:
    """Replace each dictionary of ``target`` that does not prove itself by the source's that does."""
    for number in target.dictionaries():
        if proved_dictionary(number, target.dictionary(number), opened) is None:
            data = proved_dictionary(number, source.dictionary(number), opened)
            if data is not None:
                target.level_dictionary(number, data)


def lacking_dictionaries(source: Vault, target: Vault, opened: UnlockedVault) -> list[int]:
    """The numbers of the source's dictionaries of which ``target`` has no authentic copy."""
    return [
        number
        for number in source.dictionaries()
        if proved_dictionary(number, target.dictionary(number), opened) is None
    ]


def proved_dictionary(number: int, copies: Iterable[bytes], opened: UnlockedVault | None) -> bytes | None:
    """The first copy that the vault has sealed under this number; without the keys the first of all."""
    if opened is None:
        return next(iter(copies), None)
    dictionaries = Dictionaries(opened.keyring)
    for data in copies:
        try:
            dictionaries.open(number, data)
        except UnknownDictionary:
            continue
        return data
    return None


def follow_tenants(source: Vault, target: Vault, opened: UnlockedVault | None = None) -> None:
    """Bring the keys of tenants too, for a vault that moves: a copy that is kept beside it shall not have them.

    Only where the target's keyring is not the newer one: it records whether a key was destroyed. With ``opened``,
    ``Damaged`` for keys that do not prove themselves; nothing follows behind them.
    """
    for name in source.tenants():
        ours, theirs = source.tenant(name), target.tenant(name)
        if ours is None or ours == theirs:
            continue
        if opened is not None:
            TenantKeys.decode(ours, opened.keyring, name)
        if not target.put_tenant(name, ours, theirs):
            raise Conflict(f"{target.path}: the keys of a tenant were changed by another process: try again")


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
            if other.counter >= file.counter and _is_believed(other, opened):
                return Outcome.AHEAD
        if target.put_metadata(ours, theirs):
            return Outcome.REPLACED
    raise DurabilityUnknown(f"{target.path}: the key slots were changed by others {_TRIES} times in a row: try again")


def _is_believed(file: KeyringFile, opened: UnlockedVault | None) -> bool:
    return opened is None or opened.unlocked.proves(file)
