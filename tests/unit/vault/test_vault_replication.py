"""The metadata of a vault, kept level at a second place: between directories and engines, in every pairing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dict_engine import DictEngine
from vaults import vault_at

from vaultsession import RawKey
from vaultsession.backends.replication import Outcome
from vaultsession.errors import Conflict, Damaged, DurabilityUnknown, VaultNotFound
from vaultsession.util.disk import Disk
from vaultsession.vault import Vault
from vaultsession.vault.engine_metadata import EngineMetadata
from vaultsession.vault.replication import follow_metadata, follow_tenants

KEY = RawKey(bytes(range(32)))
OTHER = RawKey(bytes(range(1, 33)))


Place = Callable[[str], Vault]


@pytest.fixture(params=["directory", "engine"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        return lambda name: vault_at(str(tmp_path / name), Disk())
    return lambda name: Vault(EngineMetadata(DictEngine()))  # type: ignore[arg-type]  # metadata is all that is asked of it


@pytest.fixture
def source(place: Place) -> Vault:
    return place("source")


@pytest.fixture(params=["directory", "engine"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    if request.param == "directory":
        return vault_at(str(tmp_path / "target"), Disk())
    return Vault(EngineMetadata(DictEngine()))  # type: ignore[arg-type]  # as above


def test_a_copy_opens_with_the_same_key(source: Vault, target: Vault) -> None:
    made = source.create(KEY, now=7)
    assert follow_metadata(source, target) is Outcome.REPLACED
    assert target.unlock([("the key", KEY)]).keyring == made.keyring
    assert target.metadata() == source.metadata()
    assert follow_metadata(source, target) is Outcome.CURRENT


def test_a_change_of_the_key_slots_follows(source: Vault, target: Vault) -> None:
    made = source.create(KEY, now=7)
    follow_metadata(source, target)
    source.add_slot(made, OTHER)
    assert follow_metadata(source, target) is Outcome.REPLACED
    opened = target.unlock([("the other", OTHER)])
    assert opened.findings == ()
    assert opened.keyring == made.keyring


def test_a_newer_copy_is_left(source: Vault, target: Vault) -> None:
    source.create(KEY, now=7)
    follow_metadata(source, target)
    target.add_slot(target.unlock([("the key", KEY)]), OTHER)
    assert follow_metadata(source, target) is Outcome.AHEAD
    assert len(target.slots()) == 2


def test_copies_that_were_changed_apart_are_left(source: Vault, target: Vault) -> None:
    made = source.create(KEY, now=7)
    follow_metadata(source, target)
    target.add_slot(target.unlock([("the key", KEY)]), OTHER)
    source.add_slot(made, OTHER)
    assert follow_metadata(source, target) is Outcome.AHEAD
    assert target.metadata() != source.metadata()


def test_another_vault_is_never_overwritten(source: Vault, target: Vault) -> None:
    source.create(KEY, now=7)
    target.create(OTHER, now=8)
    before = target.metadata()
    with pytest.raises(Conflict, match="holds another vault"):
        follow_metadata(source, target)
    assert target.metadata() == before


def test_without_metadata_there_is_nothing_to_follow(source: Vault, target: Vault) -> None:
    with pytest.raises(VaultNotFound):
        follow_metadata(source, target)
    assert not target.exists()


def test_metadata_are_put_only_in_the_place_of_those_expected(source: Vault, target: Vault) -> None:
    made = source.create(KEY, now=7)
    first = source.metadata()
    assert target.put_metadata(first, None)
    assert not target.put_metadata(first, None)
    source.add_slot(made, OTHER)
    assert not target.put_metadata(source.metadata(), source.metadata())
    assert target.metadata() == first
    assert target.put_metadata(source.metadata(), first)


def test_metadata_that_are_none_are_refused(source: Vault, tmp_path: Path) -> None:
    source.create(KEY, now=7)
    value = source.metadata()
    directory = vault_at(str(tmp_path / "new"), Disk())
    for wrong in (b"", b"\n", value[:-1], value[:200], b"x" + value, value.replace(b'"version":1', b'"version":2')):
        with pytest.raises((Damaged, Exception)) as told:
            directory.put_metadata(wrong, None)
        assert type(told.value).__name__ in ("Damaged", "UnsupportedFormat")
        assert not directory.exists()


def test_a_place_that_changes_whenever_one_looks_is_given_up(source: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    source.create(KEY, now=7)
    target = Vault(EngineMetadata(DictEngine()))  # type: ignore[arg-type]  # as above
    monkeypatch.setattr(DictEngine, "put_metadata", lambda *_: False)
    with pytest.raises(DurabilityUnknown, match="try again"):
        follow_metadata(source, target)


def test_a_damaged_copy_at_the_target_is_set_aside_and_mended(tmp_path: Path) -> None:
    source, target = (vault_at(str(tmp_path / name), Disk()) for name in ("source", "target"))
    made = source.create(KEY, now=7)
    follow_metadata(source, target)
    (tmp_path / "target" / "keyring.bak").write_bytes(b"rubbish")
    source.add_slot(made, OTHER)
    assert follow_metadata(source, target) is Outcome.REPLACED
    assert (tmp_path / "target" / "keyring").read_bytes() == (tmp_path / "target" / "keyring.bak").read_bytes()
    assert [path.read_bytes() for path in (tmp_path / "target").glob("quarantine/*.damaged")] == [b"rubbish"]


def test_a_directory_with_something_else_in_it_is_refused(source: Vault, tmp_path: Path) -> None:
    source.create(KEY, now=7)
    (tmp_path / "full").mkdir(mode=0o700)
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(VaultNotFound, match="not empty"):
        follow_metadata(source, vault_at(str(tmp_path / "full"), Disk()))


def test_dictionaries_follow_and_the_keys_of_tenants_do_not(source: Vault, target: Vault) -> None:
    source.create(KEY, now=7, tenant_keys=True)
    follow_metadata(source, target)
    source.add_dictionary(70_000, b"sealed")
    source.put_tenant("00" * 5, b"keys", None)
    assert follow_metadata(source, target) is Outcome.CURRENT
    assert list(target.dictionaries()) == [70_000]
    assert target.dictionary(70_000)[0] == b"sealed"
    assert target.tenant("00" * 5) is None
    assert follow_metadata(source, target) is Outcome.CURRENT


def test_the_keys_of_tenants_follow_where_a_vault_moves(source: Vault, target: Vault) -> None:
    source.create(KEY, now=7, tenant_keys=True)
    follow_metadata(source, target)
    assert list(source.tenants()) == []
    for name in ("aa" * 5, "bb" * 5):
        assert source.put_tenant(name, b"keys of " + name.encode(), None)
    follow_tenants(source, target)
    assert sorted(target.tenants()) == ["aa" * 5, "bb" * 5]
    assert source.put_tenant("aa" * 5, b"destroyed", source.tenant("aa" * 5))
    follow_tenants(source, target)
    assert target.tenant("aa" * 5) == b"destroyed"
    assert target.tenant("bb" * 5) == source.tenant("bb" * 5)


@pytest.mark.parametrize("name", ["../../outside", "..", "aa/bb", "AA" * 5, "a\u0661" * 5, "aa" * 4, ""])
def test_a_name_that_no_tenants_file_has_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    target = vault_at(str(tmp_path / "target"), Disk())
    target.create(KEY, tenant_keys=True)
    for verb in (lambda: target.tenant(name), lambda: target.put_tenant(name, b"planted", None)):
        with pytest.raises(Damaged, match="is no name of a value"):
            verb()
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]


@pytest.mark.parametrize("listed", [b"../../outside\n", b"aa", b"aa bb\n", b"\xff\n"])
def test_a_list_of_tenants_that_is_none_is_damaged_and_nothing_follows(tmp_path: Path, listed: bytes) -> None:
    engine = DictEngine()
    source = Vault(EngineMetadata(engine))  # type: ignore[arg-type]  # as above
    target = vault_at(str(tmp_path / "target"), Disk())
    source.create(KEY, tenant_keys=True)
    follow_metadata(source, target)
    engine.kept |= {"tenants": listed, "tenant/../../outside": b"planted"}
    with pytest.raises(Damaged, match="list of the vault's tenants"):
        follow_tenants(source, target)
    assert list(tmp_path.iterdir()) == [tmp_path / "target"]
