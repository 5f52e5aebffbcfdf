"""The place of a vault goes away under an open store: every verb says so, and no session is told as absent."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from sql_servers import sqlite_file

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.errors import BackendUnavailable, VaultNotFound

KEY = RawKey(bytes(range(100, 132)))
SAID = {"role": "user", "content": "one year of conversation"}

VERBS: dict[str, Callable[[SessionStore], Any]] = {
    "load": lambda store: store.load("alice"),
    "get": lambda store: store.get("alice", "a new user"),
    "get of another": lambda store: store.get("bob", "a new user"),
    "exists": lambda store: store.exists("alice"),
    "exists of another": lambda store: store.exists("bob"),
    "messages": lambda store: store.messages("alice"),
    "append": lambda store: store.append("alice", SAID),
    "append with create": lambda store: store.append("bob", SAID, create=True),
    "create": lambda store: store.create("carol"),
    "save": lambda store: store.save("carol", state={}),
    "update": lambda store: store.update("alice", {"a": 1}),
    "touch": lambda store: store.touch("alice"),
    "pop": lambda store: store.pop("alice"),
    "clear": lambda store: store.clear("alice"),
    "delete": lambda store: store.delete("alice"),
    "list": lambda store: store.list(),
    "count": lambda store: store.count(),
    "search": lambda store: list(store.search("year")),
    "export": lambda store: list(store.export()),
    "sweep": lambda store: store.sweep(),
    "verify": lambda store: store.verify(),
    "stats": lambda store: store.stats(),
}


def refused_by_every_verb(store: SessionStore) -> None:
    told = {}
    for name, verb in VERBS.items():
        try:
            told[name] = repr(verb(store))
        except (VaultNotFound, BackendUnavailable):
            continue
    assert told == {}
    assert not store.health()["ok"]


def test_a_directory_that_was_moved_away_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    vault, away = tmp_path / "vault", tmp_path / "unplugged"
    with open_store(vault, key=KEY, sweep_interval=0.02) as store:
        store.create("alice", messages=[SAID])
        vault.rename(away)
        refused_by_every_verb(store)
        with pytest.raises((VaultNotFound, BackendUnavailable)), store.lease("bob", 1):
            pass
        assert not vault.exists()
        time.sleep(0.03)  # a sweep comes by
        away.rename(vault)
        assert store.load("alice").message_count == 1
        assert store.append("alice", SAID).message_count == 2
        assert store.health()["ok"]
        store.create("short", ttl=0.01)
        deadline = time.monotonic() + 60
        while any(name.startswith("short") for name in os.listdir(vault / "sessions")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert died == []


def test_an_empty_mount_point_is_no_vault(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with open_store(vault, key=KEY) as store:
        store.create("alice", messages=[SAID])
        vault.rename(tmp_path / "unplugged")
        vault.mkdir(mode=0o700)
        refused_by_every_verb(store)
        with pytest.raises((VaultNotFound, BackendUnavailable)), store.lease("bob", 1):
            pass
        assert os.listdir(vault) == []
        shutil.rmtree(vault)
        (tmp_path / "unplugged").rename(vault)


def test_a_sqlite_file_that_was_removed_takes_no_more_writes(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/vault.db", key=KEY) as store:
        store.create("alice", messages=[SAID])
        for name in os.listdir(tmp_path):
            (tmp_path / name).unlink()
        refused_by_every_verb(store)
        assert os.listdir(tmp_path) == []


def test_a_sqlite_file_that_was_replaced_is_the_one_that_is_used(tmp_path: Path) -> None:
    place = tmp_path / "vault.db"
    with open_store(f"sqlite:///{place}", key=KEY) as store:
        store.create("alice", messages=[SAID])
    kept = place.read_bytes()
    with open_store(f"sqlite:///{place}", key=KEY) as store:
        store.load("alice")
        place.unlink()
        place.write_bytes(kept)  # a restored backup
        place.chmod(0o600)
        assert store.append("alice", SAID).message_count == 2
    with open_store(f"sqlite:///{place}", key=KEY) as store:
        assert store.load("alice").message_count == 2


@pytest.mark.parametrize("emptied", [False, True], ids=["dropped", "emptied"])
def test_tables_of_a_database_that_are_gone(tmp_path: Path, emptied: bool) -> None:
    with open_store(f"sqlite:///{tmp_path}/vault.db", key=KEY) as store:
        store.create("alice", messages=[SAID])
        with sqlite_file(tmp_path / "vault.db") as other:
            for (table,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                other.execute(f"DELETE FROM {table}" if emptied else f"DROP TABLE {table}")
        other.close()
        refused_by_every_verb(store)


@pytest.mark.slow
def test_a_redis_that_was_flushed(redis_url: str) -> None:
    with open_store(f"{redis_url}?prefix=vanishing", key=KEY) as store:
        store.create("alice", messages=[SAID])
        client = redis.Redis.from_url(redis_url)
        for name in client.keys("vanishing:*"):
            client.delete(name)
        client.close()
        refused_by_every_verb(store)


@pytest.mark.slow
def test_tables_of_a_server_that_were_dropped(any_url: str) -> None:
    with open_store(any_url, key=KEY) as store:
        store.create("alice", messages=[SAID])
        engine = sa.create_engine(any_url)
        with engine.begin() as connection:
            found = sa.MetaData()
            found.reflect(connection)
            found.drop_all(connection)
        engine.dispose()
        refused_by_every_verb(store)
