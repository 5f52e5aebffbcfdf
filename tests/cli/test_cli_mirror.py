"""``vaultsession mirror``: status, sync, verify and restore, with their exit codes."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from cli_lab import Place, Run
from dictionary_lab import SAID, learned, numbers
from servers import redis_server
from vaults import vault_at

from vaultsession import RawKey, open_store
from vaultsession.format.dictionaries import shipped
from vaultsession.format.sealed import Delete, Tombstone
from vaultsession.vault.key_places import KeyFile


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VAULTSESSION_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror"


def fill(place: Place, *ids: str) -> None:
    with place.open(mirror=None) as store:
        for name in ids:
            store.create(name, messages=[{"role": "user", "content": f"of {name}"}])


def session(path: Path, slug: str) -> Path:
    (found,) = path.glob(f"sessions/{slug}~*.vss")
    return found


def test_what_the_mirror_lacks_is_told_then_brought(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a", "b")
    told = run("mirror", "status", "--json")
    assert (told.code, told.json["missing"], told.json["key_slots"]) == (3, 2, "missing")
    assert not mirror.exists()
    synced = run("mirror", "sync", "--json")
    assert (synced.code, synced.json["replaced"], synced.json["failed"]) == (0, 2, [])
    told = run("mirror", "status", "--json")
    assert (told.code, told.json["level"], told.json["key_slots"]) == (0, True, "level")
    assert session(mirror, "a").read_bytes() == session(place.path, "a").read_bytes()


def test_appends_and_removals_are_brought(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a", "b")
    run("mirror", "sync")
    with place.open(mirror=None) as store:
        store.append("a", {"role": "user", "content": "more"})
        store.delete("b")
    assert run("mirror", "verify", "--json").code == 3
    synced = run("mirror", "sync", "--json").json
    assert (synced["appended"], synced["removed"]) == (1, 1)
    verified = run("mirror", "verify", "--json")
    assert (verified.code, verified.json["ok"], verified.json["problems"]) == (0, 1, [])


def test_a_damaged_session_of_the_mirror_is_found(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a", "b")
    run("mirror", "sync")
    data = bytearray(session(mirror, "a").read_bytes())
    data[150] ^= 1
    session(mirror, "a").write_bytes(data)
    told = run("mirror", "verify", "--json")
    assert (told.code, told.json["ok"], told.json["damaged"]) == (6, 1, 1)


def test_a_session_that_was_set_back_is_told(run: Run, place: Place, mirror: Path) -> None:
    """A mirror that gives an older state is authentic, and behind."""
    fill(place, "a")
    run("mirror", "sync")
    old = session(mirror, "a").read_bytes()
    with place.open(mirror=None) as store:
        store.append("a", {"role": "user", "content": "more"})
    run("mirror", "sync")
    shutil.rmtree(mirror / "locks")
    for index in mirror.glob("index.sqlite*"):
        index.unlink()
    session(mirror, "a").write_bytes(old)
    told = run("mirror", "verify", "--json")
    assert (told.code, told.json["behind"]) == (3, 1)


def test_a_lost_vault_is_restored(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a", "b", "c")
    run("mirror", "sync")
    kept = {path.name: path.read_bytes() for path in place.path.glob("sessions/*")}
    shutil.rmtree(place.path)
    assert run("mirror", "status").code == 10
    told = run("mirror", "restore", "--json")
    assert (told.code, told.json["restored"], told.json["ok"]) == (0, 3, 3)
    assert "cannot be proved" in told.err
    assert {path.name: path.read_bytes() for path in place.path.glob("sessions/*")} == kept
    assert run("show", "b").code == 0
    assert run("doctor").code == 0
    assert run("mirror", "status").code == 0
    with place.open(mirror=None) as store:
        store.append("a", {"role": "user", "content": "goes on"})
    assert run("mirror", "sync", "--json").json["appended"] == 1


def test_what_does_not_authenticate_is_left_out_of_a_restore(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a", "b", "c")
    run("mirror", "sync")
    a, b = session(mirror, "a"), session(mirror, "b")
    a.write_bytes(b.read_bytes())  # swapped
    data = bytearray(session(mirror, "c").read_bytes())
    data[-30] ^= 1
    session(mirror, "c").write_bytes(data)
    shutil.rmtree(place.path)
    told = run("mirror", "restore", "--json")
    assert (told.code, told.json["restored"], told.json["damaged"]) == (3, 1, 2)
    assert len(told.json["problems"]) == 2
    assert [path.name[:2] for path in place.path.glob("sessions/*.vss")] == ["b~"]


def test_an_interrupted_restore_goes_on(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a", "b")
    run("mirror", "sync")
    session(place.path, "a").unlink()
    for index in place.path.glob("index.sqlite*"):
        index.unlink()
    told = run("mirror", "restore", "--json")
    assert (told.code, told.json["restored"]) == (0, 2)
    assert run("show", "a").code == 0


def test_a_restore_never_replaces_what_is_newer(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a")
    run("mirror", "sync")
    with place.open(mirror=None) as store:
        store.append("a", {"role": "user", "content": "newer"})
        store.create("b")
        store.delete("b")
    before = session(place.path, "a").read_bytes()
    told = run("mirror", "restore", "--json")
    assert (told.code, told.json["behind"], told.json["restored"]) == (3, 1, 0)
    assert session(place.path, "a").read_bytes() == before


def test_a_restore_into_another_vault_is_refused(run: Run, place: Place, mirror: Path, tmp_path: Path) -> None:
    fill(place, "a")
    run("mirror", "sync")
    other = tmp_path / "other"
    vault_at(str(other)).create(RawKey.generate())
    told = run("mirror", "restore", "--vault", other)
    assert told.code == 5
    assert "another vault" in told.err
    assert not list(other.glob("sessions/*"))


def test_a_restore_needs_the_key(run: Run, place: Place, mirror: Path, tmp_path: Path) -> None:
    fill(place, "a")
    run("mirror", "sync")
    shutil.rmtree(place.path)
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text(RawKey.generate().text())
    assert run("mirror", "restore", "--key-file", wrong).code == 12
    assert not place.path.exists()


def test_a_forged_keyring_at_the_mirror_restores_nothing(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a")
    run("mirror", "sync")
    shutil.rmtree(place.path)
    for name in ("keyring", "keyring.bak"):
        data = bytearray((mirror / name).read_bytes())
        data[40] ^= 1
        (mirror / name).write_bytes(data)
    assert run("mirror", "restore").code == 6
    assert not (place.path / "vault.json").exists()


def test_a_mirror_that_was_not_named_is_a_usage_error(run: Run, place: Place) -> None:
    for command in ("status", "sync", "verify", "restore"):
        told = run("mirror", command)
        assert told.code == 2
        assert "VAULTSESSION_MIRROR" in told.err


def test_the_table_says_the_same(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a")
    assert "missing" in run("mirror", "status").out
    assert run("mirror", "sync").code == 0
    assert json.dumps("level") not in run("mirror", "status").out
    assert run("mirror", "verify").out.splitlines()[0].split("\t")[0] == "key"


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["sync", "status", "verify"])
def test_a_frozen_server_ends_a_command_with_an_error_that_names_it(run: Run, place: Place, verb: str) -> None:
    """How long it took is bounded by the timeout in the URL, asked once more; here by that of the test."""
    fill(place, "a")
    with redis_server(password="p4ssw0rd") as server:
        url = server.url_of(timeout=0.5)
        assert run("mirror", "sync", "--mirror", url).code == 0
        server.freeze()
        ended = run("mirror", verb, "--mirror", url)
        server.thaw()
    assert ended.code == 1
    assert "did not answer within 0.5 s" in ended.err
    assert "127.0.0.1" in ended.err
    assert "p4ssw0rd" not in ended.err + ended.out


def test_a_tombstone_that_the_keys_did_not_make_is_carried_nowhere(run: Run, place: Place, mirror: Path) -> None:
    fill(place, "a", "b")
    run("mirror", "sync")
    with place.open(mirror=None) as store:
        key = store._key("a")
        store._backend.commit(key, lambda _: Delete(Tombstone(key, 1 << 62, bytes(16))))
    synced = run("mirror", "sync", "--json")
    assert (synced.code, synced.json["removed"]) == (3, 0)
    (failed,) = synced.json["failed"]
    assert failed["key"] == key
    assert "not made with its keys" in failed["problem"]
    assert session(mirror, "a").exists()


def test_a_mirror_in_front_of_a_forged_keyring_restores_with_the_copy_that_is_authentic(
    run: Run, place: Place, mirror: Path
) -> None:
    fill(place, "a")
    run("mirror", "sync")
    shutil.rmtree(place.path)
    data = (mirror / "keyring").read_bytes()
    body = data[:8] + bytes([data[8] + 9]) + data[9:-16]
    (mirror / "keyring").write_bytes(body + hashlib.sha512(body).digest()[:16])
    assert run("mirror", "restore", "--json").json["restored"] == 1
    assert run("show", "a").code == 0


def test_dictionaries_come_back_with_the_sessions_that_take_them(run: Run, place: Place, mirror: Path) -> None:
    with place.open(mirror=None) as store:
        made = store._operations._reader.dictionaries.keep(shipped().content, 1_800_000_000_000_000)
        store.create("a", messages=[{"role": "user", "content": "of a dictionary " * 50}])
    run("mirror", "sync")
    told = run("mirror", "verify", "--json")
    assert (told.code, told.json["needs"]) == (0, [])
    shutil.rmtree(place.path)
    told = run("mirror", "restore", "--json")
    assert (told.code, told.json["restored"]) == (0, 1)
    assert [path.name for path in sorted(place.path.glob("dictionaries/*.vsd"))] == [f"{made.number}.vsd"]
    assert "of a dictionary" in run("show", "a").out


def test_a_dictionary_that_the_mirror_lost_is_said(run: Run, place: Place, mirror: Path) -> None:
    with place.open(mirror=None) as store:
        made = store._operations._reader.dictionaries.keep(shipped().content, 1_800_000_000_000_000)
    fill(place, "a")
    run("mirror", "sync")
    shutil.rmtree(mirror / "dictionaries")
    for verb in ("status", "verify"):
        told = run("mirror", verb, "--json")
        assert told.code == 3
        assert [need.split(":")[0] for need in told.json["needs"]] == [f"dictionary {made.number}"]
    assert f"dictionary {made.number}" in run("mirror", "verify").err


def test_a_mirror_of_a_vault_with_tenant_keys_says_what_a_restore_needs(
    run: Run, place: Place, mirror: Path, tmp_path: Path
) -> None:
    shutil.rmtree(place.path)
    with open_store(place.path, key=KeyFile(str(place.key_file)), tenant_keys=True, mirror=None) as store:
        store.create("a", tenant_id="acme", messages=[{"role": "user", "content": "of a tenant"}])
        store.create("b")
    run("mirror", "sync")
    for verb in ("status", "verify"):
        assert "the keys of 1 tenants" in run("mirror", verb).err
    shutil.copytree(place.path / "tenants", tmp_path / "kept")
    shutil.rmtree(place.path)
    told = run("mirror", "restore")
    assert told.code == 3
    assert "put tenants/ back" in told.err
    shutil.copytree(tmp_path / "kept", place.path / "tenants")
    told = run("mirror", "restore", "--json")
    assert (told.code, told.json["restored"], told.json["needs"]) == (0, 2, [])
    assert "of a tenant" in run("show", "a").out


@pytest.mark.parametrize("follows", [True, False], ids=["that follows", "that is synced afterwards"])
def test_a_mirror_follows_a_rotation_that_deleted_the_old_keys(
    run: Run, place: Place, mirror: Path, follows: bool
) -> None:
    """Sessions, a dictionary that they need and the keyring; of the old keys nothing is left at the mirror either."""
    with place.open(mirror=None) as store:
        learned(store)
        store.create("a", messages=SAID)
        store.create("gone")
    run("mirror", "sync")
    with place.open(mirror=str(mirror) if follows else None) as store:
        store.delete("gone")
        store.rotate_key()
        store.prune_keys()
        assert numbers(store, "a") - {32768}
    assert run("mirror", "sync").code == 0
    told = run("mirror", "verify", "--json")
    assert (told.code, told.json["needs"]) == (0, [])
    shutil.rmtree(place.path)
    assert run("mirror", "restore").code == 0
    with place.open(mirror=None) as store:
        assert store.load("a").messages == SAID
        assert not store.exists("gone")
        assert len(store.key_usage()) == 1


def test_a_dictionary_of_a_tenant_comes_back_with_its_keys(
    run: Run, place: Place, mirror: Path, tmp_path: Path
) -> None:
    shutil.rmtree(place.path)
    with open_store(place.path, key=KeyFile(str(place.key_file)), tenant_keys=True, mirror=None) as store:
        store.create("first", tenant_id="acme")
        learned(store, "acme")
        store.create("a", tenant_id="acme", messages=SAID)
        assert numbers(store, "a") - {32768}
    assert run("mirror", "sync").code == 0
    shutil.copytree(place.path / "tenants", tmp_path / "kept")
    shutil.rmtree(place.path)
    assert run("mirror", "restore").code == 3
    shutil.copytree(tmp_path / "kept", place.path / "tenants")
    told = run("mirror", "restore", "--json")
    assert (told.code, told.json["needs"]) == (0, [])
    with place.open(mirror=None) as store:
        assert store.load("a").messages == SAID


def test_a_mirror_whose_keyring_is_newer_keeps_what_the_vault_cannot_read(
    run: Run, place: Place, mirror: Path, tmp_path: Path
) -> None:
    """It was the vault while this one was away, and its keys were rotated."""
    fill(place, "a")
    run("mirror", "sync")
    with open_store(mirror, key=KeyFile(str(place.key_file)), mirror=None) as store:
        store.append("a", {"n": 1})
        store.rotate_key()
        store.prune_keys()
    before = session(mirror, "a").read_bytes()
    with place.open(mirror=None) as store:
        store.append("a", {"n": 2})
    assert run("mirror", "sync").code == 3
    assert session(mirror, "a").read_bytes() == before
