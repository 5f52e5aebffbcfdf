"""Leases and locks among real processes: one that takes again and again, and one that was stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaultsession import BackendUnavailable, RawKey, open_store
from vaultsession.backends.files import locks
from vaultsession.format.sealed import Query

KEY = RawKey(bytes(range(32)))

pytestmark = pytest.mark.slow


def in_child(work: Callable[[], None]) -> int:
    """The number of a forked process that does it and ends."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("kind", ["files", "sqlite", "redis"])
def test_a_waiter_does_not_starve_behind_a_process_that_takes_it_again_and_again(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """It waited for 1.8 s, until the other had finished: it looked every 50 ms, the other took it at once."""
    place: Any = {"files": str(tmp_path / "vault"), "sqlite": f"sqlite:///{tmp_path}/s.db"}.get(kind)
    if place is None:
        place = f"{request.getfixturevalue('redis_url')}?prefix=fair-{os.urandom(4).hex()}"
    open_store(place, key=KEY).close()
    waited: list[int] = []

    def greedy() -> None:
        with open_store(place, key=KEY) as store:
            while True:
                with store.lease("a"), open(tmp_path / "turns", "ab", buffering=0) as turns:
                    turns.write(b"x")
                    time.sleep(0.01)

    pid = in_child(greedy)
    try:
        with open_store(place, key=KEY) as store:
            while not (tmp_path / "turns").exists():
                time.sleep(0.01)
            for _ in range(5):
                time.sleep(0.05)
                before = os.path.getsize(tmp_path / "turns")
                with store.lease("a", timeout=60):
                    waited.append(os.path.getsize(tmp_path / "turns") - before)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert max(waited) < 10  # turns of the other


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_was_stopped_with_a_stripe_stops_others_for_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path / "vault", key=KEY) as store:
        store.create("a")
        key = next(iter(store._backend.scan(Query()))).key

        def hold() -> None:
            stripe = locks.Stripes(store._backend._disk, store._backend._layout).of(key[-32:])  # type: ignore[attr-defined]
            with stripe.mutex, stripe:
                os.kill(os.getpid(), signal.SIGSTOP)

        pid = in_child(hold)
        os.waitpid(pid, os.WUNTRACED)
        monkeypatch.setattr(locks, "PATIENCE", 0.3)
        try:
            with pytest.raises(BackendUnavailable, match=f"process {pid} has held this lock"):
                store.append("a", {"n": 1})
            monkeypatch.setattr(locks, "PATIENCE", 60.0)
            begun = time.monotonic()
            with pytest.raises(BackendUnavailable):
                store.append("a", {"n": 1})
            assert time.monotonic() - begun < 20
            assert store.load("a").messages == []
        finally:
            os.kill(pid, signal.SIGCONT)
            os.waitpid(pid, 0)
        store.append("a", {"n": 2})
        assert store.messages("a") == [{"n": 2}]
