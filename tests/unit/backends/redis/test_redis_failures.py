"""A server that is away, frozen, restarted, full of replicas, or none: a typed error that names it, never its password."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_lab import Place, with_options
from servers import RedisServer, free_port, redis_server, talking_junk

from vaultsession import RawKey, open_store
from vaultsession.backends.redis import connect
from vaultsession.cli.vault_options import local_path
from vaultsession.errors import BackendUnavailable, DurabilityUnknown, InvalidSetting
from vaultsession.format.sealed import Query
from vaultsession.testing.sealer import Sealer

KEY = RawKey(bytes(range(32)))


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test alone, to be frozen and killed; every write of it is flushed."""
    with redis_server("--appendfsync", "always") as server:
        yield server


@pytest.fixture
def opened(server: RedisServer) -> Iterator[Place]:
    place = Place(server.url, timeout=0.3)
    yield place
    server.thaw()
    place.close()


# -- opening -----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    url = f"redis://me:s3cret@127.0.0.1:{free_port()}/3?prefix=app"
    with pytest.raises(BackendUnavailable, match=r"redis://me@127\.0\.0\.1:\d+/3\?prefix=app") as caught:
        connect(url)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_wrong_password_is_said_to_be_one() -> None:
    with redis_server(password="right") as server:
        for url in (server.url_of(password="wrong"), f"redis://127.0.0.1:{server.port}/0"):
            with pytest.raises(BackendUnavailable, match="refuses the user or the password") as caught:
                connect(url)
            assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff\xfe garbage",
        b"$nonsense\r\n",
        b"*1000000\r\n",
        b"+OK\r\n+what\r\n:12\r\n$3\r\nabc\r\n",
        b":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n",
        b"",
    ],
)
def test_what_answers_junk_is_no_redis(answer: bytes) -> None:
    with talking_junk(answer) as port, pytest.raises(BackendUnavailable, match=f"127.0.0.1:{port}"):
        connect(f"redis://:s3cret@127.0.0.1:{port}/0?timeout=0.3")


def test_a_read_only_replica_is_refused_and_its_primary_named(server: RedisServer) -> None:
    told = pytest.raises(BackendUnavailable, match=f"read-only replica of 127.0.0.1:{server.port}")
    with redis_server("--replicaof", "127.0.0.1", str(server.port)) as replica, told:
        connect(replica.url)


def test_a_server_that_becomes_a_replica_refuses_writes(server: RedisServer, opened: Place, scribe: Sealer) -> None:
    backend, key = opened.backend(scribe), scribe.key("a")
    backend.commit(key, scribe.create(key))
    server.say("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(BackendUnavailable, match="read-only replica"):
        backend.commit(key, scribe.append())
    assert "read-only replica" in (backend.health()["role"] or "")
    server.say("REPLICAOF", "NO", "ONE")
    assert scribe.texts(backend, key) == ["first"]


def test_plain_words_to_a_tls_server_are_refused() -> None:
    with redis_server(tls=True) as server, pytest.raises(BackendUnavailable):
        connect(f"redis://127.0.0.1:{server.port}/0?timeout=1")


def test_a_database_that_is_not_there_is_told(server: RedisServer) -> None:
    with pytest.raises(BackendUnavailable, match="refuses"):
        connect(f"redis://127.0.0.1:{server.port}/9999")


def test_one_server_is_no_cluster(server: RedisServer) -> None:
    with pytest.raises(BackendUnavailable, match=r"no cluster|not reached"):
        connect(server.url_of(cluster="true"))


# -- while it is used --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_frozen_server_is_given_up_and_what_it_was_sent_is_there_once_later(
    server: RedisServer, opened: Place, scribe: Sealer
) -> None:
    backend, key = opened.backend(scribe), scribe.key("a")
    backend.commit(key, scribe.create(key))
    server.freeze()
    with pytest.raises(DurabilityUnknown, match=r"0\.3 s"):
        backend.commit(key, scribe.append("sent while it was frozen"))
    with pytest.raises(BackendUnavailable, match="did not answer within"):
        backend.head(key)
    assert "did not answer" in (backend.health()["redis"] or "")
    server.thaw()
    for number in range(3):
        backend.commit(key, scribe.append(str(number)))
    texts = scribe.texts(backend, key) or []
    assert texts.count("sent while it was frozen") <= 1
    assert [text for text in texts if text.isdigit()] == ["0", "1", "2"]


def test_a_server_that_was_restarted_goes_on_with_what_it_had(
    server: RedisServer, opened: Place, scribe: Sealer
) -> None:
    backend, key = opened.backend(scribe), scribe.key("a")
    backend.commit(key, scribe.create(key))
    server.kill()
    for verb in (lambda: backend.head(key), lambda: list(backend.scan(Query())), lambda: backend.count(Query())):
        with pytest.raises(BackendUnavailable, match="not reached"):
            verb()
    with pytest.raises((BackendUnavailable, DurabilityUnknown)):
        backend.commit(key, scribe.append("while it was away"))
    server.start()
    assert backend.head(key) is not None
    backend.commit(key, scribe.append("after"))
    assert scribe.texts(backend, key) == ["first", "after"]


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_killed_in_mid_flight_every_acknowledged_append_is_there_once(
    server: RedisServer, opened: Place, scribe: Sealer
) -> None:
    key = scribe.key("a")
    opened.backend(scribe).commit(key, scribe.create(key))
    acknowledged: list[str] = []
    attempted: list[str] = []
    done = threading.Event()

    def write(name: int) -> None:
        backend = opened.backend(scribe)
        for number in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
            attempted.append(text := f"{name} {number}")
            try:
                backend.commit(key, scribe.append(text))
            except (BackendUnavailable, DurabilityUnknown):
                continue
            acknowledged.append(text)

    writers = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for writer in writers:
        writer.start()
    try:
        for turn in range(3):
            before = len(acknowledged)
            while len(acknowledged) < before + 20:
                done.wait(0.01)
            if turn == 1:
                server.freeze()
                done.wait(0.5)
                server.thaw()
            else:
                server.kill()
                server.start()
    finally:
        done.set()
        join(writers)
    texts = (scribe.texts(opened.backend(scribe), key) or [])[1:]
    assert len(texts) == len(set(texts))
    assert set(acknowledged) <= set(texts) <= set(attempted)
    for name in range(3):
        numbers = [int(text.split()[1]) for text in texts if text.startswith(f"{name} ")]
        assert numbers == sorted(numbers)


def test_a_store_says_what_is_wrong_and_goes_on_afterwards(server: RedisServer, opened: Place) -> None:
    with open_store(opened.url, key=KEY) as store:
        store.create("a")
        server.kill()
        health = store.health()
        assert not health["ok"]
        assert "not reached" in health["redis"]
        verbs: tuple[Callable[[], object], ...] = (
            lambda: store.load("a"),
            store.list,
            store.count,
            store.sweep,
            lambda: store.lease("a", timeout=0).__enter__(),
        )
        for verb in verbs:
            with pytest.raises(BackendUnavailable, match=str(server.port)):
                verb()
        server.start()
        assert store.health()["ok"]
        store.append("a", {"role": "user", "content": "again"})


def test_scripts_that_a_server_has_forgotten_are_sent_again(server: RedisServer, opened: Place, scribe: Sealer) -> None:
    backend, key = opened.backend(scribe), scribe.key("a")
    backend.commit(key, scribe.create(key))
    server.say("SCRIPT", "FLUSH")
    backend.commit(key, scribe.append())
    assert scribe.texts(backend, key) == ["first", "more"]


# -- what a server promises --------------------------------------------------------------------------------------------


def test_a_server_that_evicts_or_keeps_nothing_says_so_in_health(scribe: Sealer) -> None:
    with redis_server("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no") as server:
        backend = connect(server.url).backend(scribe.describe)
        health = backend.health()
        backend.close()
    assert health["redis"] is health["role"] is None
    assert "allkeys-lru" in (health["memory"] or "")
    assert health["persistence"] is None
    assert "appendonly is off" in backend.notes()["persistence"]


def test_what_a_server_does_not_keep_is_a_remark_and_wakes_nobody() -> None:
    with redis_server("--appendonly", "no") as server, open_store(server.url, key=KEY) as store:
        health = store.health()
        assert health["ok"] is True
        assert "appendonly is off" in health["persistence"]
        server.say("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        assert store.health()["ok"] is True  # no limit: nothing is evicted
        server.say("CONFIG", "SET", "maxmemory", "100mb")
        health = store.health()
        assert health["ok"] is False
        assert "volatile-lru" in health["memory"]


def test_a_mirrored_redis_tells_of_itself_and_of_its_mirror(tmp_path: Path) -> None:
    mirror = str(tmp_path / "mirror")
    with redis_server("--appendonly", "no") as server, open_store(server.url, key=KEY, mirror=mirror) as store:
        health = store.health()
        assert health["ok"] is True
        assert "appendonly is off" in health["persistence"]
        assert health["mirror"]


@pytest.mark.slow
def test_a_write_waits_for_as_many_replicas_as_were_asked_for(server: RedisServer, scribe: Sealer) -> None:
    place, key = Place(server.url, wait=1, timeout=1), scribe.key("a")
    try:
        with redis_server("--replicaof", "127.0.0.1", str(server.port)) as replica:
            for _ in range(1000):
                if b"master_link_status:up" in replica.say("INFO", "replication"):
                    break
                threading.Event().wait(0.01)
            backend = place.backend(scribe)
            backend.commit(key, scribe.create(key))
            assert replica.say("EXISTS", place.of(key, "c")).startswith(b":1")
        with pytest.raises(DurabilityUnknown, match="0 of 1 replicas"):
            backend.commit(key, scribe.append("alone"))
        assert scribe.texts(backend, key) == ["first", "alone"]
    finally:
        place.close()


# -- URLs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h:70000/0", "port"),
        ("redis://h:x/0", "port"),
        ("redis://h/zero", "number of a database"),
        ("redis://h/1/2", "number of a database"),
        ("redis://h/0?prefx=a", "no option prefx"),
        ("redis://h/0?prefix=a&prefix=b", "once"),
        ("redis://h/0?prefix=", "prefix"),
        ("redis://h/0?prefix=a*", "prefix"),
        ("redis://h/0?prefix=%7Ba%7D", "prefix"),
        ("redis://h/0?pool_size=0", "pool_size"),
        ("redis://h/0?timeout=0", "timeout"),
        ("redis://h/0?timeout=nan", "timeout"),
        ("redis://h/0?wait=-1", "wait"),
        ("redis://h/0?cluster=maybe", "cluster"),
        ("redis://h/1?cluster=true", "one database"),
        ("redis://h/0?cluster=true&wait=1", "wait"),
        ("redis://h/0?ssl_ca_certs=x", "rediss"),
        ("rediss://h/0?ssl_cert_reqs=sometimes", "ssl_cert_reqs"),
        ("redis://h/0#part", "#"),
    ],
)
def test_a_url_that_says_something_else_is_refused_before_anything_is_sent(url: str, told: str) -> None:
    with pytest.raises(InvalidSetting, match=told) as caught:
        connect(url.replace("://", "://u:s3cret@"))
    assert "s3cret" not in str(caught.value)


def test_an_address_shows_no_password(server: RedisServer) -> None:
    engine = connect(with_options(server.url.replace("://", "://default:@"), prefix="x"))
    assert engine.where == f"redis://default@127.0.0.1:{server.port}/0?prefix=x"
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.metadata("vault")


def test_a_command_for_directories_refuses_a_server_without_its_password() -> None:
    with pytest.raises(InvalidSetting, match="vault directory") as caught:
        local_path("redis://:s3cret@127.0.0.1/0")
    assert "s3cret" not in str(caught.value)
