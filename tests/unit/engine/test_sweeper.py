"""The background sweeper: sweeps, goes on after a failure, and is stopped by close()."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import pytest

from vaultsession import BackendUnavailable, InvalidSetting, SessionStore
from vaultsession.engine.sweeper import Sweeper
from vaultsession.testing.clock import ManualClock


def sweepers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vaultsession-sweeper"]


def test_it_sweeps_again_and_again_until_it_is_stopped() -> None:
    swept = threading.Semaphore(0)

    def sweep() -> int:
        swept.release()
        return 1

    sweeper = Sweeper(sweep, 0.001)
    for _ in range(3):
        assert swept.acquire(timeout=60)
    sweeper.stop()
    assert sweepers() == []
    sweeper.stop()


def test_a_failed_sweep_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    swept = threading.Semaphore(0)

    def sweep() -> int:
        swept.release()
        raise BackendUnavailable("the disk is away")

    with caplog.at_level(logging.WARNING, "vaultsession"):
        sweeper = Sweeper(sweep, 0.001)
        for _ in range(3):
            assert swept.acquire(timeout=60)
        sweeper.stop()
    assert "the disk is away" in caplog.text


def test_a_store_sweeps_in_the_background(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl="1h")
    store.create("b")
    clock.advance("1h")
    store.start_sweeper("1ms")
    for _ in range(60_000):
        if store.stats()["sessions"] == 1:
            break
        threading.Event().wait(0.001)
    assert store.stats()["sessions"] == 1
    assert [info.id for info in store.list()] == ["b"]
    store.close()
    assert sweepers() == []


def test_a_second_start_changes_the_interval_and_leaves_one_thread(store: SessionStore) -> None:
    store.start_sweeper("1h")
    store.start_sweeper(7200)
    assert len(sweepers()) == 1
    store.close()
    assert sweepers() == []


def test_an_interval_that_is_no_duration_stops_nothing(store: SessionStore) -> None:
    store.start_sweeper("1h")
    with pytest.raises(InvalidSetting):
        store.start_sweeper("soon")
    assert len(sweepers()) == 1


def test_a_store_may_be_opened_with_its_sweeper(open_one: Any) -> None:
    with open_one(sweep_interval="1h"):
        assert len(sweepers()) == 1
    assert sweepers() == []


def test_closing_waits_for_no_interval(open_one: Any) -> None:
    store = open_one(sweep_interval="1000d")
    store.close()
    assert sweepers() == []


def test_a_failure_of_any_kind_ends_no_sweeper(caplog: pytest.LogCaptureFixture) -> None:
    swept = threading.Semaphore(0)

    def sweep() -> int:
        swept.release()
        raise OSError("the directory is gone")

    sweeper = Sweeper(sweep, 0.001)
    for _ in range(3):
        assert swept.acquire(timeout=60)
    assert sweeper.problem() is None
    sweeper.stop()
    assert "the directory is gone" in caplog.text


def test_a_service_that_daemonizes_goes_on_sweeping(open_one: Any) -> None:
    with open_one(sweep_interval="1h") as store:
        assert store.health()["sweeper"] == "ok"
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(write, b"sweeps" if store.health()["ok"] and len(sweepers()) == 1 else b"does not")
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(write)
        assert os.read(read, 100) == b"sweeps"
        os.close(read)
    assert sweepers() == []


def test_health_names_a_sweeper_that_has_ended(store: SessionStore) -> None:
    store.start_sweeper("1h")
    sweeper: Any = store._sweeper
    sweeper._stopped.set()
    sweeper._thread.join()
    assert not store.health()["ok"]
    assert "start_sweeper" in store.health()["sweeper"]
    store.start_sweeper("1h")
    assert store.health()["ok"]
