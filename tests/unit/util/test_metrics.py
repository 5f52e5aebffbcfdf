"""Durations of calls: counted in all, percentiles of the last ones, and nothing of content anywhere."""

from __future__ import annotations

import logging
import threading

import pytest

from vaultsession import SessionNotFound, SessionStore
from vaultsession.store.verb import verb
from vaultsession.util.metrics import RECENT, Latency, Metrics


def test_percentiles_are_those_of_the_durations() -> None:
    latency = Latency()
    for milliseconds in range(100, 0, -1):
        latency.note(milliseconds * 1_000_000)
    assert latency.summary() == {
        "calls": 100,
        "errors": 0,
        "p50_ms": 50.0,
        "p90_ms": 90.0,
        "p99_ms": 99.0,
        "max_ms": 100.0,
    }


def test_one_call_is_every_percentile() -> None:
    latency = Latency()
    latency.note(3_000_000)
    assert set(latency.summary().values()) == {1, 0, 3.0}
    assert set(Latency().summary().values()) == {0}


def test_old_calls_are_counted_and_no_longer_tell() -> None:
    latency = Latency()
    latency.note(10**12)
    for _ in range(RECENT):
        latency.note(1_000_000)
    assert latency.summary()["calls"] == RECENT + 1
    assert latency.summary()["max_ms"] == 1.0


def test_calls_of_many_threads_are_counted() -> None:
    class Watched:
        def __init__(self) -> None:
            self._watch = Metrics()

        @verb
        def work(self) -> int:
            return 1

    watched = Watched()
    threads = [threading.Thread(target=lambda: [watched.work() for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watched._watch.summary()["work"]["calls"] == 2000


def test_a_failed_verb_is_logged_with_its_id_and_without_content(
    store: SessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "vaultsession")
    with pytest.raises(SessionNotFound):
        store.append("a", {"content": "hunter2"})
    assert "append of 'a': SessionNotFound" in caplog.text
    assert "hunter2" not in caplog.text
