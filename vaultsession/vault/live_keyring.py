"""LiveKeyring: the keyring as it is now, although other processes may change it.

A keyring is a value; where it is kept, it changes: a rotation adds a master key, a tenant gets one or loses it. Readers
find out by a key id that they do not know. Writers compare an etag, one ``stat``, before they seal anything whole, so
that no writer goes on sealing under a key that was retired.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..errors import Damaged, DurabilityUnknown, UnknownKey
from ..format.keys import Keyring, MasterKey
from ..util.lazy import LazyModule, log
from ..util.lru import LRU
from ..util.reentry import not_ours
from .key_store import Change, KeyStore, MemoryKeyStore

if TYPE_CHECKING:
    from . import tenant_keys
    from .tenant_keys import State, TenantKeys
else:  # few vaults have them
    tenant_keys = LazyModule(".vault.tenant_keys")

_REMEMBERED = 4096
_TRIES = 100
_VARIANTS = 16


class LiveKeyring:
    """The keys of a vault, current. Safe from any thread.

    Without a store its changes end with it. ``etag`` is that of the store from before the keyring was read; without one
    the first refresh reads it once more.
    """

    def __init__(self, keyring: Keyring, store: KeyStore | None = None, etag: object = None) -> None:
        self._store = store or MemoryKeyStore(keyring)
        self.current = keyring
        """The keyring as it was seen last."""
        self._etag = etag
        self._forget_tenants()
        self._lock = threading.RLock()
        self.changed: Callable[[], object] = lambda: None
        """Called when another keyring is seen, under a lock: it waits for nothing."""
        self.has_orphans: Callable[[str], bool] | None = None
        """Whether there are sessions of a tenant that lie under no key of the vault: set by those who see sessions."""

    @property
    def vault_id(self) -> bytes:
        """Which vault: it never changes."""
        return self.current.vault_id

    def refresh(self) -> None:
        """Read the keyring again if it has changed. What the store raises passes through, and nothing is forgotten."""
        etag = self._store.etag()
        if etag == self._etag:
            return
        with not_ours(self._lock):
            if etag != self._etag:
                self._follow(self._store.load(), etag)

    def master(self, key_id: bytes) -> MasterKey:
        """The key of that id. ``UnknownKey`` after a refresh; ``destroyed`` where it was a tenant's."""
        for master in self.current.masters:
            if master.id == key_id:
                return master
        tenant = self._tenants.get(tenant_keys.name_of(key_id))
        known = tenant.find(key_id) if tenant is not None else None
        if known is not None:
            return _usable(known.master, known.state)
        self.refresh()
        try:
            return self.current.master(key_id)
        except UnknownKey:
            found = self._at(tenant_keys.name_of(key_id))[0].find(key_id)
            if found is None:
                raise
        return _usable(found.master, found.state)

    def sealing(self, tenant_id: str | None) -> MasterKey:
        """The key that new containers of this tenant are sealed under; made, and flushed, where it is due.

        ``UnknownKey`` where the tenant has sessions, and the file of its keys is gone.
        """
        keyring = self.current
        if tenant_id is None or not keyring.tenant_keys:
            return keyring.masters[0]
        digest = tenant_keys.TenantKeys.digest_of(keyring, tenant_id)
        held = self._sealing.get(tenant_keys.name_of(digest))
        found = held.sealing(keyring.first.id) if held is not None and held.digest == digest else None
        if found is not None:
            return found
        self.refresh()
        sealing = self._sealing
        held = self._replaced(partial(self._of_tenant, tenant_id), partial(self._grown, tenant_id))
        sealing.keep(held.name, held)
        return held.keys[-1].master

    def sealing_instead(self, key_id: bytes) -> MasterKey:
        """The key that seals now what was sealed under a key of the vault, or of a tenant. ``UnknownKey``."""
        self.refresh()
        self.master(key_id)
        if any(master.id == key_id for master in self.current.masters):
            return self.current.first
        name = tenant_keys.name_of(key_id)
        return self._replaced(partial(self._at, name), partial(self._grown, None)).keys[-1].master

    def change(self, change: Change) -> Keyring:
        """Other master keys, made of those of the moment."""
        with not_ours(self._lock):
            keyring = self._store.change(change)
            self._follow(keyring, None)
            return keyring

    def tenants(self) -> Sequence[str]:
        """The names of the files of tenants that have keys of their own."""
        return self._store.tenants()

    def destroy(self, tenant_id: str) -> TenantKeys | None:
        """Destroy the keys of a tenant; what they were, without their secrets. None: it has none.

        The keyring is written anew behind it, unchanged, so that every process notices at its next refresh.
        """
        self.refresh()
        held = self._replaced(
            partial(self._of_tenant, tenant_id), lambda known: known.destroyed() if known.keys else None
        )
        if not held.keys:
            return None
        self.change(lambda masters: masters)
        return held

    def rewrap_tenants(self) -> list[str]:
        """Seal the keys of each tenant under the first master key; the names of the files that cannot be opened."""
        self.refresh()
        left = []
        for name in self.tenants():
            try:
                self._replaced(partial(self._at, name), lambda _: None)
            except (Damaged, UnknownKey) as error:
                log.warning("the keys of a tenant lie under an old key: %s", error)
                left.append(f"tenants/{name}")
        return left

    def outdated(self) -> set[bytes]:
        """The ids of the keys of tenants that go with a master key which is retired, or is gone."""
        masters = {master.id for master in self.current.masters if not master.retired}
        return {key_id for name in self.tenants() for key_id in self._at(name)[0].outdated(masters)}

    def delete_outdated(self, before: dict[str, TenantKeys]) -> None:
        """Delete those of which the master key is gone. ``before`` gets what each file held: see ``bring_back``."""
        masters = {master.id for master in self.current.masters}

        def without(known: TenantKeys) -> TenantKeys | None:
            outdated = known.outdated(masters)
            if not outdated:
                return None
            before[known.name] = known
            return known.without(outdated, self.current.first.id)

        for name in self.tenants():
            self._replaced(partial(self._at, name), without)

    def bring_back(self, before: Mapping[str, TenantKeys]) -> None:
        """Undo ``delete_outdated``, but for a tenant whose keys were destroyed since."""

        def with_former(known: TenantKeys) -> TenantKeys | None:
            former = before[known.name]
            if known.erased() - former.erased():
                return None
            both = known.merged(former)
            return both if both != known else None

        for name in before:
            self._replaced(partial(self._at, name), with_former)

    def _grown(self, tenant_id: str | None, known: TenantKeys) -> TenantKeys | None:
        if not known.keys and tenant_id is not None and self.has_orphans is not None and self.has_orphans(tenant_id):
            raise UnknownKey(
                "this tenant has sessions, and the file in tenants/ that held their keys is gone: restore it from "
                "its own copy"
            )
        first = self.current.first.id
        return None if known.sealing(first) is not None else known.grown(first)

    def _of_tenant(self, tenant_id: str) -> tuple[TenantKeys, bytes | None]:
        """The keys of a tenant and their file; None: it has none. The file is the first that no other tenant has."""
        for variant in range(_VARIANTS):
            digest = tenant_keys.TenantKeys.digest_of(self.current, tenant_id, variant)
            held, data = self._at(tenant_keys.name_of(digest))
            if data is None:
                return tenant_keys.TenantKeys(digest), None
            if held.digest == digest:
                return held, data
        raise Damaged(f"the names of the files of {_VARIANTS} tenants are one, by a chance that is none")

    def _at(self, name: str) -> tuple[TenantKeys, bytes | None]:
        """The keys in the file of that name, and the file; none, and None."""
        tenants, data = self._tenants, self._store.tenant(name)
        if data is None:
            return tenant_keys.TenantKeys(b""), None
        try:
            held = tenant_keys.TenantKeys.decode(data, self.current, name)
        except (Damaged, UnknownKey):  # it was being overwritten while it was read, or the keyring has changed
            self.refresh()
            tenants, data = self._tenants, self._store.tenant(name)
            if data is None:
                return tenant_keys.TenantKeys(b""), None
            held = tenant_keys.TenantKeys.decode(data, self.current, name)
        tenants.keep(held.name, held)
        return held, data

    def _replaced(
        self,
        find: Callable[[], tuple[TenantKeys, bytes | None]],
        make: Callable[[TenantKeys], TenantKeys | None],
    ) -> TenantKeys:
        """Compare and swap the keys of a tenant. What there is then, flushed, under the first master key of the moment.

        None from ``make`` leaves them as they are.
        """
        written: tuple[TenantKeys, bytes] | None = None
        for _ in range(_TRIES):
            (known, before), written = written or find(), None
            after = make(known)
            held = known if after is None else after
            first = self.current.first.id
            if after is None and (before is None or tenant_keys.sealed_under(before) == first):
                if before is not None:
                    self._store.settle_tenant(held.name)
                return held
            tenants, data = self._tenants, held.encode(self.current)
            if not self._store.put_tenant(held.name, data, before):
                continue
            tenants.keep(held.name, held)
            self._sealing.forget(held.name)
            self.refresh()
            if self.current.first.id == first:
                return held
            written = held, data  # the keys were rotated meanwhile: the master key of the file may be deleted next
        raise DurabilityUnknown(f"a file of a tenant's keys was changed by others {_TRIES} times in a row: try again")

    def _follow(self, keyring: Keyring, etag: object) -> None:
        self.current, self._etag = keyring, etag
        self._forget_tenants()
        self.changed()

    def _forget_tenants(self) -> None:
        # Not cleared: a thread that has read a file in front of this keeps it in the old ones, where nobody looks.
        self._tenants: LRU[str, TenantKeys] = LRU(most=_REMEMBERED)
        self._sealing: LRU[str, TenantKeys] = LRU(most=_REMEMBERED)  # of those the ones that no power cut takes back


def _usable(master: MasterKey, state: State) -> MasterKey:
    if state is tenant_keys.State.DESTROYED:
        raise UnknownKey(
            f"sealed under key {master.id.hex()} of a tenant whose keys were destroyed: nobody can read it any more",
            destroyed=True,
        )
    return master
