"""Opening: paths and URLs, settings and where they come from, keys, and vaults that are not what they should be."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import os
import re
import stat
import uuid
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vaultsession import (
    AsyncSessionStore,
    BackendUnavailable,
    InvalidSetting,
    KeyUnavailable,
    Passphrase,
    RawKey,
    SessionStore,
    Settings,
    VaultNotFound,
    WrongKey,
    open_store,
    open_store_async,
)
from vaultsession.testing import ManualClock, SeededIds
from vaultsession.util.disk import Disk
from vaultsession.vault.key_sources import KeySources

VARIABLES = [name for name in os.environ if name.startswith("VAULTSESSION_")]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting, key or directory of the user who runs the tests."""
    for name in VARIABLES:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))


@pytest.fixture
def sources() -> KeySources:
    return KeySources(ask_os_keyring=False)


def test_a_vault_is_made_on_first_use_and_opened_on_the_second(tmp_path: Path, vault_key: RawKey) -> None:
    with open_store(tmp_path / "vault", key=vault_key) as store:
        store.create("a", state={"x": 1})
    with open_store(tmp_path / "vault", key=vault_key, create=False) as store:
        assert store.load("a").state == {"x": 1}
    assert stat.S_IMODE((tmp_path / "vault").stat().st_mode) == 0o700


class Reads(Disk):
    """Counts how often each file is opened, by its name."""

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:  # type: ignore[override]  # as os.open, bound
        self.opened[os.path.basename(path)] += 1
        return os.open(path, flags, mode)


def test_an_opening_reads_each_paper_of_the_vault_once(tmp_path: Path, vault_key: RawKey) -> None:
    open_store(tmp_path / "vault", key=vault_key).close()
    disk = Reads()
    with open_store(tmp_path / "vault", key=vault_key, disk=disk) as store:
        store.create("a")
        assert [disk.opened[name] for name in ("vault.json", "keyring", "keyring.bak")] == [1, 1, 1]


def test_who_made_a_vault_need_not_read_what_it_has_just_written(tmp_path: Path, vault_key: RawKey) -> None:
    disk = Reads()
    with open_store(tmp_path / "vault", key=vault_key, disk=disk) as store:
        store.create("a")
        assert [disk.opened[name] for name in ("vault.json", "keyring", "keyring.bak")] == [0, 1, 1], "to be written"


def test_who_made_a_vault_sees_a_change_of_its_keys_by_whoever_waited_for_the_lock(
    tmp_path: Path, vault_key: RawKey
) -> None:
    """What is known of the metadata was looked at under the lock. A look behind it would see the change as its own."""
    rotated: list[str] = []

    class Hurried(Disk):
        def flock(self, fd: int, operation: int) -> None:  # type: ignore[override]  # as fcntl.flock, bound
            fcntl.flock(fd, operation)
            if operation == fcntl.LOCK_UN and not rotated:
                rotated.append("")
                with open_store(tmp_path / "vault", key=vault_key) as other:
                    rotated[0] = other.rotate_key().key

    with open_store(tmp_path / "vault", key=vault_key, disk=Hurried()) as store:
        store.create("a")
        assert [use.id for use in store.key_usage() if use.sessions] == rotated


@pytest.mark.parametrize("spelled", ["bytes", "hex", "raw key"])
def test_a_key_may_be_spelled_in_several_ways(tmp_path: Path, vault_key: RawKey, spelled: str) -> None:
    keys: dict[str, Any] = {"bytes": vault_key.secret, "hex": vault_key.text(), "raw key": vault_key}
    open_store(tmp_path / "vault", key=vault_key).close()
    open_store(tmp_path / "vault", key=keys[spelled], create=False).close()


def test_a_path_may_be_a_url_or_lie_in_the_home(tmp_path: Path, vault_key: RawKey) -> None:
    with open_store("~/my vault", key=vault_key) as store:
        store.create("a")
    with open_store((tmp_path / "home" / "my vault").as_uri(), key=vault_key, create=False) as store:
        assert store.exists("a")
        assert store.health()["where"] == str(tmp_path / "home" / "my vault")


@pytest.mark.parametrize(
    "url",
    ["http://x/y", "file://otherhost/x", "file://", "://x", "ftp://", "oracle://h/x"],
)
def test_what_cannot_be_opened_is_refused_before_anything_is_made(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidSetting, match="cannot open"):
        open_store(url)
    assert os.listdir(tmp_path / "home") == []


def test_a_password_in_a_url_is_not_repeated() -> None:
    for url in ("redis://user:hunter2@127.0.0.1:1/0", "redis://user:hunter2@127.0.0.1/0?option=unknown"):
        with pytest.raises((InvalidSetting, BackendUnavailable)) as raised:
            open_store(url)
        assert "hunter2" not in str(raised.value)


def test_memory_is_a_store_of_its_own_each_time() -> None:
    with open_store("memory://") as one, open_store("memory://") as other:
        one.create("a")
        assert not other.exists("a")


def test_a_memory_store_may_be_bounded() -> None:
    with open_store("memory://", max_sessions=3) as store:
        for number in range(5):
            store.create(f"s{number}")
            store.load("s0")
        assert store.count() == 3
        assert store.exists("s0")
        assert store.exists("s4")
        assert not store.exists("s1")


def test_without_a_path_the_environment_says_where_else_the_platform(
    tmp_path: Path, vault_key: RawKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(key=vault_key) as store:
        assert store.health()["where"] == str(tmp_path / "home" / "data" / "vaultsession")
    monkeypatch.setenv("VAULTSESSION_PATH", str(tmp_path / "elsewhere"))
    with open_store(key=vault_key) as store:
        assert store.health()["where"] == str(tmp_path / "elsewhere")


def test_there_is_no_vault_where_none_may_be_made(tmp_path: Path, vault_key: RawKey) -> None:
    with pytest.raises(VaultNotFound, match="there is no vault at"):
        open_store(tmp_path / "vault", key=vault_key, create=False)
    assert not (tmp_path / "vault").exists()


@pytest.mark.parametrize("what", ["file", "full directory"])
def test_something_else_is_not_taken_for_a_vault(tmp_path: Path, vault_key: RawKey, what: str) -> None:
    place = tmp_path / "place"
    if what == "file":
        place.write_text("mine")
    else:
        place.mkdir(0o700)
        (place / "diary.txt").write_text("mine")
    with pytest.raises(VaultNotFound):
        open_store(place, key=vault_key)
    assert (place if what == "file" else place / "diary.txt").read_text() == "mine"


def test_another_key_opens_nothing(tmp_path: Path, vault_key: RawKey) -> None:
    open_store(tmp_path / "vault", key=vault_key).close()
    with pytest.raises(WrongKey):
        open_store(tmp_path / "vault", key=RawKey.generate())
    with open_store(tmp_path / "vault", key=vault_key) as store:
        assert store.count() == 0


def test_a_password_is_not_taken_for_a_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="passphrase"):
        open_store(tmp_path / "vault", key="correct horse battery staple")
    assert not (tmp_path / "vault" / "vault.json").exists()


def test_a_passphrase_opens_its_vault(tmp_path: Path) -> None:
    with open_store(tmp_path / "vault", key=Passphrase("correct horse")) as store:
        store.create("a")
    with open_store(tmp_path / "vault", key=Passphrase("correct horse")) as store:
        assert store.exists("a")
    with pytest.raises(WrongKey):
        open_store(tmp_path / "vault", key=Passphrase("correct house"))


def test_a_key_is_made_and_found_again_beside_no_data(tmp_path: Path, sources: KeySources) -> None:
    with open_store(tmp_path / "vault", sources=sources) as store:
        store.create("a")
        told = store.health()["key"]
    (file,) = (tmp_path / "home" / "config").rglob("*.key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.name in told
    with open_store(tmp_path / "vault", sources=sources) as store:
        assert store.exists("a")
    file.unlink()
    with pytest.raises(KeyUnavailable) as raised:
        open_store(tmp_path / "vault", sources=sources)
    assert len(raised.value.tried) >= 4


def test_the_environment_holds_a_key(tmp_path: Path, vault_key: RawKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULTSESSION_KEY", vault_key.text())
    with open_store(tmp_path / "vault") as store:
        assert "VAULTSESSION_KEY" in store.health()["key"]
    monkeypatch.delenv("VAULTSESSION_KEY")
    open_store(tmp_path / "vault", key=vault_key, create=False).close()


# -- settings ----------------------------------------------------------------------------------------------------------


def test_an_argument_stands_above_the_environment_above_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULTSESSION_TTL", "1h")
    monkeypatch.setenv("VAULTSESSION_MAX_MESSAGES", "3")
    with open_store("memory://", max_messages=5) as store:
        session = store.create("a")
        assert (session.ttl, session.max_messages, session.sliding) == (timedelta(hours=1), 5, False)


def test_settings_given_whole_ask_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULTSESSION_TTL", "1h")
    with open_store("memory://", settings=Settings(sliding=True), max_messages=2) as store:
        session = store.create("a")
        assert (session.ttl, session.sliding, session.max_messages) == (None, True, 2)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("SLIDING", "yes", "sliding", True),
        ("SLIDING", "0", "sliding", False),
        ("PADDING", "TRUE", "padding", True),
        ("LEVEL", "1", "level", 1),
        ("CACHE_BYTES", "0", "cache_bytes", 0),
        ("MAX_SESSIONS", "7", "max_sessions", 7),
        ("DURABILITY", "os", "durability", "os"),
        ("NAMES", "private", "names", "private"),
        ("SUITE", "chacha20-poly1305", "suite", "chacha20-poly1305"),
        ("COMPRESSION", "none", "compression", "none"),
        ("SWEEP_INTERVAL", "5m", "sweep_interval", "5m"),
        ("TTL", "90", "ttl", "90"),
        ("TTL", "", "ttl", None),
    ],
)
def test_the_environment_spells_settings(variable: str, text: str, field: str, value: object) -> None:
    settings = Settings.from_environment({f"VAULTSESSION_{variable}": text})
    assert getattr(settings, field) == value
    assert dataclasses.replace(settings, **{field: getattr(Settings(), field)}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SLIDING", "maybe"),
        ("LEVEL", "high"),
        ("LEVEL", "19"),
        ("CACHE_BYTES", "64 MiB"),
        ("MAX_MESSAGES", "0"),
        ("TTL", "soon"),
        ("DURABILITY", "never"),
        ("SUITE", "rot13"),
        ("SWEEP_INTERVAL", "-1s"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(variable: str, text: str) -> None:
    with pytest.raises(InvalidSetting):
        Settings.from_environment({f"VAULTSESSION_{variable}": text})


@pytest.mark.parametrize(
    "wrong",
    [
        {"sliding": 1},
        {"sliding": None},
        {"level": 0},
        {"level": True},
        {"level": 2.0},
        {"max_messages": 0},
        {"max_messages": 2.5},
        {"max_sessions": True},
        {"cache_bytes": -1},
        {"cache_bytes": None},
        {"ttl": 0},
        {"ttl": "soon"},
        {"compression": "gzip"},
        {"names": "secret"},
        {"durability": None},
        {"allow_network": "yes"},
        {"no_such_setting": 1},
    ],
    ids=str,
)
def test_an_override_that_cannot_be_is_refused_and_nothing_is_made(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidSetting):
        open_store(tmp_path / "vault", key=RawKey.generate(), **wrong)
    with pytest.raises(InvalidSetting):
        open_store(tmp_path / "vault", key=RawKey.generate(), settings=Settings(), **wrong)
    assert not (tmp_path / "vault").exists()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().ttl = 5  # type: ignore[misc]  # that it is refused is the point


def test_every_setting_is_documented() -> None:
    for field in dataclasses.fields(Settings):
        assert re.search(rf"(?m)^ *{field.name} ", Settings.__doc__ or "")


@pytest.mark.parametrize("suite", ["aes-256-gcm", "chacha20-poly1305", "aes-256-gcm-siv"])
@pytest.mark.parametrize(("padding", "compression"), [(True, "zstd"), (False, "none")])
def test_stores_of_every_make_open_one_anothers_sessions(
    open_files: Any, suite: str, padding: bool, compression: str
) -> None:
    document = {"state": {"x": "y" * 5000}, "messages": [{"n": number} for number in range(50)]}
    first = open_files(suite=suite, padding=padding, compression=compression)
    first.create("a", **document)
    second = open_files(level=1)
    assert second.load("a").state == document["state"]
    second.append("a", {"n": 50})  # sealed in another way from here on
    third = open_files(suite=suite, padding=padding, compression=compression, cache_bytes=0)
    assert third.load("a").messages == [{"n": number} for number in range(51)]
    third.append("a", {"n": 51})
    assert first.messages("a", last=2) == [{"n": 50}, {"n": 51}]


@pytest.mark.parametrize(("names", "shown"), [("readable", True), ("private", False)])
def test_private_names_show_no_id(open_files: Any, tmp_path: Path, names: str, shown: bool) -> None:
    store = open_files(names=names)
    store.create("alices-secret-project")
    (file,) = os.listdir(tmp_path / "vault" / "sessions")
    assert ("alice" in file) is shown


def test_a_store_is_opened_for_asyncio(tmp_path: Path, vault_key: RawKey) -> None:
    async def use() -> dict[str, Any]:
        async with await open_store_async(tmp_path / "vault", key=vault_key, ttl="1h") as store:
            assert isinstance(store, AsyncSessionStore)
            await store.create("a", state={"x": 1})
            found: dict[str, Any] = (await store.load("a")).state
            return found

    assert asyncio.run(use()) == {"x": 1}


def test_an_opening_that_fails_leaves_no_thread(tmp_path: Path, vault_key: RawKey) -> None:
    async def use() -> None:
        with pytest.raises(VaultNotFound):
            await open_store_async(tmp_path / "vault", key=vault_key, create=False)

    asyncio.run(use())


def test_the_vault_holds_nothing_that_was_said(open_files: Any, tmp_path: Path) -> None:
    store: SessionStore = open_files()
    store.create(
        "an-id",
        user_id="alice-owner",
        title="a title of mine",
        labels={"labelname": "labelvalue"},
        state={"language": "hunter2"},
    )
    store.append("an-id", {"role": "user", "content": "attack at dawn"})
    store.list()
    store.close()
    said = [b"alice-owner", b"title of mine", b"labelname", b"labelvalue", b"hunter2", b"attack at dawn", b"language"]
    for path in (tmp_path / "vault").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert [word for word in said if word in data] == [], path


def test_ids_of_a_test_are_the_same_in_every_run() -> None:
    def made() -> list[str]:
        with open_store("memory://", clock=ManualClock(), new_id=SeededIds(7)) as store:
            return [store.create().id, store.create().id, store.copy(store.create("a").id).id]

    assert made() == made()
    assert len(set(made())) == 3
    assert all(uuid.UUID(name).version == 7 for name in made())
