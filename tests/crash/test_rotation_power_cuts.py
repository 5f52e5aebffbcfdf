"""The power is cut anywhere in a rotation, in the making of a tenant's key, and in its destruction."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from crash_lab import IDS, KEY, Life, explored, reader
from dictionary_lab import SAID, learned, numbers
from effort import EFFORT, some
from memory import QuickDisk
from vaults import vault_at

from vaultsession import RawKey, SessionNotFound, SessionStore, UnknownDictionary, UnknownKey, open_store
from vaultsession.engine.writer import Writer
from vaultsession.format.dictionaries import FIRST, Dictionaries
from vaultsession.testing.clock import ManualClock
from vaultsession.vault.key_store import MemoryKeyStore
from vaultsession.vault.live_keyring import LiveKeyring

OTHER = RawKey(bytes(range(1, 33)))

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("late_index", "no_lag")]


def furnished(where: Path, name: str, **settings: Any) -> Life:
    """One of each thing that lies under a master key: sessions, a dictionary that they need, a tombstone, two slots."""
    life = Life(where, name, settings=settings)
    vault = vault_at(str(life.path), life.disk)
    vault.add_slot(vault.unlock([("the key", KEY)]), OTHER)
    life.act(
        learned,
        lambda store: store.create("gone", tenant_id="idle"),
        lambda store: store.delete("gone"),
        lambda store: store.create("a", state={"n": 1}, messages=[{"n": 1}], tenant_id="acme"),
        lambda store: store.create("b", messages=[{"text": "word " * 300}], tenant_id="acme"),
        lambda store: store.create("c", title="c", messages=SAID),
        lambda store: store.append("a", {"n": 2}),
    )
    assert FIRST in numbers(life.store, "c")
    life.since = life.disk.position
    return life


def rotates(store: SessionStore) -> object:
    return store.rotate_key()


def rotates_and_prunes(store: SessionStore) -> object:
    store.rotate_key()
    return store.prune_keys()


def drops_a_dictionary(store: SessionStore) -> object:
    store.rotate_key(drop_dictionaries=store._operations._reader.dictionaries.numbers())
    return store.prune_keys()


def gone_on_with(crashed: Any, life: Life) -> None:
    """Whatever the cut has left, the next rotation ends it: one key seals everything, and no other is needed."""
    allowed, now = life.allowed(crashed)
    with open_store(crashed, disk=QuickDisk(), key=KEY, clock=ManualClock(now), **life.settings) as store:
        before = reader(store)
        for name in IDS:
            assert before[name] in [each[name] for each in allowed], name
        assert store.rotate_key().left == ()
        store.prune_keys()
        assert reader(store) == before
    with open_store(crashed, disk=QuickDisk(), key=OTHER, clock=ManualClock(now), **life.settings) as store:
        assert reader(store) == before
        again = store._operations._reader
        assert len(again.keyring.masters) == 1
        for number in vault_at(os.fspath(crashed)).dictionaries():
            assert again.dictionaries.find(number).number == number
        assert all(map(again.rows.is_genuine, store._backend.tombstones()))
        if again.keyring.tenant_keys:
            assert again.keys._of_tenant("idle")[1] is not None, "it may have copies in quarantine"


def explore(life: Life, *, bound: int, every: int = 1) -> int:
    before = life.disk.explored
    for crashed in some(life.crash_states(bound=bound), every):
        explored[life.name] += 1
        try:
            gone_on_with(crashed, life)
        except BaseException as error:
            error.add_note(str(crashed))
            raise
    life.close()
    return life.disk.explored - before


@pytest.mark.parametrize("act", [rotates, rotates_and_prunes, drops_a_dictionary])
def test_a_rotation_that_was_cut_is_gone_on_with(where: Path, act: Any) -> None:
    life = furnished(where, "quick: a rotation gone on with", tenant_keys=act is rotates_and_prunes)
    life.act(act)
    assert explore(life, bound=3, every=2) >= 40


@pytest.mark.parametrize("tenant_keys", [False, True])
def test_every_power_cut_in_a_rotation_leaves_every_session_readable(where: Path, tenant_keys: bool) -> None:
    life = furnished(where, "slow: a rotation", tenant_keys=tenant_keys)
    life.act(rotates_and_prunes, lambda store: store.append("a", {"n": 3}), rotates)
    assert life.survive(bound=5 * EFFORT, every=3) >= 80


def test_every_rotation_that_was_cut_is_gone_on_with(where: Path) -> None:
    life = furnished(where, "slow: a rotation gone on with", tenant_keys=True)
    life.act(rotates)
    assert explore(life, bound=4 * EFFORT, every=3) >= 40


def test_a_power_cut_while_a_tenant_gets_its_key_loses_nothing(where: Path) -> None:
    life = Life(where, "quick: a key of a tenant", settings={"tenant_keys": True})
    life.act(lambda store: store.create("a", state={"n": 1}, tenant_id="acme"))
    assert life.survive(bound=4) >= 40


def erased_or_whole(crashed: Any, life: Life) -> None:
    """Before the keys are gone all is there; then no session of the tenant is readable, and nothing else goes."""
    (whole, *_), now = life.allowed(crashed)
    with open_store(crashed, disk=QuickDisk(), key=KEY, clock=ManualClock(now), **life.settings) as store:
        verdicts = set()
        for name in ("a", "b"):
            try:
                store.load(name)
                assert reading_of(store, name) == whole[name]
                verdicts.add("whole")
            except UnknownKey as error:
                verdicts.add("erased" if error.destroyed else "locked")
            except SessionNotFound:
                verdicts.add("erased")
        assert verdicts in ({"whole"}, {"erased"}), "one session of the tenant is readable and another is not"
        if "destroyed" in crashed.notes:
            assert verdicts == {"erased"}
        assert reading_of(store, "c") == whole["c"]
        store.destroy_tenant("acme")
        assert [info.id for info in store.list()] == ["c"]
        store.create("a", tenant_id="acme")


def reading_of(store: SessionStore, name: str) -> Any:
    session = store.load(name)
    return dict(session.state), list(session.messages), session.title, session.expires_at


def test_a_power_cut_while_a_tenant_is_destroyed_leaves_all_of_it_or_nothing(where: Path) -> None:
    life = furnished(where, "quick: a tenant destroyed", tenant_keys=True)
    life.store.destroy_tenant("acme")
    life.disk.note("destroyed")
    count = 0
    for crashed in life.crash_states(bound=4):
        count += 1
        try:
            erased_or_whole(crashed, life)
        except BaseException as error:
            error.add_note(str(crashed))
            raise
    life.close()
    explored[life.name] += count
    assert count >= 40


def test_a_power_cut_while_a_session_is_shredded_leaves_it_or_nothing(where: Path) -> None:
    life = furnished(where, "quick: shredding")
    life.act(lambda store: store.delete("b", shred=True))
    assert life.survive(bound=6) >= 20


# -- tests of the tests: a fault is planted, and the lab sees it -------------------------------------------------------


def test_a_key_that_seals_before_it_is_kept_is_seen(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = LiveKeyring.change

    def only_here(self: LiveKeyring, change: Any) -> Any:
        kept, self._store = self._store, MemoryKeyStore(self.current)
        try:
            return real(self, change)
        finally:
            self._store = kept

    life = furnished(where, "mutants")
    with monkeypatch.context() as patched:
        patched.setattr(LiveKeyring, "change", only_here)
        patched.setattr(LiveKeyring, "refresh", lambda self: None)
        life.act(rotates)
    with pytest.raises((AssertionError, UnknownKey)):
        life.survive(bound=4)
    life.close()


@pytest.mark.parametrize(
    ("where_in", "name"), [(LiveKeyring, "rewrap_tenants"), (Dictionaries, "reseal")], ids=["tenants", "dictionaries"]
)
def test_what_is_left_under_a_key_that_is_deleted_is_seen(
    where: Path, monkeypatch: pytest.MonkeyPatch, where_in: type, name: str
) -> None:
    life = furnished(where, "mutants", tenant_keys=True)
    monkeypatch.setattr(where_in, name, lambda *_: [])
    with pytest.raises((AssertionError, UnknownKey, UnknownDictionary)):
        _pruned_and_explored(life)
    life.close()


def test_a_replacement_that_loses_its_last_record_is_seen(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = furnished(where, "mutants")
    with monkeypatch.context() as patched:
        kept = Writer.resealed
        patched.setattr(
            Writer,
            "resealed",
            lambda self, newest, opened, fetch, **_: _without_last(kept, self, newest, opened, fetch),
        )
        life.store.rotate_key()
    life.acknowledge()
    life.history[-1] = life.history[-2]  # a rotation changes nothing that is read
    with pytest.raises(AssertionError):
        life.survive(bound=4)
    life.close()


def _pruned_and_explored(life: Life) -> None:
    life.act(rotates_and_prunes)  # pruning may see it itself
    explore(life, bound=2)


def _without_last(kept: Any, writer: Writer, newest: Any, opened: Any, fetch: Any) -> Any:
    records = writer._reader.living(newest.key, fetch) or []

    class Shorter:
        keys = writer._reader.keys
        rows = writer._reader.rows
        remember = writer._reader.remember

        @staticmethod
        def living(key: str, fetch: Any) -> Any:
            del key, fetch
            return records[:-1] or records

    real, writer._reader = writer._reader, Shorter  # type: ignore[assignment]  # the planted fault
    try:
        return kept(writer, newest, opened, fetch)
    finally:
        writer._reader = real
