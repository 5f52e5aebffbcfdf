"""The threads of a process: shared by what it does side by side, and bounded whatever the number of stores."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from vaultsession import RawKey, open_store_async
from vaultsession.util import parallel, threads
from vaultsession.util.event_loop import called
from vaultsession.util.threads import MOST, MOST_OF_ONE, SharedThreads


@pytest.fixture
def crowd() -> Any:
    """Calls that run until the test has ended, and how many do so."""
    running, released = threading.Semaphore(0), threading.Event()

    def call() -> None:
        running.release()
        released.wait(60)

    class Crowd:
        ends = released
        wait_in: Callable[[], None] = staticmethod(call)

        def count(self, least: int) -> int:
            for _ in range(least):
                assert running.acquire(timeout=60)
            more = 0
            while running.acquire(timeout=0.01):
                more += 1
            return least + more

    yield Crowd()
    released.set()


def test_all_stores_of_a_process_have_one_pool(crowd: Any) -> None:
    """Fifty stores of one vault made 243 threads."""
    shares = [SharedThreads() for _ in range(2 * MOST // MOST_OF_ONE)]
    futures = [share.submit(crowd.wait_in) for share in shares for _ in range(MOST_OF_ONE)]
    assert crowd.count(MOST) == MOST
    crowd.ends.set()
    for future in futures:
        future.result(60)
    for share in shares:
        share.close()
    assert not threads._pool.threads


def test_one_store_leaves_room_for_others(crowd: Any) -> None:
    """The server of one store is silent: its calls wait, and those of another store do not wait for them."""
    silent, other = SharedThreads(), SharedThreads()
    futures = [silent.submit(crowd.wait_in) for _ in range(2 * MOST)]
    assert crowd.count(MOST_OF_ONE) == MOST_OF_ONE
    assert other.submit(lambda: "done").result(60) == "done"
    crowd.ends.set()
    for future in futures:
        future.result(60)
    silent.close()
    other.close()


def test_stores_with_much_to_do_leave_room_for_one_more(crowd: Any) -> None:
    busy, other = [SharedThreads() for _ in range(MOST // MOST_OF_ONE)], SharedThreads()
    running = [share.submit(crowd.wait_in) for share in busy for _ in range(MOST_OF_ONE)]
    waiting = [share.submit(functools.partial(time.sleep, 0.0005)) for share in busy for _ in range(30)]
    late = other.submit(lambda: sum(future.done() for future in waiting))
    assert crowd.count(MOST) == MOST
    crowd.ends.set()
    assert late.result(60) < len(waiting) // 2
    for future in (*running, *waiting):
        future.result(60)
    for share in (*busy, other):
        share.close()


def wait_for(share: SharedThreads) -> None:
    while share._running:
        time.sleep(0.0005)


def test_outcomes_that_come_together_wake_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[list[int], int]:
        loop, share = asyncio.get_running_loop(), SharedThreads()
        wake_up, calls = loop.call_soon_threadsafe, []
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: calls.append(args) or wake_up(*args))
        tasks = [asyncio.ensure_future(called(share, functools.partial(int, number))) for number in range(50)]
        await asyncio.sleep(0)  # each has asked
        wait_for(share)  # the loop is busy meanwhile
        share.close()
        return await asyncio.gather(*tasks), len(calls)

    assert asyncio.run(work()) == ([*range(50)], 1)


def test_a_call_that_was_cancelled_before_it_began_is_not_made(crowd: Any) -> None:
    made: list[int] = []
    share = SharedThreads()
    running = [share.submit(crowd.wait_in) for _ in range(MOST_OF_ONE)]
    waiting = [share.submit(lambda number=number: made.append(number)) for number in range(3)]
    assert waiting[1].cancel()
    crowd.ends.set()
    for future in (*running, waiting[0], waiting[2]):
        future.result(60)
    assert sorted(made) == [0, 2]
    share.close()


def test_a_share_that_is_closed_takes_no_call_and_ends_what_it_took(crowd: Any) -> None:
    share = SharedThreads()
    failing = share.submit(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(60)
    futures = [share.submit(crowd.wait_in) for _ in range(2 * MOST_OF_ONE)]
    share.close()
    share.close()
    with pytest.raises(RuntimeError, match="the store is closed"):
        share.submit(crowd.wait_in)
    crowd.ends.set()
    for future in futures:
        future.result(60)


def test_batches_of_a_process_have_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel._allowance, "_left", 10)
    begun = [parallel.parallel_map(str, range(100), overlap=True) for _ in range(4)]
    names = {parallel.THREADS: 8, 2: 2}
    left = []
    for batch in begun:
        next(batch)
        left.append(parallel._allowance._left)
    assert left == [10 - names[parallel.THREADS], 0, 0, 0]
    for batch in begun:
        with closing(batch):
            assert list(batch) == [str(number) for number in range(1, 100)]
    assert parallel._allowance._left == 10


def test_in_the_child_of_a_fork_no_call_waits_for_those_of_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = threads._Pool()
    monkeypatch.setattr(threads, "_pool", pool)
    share = SharedThreads()
    share._running = MOST_OF_ONE
    late = share.submit(lambda: "never")
    pool._begin_anew()
    assert share.submit(lambda: "done").result(60) == "done"
    assert not late.done()
    share.close()


@pytest.mark.slow
def test_fifty_asynchronous_stores_of_one_vault(tmp_path: Path) -> None:
    key = RawKey(bytes(range(32)))

    async def work() -> int:
        stores = [await open_store_async(tmp_path / "vault", key=key, durability="os") for _ in range(50)]
        await asyncio.gather(*(store.create(str(number)) for number, store in enumerate(stores)))
        most = sum(thread.name.startswith("vaultsession") for thread in threading.enumerate())
        for store in stores:
            await store.close()
        with suppress(RuntimeError):
            await stores[0].create("late")
        return most

    assert asyncio.run(work()) <= MOST + 1


@pytest.mark.slow
def test_the_interpreter_ends_behind_what_was_begun() -> None:
    program = """
import time
from vaultsession.util.threads import MOST_OF_ONE, SharedThreads
share = SharedThreads()
for _ in range(2 * MOST_OF_ONE):
    share.submit(lambda: (time.sleep(0.2), print("done")))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ended.stdout.count("done"), ended.stderr) == (2 * MOST_OF_ONE, "")
