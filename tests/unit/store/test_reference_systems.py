"""What the systems that this store replaces offer their users, each shown through the public names alone.

R1 a session store in Go · R2 a session manager in Go · R3 a session memory store in TypeScript · R4 an asynchronous
session store in Python · R5 session storage in Rust. What they do with each of their drivers is shown on each of ours:
memory, files, Redis, SQLite and MariaDB.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis_lab import Place, with_options
from servers import free_port
from sql_servers import Server

from vaultsession import (
    BackendUnavailable,
    RawKey,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    SessionStore,
    Settings,
    open_store,
    open_store_async,
)
from vaultsession.backends import MemoryBackend
from vaultsession.backends.leases import LocalLeases
from vaultsession.testing.clock import ManualClock

Opening = Callable[..., SessionStore]


@pytest.fixture(params=["memory", "files", "redis", "sqlite", "mariadb"])
def open_any(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock, vault_key: RawKey
) -> Iterator[Opening]:
    """Opens one store of each driver in turn, with the settings that are given."""
    where: str | Path = {
        "memory": lambda: "memory://",
        "files": lambda: tmp_path / "vault",
        "redis": lambda: request.getfixturevalue("place").url,
        "sqlite": lambda: f"sqlite:///{tmp_path}/sessions.db",
        "mariadb": lambda: request.getfixturevalue("mariadb_server").database(),
    }[request.param]()
    opened: list[SessionStore] = []

    def opening(**overrides: Any) -> SessionStore:
        opened.append(open_store(where, **{"key": vault_key, "clock": clock, "durability": "os", **overrides}))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


@pytest.fixture
def store(open_any: Opening) -> SessionStore:
    """One of each driver, in place of the two of all other tests."""
    return open_any()


class Shelf:
    """A driver of one's own: an engine that keeps a vault in this process, over the lives of many stores."""

    where = "shelf://"

    def __init__(self) -> None:
        self._papers: dict[str, bytes] = {}
        self._sessions = MemoryBackend()
        self._leases = LocalLeases()
        self.is_away = False

    def metadata(self, name: str) -> bytes | None:
        if self.is_away:
            raise BackendUnavailable("shelf://: away")
        return self._papers.get(name)

    def put_metadata(self, name: str, data: bytes, expected: bytes | None) -> bool:
        if self._papers.get(name) != expected:
            return False
        self._papers[name] = data
        return True

    def backend(self, describe: object) -> Any:
        del describe
        self._sessions.close = lambda: None  # type: ignore[method-assign]  # the shelf outlives its stores
        return self._sessions

    def leases(self) -> LocalLeases:
        return self._leases

    def close(self) -> None:
        pass


# -- R1 ----------------------------------------------------------------------------------------------------------------


def test_r1_one_factory_makes_a_store_of_any_driver_with_options(
    tmp_path: Path, vault_key: RawKey, place: Place, mariadb_server: Server
) -> None:
    settings = Settings(ttl="24h", durability="os")
    options = "pool_size=2&timeout=10"  # within the URL, as the address and the password are
    engines = (f"{place.url}&{options}", f"sqlite:///{tmp_path}/x.db", f"{mariadb_server.database()}?{options}")
    for where in ("memory://", tmp_path / "vault", f"file://{tmp_path}/other", Shelf(), *engines):
        with open_store(where, key=vault_key, settings=settings) as store:
            made = store.create("s", assistant_id="helper", tenant_id="acme", state={"tts": True, "language": "de"})
            assert store.load("s").state == {"tts": True, "language": "de"}
            assert made.ttl == timedelta(hours=24)


def test_r1_a_session_tells_everything_about_itself_as_json(store: SessionStore) -> None:
    store.create("s", assistant_id="helper", tenant_id="acme", state={"tts": True, "language": "de"})
    session = store.load("s")
    told = json.loads(json.dumps({**session.facts(), "state": session.state}))
    assert told["id"] == "s"
    assert (told["assistant_id"], told["tenant_id"]) == ("helper", "acme")
    assert told["created_at"] <= told["updated_at"]
    assert told["state"] == {"tts": True, "language": "de"}


def test_r1_a_driver_of_ones_own_keeps_a_vault_over_the_lives_of_stores(vault_key: RawKey) -> None:
    shelf = Shelf()
    with open_store(shelf, key=vault_key) as store:
        store.create("s", state={"n": 1})
    with open_store(shelf, key=vault_key, create=False) as store:
        assert store.load("s").state == {"n": 1}


# -- R2 ----------------------------------------------------------------------------------------------------------------


def test_r2_sessions_are_created_with_limits_and_metadata_and_changed(store: SessionStore) -> None:
    store.create("s", user_id="u", ttl="1h", max_messages=3, labels={"channel": "web"}, state={"context": {"a": 1}})
    store.append("s", *({"role": "user", "content": str(n)} for n in range(5)))
    assert [message["content"] for message in store.messages("s")] == ["2", "3", "4"]
    assert store.messages("s", offset=1, limit=1) == [{"role": "user", "content": "3"}]
    session = store.load("s")
    session.labels = {"channel": "phone"}
    session.title = "A call"
    store.save(session)
    assert store.load("s").labels == {"channel": "phone"}
    assert store.delete("s")


def test_r2_context_values_are_set_and_read_one_by_one_by_many_threads(store: SessionStore) -> None:
    store.create("s")

    def work(number: int) -> None:
        for turn in range(10):
            store.update("s", {f"value-{number}": turn})
            store.update("s", lambda draft: draft.state.update(sum=draft.state.get("sum", 0) + 1))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.load("s").state == {**{f"value-{number}": 9 for number in range(4)}, "sum": 40}


def test_r2_the_sessions_of_a_user_are_listed_in_pages_and_counted(store: SessionStore, clock: ManualClock) -> None:
    for number in range(7):
        store.create(f"s{number}", user_id="u" if number % 2 == 0 else "other")
        clock.advance(1)
    assert [info.id for info in store.list(user_id="u", offset=1, limit=2)] == ["s4", "s2"]
    assert store.count(user_id="u") == 4
    page = store.list(user_id="u", order="oldest", limit=3)
    assert [info.id for info in store.list(user_id="u", order="oldest", after=page.after)] == ["s6"]


def test_r2_a_life_is_extended_and_errors_tell_absent_from_expired(store: SessionStore, clock: ManualClock) -> None:
    store.create("s", ttl="1h")
    assert store.exists("s")
    store.touch("s", "3h")
    clock.advance("2h")
    assert store.exists("s")
    clock.advance("2h")
    assert not store.exists("s")
    with pytest.raises(SessionExpired):
        store.append("s", {})
    with pytest.raises(SessionNotFound) as raised:
        store.append("never", {})
    assert not isinstance(raised.value, SessionExpired)


def test_r2_a_driver_that_is_away_is_a_typed_error(vault_key: RawKey) -> None:
    shelf = Shelf()
    shelf.is_away = True
    away = free_port()
    for where in (shelf, f"redis://127.0.0.1:{away}/0", f"mysql+pymysql://me:secret@127.0.0.1:{away}/app"):
        with pytest.raises(BackendUnavailable) as raised:
            open_store(where, key=vault_key)
        assert "secret" not in str(raised.value)


def test_r3_a_redis_expires_sessions_by_itself_a_day_behind_their_time(place: Place, vault_key: RawKey) -> None:
    with open_store(place.url, key=vault_key, ttl="1h") as store:
        store.create("s")
        (kept,) = place.keys("c:")
        assert 24 * 3600 < place.bare.ttl(kept) <= 25 * 3600 + 1
        store.touch("s", "3h")
        assert place.bare.ttl(kept) > 26 * 3600
        store.create("kept", ttl=None)
        (other,) = set(place.keys("c:")) - {kept}
        assert place.bare.ttl(other) == -1


@pytest.mark.parametrize("driver", ["files", "redis", "sqlite", "mariadb"])
def test_r3_two_applications_share_a_server_by_their_prefixes(
    request: pytest.FixtureRequest, tmp_path: Path, driver: str
) -> None:
    one, other = {
        "files": lambda: (f"{tmp_path}/one", f"{tmp_path}/other"),
        "redis": lambda: _prefixed(request.getfixturevalue("redis_url")),
        "sqlite": lambda: _prefixed(f"sqlite:///{tmp_path}/x.db"),
        "mariadb": lambda: _prefixed(request.getfixturevalue("mariadb_server").database()),
    }[driver]()
    with open_store(one, key=RawKey.generate()) as ours, open_store(other, key=RawKey.generate()) as theirs:
        ours.create("s", state={"n": 1})
        assert not theirs.exists("s")
        theirs.create("s", state={"n": 2})
        assert ours.load("s").state == {"n": 1}
        assert ours.count() == theirs.count() == 1


def _prefixed(url: str) -> tuple[str, str]:
    run = os.urandom(4).hex()
    return with_options(url, prefix=f"a{run}"), with_options(url, prefix=f"b{run}")


def test_r2_memory_keeps_the_most_recently_used(clock: ManualClock) -> None:
    with open_store("memory://", max_sessions=3, clock=clock) as store:
        for name in "abc":
            store.create(name)
        store.load("a")
        store.create("d")
        assert sorted(info.id for info in store.list()) == ["a", "c", "d"]


def test_r2_expired_sessions_are_cleaned_up_in_the_background(tmp_path: Path, vault_key: RawKey) -> None:
    with open_store(tmp_path / "v", key=vault_key, sweep_interval=0.01, durability="os") as store:
        store.create("s", ttl=0.05)
        store.create("kept")
        for _ in range(1000):
            if store.stats()["sessions"] == 1:
                break
            time.sleep(0.01)
        assert [info.id for info in store.list()] == ["kept"]


def test_r2_settings_come_from_the_environment_and_stats_and_health_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vault_key: RawKey
) -> None:
    monkeypatch.setenv("VAULTSESSION_TTL", "30m")
    monkeypatch.setenv("VAULTSESSION_MAX_MESSAGES", "2")
    monkeypatch.setenv("VAULTSESSION_COMPRESSION", "zstd")
    with open_store(tmp_path / "v", key=vault_key) as store:
        made = store.create("s", messages=[{"n": n} for n in range(5)])
        assert (made.ttl, made.message_count) == (timedelta(minutes=30), 2)
        assert store.health()["ok"] is True
        assert store.stats()["sessions"] == 1
        assert store.stats()["verbs"]["create"]["calls"] == 1


# -- R3 ----------------------------------------------------------------------------------------------------------------


def test_r3_reading_a_session_refreshes_its_life_of_thirty_minutes(open_any: Opening, clock: ManualClock) -> None:
    store = open_any(ttl="30m", sliding=True)
    store.create("s")
    for _ in range(4):
        clock.advance("20m")
        assert store.get("s") is not None
    store.touch("s")
    clock.advance("30m")
    assert store.get("s") is None


def test_r3_saving_merging_and_clearing(open_any: Opening) -> None:
    @dataclasses.dataclass
    class Profile:
        name: str = ""
        turns: int = 0

    store: SessionStore[Profile] = open_any(state_type=Profile)
    store.save("s", state=Profile("Alice", 1), messages=[{"role": "user", "content": "hello"}])
    store.update("s", {"turns": 2})
    assert store.load("s").state == Profile("Alice", 2)
    assert store.clear("s").message_count == 0
    assert store.load("s").state == Profile("Alice", 2)


# -- R4 ----------------------------------------------------------------------------------------------------------------


def test_r4_everything_is_awaited(tmp_path: Path, vault_key: RawKey, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setenv("VAULTSESSION_PATH", str(tmp_path / "v"))
        monkeypatch.setenv("VAULTSESSION_TTL", "1h")
        store = await open_store_async(key=vault_key)
        state = {"nested": {"list": [1, {"deep": None}]}}
        await store.save("s", state=state, ttl=timedelta(minutes=5))
        assert (await store.load("s")).state == state
        assert await store.exists("s")
        assert await store.delete("s")
        assert not await store.exists("s")
        assert (await store.create("t")).ttl == timedelta(hours=1)
        await store.close()

    asyncio.run(test())


# -- R5 ----------------------------------------------------------------------------------------------------------------


def test_r5_a_session_is_created_or_loaded_by_its_id(store: SessionStore) -> None:
    for turn in range(2):
        store.append("s", {"role": "user", "content": f"turn {turn}"}, create=True)
    with pytest.raises(SessionExists):
        store.create("s")
    session = store.load("s")
    assert (session.id, session.message_count) == ("s", 2)
    assert [info.id for info in store.list()] == ["s"]


def test_r5_one_private_encrypted_file_for_each_session_whatever_its_id(open_files: Opening, tmp_path: Path) -> None:
    store = open_files()
    for name in ("../../etc/passwd", "a/b", "plain"):
        store.create(name, messages=[{"role": "system", "content": "hunter2"}])
    files = list((tmp_path / "vault" / "sessions").iterdir())
    assert len(files) == 3
    for file in files:
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
        assert b"hunter2" not in file.read_bytes()
    assert not (tmp_path / "etc").exists()
    assert store.load("../../etc/passwd").messages[0]["content"] == "hunter2"


def test_r5_sessions_move_between_drivers_also_through_other_programs(open_any: Opening, vault_key: RawKey) -> None:
    here = open_any()
    here.create("s", user_id="u", ttl="1h", state={"n": 1}, messages=[{"role": "user", "content": "hello"}])
    moved = []
    for line in here.export():
        told = json.loads(line)
        told["labels"] = {"moved": "yes"}
        moved.append(json.dumps(told).encode())
    with open_store(Shelf(), key=vault_key, clock=here._clock) as there:
        assert there.import_(moved).made == 1
        assert there.load("s").messages == here.load("s").messages
        assert there.load("s").expires_at == here.load("s").expires_at
        assert [info.id for info in there.list(labels={"moved": "yes"})] == ["s"]
