"""The keyring as it is now: who looks, when it is read again, and what is said of a key that is not there."""

from __future__ import annotations

from typing import Any

import pytest

from vaultsession.errors import BackendUnavailable, Damaged, RollbackDetected, UnknownKey
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.vault.key_store import MemoryKeyStore
from vaultsession.vault.live_keyring import LiveKeyring
from vaultsession.vault.tenant_keys import State, TenantKeys, sealed_under


class Watched(MemoryKeyStore):
    """Keys that count how often they were read, and fail on demand."""

    def __init__(self, keyring: Keyring) -> None:
        super().__init__(keyring)
        self.loads = 0
        self.failure: Exception | None = None

    def load(self) -> Keyring:
        self.loads += 1
        if self.failure is not None:
            raise self.failure
        return super().load()


def watched(**facts: Any) -> tuple[Watched, LiveKeyring]:
    store = Watched(Keyring.generate(**facts))
    return store, LiveKeyring(store.load(), store)


def added(store: Watched) -> MasterKey:
    return store.change(lambda masters: (MasterKey.generate(), *masters)).first


def test_it_is_read_again_only_when_it_has_changed() -> None:
    store, keys = watched()
    keys.refresh()
    before = store.loads
    for _ in range(10):
        keys.refresh()
    assert store.loads == before
    fresh = added(store)
    assert keys.current.first != fresh
    keys.refresh()
    assert keys.current.first == fresh
    assert store.loads == before + 1


def test_a_key_that_is_not_known_is_looked_for_once_more() -> None:
    store, keys = watched()
    fresh = added(store)
    assert keys.master(fresh.id) == fresh
    assert keys.current.first == fresh


def test_a_key_that_nobody_has_is_unknown_and_not_destroyed() -> None:
    _, keys = watched()
    with pytest.raises(UnknownKey, match="does not hold") as caught:
        keys.master(b"nobodys!")
    assert not caught.value.destroyed


@pytest.mark.parametrize("failure", [RollbackDetected("set back"), BackendUnavailable("gone"), Damaged("rotten")])
def test_what_the_store_raises_passes_through_and_nothing_is_forgotten(failure: Exception) -> None:
    store, keys = watched()
    known = keys.current
    added(store)
    store.failure = failure
    with pytest.raises(type(failure)):
        keys.refresh()
    assert keys.current == known
    store.failure = None
    keys.refresh()
    assert keys.current != known


def test_without_a_store_it_is_what_it_was_given_and_can_still_change() -> None:
    keys = LiveKeyring(Keyring.generate())
    keys.refresh()
    fresh = MasterKey.generate()
    keys.change(lambda masters: (fresh, *masters))
    assert keys.current.first == fresh


def test_sessions_without_a_tenant_are_sealed_under_the_first_key() -> None:
    _, keys = watched(tenant_keys=True)
    assert keys.sealing(None) == keys.current.first


def test_tenants_have_no_keys_where_the_vault_says_so() -> None:
    store, keys = watched()
    assert keys.sealing("alice") == keys.current.first
    assert store._tenants == {}


def test_each_tenant_has_a_key_of_its_own_and_keeps_it() -> None:
    store, keys = watched(tenant_keys=True)
    alice, bob = keys.sealing("alice"), keys.sealing("bob")
    assert len({alice.secret, bob.secret, keys.current.first.secret}) == 3
    assert keys.sealing("alice") == alice
    another = LiveKeyring(store.load(), store)
    assert another.sealing("alice") == alice
    assert another.master(bob.id) == bob


def test_a_rotation_renews_the_keys_of_tenants() -> None:
    store, keys = watched(tenant_keys=True)
    before = keys.sealing("alice")
    added(store)
    keys.refresh()
    after = keys.sealing("alice")
    assert after.id != before.id
    assert keys.master(before.id).secret == before.secret


def test_two_that_make_the_key_of_a_tenant_at_once_get_the_same() -> None:
    store, keys = watched(tenant_keys=True)
    other = LiveKeyring(store.load(), store)
    real = store.put_tenant

    def overtaken(name: str, data: bytes, expected: bytes | None) -> bool:
        store.put_tenant = real  # type: ignore[method-assign]  # the second time it is as it was
        assert other.sealing("alice")
        return real(name, data, expected)

    store.put_tenant = overtaken  # type: ignore[method-assign]  # someone comes in between
    assert keys.sealing("alice") == other.sealing("alice")


def test_a_destroyed_key_is_known_to_be_destroyed_by_everybody_who_looks() -> None:
    store, keys = watched(tenant_keys=True)
    other = LiveKeyring(store.load(), store)
    key = other.sealing("alice")
    gone = keys.destroy("alice")
    assert gone is not None
    assert [held.state for held in gone.keys] == [State.DESTROYED]
    other.refresh()
    for each in (keys, other):
        with pytest.raises(UnknownKey, match="destroyed") as caught:
            each.master(key.id)
        assert caught.value.destroyed
    assert other.sealing("alice").id != key.id, "who comes back gets a new key"


def test_a_tenant_that_has_no_keys_has_none_to_destroy() -> None:
    _, keys = watched(tenant_keys=True)
    assert keys.destroy("nobody") is None


def test_a_file_that_is_being_overwritten_while_it_is_read_is_read_again() -> None:
    store, keys = watched(tenant_keys=True)
    key = keys.sealing("alice")
    other = LiveKeyring(store.load(), store)
    other.refresh()
    real, torn = store.tenant, [b"noise" * 30]
    store.tenant = lambda name: torn.pop() if torn else real(name)  # type: ignore[method-assign]  # as above
    assert other.master(key.id) == key


def test_a_damaged_file_is_damage_and_not_an_unknown_key() -> None:
    store, keys = watched(tenant_keys=True)
    key = keys.sealing("alice")
    store._tenants = {name: data[:-1] + b"x" for name, data in store._tenants.items()}
    with pytest.raises(Damaged, match="tenants/"):
        LiveKeyring(store.load(), store).master(key.id)


def test_two_tenants_never_share_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are 5 bytes of a keyed digest: should two ever meet, the second has another file."""
    store, keys = watched(tenant_keys=True)
    first = keys.sealing("alice")
    real, digest_of = TenantKeys.digest_of(keys.current, "alice"), TenantKeys.digest_of

    def meeting(keyring: Keyring, tenant_id: str, variant: int = 0) -> bytes:
        own = digest_of(keyring, tenant_id, variant)
        return own if variant else real[:5] + own[5:]

    monkeypatch.setattr(TenantKeys, "digest_of", meeting)
    second = keys.sealing("bob")
    assert len(store.tenants()) == 2
    for key in (first, second):
        assert LiveKeyring(store.load(), store).master(key.id) == key
    assert keys.sealing("bob") == second
    assert keys.sealing("alice") == first


def test_a_tenant_without_a_file_and_with_sessions_gets_no_first_key() -> None:
    store, keys = watched(tenant_keys=True)
    keys.has_orphans = lambda tenant_id: tenant_id == "alice"
    with pytest.raises(UnknownKey, match="is gone"):
        keys.sealing("alice")
    assert store.tenants() == ()
    assert keys.sealing("bob")


def test_files_of_tenants_follow_a_new_master_key() -> None:
    store, keys = watched(tenant_keys=True)
    old = keys.sealing("alice")
    fresh = added(store)
    assert keys.rewrap_tenants() == []
    (name,) = store.tenants()
    assert sealed_under(store.tenant(name) or b"") == fresh.id
    store.change(lambda masters: masters[:1])
    assert LiveKeyring(store.load(), store).master(old.id) == old


def test_a_key_that_is_made_while_the_keys_are_rotated_lies_under_the_new_one() -> None:
    """Between the look at the keyring and the write of the file others rotate, and delete the old key."""
    store, keys = watched(tenant_keys=True)
    put = store.put_tenant

    def late(name: str, data: bytes, expected: bytes | None) -> bool:
        if expected is None:
            added(store)
            store.change(lambda masters: masters[:1])
        return put(name, data, expected)

    store.put_tenant = late  # type: ignore[method-assign]  # a moment that a test cannot hit otherwise
    key = keys.sealing("alice")
    assert LiveKeyring(store.load(), store).master(key.id) == key


@pytest.mark.parametrize("tenant_id", ["alice", None])
def test_what_lay_under_a_key_is_sealed_under_its_successor(tenant_id: str | None) -> None:
    store, keys = watched(tenant_keys=True)
    old = keys.sealing(tenant_id)
    added(store)
    new = keys.sealing_instead(old.id)
    assert new != old
    assert new == keys.sealing(tenant_id) == keys.sealing_instead(new.id)
    with pytest.raises(UnknownKey):
        keys.sealing_instead(bytes(8))


def test_a_key_that_is_destroyed_while_it_is_looked_for_seals_nothing_afterwards() -> None:
    """Another thread had seen the destruction by then, so that nobody looked again: what was sealed was lost."""
    store, keys = watched(tenant_keys=True)
    before = keys.sealing("alice")
    late = LiveKeyring(store.load(), store, store.etag())
    settle = store.settle_tenant

    def settled(name: str) -> None:
        store.settle_tenant = settle  # type: ignore[method-assign]
        keys.destroy("alice")
        late.refresh()
        settle(name)

    store.settle_tenant = settled  # type: ignore[method-assign]
    assert late.sealing("alice") == before
    after = late.sealing("alice")
    assert after.id != before.id
    with pytest.raises(UnknownKey) as caught:
        late.master(before.id)
    assert caught.value.destroyed
