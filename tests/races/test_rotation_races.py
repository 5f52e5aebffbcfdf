"""A rotation beside processes that write: nothing acknowledged is lost, and no session stays under an old key."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from processes import FRESH

from vaultsession import RawKey, SessionStore, open_store

KEY = RawKey(bytes(range(170, 202)))
WRITERS = 3


def opened(path: str, **settings: Any) -> SessionStore:
    return open_store(path, **{"key": KEY, "durability": "os", **settings})


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["one key", "tenant keys"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = str(tmp_path / "vault")
    with opened(path, tenant_keys=request.param) as store:
        for n in range(60):
            store.create(f"s{n}", tenant_id=f"t{n % 3}", messages=[{"first": n}])
    return path


def writing(path: str, number: int, go: Any, stop: Any, told: Any) -> None:
    """Appends, creates and saves until the parent says stop; then says what it was acknowledged."""
    appended: dict[str, int] = {}
    created = n = 0
    try:
        with opened(path) as store:
            go.wait(60)
            while not stop.is_set() or n < 30:
                name = f"s{n * 7 % 60}"
                store.append(name, {"by": number, "n": n})
                appended[name] = appended.get(name, 0) + 1
                if n % 3 == 0:
                    store.create(f"new-{number}-{created}", tenant_id="t1", state={"n": created})
                    created += 1
                if n % 5 == 0:
                    store.update(name, {f"by {number}": n})
                n += 1
                time.sleep(0.005)  # not a bound: each session that is made here has to be replaced as well
        told.put((number, appended, created, None))
    except BaseException as error:  # noqa: BLE001 - reported to the parent, which raises it
        told.put((number, appended, created, repr(error)))


@pytest.mark.slow
def test_three_processes_write_while_the_keys_are_rotated_and_pruned(vault: str) -> None:
    go, stop, told = FRESH.Barrier(WRITERS + 1), FRESH.Event(), FRESH.Queue()
    writers = [FRESH.Process(target=writing, args=(vault, n, go, stop, told)) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    with opened(vault) as store:
        go.wait(60)
        rotations = [store.rotate_key() for _ in range(3)]
        stop.set()
        results = [told.get(timeout=100) for _ in writers]
        for writer in writers:
            writer.join(60)
            assert writer.exitcode == 0
        assert [error for *_, error in results if error] == []
        assert [done.left for done in rotations] == [(), (), ()]
        assert store.rotate_key().left == ()
        store.prune_keys()
        assert [use.state for use in store.key_usage() if use.state != "tenant"] == ["seals"]
    with opened(vault) as store:
        for number, appended, created, _ in results:
            for name, count in appended.items():
                mine = [message["n"] for message in store.load(name).messages if message.get("by") == number]
                assert len(mine) == count, name
                assert mine == sorted(mine)
            assert [store.load(f"new-{number}-{n}").state["n"] for n in range(created)] == list(range(created))


def rotating(path: str, going: Any) -> None:
    with opened(path) as store:
        store.rotate_key(progress=lambda done, _: (going.set(), time.sleep(600)) if done > 10 else None)


@pytest.mark.slow
def test_a_rotation_that_is_killed_is_gone_on_with(vault: str) -> None:
    going = FRESH.Event()
    victim = FRESH.Process(target=rotating, args=(vault, going))
    victim.start()
    assert going.wait(60)
    os.kill(victim.pid or 0, signal.SIGKILL)
    victim.join(60)
    with opened(vault) as store:
        between = store.key_usage()
        assert [use.state for use in between if use.state != "tenant"] == ["seals", "opens"]
        assert [store.load(f"s{n}").messages for n in range(60)] == [[{"first": n}] for n in range(60)]
        done = store.rotate_key()
        assert done.resumed
        assert 0 < done.replaced < 60
        assert done.key == between[0].id
        store.prune_keys()
        assert [store.load(f"s{n}").messages for n in range(60)] == [[{"first": n}] for n in range(60)]


@pytest.mark.slow
def test_threads_that_write_through_the_same_store_meet_nothing(vault: str) -> None:
    with opened(vault) as store:
        stop, errors, counts = threading.Event(), [], [0] * 3

        def append(number: int) -> None:
            try:
                while not stop.is_set() or not counts[number]:
                    store.append(f"s{number}", {"by": number})
                    counts[number] += 1
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        threads = [threading.Thread(target=append, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            store.rotate_key()
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
        assert [len(store.load(f"s{number}").messages) - 1 for number in range(3)] == counts
