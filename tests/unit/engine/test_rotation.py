"""Rotation: every session ends under a new key and stays what it was; old keys are kept, and deleted only on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dictionary_lab import SAID, learned, numbers
from vaults import full_after, vault_at

from vaultsession import BackendUnavailable, Conflict, Damaged, RawKey, Session, SessionStore, UnknownKey
from vaultsession.backends.files import backend as files_backend
from vaultsession.engine.rotation import Rotator
from vaultsession.format import record
from vaultsession.format.sealed import IndexRow, Query

Opening = Callable[..., SessionStore]

LONG = [{"role": "user", "content": f"{n} " + "word " * 400} for n in range(700)]


def facts(store: SessionStore, name: str) -> tuple[Any, ...]:
    session = store.load(name)
    return session.version, session.facts(), session.state, session.messages


def key_ids(store: SessionStore) -> set[bytes]:
    reader = store._reader if hasattr(store, "_reading") else store._operations._reader
    return {reader.rows.open(row)[0][record.KEY_ID] for row in store._backend.scan(Query())}


def furnished(store: SessionStore) -> dict[str, tuple[Any, ...]]:
    """One session of each kind that a container can hold."""
    store.create("plain", state={"n": 1}, messages=[{"role": "user", "content": "hi"}], title="T", labels={"a": "b"})
    store.create("empty")
    store.create("grown", state={"a": [1]}, user_id="alice", tenant_id="acme")
    for n in range(5):
        store.append("grown", {"n": n})
    store.update("grown", {"b": 2})
    store.pop("grown")
    store.create("saved", state={"old": "x" * 300})
    with store.edit("saved") as draft:
        draft.state["new"] = 1
    store.create("touched", ttl="1h", sliding=True, messages=[{"n": 1}])
    store.touch("touched")
    store.create("limited", max_messages=3)
    for n in range(6):
        store.append("limited", {"n": n})
    store.create("long", messages=LONG)
    store.append("long", {"role": "user", "content": "the end"})
    names = [info.id for info in store.list()]
    return {name: facts(store, name) for name in names}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("how", [{}, {"padding": True}, {"compression": "none"}, {"tenant_keys": True}])
def test_every_session_is_under_the_new_key_and_as_it_was(open_one: Opening, how: dict[str, Any]) -> None:
    store = open_one(**how)
    before = furnished(store)
    listed = [info.facts() for info in store.list()]
    old = key_ids(store)
    held: Session = store.load("grown")
    done = store.rotate_key()
    assert (done.sessions, done.replaced, done.left, done.resumed) == (len(before), len(before), (), False)
    assert not old & key_ids(store)
    assert [info.facts() for info in store.list()] == listed
    store._cache.documents.clear()
    assert {name: facts(store, name) for name in before} == before
    held.state["late"] = True
    assert store.save(held).state["late"], "whoever had loaded it before can still save it"
    store.append("long", {"n": "more"})
    assert store.messages("long", last=2)[1] == {"n": "more"}
    assert store.load("long").messages[:-2] == LONG


def test_it_is_as_it_was_when_it_is_opened_again(open_files: Opening) -> None:
    store = open_files()
    before = furnished(store)
    store.rotate_key()
    store.prune_keys()
    store.close()
    again = open_files()
    assert {name: facts(again, name) for name in before} == before
    again.reindex()
    assert {info.id for info in again.list()} == set(before)


def test_bodies_are_neither_inflated_nor_compressed(open_one: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_one()
    before = furnished(store)

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("a body was looked into")

    with monkeypatch.context() as patched:
        patched.setattr("vaultsession.format.payload.unpack", refused)
        patched.setattr("vaultsession.format.payload.pack", refused)
        assert store.rotate_key().replaced == len(before)


def test_progress_is_told(open_one: Opening) -> None:
    store = open_one()
    furnished(store)
    told: list[tuple[int, int]] = []
    store.rotate_key(progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 7) for n in range(1, 8)]


def test_a_rotation_of_nothing_still_gives_a_new_key(open_one: Opening) -> None:
    store = open_one()
    done = store.rotate_key()
    assert (done.sessions, done.replaced) == (0, 0)
    assert [use.state for use in store.key_usage()] == ["seals", "retired"]
    assert store.key_usage()[0].id == done.key


def test_expired_sessions_are_sealed_anew_and_still_expired(open_files: Opening, clock: Any) -> None:
    store = open_files()
    store.create("old", ttl=10)
    clock.advance(20)
    assert store.rotate_key().replaced == 1
    store.prune_keys()
    assert not store.exists("old")
    assert store.sweep() == 1


@pytest.mark.slow
def test_one_that_was_begun_is_gone_on_with(open_files: Opening) -> None:
    store = open_files()
    for n in range(6):
        store.create(f"s{n}", state={"n": n})
    with full_after(store, 3), pytest.raises(BackendUnavailable):
        store.rotate_key()
    assert [use.state for use in store.key_usage()] == ["seals", "opens"]
    assert [use.sessions for use in store.key_usage()] == [3, 3]
    store.close()
    again = open_files()
    done = again.rotate_key()
    assert (done.resumed, done.replaced) == (True, 3)
    assert [use.sessions for use in again.key_usage()] == [6, 0]
    assert not again.rotate_key().resumed


def test_what_is_written_while_it_goes_on_is_not_left_behind(open_files: Opening) -> None:
    """Another store creates sessions under the old key until it looks, and is looked at last."""
    store, other = open_files(), open_files()
    store.create("first")
    other.create("second")

    def meanwhile(done: int, _total: int) -> None:
        other.create(f"new {done}")
        other.append("first", {"n": done})

    store.rotate_key(progress=meanwhile)
    other.count()
    assert {use.state: use.sessions for use in store.key_usage()} == {"seals": store.count(), "retired": 0}
    assert other.load("first").messages


def test_another_store_stops_sealing_under_a_retired_key_and_reads_what_is_new(open_files: Opening) -> None:
    store, other = open_files(), open_files()
    store.create("a")
    other.create("b")
    done = store.rotate_key()
    other.create("c")
    other.save("b", state={"whole": True})
    assert other.load("a").id == "a"
    other.count()
    assert store.key_usage()[0] == (done.key, "seals", 3)


@pytest.mark.slow
def test_two_rotations_at_once_are_one(open_files: Opening) -> None:
    store, other = open_files(), open_files()
    for n in range(4):
        store.create(f"s{n}")
    inner: list[Any] = []

    def meanwhile(done: int, _total: int) -> None:
        if done == 2:
            inner.append(other.rotate_key())

    done = store.rotate_key(progress=meanwhile)
    assert inner[0].key == done.key
    assert inner[0].resumed
    assert [use.sessions for use in store.key_usage()] == [4, 0]


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.sampled(2)
@pytest.mark.parametrize("at", [20, 90, 120, -3])
def test_a_damaged_session_is_left_named_and_not_touched(open_files: Opening, tmp_path: Path, at: int) -> None:
    store = open_files()
    store.create("good")
    store.create("bad", messages=[{"n": 1}])
    store.count()
    store.close()
    (path,) = tmp_path.glob("vault/sessions/bad~*")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    store = open_files()
    done = store.rotate_key()
    assert done.replaced == 1
    assert [name.partition("~")[0] for name in done.left] == ["bad"]
    assert path.read_bytes() == data
    with pytest.raises(Damaged):
        store.load("bad")


@pytest.mark.parametrize("at", [20, 120])
def test_pruning_is_refused_while_a_session_is_damaged(open_files: Opening, tmp_path: Path, at: int) -> None:
    test_a_damaged_session_is_left_named_and_not_touched(open_files, tmp_path, at)
    store = open_files()
    with pytest.raises(Conflict, match="cannot be read"):
        store.prune_keys()
    assert [use.state for use in store.key_usage()] == ["seals", "retired"]


# -- pruning -----------------------------------------------------------------------------------------------------------


def test_retired_keys_are_deleted_on_request_only(open_files: Opening, tmp_path: Path, vault_key: RawKey) -> None:
    store = open_files()
    store.create("a")
    done = store.rotate_key()
    assert len(store.key_usage()) == 2
    assert store.prune_keys() == done.retired
    assert store.prune_keys() == ()
    assert [use.id for use in store.key_usage()] == [done.key]
    kept = vault_at(str(tmp_path / "vault")).unlock([("it", vault_key)]).keyring.masters
    assert [master.id.hex() for master in kept] == [done.key]
    assert store.load("a").id == "a"


def test_a_backup_of_a_session_from_before_is_locked_and_not_damaged(open_files: Opening, tmp_path: Path) -> None:
    store = open_files()
    store.create("a")
    store.close()
    (path,) = tmp_path.glob("vault/sessions/*.vss")
    backup = path.read_bytes()
    store = open_files()
    store.rotate_key()
    store.prune_keys()
    store.delete("a")
    store.close()
    path.write_bytes(backup)
    path.chmod(0o600)
    (tmp_path / "vault/index.sqlite").unlink()
    store = open_files()
    with pytest.raises(UnknownKey, match="does not hold") as caught:
        store.load("a")
    assert not caught.value.destroyed
    with pytest.raises(UnknownKey):
        store.delete("a")
    assert path.read_bytes() == backup


@pytest.mark.slow
def test_pruning_is_refused_while_a_session_lies_under_a_retired_key(open_files: Opening, tmp_path: Path) -> None:
    """A backup was brought back after a rotation: it needs the old key until the next one."""
    store = open_files()
    store.create("a", state={"n": 1})
    store.close()
    (path,) = tmp_path.glob("vault/sessions/*.vss")
    backup = path.read_bytes()
    store = open_files()
    store.rotate_key()
    store.close()
    path.write_bytes(backup)
    (tmp_path / "vault/index.sqlite").unlink()
    store = open_files()
    with pytest.raises(Conflict, match="key rotate"):
        store.prune_keys()
    assert store.load("a").state == {"n": 1}
    store.rotate_key()
    assert len(store.prune_keys()) == 2
    assert store.load("a").state == {"n": 1}


def test_a_key_that_someone_used_in_the_very_moment_comes_back(
    open_files: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look after the deletion is what protects a writer that was between its look and its write."""
    store, late = open_files(), open_files()
    late.create("warm")
    store.rotate_key()
    real, looks = Rotator._refuse_used, []

    def between(rotating: Rotator, retired: set[bytes]) -> None:
        looks.append(retired)
        real(rotating, retired)
        if len(looks) == 1:
            with monkeypatch.context() as patched:
                patched.setattr(late._operations._reader.keys, "refresh", lambda: None)  # it has looked before
                late.create("late", state={"n": 1})
            late.count()

    monkeypatch.setattr(Rotator, "_refuse_used", between)
    with pytest.raises(Conflict):
        store.prune_keys()
    assert len(looks) == 2
    late.close()
    again = open_files()
    assert again.load("late").state == {"n": 1}
    assert [use.state for use in again.key_usage()] == ["seals", "retired"]


@pytest.mark.parametrize("ending", [BackendUnavailable, KeyboardInterrupt])
def test_keys_come_back_where_the_second_look_ends_in_the_middle(
    open_files: Opening, monkeypatch: pytest.MonkeyPatch, ending: type[BaseException]
) -> None:
    """An interrupt (Ctrl-C) left a key deleted under which somebody may have sealed a session in that moment."""
    store = open_files()
    store.rotate_key()
    real, looks = Rotator._refuse_used, []

    def ended(rotating: Rotator, retired: set[bytes]) -> None:
        looks.append(retired)
        if len(looks) > 1:
            raise ending
        real(rotating, retired)

    monkeypatch.setattr(Rotator, "_refuse_used", ended)
    with pytest.raises(ending):
        store.prune_keys()
    assert len(looks) == 2
    assert [use.state for use in store.key_usage()] == ["seals", "retired"]


def test_a_session_that_is_written_while_others_are_looked_at_is_not_passed_over(
    open_files: Opening, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that goes from the newest to the oldest never meets what moves to its front behind its back.

    A process with an old keyring appended to a session under a retired key during both looks of a pruning, and the key
    was deleted although that session lay under it.
    """
    store, late = open_files(), open_files()
    for name in ("first", "second", "third"):
        late.create(name)
        clock.advance("1s")
    real_refresh = late._operations._reader.keys.refresh
    monkeypatch.setattr(late._operations._reader.keys, "refresh", lambda: None)  # it has looked before
    real = Rotator._replace
    monkeypatch.setattr(Rotator, "_replace", lambda self, row: "first" not in row.key and real(self, row))
    store.rotate_key()
    monkeypatch.setattr(files_backend, "_PAGE", 1)
    scan = store._backend.scan

    def meanwhile(query: Query) -> Iterator[IndexRow]:
        clock.advance("1s")
        store.append("third", {"role": "user", "content": "the newest"})
        for number, row in enumerate(scan(query)):
            yield row
            if number == 0:
                clock.advance("1s")
                late.append("first", {"role": "user", "content": "still here"})
                late.count()

    monkeypatch.setattr(store._backend, "scan", meanwhile)
    with pytest.raises(Conflict):
        store.prune_keys()
    monkeypatch.setattr(late._operations._reader.keys, "refresh", real_refresh)
    assert open_files().load("first").messages


def test_a_store_whose_keyring_was_set_back_says_so_before_it_writes_anything(
    open_files: Opening, tmp_path: Path
) -> None:
    store, other = open_files(), open_files()
    store.create("a")
    old = {name: (tmp_path / "vault" / name).read_bytes() for name in ("keyring", "keyring.bak")}
    store.rotate_key()
    other.create("b")
    for name, data in old.items():
        (tmp_path / "vault" / name).write_bytes(data)
    with pytest.raises(Damaged, match="set back"):
        other.create("c")
    assert not other.exists("c")
    assert other.load("b").id == "b"


def test_another_process_goes_on_with_the_dictionary_that_was_sealed_again(open_files: Opening) -> None:
    """Once its old key was deleted the newest dictionary was taken for one of a tenant, and served nobody."""
    store, other = open_files(), open_files()
    number = learned(store)
    other.rotate_key()
    other.prune_keys()
    store.create("a", messages=SAID)
    assert numbers(store, "a") == {number}


def test_the_keys_of_tenants_are_renewed_with_it(open_files: Opening) -> None:
    store = open_files(tenant_keys=True)
    store.create("a", tenant_id="acme", state={"n": 1})
    store.create("b", tenant_id="other")
    store.create("c")
    before = key_ids(store)
    assert len(before) == 3
    assert store.rotate_key().replaced == 3
    after = key_ids(store)
    assert len(after) == 3
    assert not before & after
    store.prune_keys()
    store.close()
    assert open_files().load("a").state == {"n": 1}


# -- pruning the keys of tenants ---------------------------------------------------------------------------------------


def keys_of_tenants(store: SessionStore) -> dict[str, list[str]]:
    """The ids of the keys in each tenant's file, in hex."""
    keys = store._operations._reader.keys
    return {name: [key.master.id.hex() for key in keys._at(name)[0].keys] for name in keys.tenants()}


def test_keys_of_tenants_go_with_the_master_key_that_they_belong_to(open_files: Opening, tmp_path: Path) -> None:
    """Retired keys of tenants stayed for ever: an old copy of their files made sessions that were believed."""
    store = open_files(tenant_keys=True)
    store.create("a", tenant_id="acme", state={"n": 1})
    store.create("gone", tenant_id="idle")
    store.delete("gone")
    backup = next(tmp_path.glob("vault/sessions/a~*.vss"))
    data = backup.read_bytes()
    before = keys_of_tenants(store)
    done = store.rotate_key()
    kept = keys_of_tenants(store)
    assert all(set(ids) <= set(kept[name]) for name, ids in before.items())
    old = sorted(key for ids in before.values() for key in ids)
    assert store.prune_keys() == tuple(sorted([*done.retired, *old]))
    after = keys_of_tenants(store)
    assert [len(ids) for ids in after.values()] == [1, 1], "of the idle one too: who knew its old key knows no key now"
    assert not set(old) & {key for ids in after.values() for key in ids}
    assert store.prune_keys() == ()
    assert store.load("a").state == {"n": 1}
    store.append("a", {"n": 2})
    store.create("again", tenant_id="idle")
    store.delete("a")
    store.close()
    backup.write_bytes(data)
    (tmp_path / "vault/index.sqlite").unlink()
    with pytest.raises(UnknownKey) as caught:
        open_files().load("a")
    assert not caught.value.destroyed


def test_destroyed_keys_of_a_tenant_outlive_a_pruning(open_files: Opening) -> None:
    store = open_files(tenant_keys=True)
    store.create("a", tenant_id="acme")
    store.destroy_tenant("acme")
    store.create("b", tenant_id="acme")
    (before,) = keys_of_tenants(store).values()
    done = store.rotate_key()
    assert store.prune_keys() == tuple(sorted([*done.retired, before[1]]))
    (after,) = keys_of_tenants(store).values()
    assert after[0] == before[0]
    with pytest.raises(UnknownKey) as caught:
        store._operations._reader.keys.master(bytes.fromhex(before[0]))
    assert caught.value.destroyed


def test_pruning_is_refused_while_a_session_lies_under_an_old_key_of_its_tenant(
    open_files: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_files(tenant_keys=True)
    store.create("a", tenant_id="acme", state={"n": 1})
    before = keys_of_tenants(store)
    with monkeypatch.context() as patched:
        patched.setattr(Rotator, "_replace", lambda *_: False)
        store.rotate_key()
    with pytest.raises(Conflict, match="key rotate"):
        store.prune_keys()
    assert keys_of_tenants(store) == before
    assert store.load("a").state == {"n": 1}


@pytest.mark.parametrize("ending", [BackendUnavailable, KeyboardInterrupt])
def test_keys_of_tenants_come_back_where_the_second_look_ends_in_the_middle(
    open_files: Opening, monkeypatch: pytest.MonkeyPatch, ending: type[BaseException]
) -> None:
    store = open_files(tenant_keys=True)
    store.create("a", tenant_id="acme")
    store.create("b", tenant_id="destroyed")
    before = keys_of_tenants(store)
    store.rotate_key()
    real, looks = Rotator._refuse_used, []

    def ended(rotating: Rotator, retired: set[bytes]) -> None:
        looks.append(retired)
        if len(looks) > 1:
            open_files().destroy_tenant("destroyed")
            raise ending
        real(rotating, retired)

    monkeypatch.setattr(Rotator, "_refuse_used", ended)
    with pytest.raises(ending):
        store.prune_keys()
    keys, after = store._operations._reader.keys, keys_of_tenants(store)
    mine = keys._of_tenant("acme")[0].name
    assert set(before.pop(mine)) < set(after.pop(mine))
    ((other, ids),) = before.items()
    assert not set(ids) & set(after[other]), "what was destroyed meanwhile does not come back"
