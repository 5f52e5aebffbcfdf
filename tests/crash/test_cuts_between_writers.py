"""The power is cut where several write to one session, and where a flush has failed before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_lab import IDS, KEY, Act, Life, explored, reader
from effort import EFFORT
from memory import QuickDisk

from vaultsession import SessionStore, open_store
from vaultsession.testing.faulty_disk import FaultyDisk
from vaultsession.testing.lossy_disk import LossyDisk

pytestmark = pytest.mark.slow

SAID = [{"role": "user", "content": f"message {number}"} for number in range(4)]


class Meanwhile(LossyDisk):
    """Lets someone else in before a record is flushed: its stripe was let go."""

    act: Callable[[], None] | None = None

    def fdatasync(self, fd: int) -> None:
        act, self.act = self.act, None
        if act is not None:
            act()
        super().fdatasync(fd)


OTHERS: dict[str, Act] = {
    "append": lambda store: store.append("a", SAID[2]),
    "save": lambda store: store.save("a", messages=SAID[2:]),
    "clear": lambda store: store.clear("a"),
    "delete": lambda store: store.delete("a"),
    "touch": lambda store: store.touch("a", ttl="1h"),
}


@pytest.mark.usefixtures("late_index")
@pytest.mark.parametrize("fails", [False, True], ids=["flushed", "flush fails"])
@pytest.mark.parametrize("name", OTHERS)
def test_whoever_writes_behind_a_record_that_is_not_flushed_yet_vouches_for_it(
    where: Path, name: str, *, fails: bool
) -> None:
    """The other store is acknowledged first: then the record that it has followed, or read, has to be there too."""
    life = Life(where, "quick: a writer in between", Meanwhile)
    disk = life.disk
    life.act(lambda store: store.create("a", messages=SAID[:1]))
    other = life.open()
    other.append("b", SAID[0], create=True)  # its marker is flushed
    life.act(lambda store: store.append("c", SAID[0], create=True))
    life.store.close()
    life.through = faulty = FaultyDisk(only=("fdatasync",), under=disk)
    life.store = life.open()
    life.store.append("b", SAID[1])
    life.acknowledge()

    def meanwhile() -> None:
        life.history[-1].append(reader(other))
        OTHERS[name](other)
        life.history.append([reader(other)])
        life.times.append(life.clock.now())
        disk.note(len(life.history) - 1)

    disk.act = meanwhile
    if fails:
        real = faulty.fdatasync

        def failing(fd: int) -> None:
            if disk.act is not None:
                act, disk.act = disk.act, None
                act()
                faulty.fail(1)
            real(fd)

        faulty.fdatasync = failing  # type: ignore[method-assign]  # before this flush, and no other
    life.attempt(lambda store: store.append("a", SAID[1]), [])
    faulty.fail(0)
    life.act(lambda store: store.append("a", SAID[3], create=True))
    other.close()
    life.store.close()
    assert life.survive(bound=3, every=3) >= 40


# Each writes, and to the session of the one before or to the same directory: once it is acknowledged, what came of a
# refusal before it is no longer open.
ACTS: tuple[Act, ...] = (
    lambda store: store.create("a", state={"n": 1}, messages=SAID[:1]),
    lambda store: store.append("a", SAID[1]),
    lambda store: store.append("a", SAID[2]),
    lambda store: store.clear("a"),
    lambda store: (store.append("a", SAID[3]), store.count()),
    lambda store: store.delete("a"),
    lambda store: store.create("b", messages=SAID),
    lambda store: store.append("b", SAID[0]),
)


def cut_after_failure(where: Path, number: int, times: int) -> tuple[int, bool]:
    """A life in which one flush fails, or several: how many states it was cut to, and whether the failure came."""
    right = Life(where / "right", "")
    right.act(*ACTS)
    right.store.close()
    life = Life(where / "wrong", "slow: a flush failed before")
    life.store.close()
    life.through = disk = FaultyDisk(number, times=times, only=("fsync", "fdatasync"), under=life.disk)
    life.store = life.open()
    life.acknowledge()
    for at, act in enumerate(ACTS):
        life.attempt(act, right.history[at + 1])
    life.store.close()
    return life.survive(bound=4, every=2), disk.failed


@pytest.mark.usefixtures("late_index")
@pytest.mark.parametrize("times", [1, 1000])
def test_any_power_cut_after_any_failed_flush_loses_nothing_acknowledged(where: Path, times: int) -> None:
    """What a failed flush was to write is lost, also where a later flush of the same file succeeds."""
    count, number, failed = 0, 0, True
    while failed:
        number += max(1, 4 // EFFORT)
        states, failed = cut_after_failure(where / f"{number}", number, times)
        count += states
    assert count >= 100


def test_a_power_cut_while_threads_write_keeps_what_each_was_told(where: Path) -> None:
    """Threads, the index thread and the order of the kernel: which states there are differs from run to run."""
    path = where / "vault"
    disk = LossyDisk(path, images=where / "images")
    with open_store(path, disk=disk, key=KEY) as store, open_store(path, disk=disk, key=KEY) as other:
        store.create("a")
        since = disk.position

        def write(name: int, store: SessionStore) -> None:
            for number in range(8):
                store.append("a", {"by": name, "n": number})
                disk.note((name, number))

        threads = [threading.Thread(target=write, args=(name, (store, other)[name % 2])) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    count = 0
    for crashed in disk.crash_states(since=since, bound=2, most=150):
        count += 1
        with open_store(crashed, key=KEY, disk=QuickDisk()) as store:
            messages: list[Any] = store.messages("a")
            assert [info.message_count for info in store.list()] == [len(messages)], str(crashed)
            store.append("a", {"by": "the next"})
        for name in range(4):
            told = sum(1 for note in crashed.notes if isinstance(note, tuple) and note[0] == name)
            there = [message["n"] for message in messages if message["by"] == name]
            assert there == list(range(len(there))), str(crashed)
            assert told <= len(there) <= told + 1, str(crashed)
    explored["quick: threads write"] += count
    assert count >= 100
    assert set(IDS) == {"a", "b", "c"}
