"""``vaultsession sweep``."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from vaultsession.testing.clock import ManualClock


@pytest.fixture
def expired(place):
    with place.open() as store:
        for name in ("a", "b"):
            store.create(name, ttl=0.001)
        store.create("c")
    time.sleep(0.002)
    return place


@pytest.fixture
def dormant(place):
    """A vault in which nothing has happened for two years."""
    clock = ManualClock(datetime.now(UTC) - timedelta(days=730))
    with place.open(clock=clock) as store:
        store.create("a", ttl="30d")
    return place


def test_a_clock_far_ahead_sweeps_nothing_until_it_is_believed(dormant, spawn):
    done = spawn("sweep")
    assert done.code == 1
    assert "nothing was swept" in done.err
    assert "--believe-clock" in done.err
    assert files(dormant) == 1
    assert spawn("sweep", "--believe-clock", "--json").json == {"dry_run": False, "swept": 1}
    assert files(dormant) == 0


def files(place):
    return len(list(place.path.glob("sessions/*.vss")))


def test_what_has_expired_goes_and_nothing_else(expired, spawn):
    done = spawn("sweep")
    assert (done.code, done.out) == (0, "swept\n2\n")
    assert files(expired) == 1
    assert spawn("sweep", "--json").json == {"dry_run": False, "swept": 0}


def test_a_dry_run_only_counts(expired, run, terminal):
    assert run("sweep", "--dry-run", "--json").json == {"dry_run": True, "swept": 2}
    assert "2 expired sessions would be removed" in terminal("sweep", "--dry-run").out
    assert files(expired) == 3
