"""The metadata of a vault brought to another place: a mirror's keeps up with its vault's, or a vault moves."""

from __future__ import annotations

from ..backends.replication import Outcome
from ..errors import Conflict, DurabilityUnknown
from .metadata import parse_metadata
from .vault import Vault

_TRIES = 100


def follow_metadata(source: Vault, target: Vault) -> Outcome:
    """Bring identity, key slots and dictionaries of ``target`` to what ``source`` has; without a key, and unproved.

    ``Conflict`` where the target holds another vault: sessions of two vaults never lie in one place. ``AHEAD`` where
    its keyring says that it was changed more often, or as often and otherwise: it is left as it is. Dictionaries follow
    before any record that needs them; the keys of tenants do not, since what is kept twice cannot be destroyed.
    """
    outcome = _follow_keyring(source, target)
    listed = set(target.dictionaries())
    for number in source.dictionaries():
        if number not in listed and (copies := source.dictionary(number)):
            target.add_dictionary(number, copies[0])
    return outcome


def follow_tenants(source: Vault, target: Vault) -> None:
    """Bring the keys of tenants too, for a vault that moves: a copy that is kept beside it shall not have them.

    Only where the target's keyring is not the newer one: it records whether a key was destroyed.
    """
    for name in source.tenants():
        ours, theirs = source.tenant(name), target.tenant(name)
        if ours is not None and ours != theirs and not target.put_tenant(name, ours, theirs):
            raise Conflict(f"{target.path}: the keys of a tenant were changed by another process: try again")


def _follow_keyring(source: Vault, target: Vault) -> Outcome:
    for _ in range(_TRIES):
        ours = source.metadata()
        identity, file = parse_metadata(ours, source.path)
        theirs = target.metadata() if target.exists() else None
        if theirs == ours:
            return Outcome.CURRENT
        if theirs is not None:
            there, other = parse_metadata(theirs, target.path)
            if there.vault_id != identity.vault_id:
                raise Conflict(f"{target.path} holds another vault than {source.path}: choose another place")
            if other.counter >= file.counter:
                return Outcome.AHEAD
        if target.put_metadata(ours, theirs):
            return Outcome.REPLACED
    raise DurabilityUnknown(f"{target.path}: the key slots were changed by others {_TRIES} times in a row: try again")
