"""Mirrors on a database, and on a server that is full: reported, and caught up with later."""

from __future__ import annotations

from pathlib import Path

import pytest
from mirror_lab import contents, eventually, is_level
from servers import redis_server

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.engine.reader import Reader
from vaultsession.util.disk import Disk
from vaultsession.vault.location import VaultLocation

KEY = RawKey(bytes(range(32)))


def follower(store: SessionStore, url: str) -> dict[str, bytes]:
    site = VaultLocation.at(url, Disk())
    try:
        return contents(site.backend(Reader(store._reader.keyring).describe))
    finally:
        site.close()


def test_a_database_follows_and_a_lost_vault_is_made_of_it(tmp_path: Path, any_url: str) -> None:
    with open_store(tmp_path / "vault", key=KEY, mirror=any_url, mirror_drain="30s") as store:
        for number in range(10):
            store.create(f"s{number}", messages=[{"content": "hello " * 2000 * (number % 2)}])
        for number in range(30):
            store.append("s3", {"n": number})
        store.delete("s4")
        assert is_level(store._backend.mirror, 30)
        eventually(lambda: follower(store, any_url) == contents(store._backend.primary))
        assert store.health()["ok"] is True
    with open_store(any_url, key=KEY, create=False) as store:
        assert len(store.messages("s3")) == 31
        assert not store.exists("s4")


@pytest.mark.slow
def test_a_full_server_takes_what_it_can_and_the_rest_when_there_is_room(tmp_path: Path) -> None:
    with redis_server() as server, open_store(tmp_path / "vault", key=KEY, mirror=server.url) as store:
        store.create("a")
        assert is_level(store._backend.mirror, 30)
        eventually(lambda: follower(store, server.url) == contents(store._backend.primary))
        server.say("CONFIG", "SET", "maxmemory", "1mb")
        server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
        for number in range(20):
            store.append("a", {"n": number})
        eventually(lambda: "maxmemory" in (store._backend.mirror.status().error or ""))
        assert len(store.messages("a")) == 20  # the vault goes on
        health = store.health()
        assert health["ok"] is True
        assert "maxmemory" in health["mirror"]
        server.say("CONFIG", "SET", "maxmemory", "0")
        eventually(lambda: follower(store, server.url) == contents(store._backend.primary))
        eventually(lambda: store.health()["mirror"] == "ok")
