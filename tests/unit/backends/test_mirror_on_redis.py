"""A vault on files with its mirror on a real Redis: outages, restarts, a frozen server, and a laptop that is lost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mirror_lab import compare, contents, eventually, is_level
from servers import RedisServer, redis_server

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.restore import restore, restore_metadata
from vaultsession.engine.reader import Reader
from vaultsession.util.disk import Disk
from vaultsession.vault.location import VaultLocation

KEY = RawKey(bytes(range(32)))


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server(password="p4ssw0rd") as server:
        yield server


def at(path: Path, server: RedisServer, **settings: Any) -> SessionStore:
    url = server.url_of(timeout=1, prefix="mirror")
    return open_store(path, key=KEY, mirror=url, **{"mirror_drain": "10s", **settings})


def follower(store: SessionStore, server: RedisServer) -> dict[str, bytes]:
    """What lies on the server, asked for over a connection of its own."""
    site = VaultLocation.at(server.url_of(timeout=5, prefix="mirror"), Disk())
    try:
        return contents(site.backend(Reader(store._reader.keyring).describe))
    finally:
        site.close()


def level(store: SessionStore, server: RedisServer) -> None:
    compare(store._backend.mirror)
    assert is_level(store._backend.mirror, 60)
    eventually(lambda: store._backend.mirror.status().error is None)
    assert follower(store, server) == contents(store._backend.primary)


def say(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_lost_laptop_loses_nothing(tmp_path: Path, server: RedisServer) -> None:
    with at(tmp_path / "vault", server) as store:
        for number in range(20):
            store.create(f"session {number}", messages=[say("hello")])
        for number in range(50):
            store.append("session 3", say(str(number)))
        store.delete("session 4")
        kept = contents(store._backend)
    shutil.rmtree(tmp_path / "vault")
    theirs, ours = (
        VaultLocation.at(server.url_of(prefix="mirror"), Disk()),
        VaultLocation.at(str(tmp_path / "vault"), Disk()),
    )
    opened = restore_metadata(theirs.vault, ours.vault, [("the key", KEY)])
    reader = Reader(opened.keyring)
    source, target = theirs.backend(reader.describe), ours.backend(reader.describe)
    assert all(proof.restored and not proof.problem for proof in restore(source, target, reader))
    assert contents(target) == kept
    target.close()
    source.close()
    with at(tmp_path / "vault", server, create=False) as store:
        assert [message["content"] for message in store.messages("session 3")] == ["hello", *map(str, range(50))]
        assert not store.exists("session 4")
        store.append("session 3", say("goes on"))
        level(store, server)


def test_nothing_that_travels_can_be_read(tmp_path: Path, server: RedisServer) -> None:
    with at(tmp_path / "vault", server) as store:
        store.create("a", messages=[say("plain words of a conversation")], title="a telling title", user_id="alice")
    server.stop()
    held = b"".join(path.read_bytes() for path in server.directory.rglob("*") if path.is_file() and path.name != "log")
    assert held
    for text in (b"plain words", b"telling title", b"alice"):
        assert text not in held


@pytest.mark.slow
def test_appends_while_the_server_is_gone_arrive_in_order_after_it(tmp_path: Path, server: RedisServer) -> None:
    with at(tmp_path / "vault", server, durability="os") as store:
        store.create("a")
        level(store, server)
        server.kill()
        for number in range(2000):
            store.append("a", say(str(number)))
        eventually(lambda: store._backend.mirror.status().error)
        assert store.health()["ok"]
        assert "p4ssw0rd" not in str(store.health()) + str(store.stats())
        server.start()
        level(store, server)
        assert [message["content"] for message in store.messages("a")] == [str(number) for number in range(2000)]


@pytest.mark.slow
def test_a_server_that_comes_back_empty_is_filled_again(tmp_path: Path, server: RedisServer) -> None:
    with at(tmp_path / "vault", server) as store:
        for number in range(10):
            store.create(str(number))
        level(store, server)
        server.kill()
        for path in server.directory.glob("appendonlydir/*"):
            path.unlink()
        store.append("3", say("meanwhile"))
        eventually(lambda: store._backend.mirror.status().error)
        server.start()
        eventually(lambda: follower(store, server) == contents(store._backend.primary), 60)


@pytest.mark.slow
def test_a_frozen_server_holds_up_no_save_and_closing_for_a_bounded_time(tmp_path: Path, server: RedisServer) -> None:
    store = at(tmp_path / "vault", server, mirror_drain="1s")
    store.create("a")
    level(store, server)
    server.freeze()
    for number in range(200):
        store.append("a", say(str(number)))
    assert len(store.messages("a")) == 200
    began = time.monotonic()
    store.close()
    assert time.monotonic() - began < 30  # bounded; it would be for ever
    server.thaw()
    with at(tmp_path / "vault", server) as store:
        eventually(lambda: follower(store, server) == contents(store._backend.primary), 60)


@pytest.mark.slow
def test_a_frozen_server_that_thaws_is_caught_up_with(tmp_path: Path, server: RedisServer) -> None:
    with at(tmp_path / "vault", server) as store:
        store.create("a")
        level(store, server)
        server.freeze()
        store.append("a", say("while it was frozen"))
        eventually(lambda: store._backend.mirror.status().error)
        server.thaw()
        level(store, server)


def test_a_wrong_password_is_told_and_not_shown(tmp_path: Path, server: RedisServer) -> None:
    url = server.url_of("wr0ngw0rd", timeout=1)
    with open_store(tmp_path / "vault", key=KEY, mirror=url) as store:
        store.create("a")
        eventually(lambda: store._backend.mirror.status().error)
        told = str(store.health()) + str(store._backend.mirror.status())
        assert "127.0.0.1" in told
        assert "wr0ngw0rd" not in told


def test_the_servers_expiry_follows_the_sessions(tmp_path: Path, server: RedisServer) -> None:
    """It comes a margin after the session's own, and never for a session that does not expire."""
    with at(tmp_path / "vault", server) as store:
        store.create("for an hour", ttl="1h")
        store.create("for ever")
        level(store, server)
        store.touch("for an hour", ttl="3d")
        level(store, server)
        lives = [_life(server, key) for key in _keys(server) if b"~" in key or b"{" in key]
    assert -1 in lives
    assert max(lives) > 3 * 24 * 3600 * 1000


def _keys(server: RedisServer) -> list[bytes]:
    return [word for word in server.say("KEYS", "mirror:*:c:*").split(b"\r\n") if word.startswith(b"mirror")]


def _life(server: RedisServer, key: bytes) -> int:
    return int(server.say("PTTL", key).strip().lstrip(b":"))


@pytest.mark.slow
def test_two_processes_with_one_mirror_keep_it_level(tmp_path: Path, server: RedisServer) -> None:
    with at(tmp_path / "vault", server) as one, at(tmp_path / "vault", server) as two:
        one.create("a")
        for number in range(40):
            (one, two)[number % 2].append("a", say(str(number)))
        assert is_level(one._backend.mirror, 30)
        assert is_level(two._backend.mirror, 30)
        level(one, server)
        assert one._backend.mirror.status().refused == two._backend.mirror.status().refused == {}
