"""The metadata of a vault, of both kinds: what changes is seen at once, and a tenant's keys are compared and swapped."""

from __future__ import annotations

import os
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dict_engine import DictEngine
from vaults import vault_at

from vaultsession import RawKey
from vaultsession.errors import BackendUnavailable, RollbackDetected, UnknownKey
from vaultsession.format.keys import MasterKey
from vaultsession.vault import Vault
from vaultsession.vault.engine_metadata import EngineMetadata
from vaultsession.vault.key_store import VaultKeyStore
from vaultsession.vault.live_keyring import LiveKeyring
from vaultsession.vault.tenant_keys import LARGEST_FILE

KEY = RawKey(bytes(range(32)))


@pytest.fixture(params=["directory", "engine"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    made: Any = (
        vault_at(str(tmp_path / "vault")) if request.param == "directory" else Vault(EngineMetadata(DictEngine()))
    )
    made.create(KEY, tenant_keys=True)
    return made  # type: ignore[no-any-return]  # of two kinds


def opened(vault: Vault) -> LiveKeyring:
    found = vault.unlock([("it", KEY)])
    return LiveKeyring(found.keyring, VaultKeyStore(vault, found))


def test_a_vault_remembers_whether_tenants_have_keys(vault: Vault) -> None:
    assert vault.unlock([("it", KEY)]).keyring.tenant_keys


def test_the_stamp_differs_behind_every_change(vault: Vault) -> None:
    keys, etags = opened(vault), [vault.etag()]
    assert vault.etag() == etags[0]
    for _ in range(5):
        keys.change(lambda masters: (MasterKey.generate(), *masters))
        etags.append(vault.etag())
    keys.sealing("acme")
    assert vault.etag() == etags[-1]
    keys.destroy("acme")
    etags.append(vault.etag())
    assert all(one != next_ for one, next_ in pairwise(etags))


def test_what_one_changes_another_sees(vault: Vault) -> None:
    one, other = opened(vault), opened(vault)
    one.refresh()
    fresh = other.change(lambda masters: (MasterKey.generate(), *masters)).first
    one.refresh()
    assert one.current.first == fresh
    key = other.sealing("acme")
    assert one.master(key.id) == key
    assert opened(vault).sealing("acme") == key
    one.destroy("acme")
    other.refresh()
    with pytest.raises(UnknownKey, match="destroyed"):
        other.master(key.id)


def test_a_tenants_keys_are_compared_and_swapped(vault: Vault) -> None:
    assert vault.tenant("0a1b2c3d4e") is None
    assert vault.put_tenant("0a1b2c3d4e", b"first", None)
    assert not vault.put_tenant("0a1b2c3d4e", b"second", None)
    assert not vault.put_tenant("0a1b2c3d4e", b"second", b"other")
    assert vault.tenant("0a1b2c3d4e") == b"first"
    assert vault.put_tenant("0a1b2c3d4e", b"second", b"first")
    assert vault.tenant("0a1b2c3d4e") == b"second"


def test_many_that_make_the_key_of_a_tenant_at_once_get_the_same(vault: Vault) -> None:
    start, found = threading.Barrier(6), []

    def ask() -> None:
        keys = opened(vault)
        start.wait(30)
        found.append(keys.sealing("acme").secret)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_keyring_that_was_set_back_is_refused(tmp_path: Path) -> None:
    vault = vault_at(str(tmp_path / "vault"))
    vault.create(KEY)
    keys = opened(vault)
    old = {name: (tmp_path / "vault" / name).read_bytes() for name in ("keyring", "keyring.bak")}
    keys.change(lambda masters: (MasterKey.generate(), *masters))
    known = keys.current
    for name, data in old.items():
        (tmp_path / "vault" / name).write_bytes(data)
    with pytest.raises(RollbackDetected):
        keys.refresh()
    assert keys.current == known


@pytest.mark.parametrize("planted", ["link", "fifo", "too large", "others may write"])
def test_a_planted_key_file_is_refused_and_not_followed(tmp_path: Path, planted: str) -> None:
    vault = vault_at(str(tmp_path / "vault"))
    vault.create(KEY, tenant_keys=True)
    keys = opened(vault)
    keys.sealing("acme")
    (path,) = (tmp_path / "vault/tenants").iterdir()
    data = path.read_bytes()
    path.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(mode=0o600)
    elsewhere.write_bytes(data)
    if planted == "link":
        path.symlink_to(elsewhere)
    elif planted == "fifo":
        os.mkfifo(path, 0o600)
    else:
        path.touch(mode=0o600)
        path.write_bytes(data if planted == "others may write" else bytes(LARGEST_FILE + 1))
        path.chmod(0o666 if planted == "others may write" else 0o600)
    with pytest.raises(BackendUnavailable):
        opened(vault).sealing("acme")
    with pytest.raises(BackendUnavailable):
        opened(vault).destroy("acme")
    assert elsewhere.read_bytes() == data


def test_a_left_over_of_a_change_that_was_cut_is_in_nobodys_way(tmp_path: Path) -> None:
    vault = vault_at(str(tmp_path / "vault"))
    vault.create(KEY, tenant_keys=True)
    keys = opened(vault)
    key = keys.sealing("acme")
    (path,) = (tmp_path / "vault/tenants").iterdir()
    left = path.with_name(path.name + ".new")
    left.touch(mode=0o600)
    left.write_bytes(b"half")
    assert opened(vault).sealing("acme") == key
    assert vault.tenants() == (path.name,)
    keys.destroy("acme")
    assert list((tmp_path / "vault/tenants").iterdir()) == [path]
