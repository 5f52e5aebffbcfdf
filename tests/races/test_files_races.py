"""Several processes and threads on one vault: every acknowledged record is there once, in order, and is listed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from processes import FRESH

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import index, index_thread, locks
from vaultsession.errors import VaultError
from vaultsession.format.keys import Keyring
from vaultsession.format.sealed import Query
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

HOT = [f"hot {number}" for number in range(4)]
WORKERS = 4
RECORDS = 60


class _Open:
    """A lock that lets everyone in."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def without_flock() -> None:
    locks.try_lock = lambda _disk, _fd: True  # the mutant


def without_mutex() -> None:
    locks.PathLock.mutex = _Open()  # type: ignore[method-assign,assignment]  # the mutant


def opened(path: str, keyring: Keyring) -> tuple[FilesBackend, Sealer]:
    scribe = Sealer(keyring)
    return FilesBackend(path, disk=Disk(), describe=scribe.describe, durability="os"), scribe


def append_all(path: str, keyring: Keyring, name: str, start: Any, results: Any, mutate: Any, slow: bool) -> None:
    if mutate is not None:
        mutate()
    backend, scribe = opened(path, keyring)
    start.wait()
    results.put((name, _append_all(backend, scribe, name, slow=slow)))
    with contextlib.suppress(VaultError):
        backend.close()


def _append_all(backend: FilesBackend, scribe: Sealer, name: str, *, slow: bool) -> list[tuple[str, str]]:
    acknowledged = []
    for number in range(RECORDS):
        hot, text = HOT[number % len(HOT)], f"{name} {number}"

        def update(newest: Any, text: str = text) -> Any:
            made = scribe.append(text)(newest)
            if slow:
                time.sleep(0.0005)  # for a writer that is not kept out
            return made

        try:
            backend.commit(scribe.key(hot), update)
        except (VaultError, ValueError, OSError):
            continue
        acknowledged.append((hot, text))
    return acknowledged


def race(path: Path, method: str, mutate: Any = None, *, slow: bool = False, threads: bool = False) -> list[str]:
    """Four workers on four hot sessions. What went wrong, in words."""
    keyring = Keyring.generate()
    backend, scribe = opened(str(path), keyring)
    for hot in HOT:
        backend.commit(scribe.key(hot), scribe.create(scribe.key(hot)))
    results: Any
    if threads:
        found: list[Any] = []
        start: Any = threading.Barrier(WORKERS)

        def run(name: str) -> None:
            start.wait()
            found.append((name, _append_all(backend, scribe, name, slow=slow)))

        workers: list[Any] = [threading.Thread(target=run, args=(str(number),)) for number in range(WORKERS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    else:
        context: Any = FRESH if method == "fresh" else multiprocessing.get_context(method)
        start, results = context.Barrier(WORKERS), context.Queue()
        workers = [
            context.Process(target=append_all, args=(str(path), keyring, str(number), start, results, mutate, slow))
            for number in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        found = [results.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join()
    acknowledged = dict(found)
    problems = _problems(backend, scribe, acknowledged)
    with contextlib.suppress(VaultError):
        backend.close()
    return problems


def _problems(backend: FilesBackend, scribe: Sealer, acknowledged: dict[str, list[tuple[str, str]]]) -> list[str]:
    problems = []
    refused = WORKERS * RECORDS - sum(map(len, acknowledged.values()))
    if refused:
        problems.append(f"{refused} commits failed")
    for hot in HOT:
        try:
            texts = scribe.texts(backend, scribe.key(hot)) or []
        except (VaultError, AssertionError) as error:
            problems.append(f"{hot}: {error}")
            continue
        for name, own in acknowledged.items():
            expected = [text for where, text in own if where == hot]
            there = [text for text in texts if text.startswith(f"{name} ")]
            if there != expected:
                problems.append(f"{hot}: worker {name} wrote {expected}, there is {there}")
    if not problems:
        listed = {row.key: row.version for row in backend.scan(Query())}
        heads = {scribe.key(hot): backend.head(scribe.key(hot)) for hot in HOT}
        if listed != {key: head and head.version for key, head in heads.items()}:
            problems.append("the listing lags behind writers that have closed")
    return problems


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["fresh", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_lose_nothing(tmp_path: Path, method: str) -> None:
    assert race(tmp_path, method) == []


def test_threads_lose_nothing(tmp_path: Path) -> None:
    assert race(tmp_path, "threads", threads=True) == []


def test_without_the_lock_of_processes_the_race_is_lost(tmp_path: Path) -> None:
    assert race(tmp_path, "fresh", without_flock, slow=True) != []


def test_without_the_mutex_of_threads_the_race_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks.PathLock, "mutex", _Open())
    assert race(tmp_path, "threads", slow=True, threads=True) != []


# -- writers that die --------------------------------------------------------------------------------------------------


def die_writing(path: str, keyring: Keyring, told: Any) -> None:
    index_thread.BATCH_SECONDS = 600.0  # the index hears nothing
    index.Index.flush = lambda _self, **_how: None  # type: ignore[method-assign,assignment]  # nor when it is asked to
    backend, scribe = opened(path, keyring)
    for number in range(20):
        key = scribe.key(str(number))
        backend.commit(key, scribe.create(key, updated=number, user_id="alice"))
    backend.commit(scribe.key("3"), scribe.append("more", user_id="bob"))
    backend.commit(scribe.key("4"), scribe.remove(scribe.key("4")))
    backend.commit(scribe.key("old"), scribe.append("newer"))
    backend.commit(scribe.key("older"), scribe.remove(scribe.key("older")))
    orphan = f".{scribe.key('5')[-32:]}.{'ab' * 8}.tmp"
    (Path(path) / "sessions" / orphan).write_bytes(b"half a container")
    told.put("written")
    told.close()
    told.join_thread()
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_writer_did_not_list_is_listed_by_the_next(tmp_path: Path) -> None:
    keyring = Keyring.generate()
    backend, scribe = opened(str(tmp_path), keyring)
    for name in ("old", "older"):
        backend.commit(scribe.key(name), scribe.create(scribe.key(name)))
    backend.close()
    context = FRESH
    told = context.Queue()
    child = context.Process(target=die_writing, args=(str(tmp_path), keyring, told))
    child.start()
    assert told.get(timeout=60) == "written"
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert (tmp_path / "locks" / "writer-00").read_bytes()[:1] == b"1"
    again, scribe = opened(str(tmp_path), keyring)
    names = ["old", *(str(number) for number in range(20) if number != 4)]
    rows = {row.key: row.version for row in again.scan(Query())}
    assert rows == {scribe.key(name): again.head(scribe.key(name)).version for name in names}
    assert [row.key for row in again.scan(Query(tags=(scribe.user("bob"),)))] == [scribe.key("3")]
    assert [name for name in os.listdir(tmp_path / "sessions") if name.endswith(".tmp")] == []
    assert (tmp_path / "locks" / "writer-00").read_bytes()[:1] == b"0"
    again.close()


def die_at_random(path: str, keyring: Keyring, told: Any) -> None:
    backend, scribe = opened(path, keyring)
    for number in range(100_000):
        key = scribe.key(f"{number % 7}")
        backend.commit(key, scribe.append(str(number)) if number >= 7 else scribe.create(key, str(number)))
        told.send(number)


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    context = FRESH
    for attempt in range(3):
        path, keyring = tmp_path / str(attempt), Keyring.generate()
        path.mkdir()
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=die_at_random, args=(str(path), keyring, theirs))
        child.start()
        last = -1
        while last < 200 * (attempt + 1):
            last = ours.recv()
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        theirs.close()
        with contextlib.suppress(EOFError):
            while True:
                last = ours.recv()
        backend, scribe = opened(str(path), keyring)
        for residue in range(7):
            texts = scribe.texts_before_torn(backend, scribe.key(f"{residue}"))
            attempted = [str(number) for number in range(residue, last + 2, 7)]
            assert texts in (attempted, [text for text in attempted if int(text) <= last])
        rows = {row.key: row.version for row in backend.scan(Query())}
        assert rows == {scribe.key(f"{n}"): backend.head(scribe.key(f"{n}")).version for n in range(7)}
        backend.close()


# -- forks -------------------------------------------------------------------------------------------------------------


def _forked(backend: FilesBackend, scribe: Sealer, keys: list[str], name: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        for number in range(20):
            for key in keys:
                backend.commit(key, scribe.append(f"child{name} {number}"))
            assert len(list(backend.scan(Query()))) == len(keys)
        if name % 2:  # the others die without a word
            backend.close()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the parent reads the exit code
        traceback.print_exc()
        os._exit(1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_uses_the_store_that_it_inherited(tmp_path: Path) -> None:
    """The parent is in the middle of everything when it forks."""
    backend, scribe = opened(str(tmp_path), Keyring.generate())
    keys = [scribe.key(f"{number}") for number in range(6)]
    for key in keys:
        backend.commit(key, scribe.create(key))
    stop, failures, written = threading.Event(), [], [0] * len(keys)

    def busy(number: int) -> None:
        try:
            while not stop.is_set():
                backend.commit(keys[number], scribe.append(f"parent {written[number]}"))
                written[number] += 1
                list(backend.scan(Query(limit=2)))
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    children = [_forked(backend, scribe, keys, name) for name in range(6)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert codes == [0] * 6
    for key, count in zip(keys, written, strict=True):
        texts = scribe.texts(backend, key) or []
        for name, expected in (("parent", count), *((f"child{name}", 20) for name in range(6))):
            own = [text for text in texts if text.startswith(f"{name} ")]
            assert own == [f"{name} {number}" for number in range(expected)]
    backend.close()
    again, _ = opened(str(tmp_path), scribe.keyring)
    rows = {row.key: row.version for row in again.scan(Query())}
    assert rows == {key: again.head(key).version for key in keys}
    again.close()
