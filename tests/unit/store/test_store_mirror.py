"""A store with a mirror, through its public face; and what a mirror can be."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from mirror_lab import contents, eventually
from vaults import vault_at

from vaultsession import InvalidSetting, RawKey, SessionStore, Settings, open_store
from vaultsession.backends import FilesBackend
from vaultsession.store import mirror as mirrors
from vaultsession.store.mirror import refuse_same, shown
from vaultsession.util.disk import Disk
from vaultsession.vault.key_sources import KeySources

KEY = RawKey(bytes(range(32)))


def at(path: Path, **settings: object) -> SessionStore:
    return open_store(path, key=KEY, **settings)


def copies(store: SessionStore, mirror: Path) -> None:
    """Wait until the mirror holds what the vault holds."""
    eventually((mirror / "vault.json").exists)
    keyring = vault_at(str(mirror), Disk()).unlock([("the key", KEY)]).keyring
    assert keyring.vault_id == store._reader.keyring.vault_id
    primary = store._backend.primary
    eventually(lambda: files(mirror) == contents(primary))


def files(mirror: Path) -> dict[str, bytes]:
    """The containers that lie there, by locator; what is being put in place right now is none of them."""
    found = {}
    for path in (mirror / "sessions").glob("*.vss"):
        with contextlib.suppress(FileNotFoundError):
            found[path.stem[-32:]] = path.read_bytes()
    return found


def test_a_lost_vault_opens_at_its_mirror(tmp_path: Path) -> None:
    with at(tmp_path / "vault", mirror=str(tmp_path / "mirror")) as store:
        store.create("a", messages=[{"role": "user", "content": "hello"}])
        store.append("a", {"role": "assistant", "content": "hi"})
        store.create("b")
        store.delete("b")
        copies(store, tmp_path / "mirror")
        eventually(lambda: store.health()["mirror"] == "ok")
        assert store.health()["ok"]
        assert store.stats()["mirror_behind"] == 0
    with at(tmp_path / "mirror", create=False) as found:
        assert [message["content"] for message in found.messages("a")] == ["hello", "hi"]
        assert not found.exists("b")


def test_closing_waits_for_what_was_written_last(tmp_path: Path) -> None:
    with at(tmp_path / "vault", mirror=str(tmp_path / "mirror")) as store:
        store.create("a")
    with at(tmp_path / "mirror", create=False) as found:
        assert found.exists("a")


@pytest.mark.slow
def test_the_next_opening_finds_what_was_written_without_a_mirror(tmp_path: Path) -> None:
    with at(tmp_path / "vault") as store:
        for number in range(10):
            store.create(str(number))
    with at(tmp_path / "vault", mirror=str(tmp_path / "mirror")) as store:
        copies(store, tmp_path / "mirror")


def test_a_new_key_slot_reaches_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaultsession.backends.mirror.replicator.METADATA_SECONDS", 0.0)
    other = RawKey(bytes(range(1, 33)))
    with at(tmp_path / "vault", mirror=str(tmp_path / "mirror")) as store:
        store.create("a")
        copies(store, tmp_path / "mirror")
        directory = vault_at(str(tmp_path / "vault"), Disk())
        directory.add_slot(directory.unlock([("the key", KEY)]), other)
        store.append("a", {"role": "user", "content": "x"})
        eventually(lambda: len(vault_at(str(tmp_path / "mirror"), Disk()).slots()) == 2)
    with open_store(tmp_path / "mirror", key=other, create=False) as found:
        assert found.exists("a")


def test_the_keyring_is_there_before_a_session_under_a_new_key_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It followed every five seconds: a vault that was lost in between left sessions whose key nobody had."""
    monkeypatch.setattr("vaultsession.backends.mirror.replicator.METADATA_SECONDS", 3600.0)
    with at(tmp_path / "vault", mirror=str(tmp_path / "mirror")) as store:
        store.create("a")
        copies(store, tmp_path / "mirror")
        key = bytes.fromhex(store.rotate_key().key)
        (path,) = (tmp_path / "mirror/sessions").glob("a~*")
        eventually(lambda: path.read_bytes()[8:16] == key)
        unlocked = vault_at(str(tmp_path / "mirror"), Disk()).unlock([("the key", KEY)])
        assert unlocked.keyring.first.id == key


def test_a_mirror_that_cannot_be_reached_is_told_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with at(tmp_path / "vault", mirror=str(tmp_path / "file" / "mirror")) as store:
        store.create("a")
        eventually(lambda: store.health()["mirror"] != "ok" and "file" in store.health()["mirror"])
        assert store.load("a").id == "a"
        began = time.monotonic()
    assert time.monotonic() - began < 60


def test_another_vault_at_the_mirror_is_left_alone_and_makes_the_store_unwell(tmp_path: Path) -> None:
    with at(tmp_path / "other") as other:
        other.create("theirs")
    with at(tmp_path / "vault", mirror=str(tmp_path / "other")) as store:
        store.create("a")
        eventually(lambda: not store.health()["ok"])
        assert "another vault" in store.health()["mirror"]
    with at(tmp_path / "other", create=False) as other:
        assert [info.id for info in other.list()] == ["theirs"]


@pytest.mark.parametrize("mirror", ["vault", "vault/", "vault/inside", ".", "link"])
def test_a_mirror_in_the_vault_or_around_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.chdir(tmp_path)
    at(tmp_path / "vault").close()
    (tmp_path / "link").symlink_to(tmp_path / "vault")
    with pytest.raises(InvalidSetting, match="choose another place"):
        at(tmp_path / "vault", mirror=mirror)


@pytest.mark.parametrize("mirror", ["http://host/", "memory://", ""])
def test_what_no_vault_can_be_no_mirror_can(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(InvalidSetting):
        at(tmp_path / "vault", mirror=mirror)


def test_the_environment_names_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULTSESSION_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("VAULTSESSION_MIRROR_DRAIN", "10s")
    with at(tmp_path / "vault") as store:
        store.create("a")
        copies(store, tmp_path / "mirror")


def test_no_password_is_shown() -> None:
    url = "redis://user:secret@host:6380/3?ssl_password=secret"
    assert shown(url) == "redis://host:6380/3"
    assert "secret" not in repr(Settings(mirror=url))
    with pytest.raises(InvalidSetting) as told:
        refuse_same(url, url)
    assert "secret" not in str(told.value)


def test_a_vault_without_a_mirror_says_nothing_of_one(tmp_path: Path) -> None:
    with at(tmp_path / "vault") as store:
        assert "mirror" not in store.health()
        assert isinstance(store._backend, FilesBackend)


def test_without_its_extra_a_mirror_is_refused_before_a_vault_and_a_key_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_url: str) -> Any:
        raise InvalidSetting("pip install 'vaultsession[redis]'")

    monkeypatch.setattr(mirrors, "connector_of", refused)
    monkeypatch.chdir(tmp_path)
    sources = KeySources(environ={}, config=str(tmp_path / "config"), ask_os_keyring=False)
    with pytest.raises(InvalidSetting, match=r"vaultsession\[redis\]"):
        open_store(tmp_path / "vault", mirror="redis://127.0.0.1:1/0", sources=sources)
    assert os.listdir(tmp_path) == []
