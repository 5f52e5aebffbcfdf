"""One budget of descriptors for all stores of a process, and an open that makes room where none is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vaultsession.util.descriptors import Budget

ROOT = Path(__file__).parents[3]


class Holding:
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def close_one(self) -> bool:
        if not self.count:
            return False
        self.count -= 1
        return True


def test_what_is_beyond_the_budget_is_closed_by_whoever_holds_most() -> None:
    budget, holders = Budget(10), [Holding(2), Holding(20)]
    for holder in holders:
        budget.join(holder)
    budget.keep()
    assert [holder.count for holder in holders] == [2, 8]
    budget.clear()
    assert [holder.count for holder in holders] == [0, 0]


def test_a_holder_that_is_gone_counts_no_more() -> None:
    budget = Budget(10)
    budget.join(Holding(20))
    kept = Holding(10)
    budget.join(kept)
    budget.keep()
    assert kept.count == 10


@pytest.mark.parametrize("most", [4, 10, 64])
def test_the_bound_holds_though_not_each_opening_counts(most: int) -> None:
    budget, holders = Budget(most), [Holding(0), Holding(0)]
    for holder in holders:
        budget.join(holder)
    for number in range(5 * most):
        holders[number % 3 % 2].count += 1
        budget.keep()
        held = sum(map(len, holders))
        assert held <= most
        assert held >= min(number + 1, most - most // 16)
    holders[0].count = 0  # closed by the holder itself
    for _ in range(3 * most):
        holders[1].count += 1
        budget.keep()
        assert sum(map(len, holders)) <= most


PROGRAM = """
import os, resource, sys, vaultsession
limit, count = map(int, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
key = vaultsession.RawKey(bytes(range(32)))
stores = [vaultsession.open_store(f"{sys.argv[1]}/{n}", key=key, durability="os") for n in range(count)]
most = 0
for number in range(100):
    for store in stores:
        store.create(f"s{number}")
        store.append(f"s{number}", {"a": 1})
    most = max(most, len(os.listdir("/proc/self/fd")))
print(most)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
@pytest.mark.parametrize(("limit", "stores"), [(64, 1), (256, 2), (256, 4), (1024, 10)])
def test_the_stores_of_a_process_leave_descriptors_to_the_application(tmp_path: Path, limit: int, stores: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(limit), str(stores)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < limit * 3 // 4


EXHAUSTING = """
import os, resource, sys, vaultsession
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
store = vaultsession.open_store(sys.argv[1] + "/v", key=vaultsession.RawKey(bytes(range(32))), durability="os")
for number in range(60):
    store.create(f"s{number}")
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))  # the application has them all
except OSError:
    pass
for number in range(60, 90):
    store.create(f"s{number}")
print(len(taken))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sets a limit of POSIX")
def test_where_no_descriptor_is_left_the_store_lets_go_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXHAUSTING, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
