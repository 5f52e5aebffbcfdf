"""Erasing a tenant: its keys destroyed, its sessions removed, and a receipt that says what that does not reach."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..backends.protocol import Backend
from ..errors import Damaged, InvalidSetting
from ..format import record
from ..format.sealed import Query
from ..util.clock import Clock, to_datetime
from ..util.named_tuple import NamedTuple
from ..vault.tenant_keys import TenantKeys, name_of
from .listing import Proved, proved
from .reader import Reader

_LAG = 0.15
"""Seconds after which a listing holds what other processes wrote before: three batches of index writes."""

NOT_COVERED = (
    "a copy of the tenant's key file (tenants/) with a copy of the keyring and a secret that opens it: destroy it too",
    "ids, titles, labels and owners in the index' free pages and copies: rows are sealed under the vault's own keys",
    "the front of each id in file names, where names are readable, and number, sizes and times of sessions in backups",
    "a mirror's copies of the tenant's dictionaries: they are sealed under its keys",
    "what was overwritten in place and may still lie in the journals, snapshots or spare cells of the medium",
    "what another program, a log or a model provider was given in the clear, and what processes hold in memory",
)


def has_orphans(backend: Backend, reader: Reader, tenant_id: str) -> bool:
    """Whether a tenant without a file of keys has sessions under keys of a tenant: the file is lost then, not new.

    By the rows with its tag; and while no tenant has keys, by the containers that could not be described either.
    """
    keyring = reader.keyring
    masters = {master.id for master in keyring.masters}
    query = Query(tags=(keyring.tag("tenant", "", tenant_id),), newest_first=False)
    for row in backend.scan(query):
        with contextlib.suppress(Damaged):
            header, head = reader.rows.open(row)
            if head.tenant_id == tenant_id and header[record.KEY_ID] not in masters:
                return True
    if reader.keys.tenants():
        return False
    name = name_of(TenantKeys.digest_of(keyring, tenant_id))
    for key in backend.unindexed():
        container = backend.read(key)
        if container is not None and name_of(container.header[record.KEY_ID]) == name:
            return True
    return False


_LEARNED = "text of sessions that dictionaries were trained from under the vault's own keys: a rotation drops number {}"


class Receipt(NamedTuple):
    """What an erasure has done. ``tenant`` is the keyed digest by which the vault knows the tenant, in hex.

    ``removed`` sessions are gone; of those, ``under_vault_key`` were sealed before the tenant had keys, so that backups
    of them still open. ``dictionaries`` are the numbers of those that were learned from it, and are gone too.
    ``not_covered`` says in sentences what is beyond reach.
    """

    vault: str
    tenant: str
    destroyed_at: str
    keys: tuple[str, ...]
    removed: int
    under_vault_key: int
    dictionaries: tuple[int, ...] = ()
    not_covered: tuple[str, ...] = NOT_COVERED

    def document(self) -> dict[str, Any]:
        """As JSON gives it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}


class Erasure:
    """Destroys the keys of tenants. ``remove`` removes a session by its key; with ``shred``, overwritten."""

    def __init__(self, backend: Backend, reader: Reader, clock: Clock, remove: Callable[..., bool]) -> None:
        self._backend = backend
        self._reader = reader
        self._clock = clock
        self._remove = remove

    def destroy(self, tenant_id: str) -> Receipt:
        """Destroy every key of the tenant, then remove its sessions. Repeated, it removes what was left.

        ``InvalidSetting`` where the vault has no keys of that tenant.
        """
        keys = self._reader.keys
        keys.refresh()
        if not keys.current.tenant_keys:
            raise InvalidSetting("the tenants of this vault have no keys of their own: it was made without tenant_keys")
        # Proved before: an index that has to be rebuilt cannot find them once their keys are gone.
        proved(self._backend, self._reader, self._query(tenant_id), lambda rows: sum(1 for _ in rows))
        held = keys.destroy(tenant_id)
        if held is None:
            raise InvalidSetting(f"this vault has no keys of a tenant {tenant_id!r}: nothing was done")
        dictionaries, masters = self._reader.dictionaries, {each.id for each in keys.current.masters}
        owned, gone = list(dictionaries.owners()), {each.master.id for each in held.keys}
        theirs = tuple(number for number, ids in owned if ids and ids <= gone)
        for number in theirs:
            dictionaries.delete(number)
        others = [str(number) for number, ids in owned if ids & masters]
        when = self._clock.now()
        removed, under_vault_key = self._remove_all(tenant_id)
        if self._backend.traits.durable:
            time.sleep(_LAG)
            more = self._remove_all(tenant_id)
            removed, under_vault_key = removed + more[0], under_vault_key + more[1]
        return Receipt(
            vault=keys.vault_id.hex(),
            tenant=TenantKeys.digest_of(keys.current, tenant_id).hex(),
            destroyed_at=to_datetime(when).isoformat(),
            keys=tuple(key.master.id.hex() for key in held.keys),
            removed=removed,
            under_vault_key=under_vault_key,
            dictionaries=theirs,
            not_covered=NOT_COVERED + ((_LEARNED.format(", ".join(others)),) if others else ()),
        )

    def _query(self, tenant_id: str) -> Query:
        return Query(tags=(self._reader.keyring.tag("tenant", "", tenant_id),), newest_first=False)

    def _readable(self, query: Query) -> Iterator[Proved]:
        """What an index lists, as far as its rows authenticate."""
        for row in self._backend.scan(query):
            with contextlib.suppress(Damaged):
                yield Proved(row, *self._reader.rows.open(row))

    def _remove_all(self, tenant_id: str) -> tuple[int, int]:
        """How many were removed, and how many of those were sealed under a key of the vault."""
        masters = {master.id for master in self._reader.keyring.masters}
        removed = under_vault_key = 0
        for row, header, head in self._readable(self._query(tenant_id)):
            if head.tenant_id == tenant_id:
                self._remove(row.key, head.id, shred=True, least=row.generation)
                removed += 1
                under_vault_key += header[record.KEY_ID] in masters
        return removed, under_vault_key
