"""LiveKeyring: the keyring as it is now, although other processes may change it.

A keyring is a value; where it is kept, it changes: a rotation adds a master key, a tenant gets one or loses it. Readers
find out by a key id that they do not know. Writers compare an etag, one ``stat``, before they seal anything whole, so
that no writer goes on sealing under a key that was retired.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import Damaged, DurabilityUnknown, UnknownKey
from ..format.keys import Keyring, MasterKey
from ..util.lru import LRU
from ..util.reentry import not_ours
from .key_store import Change, KeyStore, MemoryKeyStore
from .tenant_keys import State, TenantKeys, name_of

_REMEMBERED = 4096
_TRIES = 100


class LiveKeyring:
    """The keys of a vault, current. Safe from any thread.

    Without a store it is the keyring given, for ever. ``etag`` is that of the store from before the keyring was read;
    without one the first refresh reads it once more.
    """

    def __init__(self, keyring: Keyring, store: KeyStore | None = None, etag: object = None) -> None:
        self._store = store
        self._keyring = keyring
        self._etag = etag
        self._tenants: LRU[str, TenantKeys] = LRU(most=_REMEMBERED)
        self._lock = threading.RLock()

    @property
    def current(self) -> Keyring:
        """The keyring as it was seen last."""
        return self._keyring

    @property
    def vault_id(self) -> bytes:
        """Which vault: it never changes."""
        return self._keyring.vault_id

    def refresh(self) -> None:
        """Read the keyring again if it has changed. What the store raises passes through, and nothing is forgotten."""
        store = self._store
        if store is None:
            return
        etag = store.etag()
        if etag == self._etag:
            return
        with not_ours(self._lock):
            if etag != self._etag:
                self._follow(store.load(), etag)

    def master(self, key_id: bytes) -> MasterKey:
        """The key of that id. ``UnknownKey`` after a refresh; ``destroyed`` where it was a tenant's."""
        tenant = self._tenants.get(name_of(key_id))
        known = tenant.find(key_id) if tenant is not None else None
        if known is not None:
            return _usable(known.master, known.state)
        for master in self._keyring.masters:
            if master.id == key_id:
                return master
        self.refresh()
        try:
            return self._keyring.master(key_id)
        except UnknownKey:
            held = self._read_tenant(name_of(key_id))
            found = held.find(key_id) if held is not None else None
            if found is None:
                raise
        return _usable(found.master, found.state)

    def sealing(self, tenant_id: str | None) -> MasterKey:
        """The key that new containers of this tenant are sealed under; made, and flushed, where it is due."""
        keyring = self._keyring
        if tenant_id is None or not keyring.tenant_keys:
            return keyring.first
        digest = TenantKeys.digest_of(keyring, tenant_id)
        held = self._tenants.get(name_of(digest))
        found = held.sealing(keyring.first.id) if held is not None and held.digest == digest else None
        return self._grown(tenant_id) if found is None else found

    def change(self, change: Change) -> Keyring:
        """Other master keys, made of those of the moment."""
        with not_ours(self._lock):
            store = self._store or MemoryKeyStore(self._keyring)
            keyring = store.change(change)
            self._follow(keyring, None)
            return keyring

    def tenant(self, tenant_id: str) -> TenantKeys | None:
        """The keys of a tenant as they are kept now."""
        return self._read_tenant(name_of(TenantKeys.digest_of(self._keyring, tenant_id)))

    def destroy(self, tenant_id: str) -> TenantKeys | None:
        """Destroy the keys of a tenant; what they were, without their secrets. None: it has none.

        The keyring is written anew behind it, unchanged, so that every process notices at its next refresh.
        """
        held = self._replaced(tenant_id, lambda known: known.destroyed() if known.keys else None)
        if not held.keys:
            return None
        self.change(lambda masters: masters)
        return held

    def _grown(self, tenant_id: str) -> MasterKey:
        self.refresh()
        first = self._keyring.first.id

        def grow(known: TenantKeys) -> TenantKeys | None:
            return None if known.sealing(first) is not None else known.grown(first)

        held = self._replaced(tenant_id, grow)
        return held.keys[-1].master  # it seals: there was such a key, or it was made

    def _replaced(self, tenant_id: str, make: Callable[[TenantKeys], TenantKeys | None]) -> TenantKeys:
        """Compare and swap the keys of a tenant; None from ``make`` leaves them as they are. What there is then."""
        store = self._store
        keyring = self._keyring
        digest = TenantKeys.digest_of(keyring, tenant_id)
        name = name_of(digest)
        if store is None:
            raise UnknownKey("this keyring stands alone: there is no place for a tenant's keys")
        for _ in range(_TRIES):
            before = store.tenant(name)
            known = TenantKeys(digest) if before is None else TenantKeys.decode(before, keyring, name)
            if known.digest != digest:
                raise Damaged(
                    f"tenants/{name} belongs to another tenant, by a chance of one in 2^56: rename the tenant"
                )
            after = make(known)
            if after is None or store.put_tenant(name, after.encode(keyring), before):
                held = known if after is None else after
                self._remember(held)
                return held
        raise DurabilityUnknown(f"tenants/{name} was changed by others {_TRIES} times in a row: try again")

    def _read_tenant(self, name: str) -> TenantKeys | None:
        data = self._store.tenant(name) if self._store is not None else None
        if data is None:
            return None
        try:
            held = TenantKeys.decode(data, self._keyring, name)
        except Damaged:
            again = self._store.tenant(name) if self._store is not None else None
            if again is None or again == data:
                raise
            held = TenantKeys.decode(again, self._keyring, name)  # it was being overwritten while it was read
        self._remember(held)
        return held

    def _remember(self, held: TenantKeys) -> None:
        self._tenants.keep(held.name, held)

    def _follow(self, keyring: Keyring, etag: object) -> None:
        self._keyring, self._etag = keyring, etag
        self._tenants.clear()


def _usable(master: MasterKey, state: State) -> MasterKey:
    if state is State.DESTROYED:
        raise UnknownKey(
            f"sealed under key {master.id.hex()} of a tenant whose keys were destroyed: nobody can read it any more",
            destroyed=True,
        )
    return master
