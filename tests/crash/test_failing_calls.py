"""Every call of every operation fails once, with each error: the store is used on, opened again, and nothing is left."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_lab import IDS, KEY, NEXT, explored, reader, survived
from effort import EFFORT, some
from files_lab import descriptors
from memory import QuickDisk

from vaultsession import SessionStore, open_store
from vaultsession.engine import merge_policy
from vaultsession.errors import VaultError
from vaultsession.format import diff
from vaultsession.testing.clock import ManualClock
from vaultsession.testing.faulty_disk import ERRNOS, FaultyDisk

pytestmark = pytest.mark.usefixtures("late_index", "no_lag")

Operation = Callable[[SessionStore], object]

SAID = [{"role": "user", "content": f"message {number}"} for number in range(3)]


def saved(store: SessionStore) -> None:
    session = store.load("a")
    session.state["n"] = 2
    store.save(session)


def rewritten(store: SessionStore) -> None:
    session = store.load("a")
    session.messages = SAID[::-1]
    session.state = {"n": 2}
    store.save(session)


def replaced(store: SessionStore) -> None:
    store.save("a", messages=SAID[:1])


def appended_and_closed(store: SessionStore) -> None:
    try:
        store.append("a", SAID[0])
    finally:
        store.close()


OPERATIONS: dict[str, Operation] = {
    "create": lambda store: store.create("b", messages=SAID),
    "save": saved,
    "save another document": rewritten,
    "save many": lambda store: store.save_many({"id": name, "messages": SAID} for name in ("a", "b")),
    "delete many": lambda store: store.delete_many(["a", "b"]),
    "rotate": lambda store: store.rotate_key(),
    "append": lambda store: store.append("a", SAID[0]),
    "pop": lambda store: store.pop("a"),
    "update": lambda store: store.update("a", {"n": 3}),
    "update that makes": lambda store: store.update("b", {"n": 3}, unset=["m"], create=True, title="made"),
    "save that erases": lambda store: store.save("a", state={"n": 3}, messages=SAID, erase=True),
    "snapshot": lambda store: store.snapshot("a", last=1),
    "touch": lambda store: store.touch("a", ttl="2h"),
    "clear": lambda store: store.clear("a"),
    "delete": lambda store: store.delete("a"),
    "sweep": lambda store: store.sweep(),
    "replace": replaced,
    "list": lambda store: list(store.list()),
    "count": lambda store: store.count(),
    "load": lambda store: store.load("a"),
    "messages": lambda store: store.messages("a", last=1),
    "exists": lambda store: store.exists("a"),
    "stats": lambda store: store.stats(),
    "reindex": lambda store: store.reindex(),
    "copy": lambda store: store.copy("a", "b"),
    "import": lambda store: store.import_([b'{"vaultsession":1,"id":"b","state":{"n":1}}'] * 2, existing="replace"),
    "export": lambda store: list(store.export()),
    "search": lambda store: list(store.search("text")),
    "verify": lambda store: store.verify(),
    "close": appended_and_closed,
}


@pytest.fixture(autouse=True)
def _early_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_policy, "DEAD_FLOOR", 1000)
    monkeypatch.setattr(diff, "SMALLEST", 1000)


@pytest.fixture
def origin(where: Path) -> Path:
    """A vault with a session that lives, and one that has expired."""
    with open_store(where / "origin", key=KEY, clock=ManualClock()) as store:
        store.create("a", state={"n": 1, "noise": os.urandom(1500).hex()}, messages=SAID, ttl="1h")
        store.append("a", SAID[1])
        store.create("c", messages=SAID, ttl="1m")
    return where / "origin"


def every_other() -> list[Any]:
    """The errors that the quick part leaves out."""
    return [pytest.param(code, marks=pytest.mark.slow) for code in ERRNOS if code != errno.EIO]


def now() -> ManualClock:
    clock = ManualClock()
    clock.advance("2m")
    return clock


@pytest.fixture(autouse=True)
def _threads_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.OTHERS", frozenset(threading.enumerate()))


OTHERS: frozenset[threading.Thread] = frozenset()
"""Threads that there were before the test: what stores of other tests have left."""


def threads() -> list[str]:
    return [thread.name for thread in {*threading.enumerate()} - OTHERS if thread.name.startswith("vaultsession")]


def fresh(origin: Path) -> Path:
    path = origin.parent / "vault"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(origin, path)
    return path


def faults(errnos: Any) -> Iterator[tuple[int | None, bool]]:
    """Every error, and for writes also: half of it and the error, or half of it and no error."""
    yield from ((code, False) for code in errnos)
    yield errno.ENOSPC, True
    yield None, True


def sweep(origin: Path, operation: Operation, errnos: Any, *, every: int = 1) -> int:
    """Fail at every call of an operation, or at ``some``, in every way; how many failures there were."""
    path = fresh(origin)
    with open_store(path, key=KEY, clock=now(), disk=QuickDisk()) as store:
        before = reader(store)
        operation(store)
        if not store._closed:
            after = reader(store)
    with open_store(path, key=KEY, clock=now(), disk=QuickDisk()) as store:
        after = reader(store)
    count = 0
    for code, short in faults(errnos):
        for k in some(range(1, 1000), every):
            path = fresh(origin)
            disk = FaultyDisk(errno=code, short=short, only=("pwrite",) if short else CALLS, under=QuickDisk())
            store = open_store(path, key=KEY, clock=now(), disk=disk)
            disk.fail(k)
            refused = False
            try:
                operation(store)
            except VaultError:
                refused = True
            failed = disk.failed
            said = f"{code and errno.errorcode[code]} at call {k}, {disk.calls[disk.number - 1] if failed else None}"
            disk.fail(0)
            if not failed:
                store.close()
                assert not refused
                break
            count += 1
            closed = store._closed
            if not closed:
                found = reader(store)
                assert all(found[name] in (before[name], after[name]) for name in IDS), said
                assert refused or found == after or operation in MAY_BE_PUT_OFF, said
                store.append("a", NEXT, create=True)
                found = reader(store)
                assert found["a"][1][-1] == NEXT, said
                store.close()
            del store
            assert descriptors(path) == [], said
            assert threads() == [], said
            if closed:
                with open_store(path, key=KEY, clock=now(), disk=QuickDisk()) as store:
                    found = reader(store)
                assert found == after or (refused and found == before), said
            try:
                survived(path, [found], now().now(), settings={})
            except BaseException as error:
                error.add_note(said)
                raise
    return count


CALLS = (
    "open",
    "stat",
    "look",
    "fstat",
    "mkdir",
    "unlink",
    "listdir",
    "names",
    "rename",
    "pread",
    "pwrite",
    "fchmod",
    "flock",
    "fsync",
    "fdatasync",
    "close",
)
MAY_BE_PUT_OFF = (OPERATIONS["sweep"],)


def test_the_operation_that_is_to_replace_a_container_does(origin: Path) -> None:
    (file,) = (origin / "sessions").glob("a~*")
    before = file.stat()
    with open_store(origin, key=KEY, clock=now()) as store:
        replaced(store)
    assert file.stat().st_size < before.st_size


QUICK = ("create", "append", "delete", "load")


@pytest.mark.parametrize("name", QUICK)
def test_any_call_may_fail_once(origin: Path, name: str) -> None:
    """At every other one, and in the next run at those between."""
    count = sweep(origin, OPERATIONS[name], (errno.EIO,), every=2)
    explored[f"failures: {name}"] += count
    assert count >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
def test_any_call_may_fail_once_with_any_error(origin: Path, name: str) -> None:
    """So many errors for each operation, others for the next one: each error is met by some."""
    first = list(OPERATIONS).index(name)
    errors = [ERRNOS[(first + number) % len(ERRNOS)] for number in range(min(EFFORT, len(ERRNOS)))]
    count = sweep(origin, OPERATIONS[name], errors)
    explored[f"failures, every errno: {name}"] += count
    assert count >= len(errors)


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.EIO, *every_other()])
def test_any_call_of_an_opening_may_fail_once(origin: Path, code: int) -> None:
    with open_store(fresh(origin), key=KEY, clock=now(), disk=QuickDisk()) as store:
        before = reader(store)
    for k in some(range(1, 1000), 2):
        path = fresh(origin)
        disk = FaultyDisk(k, errno=code, only=CALLS, under=QuickDisk())
        try:
            store = open_store(path, key=KEY, clock=now(), disk=disk)
        except VaultError:
            store = None
        failed = disk.failed
        disk.fail(0)
        if store is not None:
            assert reader(store) == before
            store.close()
        del store
        if not failed:
            break
        assert descriptors(path) == []
        assert threads() == []
        survived(path, [before], now().now(), settings={})
        explored["failures: the vault is opened"] += 1
    assert k > 30


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.EIO, *every_other()])
def test_any_call_of_a_creation_may_fail_once(where: Path, code: int) -> None:
    for k in some(range(1, 1000), 2):
        path = where / "new"
        shutil.rmtree(path, ignore_errors=True)
        disk = FaultyDisk(k, errno=code, only=CALLS, under=QuickDisk())
        with contextlib.suppress(VaultError):
            open_store(path, key=KEY, clock=now(), disk=disk).close()
        if not disk.failed:
            break
        assert descriptors(path) == []
        assert threads() == []
        survived(path, [dict.fromkeys(IDS)], now().now(), settings={})
        assert [name for name in os.listdir(path) if name.endswith(".new")] == []
        explored["failures: the vault is made"] += 1
    assert k > 30
