"""Several processes on one database: nothing acknowledged is lost, doubled or reordered; forks, kills and restarts."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sql_servers import Server, mariadb, postgresql

from vaultsession import (
    BackendUnavailable,
    DurabilityUnknown,
    LeaseTimeout,
    RawKey,
    SessionExists,
    SessionStore,
    open_store,
)

pytestmark = pytest.mark.slow

KEY = RawKey(bytes(range(150, 182)))
PROCESSES = 3
SPAWN = multiprocessing.get_context("spawn")


def opened(url: str) -> SessionStore:
    return open_store(url, key=KEY)


def _working(work: Callable[..., Any], url: str, number: int, start: Any, results: Any) -> None:
    """In another process: open, wait for the others, work, report."""
    try:
        start.wait(60)
        with opened(url) as store:
            results.put((number, work(store, number), None))
    except BaseException as error:  # noqa: BLE001 - reported to the parent, which raises it
        results.put((number, None, repr(error)))


def in_processes(url: str, work: Callable[..., Any]) -> list[Any]:
    """What ``work(store, number)`` returns in each of several processes that open the database together."""
    start, results = SPAWN.Barrier(PROCESSES), SPAWN.Queue()
    processes = [SPAWN.Process(target=_working, args=(work, url, each, start, results)) for each in range(PROCESSES)]
    for process in processes:
        process.start()
    told = sorted((results.get(timeout=90) for _ in processes), key=lambda one: one[0])
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [error for _, _, error in told if error] == []
    return [result for _, result, _ in told]


def append_in_turn(store: SessionStore, number: int) -> None:
    for count in range(30):
        store.append("shared", {"by": number, "n": count}, create=True)
        store.update("shared", {f"{number}": count})


def create_each(store: SessionStore, number: int) -> list[int]:
    won = []
    for each in range(15):
        try:
            store.create(f"session {each}", state={"by": number})
            won.append(each)
        except SessionExists:
            pass
    return won


def test_a_database_is_begun_by_several_processes_and_every_append_is_there_once(any_url: str) -> None:
    in_processes(any_url, append_in_turn)
    with opened(any_url) as store:
        session = store.load("shared")
        assert session.state == {str(number): 29 for number in range(PROCESSES)}
        assert len(session.messages) == 30 * PROCESSES
        for number in range(PROCESSES):
            assert [each["n"] for each in session.messages if each["by"] == number] == list(range(30))


def test_one_creator_wins_each_session(any_url: str) -> None:
    won = in_processes(any_url, create_each)
    assert sorted(each for one in won for each in one) == list(range(15))
    with opened(any_url) as store:
        for number, names in enumerate(won):
            assert all(store.load(f"session {each}").state == {"by": number} for each in names)


def test_creating_and_removing_at_once_loses_no_session_that_was_acknowledged(any_url: str) -> None:
    """A session that is created while another process removes an earlier life of it must not be under its tombstone."""
    with opened(any_url) as one, opened(any_url) as other:
        failures: list[BaseException] = []

        def churn(store: SessionStore, number: int) -> None:
            try:
                for count in range(25):
                    try:
                        store.create("a", state={"by": number, "n": count})
                    except SessionExists:
                        store.delete("a")
                        continue
            except BaseException as error:  # noqa: BLE001 - reported by the test
                failures.append(error)

        threads = [threading.Thread(target=churn, args=(store, n)) for n, store in enumerate((one, other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        one.delete("a")
        other.create("a", state={"last": True})
        assert one.load("a").state == other.load("a").state == {"last": True}


def test_leases_exclude_each_other_over_stores_and_end_with_their_block(any_url: str) -> None:
    with opened(any_url) as one, opened(any_url) as other:
        with one.lease("a"):
            with pytest.raises(LeaseTimeout), other.lease("a", timeout=0):
                pytest.fail("two held it at once")
            with pytest.raises(LeaseTimeout), one.lease("a", timeout=0.01):
                pytest.fail("two held it at once")
            with other.lease("b", timeout=0):
                pass
        with other.lease("a", timeout=0):
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_the_child_of_a_fork_has_connections_of_its_own(any_url: str) -> None:
    with opened(any_url) as store:
        store.create("a")
        store.append("a", {"by": "parent"})
        child = os.fork()
        if child == 0:
            try:
                for number in range(10):
                    store.append("a", {"by": "child", "n": number})
                with store.lease("a", timeout=60):
                    pass
                os._exit(0)
            finally:
                os._exit(1)
        for number in range(10):
            store.append("a", {"by": "parent", "n": number})
        assert os.waitpid(child, 0)[1] == 0
        assert len(store.load("a").messages) == 21


# -- a server that dies ------------------------------------------------------------------------------------------------


@pytest.fixture(params=[mariadb, postgresql], ids=["mysql", "postgresql"])
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that no other test uses."""
    with request.param() as server:
        if not server.is_ours:
            pytest.skip("a server that was given is not killed")
        yield server


def test_what_was_acknowledged_outlives_a_server_that_is_killed(mortal: Server) -> None:
    """Writers get an error; what they were promised is there once after the restart, and they go on by themselves."""
    with opened(mortal.database()) as store:
        store.create("a")
        acknowledged: list[int] = []
        unknown: list[int] = []
        stop = threading.Event()

        def write() -> None:
            for number in range(1_000_000):
                if stop.is_set():
                    return
                try:
                    store.append("a", {"n": number})
                    acknowledged.append(number)
                except DurabilityUnknown:
                    unknown.append(number)
                except BackendUnavailable:
                    time.sleep(0.02)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(2):
            before = len(acknowledged)
            while len(acknowledged) < before + 50:
                time.sleep(0.01)
            mortal.kill()
            with pytest.raises(BackendUnavailable) as refused:
                store.list()
            assert "correct-horse" not in str(refused.value)
            assert any(problem for problem in store.health().values())
            mortal.start()
        while len(acknowledged) < before + 100:
            time.sleep(0.01)
        stop.set()
        writer.join()
        numbers = [message["n"] for message in store.load("a").messages]
    assert sorted(set(numbers)) == numbers, "doubled or reordered"
    assert set(acknowledged) <= set(numbers), "lost"
    assert set(numbers) <= set(acknowledged) | set(unknown), "said to have failed, and there"
