"""A store on a real Redis that goes on in memory while the server is stopped, frozen, restarted, or came back empty."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from redis_lab import Place
from servers import RedisServer, redis_server, until

from vaultsession import (
    BackendUnavailable,
    DurabilityUnknown,
    InvalidSetting,
    RawKey,
    SessionNotFound,
    SessionStore,
    open_store,
)
from vaultsession.format.payload import Json

KEY = RawKey(bytes(range(32)))


def said(text: str) -> Json:
    return {"role": "user", "content": text}


def texts(store: SessionStore, id: str = "a") -> list[str]:
    return [message["content"] for message in store.load(id).messages]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of this test alone; every write of it is flushed."""
    with redis_server("--appendfsync", "always") as server:
        yield server


@pytest.fixture
def place_of(server: RedisServer) -> Iterator[Place]:
    place = Place(server.url, timeout=0.3)
    yield place
    place.bare.close()


@pytest.fixture
def opened(server: RedisServer, place_of: Place) -> Iterator[Callable[..., SessionStore]]:
    """Opens the vault on it as often as it is called."""
    stores: list[SessionStore] = []

    def opening(**settings: object) -> SessionStore:
        stores.append(open_store(place_of.url, **{"key": KEY, "fallback": "memory", **settings}))
        return stores[-1]

    yield opening
    server.thaw()
    for store in stores:
        store.close()


def carried(store: SessionStore) -> None:
    """Wait until the server is back and nothing waits."""

    def is_back() -> bool:
        store.count()
        return store.health()["fallback"] == "ok"

    until(is_back, "the way back")


@pytest.mark.slow
def test_a_conversation_goes_on_while_the_server_is_restarted(
    server: RedisServer, opened: Callable[..., SessionStore], caplog: pytest.LogCaptureFixture
) -> None:
    store, other = opened(), opened(fallback="none")
    store.create("a", state={"x": 1}, messages=[said("1")], user_id="alice")
    store.append("a", said("2"))
    server.kill()
    with caplog.at_level(logging.WARNING, "vaultsession"):
        store.append("a", said("3"))
        store.update("a", {"x": 2})
        store.append("b", said("made meanwhile"), create=True)
        with store.lease("a", timeout=1):
            store.append("a", said("4"))
        assert texts(store) == ["1", "2", "3", "4"]
        assert sorted(info.id for info in store.list()) == ["a", "b"]
        assert store.list(user_id="alice")[0].id == "a"
    assert caplog.text.count("going on in memory") == 1
    health = store.health()
    assert not health["ok"]
    assert "2 sessions wait in memory" in health["fallback"]
    server.start()
    carried(store)
    assert store.health()["ok"]
    assert texts(other) == texts(store) == ["1", "2", "3", "4"]
    assert other.load("a").state == {"x": 2}
    assert texts(other, "b") == ["made meanwhile"]
    store.append("a", said("5"))
    assert texts(other) == ["1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_what_was_sent_to_a_frozen_server_is_there_once(
    server: RedisServer, opened: Callable[..., SessionStore]
) -> None:
    """The command lies in its socket when the client gives up; whether it is carried out later is unknown."""
    store, other = opened(), opened(fallback="none")
    store.create("a", messages=[said("1")])
    server.freeze()
    store.append("a", said("2"))
    store.append("a", said("3"))
    assert texts(store) == ["1", "2", "3"]
    server.thaw()
    carried(store)
    assert texts(other) == texts(store) == ["1", "2", "3"]


@pytest.mark.slow
def test_two_processes_on_both_sides_of_an_outage_lose_nothing(
    server: RedisServer, opened: Callable[..., SessionStore]
) -> None:
    ours, theirs = opened(), opened(fallback="none")
    ours.create("a", messages=[said("1")], state={"x": 1, "y": 1})
    server.kill()
    ours.append("a", said("ours"))
    ours.update("a", {"x": 2})
    server.start()
    theirs.append("a", said("theirs"))
    theirs.update("a", {"y": 2})
    carried(ours)
    assert texts(theirs) == texts(ours) == ["1", "theirs", "ours"]
    assert theirs.load("a").state == {"x": 2, "y": 2}


@pytest.mark.slow
def test_a_server_that_comes_back_empty_gets_what_waits_and_the_key_slots(
    opened: Callable[..., SessionStore], server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    store.create("a", messages=[said("1")])
    store.create("lost with the server")
    server.kill()
    store.append("a", said("2"))
    come_back_empty(server)
    carried(store)
    assert texts(store) == ["1", "2"]
    with pytest.raises(SessionNotFound):
        store.load("lost with the server")
    assert "metadata of this vault: it was put back" in caplog.text
    assert texts(opened(fallback="none", create=False)) == ["1", "2"]


@pytest.mark.slow
@pytest.mark.parametrize("by_another", [False, True])
def test_a_server_that_comes_back_empty_is_given_the_keys_of_the_last_rotation(
    opened: Callable[..., SessionStore], server: RedisServer, *, by_another: bool
) -> None:
    """It was given those of the opening: with them came back what a rotation had put out."""
    store = opened()
    store.create("a", messages=[said("1")])
    (opened(fallback="none") if by_another else store).rotate_key()
    store.append("a", said("2"))
    first = store._reader.keyring.first.id
    server.kill()
    store.append("a", said("3"))
    come_back_empty(server)
    carried(store)
    again = opened(fallback="none", create=False)
    assert texts(again) == ["1", "2", "3"]
    assert again._reader.keyring.first.id == first


@pytest.mark.slow
def test_a_server_that_comes_back_empty_is_given_the_keys_of_tenants_that_came_after_the_opening(
    opened: Callable[..., SessionStore], server: RedisServer
) -> None:
    store = opened(tenant_keys=True)
    store.create("a", messages=[said("1")], tenant_id="came later")
    server.kill()
    store.append("a", said("2"))
    come_back_empty(server)
    carried(store)
    assert texts(opened(fallback="none", create=False)) == ["1", "2"]


@pytest.mark.slow
def test_another_vault_in_its_place_is_not_written_to(server: RedisServer, opened: Callable[..., SessionStore]) -> None:
    store = opened()
    store.create("a", messages=[said("1")])
    server.kill()
    store.append("a", said("2"))
    come_back_empty(server)
    other = opened(key=RawKey(bytes(range(1, 33))), fallback="none")
    until(lambda: store.exists("a") and "another vault is there now" in store.health()["fallback"], "the look")
    assert texts(store) == ["1", "2"]
    assert other.count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("is_read_by_another", [False, True])
def test_a_server_that_lost_its_last_second_is_given_it_again(
    server: RedisServer,
    opened: Callable[..., SessionStore],
    place_of: Place,
    *,
    is_read_by_another: bool,
) -> None:
    """As one that flushes every second and lost its power, or a replica that took over."""
    store = opened()
    store.create("a", messages=[said("1")])
    kept = place_of.dump()
    store.append("a", said("acknowledged, and lost there"))
    server.kill()
    store.append("a", said("3"))
    server.start()
    place_of.restore(kept)
    if is_read_by_another:
        assert texts(opened(fallback="none")) == ["1"]
    carried(store)
    assert texts(store) == texts(opened(fallback="none")) == ["1", "acknowledged, and lost there", "3"]
    store.append("a", said("4"))
    assert texts(store)[-1] == "4"


@pytest.mark.slow
def test_where_others_went_on_from_what_was_left_nothing_is_lost(
    server: RedisServer, opened: Callable[..., SessionStore], place_of: Place
) -> None:
    store = opened()
    store.create("a", messages=[said("1")])
    kept = place_of.dump()
    store.append("a", said("lost there"))
    server.kill()
    store.append("a", said("3"))
    server.start()
    place_of.restore(kept)
    other = opened(fallback="none")
    other.append("a", said("theirs"))
    carried(store)
    assert texts(other) == texts(store) == ["1", "theirs", "lost there", "3"]


def come_back_empty(server: RedisServer) -> None:
    for kind in ("aof", "manifest", "rdb"):
        for file in server.directory.rglob(f"*.{kind}"):
            file.unlink()
    server.start()


@pytest.mark.slow
def test_the_next_process_finds_what_was_carried_over_at_the_end(
    server: RedisServer, opened: Callable[..., SessionStore]
) -> None:
    store = opened()
    store.create("a", messages=[said("1")])
    server.kill()
    store.append("a", said("2"))
    server.start()
    store.close()
    assert texts(opened()) == ["1", "2"]


def test_without_the_setting_nothing_goes_on(server: RedisServer, opened: Callable[..., SessionStore]) -> None:
    store = opened(fallback="none")
    store.create("a")
    assert "fallback" not in store.health()
    server.kill()
    with pytest.raises(BackendUnavailable):
        store.load("a")


def test_a_directory_has_no_server_to_be_away(tmp_path: object) -> None:
    with pytest.raises(InvalidSetting, match="for a vault on a server"):
        open_store(f"{tmp_path}/vault", key=KEY, fallback="memory")


@pytest.mark.slow
def test_threads_that_write_through_outages_lose_nothing(
    server: RedisServer, opened: Callable[..., SessionStore]
) -> None:
    """Every append that was acknowledged is there once, those of one thread in their order."""
    store, other = opened(), opened(fallback="none")
    store.create("a")
    acknowledged: list[str] = []
    attempted: list[str] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def write(name: int) -> None:
        try:
            for number in itertools.takewhile(lambda _: not done.is_set(), itertools.count()):
                attempted.append(text := f"{name} {number}")
                with contextlib.suppress(DurabilityUnknown):  # another thread was in memory already: it is unknown
                    store.append("a", said(text))
                    acknowledged.append(text)
                done.wait(0.002)
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in range(3)]
    for writer in writers:
        writer.start()
    try:
        for turn in range(2):
            so_far = len(acknowledged)
            until(lambda: bool(failures) or len(acknowledged) > so_far + 20, "the writers")  # noqa: B023 - in this turn
            if turn:
                server.freeze()
                done.wait(0.5)
                server.thaw()
            else:
                server.kill()
                done.wait(0.1)
                server.start()
            carried(store)
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert failures == []
    carried(store)
    found = texts(other)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found) <= set(attempted)
    for name in range(3):
        mine = [int(text.split()[1]) for text in found if text.startswith(f"{name} ")]
        assert mine == sorted(mine)
