"""What the tests of the whole store share: a clock that stands still, and a place that stores are opened on."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fork_server import ForkServer
from hypothesis import HealthCheck, settings
from memory import in_memory
from redis_lab import place  # noqa: F401 - a fixture for every test
from sampling import leave_out
from servers import redis_url  # noqa: F401 - as above: one server for the whole run
from sql_servers import any_url, mariadb_server, postgresql_server  # noqa: F401 - as above

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.testing.clock import ManualClock

settings.register_profile(
    "ci",
    derandomize=True,  # the same examples in every run
    database=None,
    deadline=None,  # no timing in assertions
    max_examples=40,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],  # the machines share two cores with the rest of the suite
)
settings.register_profile(
    "deep", settings.get_profile("ci"), derandomize=False, max_examples=2000, stateful_step_count=60
)
os.environ["VAULTSESSION_CONFIG"] = ""  # nothing of the user who runs the tests
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).parents[1]
Opening = Callable[..., SessionStore]

DATABASE_SERVERS = {"mariadb_server", "postgresql_server", "mysql", "postgresql", "mariadb", "mortal"}
"""Fixtures, and parameters of them, that start one: seconds each."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """The quick part writes to memory where there is such a place: the slow one has what flushes to disks, and waits."""
    gc.disable()  # until the tests begin
    is_quick = config.option.markexpr == "not slow" and "PYTEST_DEBUG_TEMPROOT" not in os.environ
    if is_quick and (memory := in_memory()):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = memory


def pytest_sessionstart(session: pytest.Session) -> None:
    """Each worker of a whole run begins to import elsewhere: what one of them has compiled the others only load."""
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != session.config.getini("testpaths"):
        return
    paths = sorted(ROOT.glob("tests/**/test_*.py"))
    first = len(paths) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for path in (*paths[first:], *paths[:first]):
        if sys.path[0] != str(path.parent):
            sys.path.insert(0, str(path.parent))
        with contextlib.suppress(Exception, pytest.skip.Exception):  # collecting says it
            importlib.import_module(path.stem)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """What needs a database server is slow: SQLite and Redis stand for the engines in the quick part.

    So are the cases of an exhaustive test that its sample leaves out. What has a timeout of its own takes longest: it
    is begun first, so that no process works alone at the end.
    """
    leave_out(items)
    for item in items:
        callspec = getattr(item, "callspec", None)
        given = {value for value in callspec.params.values() if isinstance(value, str)} if callspec else set()
        if DATABASE_SERVERS & (given | set(getattr(item, "fixturenames", ()))):
            item.add_marker(pytest.mark.slow)
    yield
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """What was imported and collected stays to the end: no collection of garbage has to look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The words that ``vaultsession`` is started with, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    server = ForkServer(tmp_path_factory.mktemp("command"), {**kept, "PYTHONPATH": str(ROOT)})
    yield server.command
    server.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process writes: rotation and destruction have nothing to wait for."""
    monkeypatch.setattr("vaultsession.engine.rotation._LAG", 0)
    monkeypatch.setattr("vaultsession.engine.erasure._LAG", 0)


@pytest.fixture
def vault_key() -> RawKey:
    return RawKey(bytes(range(200, 232)))


@pytest.fixture
def open_files(tmp_path: Path, clock: ManualClock, vault_key: RawKey) -> Iterator[Opening]:
    """Opens the same vault on files as often as it is called. Settings may be given; everything is closed at the end."""
    opened: list[SessionStore] = []

    def opening(**overrides: Any) -> SessionStore:
        chosen = {"key": vault_key, "clock": clock, "durability": "os", **overrides}
        opened.append(open_store(tmp_path / "vault", **chosen))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


@pytest.fixture(params=["memory", "files"])
def open_one(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Opening]:
    """Opens one store, in memory or on files, with the settings that are given."""
    if request.param == "files":
        yield request.getfixturevalue("open_files")
        return
    opened: list[SessionStore] = []

    def opening(**overrides: Any) -> SessionStore:
        opened.append(open_store("memory://", **{"clock": clock, **overrides}))
        return opened[-1]

    yield opening
    for store in opened:
        store.close()


@pytest.fixture
def store(open_one: Opening) -> SessionStore:
    return open_one()
