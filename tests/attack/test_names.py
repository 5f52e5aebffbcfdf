"""Names that a storage gives: of tenants, dictionaries and sessions. Each is parsed where it enters and where it leads.

Once a list in a database that somebody sent was joined into a path: moving that vault into a directory replaced files
outside of it, before any session was opened, and with exit code 0.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from dict_engine import DictEngine
from redis_lab import Place

from vaultsession import RawKey, open_store
from vaultsession.admin.migrate import migrate
from vaultsession.backends import FilesBackend
from vaultsession.backends.redis.layout import RedisLayout
from vaultsession.errors import Damaged, VaultError
from vaultsession.format.keys import Keyring
from vaultsession.format.sealed import Delete, Query, Tombstone
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk
from vaultsession.vault.directory import VaultDirectory
from vaultsession.vault.engine_metadata import EngineMetadata
from vaultsession.vault.location import VaultLocation
from vaultsession.vault.metadata import DICTIONARY, TENANT, check_name, parse_list

KEY = RawKey(bytes(range(32)))
TENANTS = b"0a1b2c3d4e\n"
HOSTILE = [
    b"../../.bashrc\n",
    b"..\n",
    b"/etc/cron.d/x\n",
    b"0a1b2c3d4e/..\n",
    b"0a1b2c3d4e\0\n",
    b"0A1B2C3D4E\n",
    b"\xff\xfe\n",
    b"\xef\xbc\x90a1b2c3d4e\n",
    b"0a1b2c3d4e",
    b"0a1b2c3d4e\r\n",
    b"\n",
]


@pytest.mark.parametrize("listed", HOSTILE)
def test_a_list_with_a_name_of_another_form_is_none(listed: bytes) -> None:
    for prefix in (TENANT, DICTIONARY):
        assert parse_list(prefix, listed) is None
    assert parse_list(TENANT, TENANTS + listed) is None
    assert parse_list(TENANT, TENANTS) == ("tenant/0a1b2c3d4e",)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "vault.json",
        "tenant/",
        "tenant/../../.bashrc",
        "tenant/0a1b2c3d4e/",
        "tenant/0a1b2c3d4e\n",
        "tenant/\udcff",
        "dictionary-",
        "dictionary-../70000",
        "dictionary-070000",
        "dictionary-7000\u0660",
        "dictionary-10000000000",
        "0a1b2c3d4e",
    ],
)
def test_what_is_no_name_becomes_no_path_and_no_key(name: str, tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="no name"):
        check_name(name)
    (tmp_path / "vault").mkdir(mode=0o700)
    engine = DictEngine()
    stores: list[Any] = [EngineMetadata(engine), VaultDirectory(str(tmp_path / "vault"))]
    for store in stores:
        for verb in (lambda store=store: store.read(name), lambda store=store: store.put_if(name, b"planted", ())):
            with pytest.raises(VaultError):
                verb()
    assert engine.kept == {}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_list_is_bounded() -> None:
    numbers = b"".join(b"%d\n" % (70000 + n) for n in range(200))
    assert parse_list(DICTIONARY, numbers) is None
    assert len(parse_list(DICTIONARY, numbers[: 6 * 64]) or ()) == 64


def test_a_directory_with_more_dictionaries_than_a_vault_has_is_damaged_and_opens(tmp_path: Path) -> None:
    with open_store(tmp_path / "vault", key=KEY, durability="os") as store:
        store.create("a")
    (tmp_path / "vault" / "dictionaries").mkdir(mode=0o700)
    for number in range(200):
        (tmp_path / "vault" / "dictionaries" / f"{70000 + number}.vsd").touch(0o600)
    with pytest.raises(Damaged, match="more than a vault has"):
        VaultDirectory(str(tmp_path / "vault")).names(DICTIONARY)
    with open_store(tmp_path / "vault", key=KEY, durability="os") as store:
        store.append("a", {"role": "user", "content": "goes on"})
        assert len(store.load("a").messages) == 1


@pytest.mark.slow
def test_a_database_that_somebody_sent_names_no_path(tmp_path: Path) -> None:
    outside = tmp_path / "home"
    outside.mkdir()
    (outside / ".bashrc").write_text("mine")
    database = tmp_path / "sent.db"
    with open_store(f"sqlite:///{database}", key=KEY, tenant_keys=True) as store:
        store.create("a", tenant_id="acme")
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE vaultsession_metadata SET data = ? WHERE name = ?", (b"../../.bashrc\n", b"tenants"))
        connection.execute(
            "INSERT INTO vaultsession_metadata (name, data) VALUES (?, ?)", (b"tenant/../../.bashrc", b"theirs")
        )
    connection.close()
    source = VaultLocation.at(f"sqlite:///{database}", Disk())
    target = VaultLocation.at(str(outside / "vaults" / "mine"), Disk())
    for unlocked in (None, source.vault.unlock([("key", KEY)])):
        with pytest.raises(Damaged, match="list of the vault's tenants"):
            migrate(source, target, unlocked)
    assert (outside / ".bashrc").read_text() == "mine"
    assert sorted(path.name for path in outside.iterdir()) == [".bashrc", "vaults"]


@pytest.mark.parametrize("value", ["text", 7, 1.5])
def test_a_value_of_another_type_is_damaged_and_no_type_error(value: object, tmp_path: Path) -> None:
    database = tmp_path / "sent.db"
    with open_store(f"sqlite:///{database}", key=KEY):
        pass
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE vaultsession_metadata SET data = ? WHERE name = ?", (value, b"vault"))
    connection.close()
    with pytest.raises(VaultError):
        open_store(f"sqlite:///{database}", key=KEY, create=False)


# -- sessions ----------------------------------------------------------------------------------------------------------

LOCATOR = "0" * 32


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"app:{0}:c:%s" % LOCATOR.encode(), "n"),
        (b"app:{1}:n:%s" % LOCATOR.encode(), "n"),
        (b"app:{00}:n:%s" % LOCATOR.encode(), "n"),
        (b"app:{0}x:n:%s" % LOCATOR.encode(), "n"),
        (b"apq:{0}:n:%s" % LOCATOR.encode(), "n"),
        (b"app:{0}:n:%s\n" % LOCATOR.encode(), "n"),
        (b"app:{0}:n:alice~%s" % LOCATOR.encode(), "n"),
        (b"app:{0}:n:\xff%s" % LOCATOR.encode()[1:], "n"),
        (b"app:{0}:tag:%s" % b"0" * 31, "tag"),
        (b"\xff" * 4000, "n"),
        (b"", "n"),
    ],
)
def test_a_key_of_a_redis_that_is_none_of_ours_is_none(name: bytes, kind: str) -> None:
    layout = RedisLayout("app", 1)
    assert layout.parse(name, kind) is None
    assert layout.parse(f"app:{{0}}:n:{LOCATOR}".encode(), "n") == ("app:{0}:", LOCATOR.encode())


@pytest.mark.slow
def test_foreign_keys_beside_those_of_a_vault_are_left_alone(place: Place) -> None:
    with open_store(place.url, key=KEY) as store:
        store.create("a", user_id="alice")
        store.create("b")
        store.delete("b")
        foreign = [
            f"{place.prefix}:{{0}}:{kind}:".encode() + end
            for kind in ("n", "c", "tag")
            for end in (b"\xff" * 32, b"../../x", b"0" * 31, b"")
        ]
        for name in foreign:
            place.bare.set(name, b"theirs")
        store.reindex()
        assert [info.id for info in store.list(user_id="alice")] == ["a"]
        assert len(list(store._backend.tombstones())) == 1
        assert [place.bare.get(name) for name in foreign] == [b"theirs"] * len(foreign)


@pytest.fixture
def files(tmp_path: Path) -> Any:
    (tmp_path / "vault").mkdir(mode=0o700)
    scribe = Sealer(Keyring.generate())
    backend = FilesBackend(str(tmp_path / "vault"), disk=Disk(), describe=scribe.describe, durability="os")
    yield backend, scribe
    backend.close()


@pytest.mark.parametrize("generation", [-1, 1 << 63, (1 << 64) - 1, 1 << 80])
def test_a_tombstone_of_a_generation_that_none_has_removes_nothing(files: Any, generation: int) -> None:
    """It once sent the index into one rebuild after the other, since it could not hold it."""
    backend, scribe = files
    key = scribe.key("a")
    backend.commit(key, scribe.create(key, "hello"))
    backend.count(Query())
    inode = backend._index._reader.inode
    with pytest.raises(Damaged, match="generation"):
        backend.commit(key, lambda _: Delete(Tombstone(key, generation, bytes(16))))
    assert scribe.texts(backend, key) == ["hello"]
    assert backend.count(Query()) == 1
    assert backend._index._reader.inode == inode
    assert list(backend.tombstones()) == []
    assert not scribe.reader.rows.is_genuine(Tombstone(key, generation, bytes(16)))


def test_the_name_in_a_row_of_an_index_becomes_no_path(files: Any, tmp_path: Path) -> None:
    """A slug is not authenticated: what it names must have the form of a session's file, and the locator."""
    backend, scribe = files
    key = scribe.key("a")
    backend.commit(key, scribe.create(key, "hello"))
    outside = tmp_path / f"outside~{key[-32:]}.vss"
    outside.write_bytes((tmp_path / "vault" / "sessions" / f"{key}.vss").read_bytes())
    backend.count(Query())
    for name in (f"../../outside~{key[-32:]}", f"{key[-32:]}\0", "x" * 41 + f"~{key[-32:]}"):
        connection = sqlite3.connect(tmp_path / "vault" / "index.sqlite")
        with connection:
            connection.execute("UPDATE sessions SET key = ?", (name,))
        connection.close()
        assert [row.key for row in backend.scan(Query())] == [key]
        assert scribe.texts(backend, key) == ["hello"]
    assert outside.exists()
