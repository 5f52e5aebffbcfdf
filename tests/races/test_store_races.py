"""Several processes and threads on one vault: nothing acknowledged is lost, doubled, reordered or mixed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import FRESH

from vaultsession import (
    Conflict,
    LeaseTimeout,
    RawKey,
    SessionExists,
    SessionNotFound,
    SessionStore,
    TrainingRefused,
    open_store,
)

KEY = RawKey(bytes(range(150, 182)))
PROCESSES = 4


def opened(path: str, **settings: Any) -> SessionStore:
    return open_store(path, **{"key": KEY, "durability": "os", **settings})


@pytest.fixture
def vault(tmp_path: Path) -> str:
    path = str(tmp_path / "vault")
    opened(path).close()
    return path


def _working(
    work: Callable[..., Any], path: str, number: int, start: Any, results: Any, arguments: tuple[Any, ...]
) -> None:
    """In another process: open, wait for the others, work, report."""
    try:
        with opened(path) as store:
            start.wait(60)
            results.put((number, work(store, number, *arguments), None))
    except BaseException as error:  # noqa: BLE001 - reported to the parent, which raises it
        results.put((number, None, repr(error)))


def in_processes(
    path: str, work: Callable[..., Any], *arguments: Any, count: int = PROCESSES, context: Any = FRESH
) -> list[Any]:
    """What ``work(store, number, *arguments)`` returns in each of several processes that start it together."""
    start, results = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=_working, args=(work, path, number, start, results, arguments))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    told = sorted((results.get(timeout=120) for _ in processes), key=lambda one: one[0])
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert [error for _, _, error in told if error] == []
    return [result for _, result, _ in told]


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    start, results, errors = threading.Barrier(count), [None] * count, []

    def working(number: int) -> None:
        try:
            start.wait(60)
            results[number] = work(number)
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=working, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return results


# -- work for one process ----------------------------------------------------------------------------------------------


def appends(store: SessionStore, number: int, times: int) -> list[int]:
    """Appends, and the length of the history that each returned."""
    return [
        store.append("shared", {"by": number, "n": n}, {"by": number, "n": n, "second": True}).message_count
        for n in range(times)
    ]


def increments(store: SessionStore, number: int, times: int) -> None:
    def increment(draft: Any) -> None:
        draft.state["n"] += 1

    for _ in range(times):
        store.update("shared", increment)


def creates(store: SessionStore, number: int, ids: list[str]) -> list[str]:
    won = []
    for name in ids:
        try:
            store.create(name, state={"by": number})
            won.append(name)
        except SessionExists:
            continue
    return won


def saves(store: SessionStore, number: int, times: int) -> tuple[int, int]:
    """Compare-and-swap by hand: how often it won and how often it lost."""
    won = lost = 0
    while won < times:
        session = store.load("shared")
        session.state["n"] += 1
        session.messages.append({"by": number})
        try:
            store.save(session)
            won += 1
        except Conflict:
            lost += 1
    return won, lost


def writes_or_reads(store: SessionStore, number: int, times: int) -> int:
    """One process writes documents whose parts agree; the others look for one whose parts do not."""
    mixed = 0
    for n in range(times):
        if number == 0:
            store.save("shared", state={"n": n}, messages=[{"n": n, "pad": "x" * (n * 37 % 3000)}] * 5)
        else:
            session = store.load("shared")
            mixed += {message["n"] for message in session.messages} != {session.state["n"]} or len(
                session.messages
            ) != 5
            mixed += len({message["n"] for message in store.messages("shared", last=5)}) != 1
    return mixed


def churns(store: SessionStore, number: int, times: int) -> int:
    """Delete, create, append and load one id; whatever is found is whole."""
    wrong = 0
    for n in range(times):
        name = f"churn-{n % 3}"
        try:
            match (n + number) % 4:
                case 0:
                    store.delete(name)
                case 1:
                    store.create(name, state={"life": f"{number}-{n}"}, messages=[{"life": f"{number}-{n}"}])
                case 2:
                    store.append(name, {"later": number})
                case _:
                    session = store.load(name)
                    wrong += session.messages[0] != {"life": session.state["life"]}
        except (SessionExists, SessionNotFound):
            continue
    return wrong


def takes_turns(store: SessionStore, number: int, times: int, counter: str) -> int:
    """A read-modify-write of a plain file, which only the lease protects."""
    for _ in range(times):
        with store.lease("shared", timeout=120):
            value = int(Path(counter).read_text())
            store.exists("shared")
            Path(counter).write_text(str(value + 1))
    return times


def holds(path: str, held: Any, release: Any) -> None:
    with opened(path) as store, store.lease("shared"):
        held.set()
        release.wait(60)


# -- the tests ---------------------------------------------------------------------------------------------------------


def check_appends(path: str, told: list[list[int]], times: int) -> None:
    """Each append is there once, both its messages side by side, in the order in which it was acknowledged."""
    with opened(path, cache_bytes=0) as store:
        messages = store.load("shared").messages
    assert len(messages) == 2 * times * len(told)
    for number, counts in enumerate(told):
        assert [message["n"] for message in messages if message["by"] == number and "second" not in message] == list(
            range(times)
        )
        for n, count in enumerate(counts):
            assert messages[count - 2 : count] == [{"by": number, "n": n}, {"by": number, "n": n, "second": True}]


def test_every_acknowledged_append_is_there_once_and_in_order(vault: str) -> None:
    with opened(vault) as store:
        store.create("shared")
    check_appends(vault, in_processes(vault, appends, 200), 200)


@pytest.mark.slow
def test_the_same_with_flushes(tmp_path: Path) -> None:
    path = str(tmp_path / "vault")
    with opened(path, durability="sync") as store:
        store.create("shared")
        told = in_threads(4, lambda number: appends(store, number, 40))
    check_appends(path, told, 40)


def test_threads_of_one_store_append_in_order(vault: str) -> None:
    with opened(vault) as store:
        store.create("shared")
        told = in_threads(4, lambda number: appends(store, number, 200))
        assert store.load("shared").message_count == 1600
    check_appends(vault, told, 200)


def test_stores_of_one_process_append_in_order(vault: str) -> None:
    stores = [opened(vault) for _ in range(3)]
    stores[0].create("shared")
    told = in_threads(3, lambda number: appends(stores[number], number, 200))
    for store in stores:
        assert store.load("shared").message_count == 1200
        store.close()
    check_appends(vault, told, 200)


@pytest.mark.slow
def test_increments_by_function_lose_nothing(vault: str) -> None:
    with opened(vault) as store:
        store.create("shared", state={"n": 0})
    in_processes(vault, increments, 50)
    with opened(vault) as store:
        assert store.load("shared").state == {"n": 50 * PROCESSES}


def test_of_all_who_create_an_id_one_wins(vault: str) -> None:
    ids = [f"s{number}" for number in range(60)]
    won = in_processes(vault, creates, ids)
    assert sorted(name for names in won for name in names) == sorted(ids)
    with opened(vault) as store:
        for number, names in enumerate(won):
            for name in names:
                assert store.load(name).state == {"by": number}
        assert store.count() == len(ids)


@pytest.mark.slow
def test_losers_of_a_compare_and_swap_get_a_conflict(vault: str) -> None:
    with opened(vault) as store:
        store.create("shared", state={"n": 0})
    told = in_processes(vault, saves, 40)
    assert [won for won, _ in told] == [40] * PROCESSES
    with opened(vault) as store:
        session = store.load("shared")
    assert session.state == {"n": 40 * PROCESSES}
    assert [sum(message["by"] == number for message in session.messages) for number in range(PROCESSES)] == [
        40
    ] * PROCESSES


def test_readers_never_see_a_mix(vault: str) -> None:
    with opened(vault) as store:
        store.save("shared", state={"n": -1}, messages=[{"n": -1}] * 5)
    assert in_processes(vault, writes_or_reads, 300) == [0] * PROCESSES


@pytest.mark.slow
def test_sessions_that_come_and_go_are_whole_while_they_are_there(vault: str) -> None:
    assert in_processes(vault, churns, 240) == [0] * PROCESSES
    with opened(vault) as store:
        listed = {info.id for info in store.list()}
        assert listed == {f"churn-{n}" for n in range(3) if store.exists(f"churn-{n}")}
        store.reindex()
        assert {info.id for info in store.list()} == listed


@pytest.mark.slow
def test_a_lease_excludes_other_processes(vault: str, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    assert sum(in_processes(vault, takes_turns, 10, str(counter))) == int(counter.read_text()) == 10 * PROCESSES


def test_a_lease_of_a_process_that_was_killed_is_free(vault: str) -> None:
    held, release = FRESH.Event(), FRESH.Event()
    holder = FRESH.Process(target=holds, args=(vault, held, release))
    holder.start()
    assert held.wait(60)
    with opened(vault) as store:
        with pytest.raises(LeaseTimeout), store.lease("shared", timeout=0):
            pytest.fail("two held it at once")
        holder.kill()
        holder.join(60)
        with store.lease("shared", timeout=60):
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")  # 3.12 on: what is tested here
def test_a_store_may_be_used_on_both_sides_of_a_fork(vault: str) -> None:
    with opened(vault) as store:
        store.create("shared")
        store.append("shared", {"by": "parent", "n": -1})
        child = os.fork()
        if child == 0:
            status = 1
            try:
                appends(store, 1, 100)
                status = 0 if store.load("shared").message_count >= 201 else 2
            finally:
                os._exit(status)
        told = appends(store, 0, 100)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        messages = store.load("shared").messages
    assert len(messages) == 401
    for number in (0, 1):
        assert [message["n"] for message in messages if message["by"] == number] == [n // 2 for n in range(200)]
    assert all(messages[count - 1] == {"by": 0, "n": n, "second": True} for n, count in enumerate(told))


def test_the_check_sees_a_lost_a_doubled_and_a_swapped_append(vault: str) -> None:
    """A test of the test: histories that a store without locks would leave behind."""
    right = [{"by": 0, "n": n, **extra} for n in range(3) for extra in ({}, {"second": True})]
    told = [[2, 4, 6]]
    for wrong in (right[:4], right[:4] + right[2:4], right[2:4] + right[:2] + right[4:]):
        with opened(vault) as store:
            store.save("shared", messages=wrong)
        with pytest.raises(AssertionError):
            check_appends(vault, told, 3)
    with opened(vault) as store:
        store.save("shared", messages=right)
    check_appends(vault, told, 3)


# -- a dictionary is trained while others read and write ---------------------------------------------------------------


def _text(number: int) -> dict[str, Any]:
    words = ("lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "sed", "do", "eiusmod")
    return {"role": "user", "content": " ".join(words[number * each % 11] for each in range(1, 60)), "number": number}


def _train_or_use(store: SessionStore, number: int) -> list[str]:
    """The first trains; the others, open since before, read what it and they write with whatever they know."""
    for turn in range(20):
        store.create(f"{number} {turn}", messages=[_text(turn * each) for each in range(12)])
    if number == 0:
        store.train(size=8192)
    for turn in range(20):
        store.append(f"{number} {turn}", _text(turn))
    return sorted(info.id for info in store.list())


@pytest.mark.slow
def test_whoever_has_the_vault_open_reads_what_is_compressed_with_a_dictionary_that_came_later(vault: str) -> None:
    with opened(vault, cache_bytes=0) as before:
        before.create("mine")
        in_processes(vault, _train_or_use)
        for number in range(PROCESSES):
            for turn in range(20):
                expected = [*(_text(turn * each) for each in range(12)), _text(turn)]
                assert before.load(f"{number} {turn}").messages == expected
                before.append(f"{number} {turn}", _text(1))
        known = before._operations._reader.dictionaries
        assert known.current[0].number == 32768
        assert len(known._known) == 1
    with opened(vault, cache_bytes=0) as after:
        assert after.messages("0 0", last=2) == [_text(0), _text(1)]
        assert after._operations._reader.dictionaries.current[0].number > 65536


@pytest.mark.slow
def test_threads_that_train_at_once_keep_one_each_or_are_refused(vault: str) -> None:
    with opened(vault) as store:
        for turn in range(40):
            store.create(f"{turn}", messages=[_text(turn * each) for each in range(12)])

        def train(number: int) -> int:
            try:
                return store.train(size=8192 - number).number or 0
            except TrainingRefused:
                return 0

        kept = [number for number in in_threads(4, train) if number]
        assert len(kept) == len(set(kept)) >= 1
        assert store.load("7").messages == [_text(7 * each) for each in range(12)]


def _saying(store: SessionStore, number: int, turns: int) -> int:
    for turn in range(turns):
        store.append("a", {"by": number, "turn": turn, "text": "a turn of some length, and longer" * 3})
        store._operations.compact(store._key("a"))  # as where everybody has paused
    return number


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, PROCESSES])
def test_merges_in_pauses_lose_no_turn_of_anybody(vault: str, count: int) -> None:
    """The document stays what it is while its container is replaced under writers, readers and savers."""
    with opened(vault) as store:
        store.create("a")
        in_processes(vault, _saying, 60, count=count)
        messages = store.load("a").messages
        assert store.info("a").message_count == len(messages) == 60 * count
        for number in range(count):
            assert [message["turn"] for message in messages if message["by"] == number] == list(range(60))

        def work(number: int) -> None:
            for turn in range(60):
                if number:
                    store.append("a", {"by": PROCESSES + number, "turn": turn, "text": "y" * 300})
                    assert len(store.load("a").messages) > turn
                else:
                    store._operations.compact(store._key("a"))

        in_threads(4, work)
        messages = store.load("a").messages
        for number in range(1, 4):
            said = [message["turn"] for message in messages if message["by"] == PROCESSES + number]
            assert said == list(range(60))
    with opened(vault) as store:
        assert store.load("a").messages == messages
