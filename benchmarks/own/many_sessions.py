"""Listing, sweeping and opening a vault, over the number of its sessions."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable

import vaultsession
from vaultsession.vault.secret import RawKey

from ..harness import Report, interleaved, log, median

KEY = bytes(range(32))
_USERS_SESSIONS = 200


def run(report: Report, directory: str, scale: float) -> None:
    small, large = 1000, 100_000 if scale >= 1 else 10_000
    vaults = {size: _build(os.path.join(directory, f"many-{size}"), size) for size in (small, large)}
    _pages(report, vaults, scale)
    _sweeps(report, vaults)
    _opening(report, vaults, scale)
    _batches(report, directory, scale)
    _fresh(report, directory, scale)


def _build(path: str, sessions: int) -> str:
    began = time.perf_counter()
    with vaultsession.open_store(path, key=KEY, durability="os", cache_bytes=0) as store:
        message = {"role": "user", "content": "Where did we stop yesterday?"}
        for number in range(sessions):
            user = "alice" if number % (sessions // _USERS_SESSIONS) == 0 else f"user-{number % 997}"
            store.create(f"session-{number}", user_id=user, labels={"client": "desktop"}, messages=[message])
    log(f"built {sessions} sessions in {time.perf_counter() - began:.1f} s")
    return path


def _batches(report: Report, directory: str, scale: float) -> None:
    """Flushes that overlap: batches and a rotation, per session, beside one save after another in the same rounds.

    Batches and single saves go to one vault, since what a create costs depends on its directory.
    """
    message = {"role": "user", "content": " ".join(f"word-{n * 7919 % 1009}" for n in range(200))}
    each, rotated, rounds = 100, 1000, max(3, int(10 * scale))
    turn = itertools.count()
    with (
        vaultsession.open_store(os.path.join(directory, "batches"), key=KEY) as store,
        vaultsession.open_store(os.path.join(directory, "rotated"), key=KEY) as other,
    ):
        other.save_many({"id": f"rotated-{number}", "messages": [message]} for number in range(rotated))

        def singles() -> None:
            for _ in range(each):
                store.save(f"single-{next(turn)}", messages=[message])

        def together() -> None:
            store.save_many({"id": f"many-{next(turn)}", "messages": [message]} for _ in range(each))

        times = interleaved({"rotate": other.rotate_key, "single": singles, "many": together}, rounds, warm_up=1)
    single = median(times["single"]) / each
    for what, name, count in (("save_many of new sessions", "many", each), ("key rotation", "rotate", rotated)):
        took = median(times[name]) / count
        detail = f"{took:.0f} us against {single:.0f} us"
        report.add(f"{what} of 2 KB, rate / one save after another", single / took, "x", at_least=True, detail=detail)


def _pages(report: Report, vaults: dict[int, str], scale: float) -> None:
    stores = {size: vaultsession.open_store(path, key=KEY) for size, path in vaults.items()}
    others = {size: vaultsession.open_store(path, key=KEY, durability="os") for size, path in vaults.items()}
    small, large = stores

    def page(size: int) -> Callable[[], object]:
        return lambda: stores[size].list(user_id="alice", limit=50)

    def change() -> None:
        for other in others.values():
            other.touch("session-1")
            other.count()  # whoever asks has told the index what it knows

    calls = {f"{what} {size}": page(size) for what in ("changed", "as it was") for size in stores}
    times = interleaved({"change": change, **calls}, int(500 * scale))
    assert len(stores[large].list(user_id="alice", limit=50)) == 50
    for what, told, bar in (("as it was", "", 0.11), ("changed", ", others wrote since", 0.5)):
        took = median(times[f"{what} {large}"]) / 1000
        report.add(f"a page of 50 of a user, {large} sessions{told}", took, "ms", bar)
        report.compare(
            f"  the same / at {small}", times, 1.2 if not told else 2, ours=f"{what} {large}", floor=f"{what} {small}"
        )
    times = interleaved({"count": lambda: stores[large].count(user_id="alice")}, int(200 * scale))
    report.add(f"count of a user's 200 sessions, {large} sessions", median(times["count"]) / 1000, "ms", 0.02)
    for store in (*stores.values(), *others.values()):
        store.close()


def _sweeps(report: Report, vaults: dict[int, str]) -> None:
    each = {}
    for size, path in vaults.items():
        with vaultsession.open_store(path, key=KEY, cache_bytes=0) as store:
            empty = interleaved({"none": store.sweep}, 50)
            report.add(f"a sweep that finds nothing, {size} sessions", median(empty["none"]) / 1000, "ms", 0.1)
            runs = []
            for _ in range(3):
                with vaultsession.open_store(path, key=KEY, durability="os", cache_bytes=0) as builder:
                    for number in range(1000):
                        builder.create(f"short-{number}", ttl="1ms")
                began = time.perf_counter()
                swept = store.sweep()
                runs.append((time.perf_counter() - began) * 1e6 / swept)
                assert swept == 1000, swept
            each[size] = [median(runs)]
    small, large = each
    times = {"ours": each[large], "floor": each[small]}
    report.compare(f"sweep of 1000 expired among {large}, each / among {small}", times, 3)


def _opening(report: Report, vaults: dict[int, str], scale: float) -> None:
    for size, path in vaults.items():
        times = interleaved(
            {"open": lambda path=path: vaultsession.open_store(path, key=KEY).close()}, int(100 * scale)
        )
        report.add(f"open and close a vault of {size} sessions", median(times["open"]) / 1000, "ms", 5)


def _fresh(report: Report, directory: str, scale: float) -> None:
    made = iter(range(1 << 30))
    key = RawKey(KEY)
    times = interleaved(
        {
            "files": lambda: vaultsession.open_store(os.path.join(directory, f"fresh-{next(made)}"), key=key).close(),
            "memory": lambda: vaultsession.open_store("memory://").close(),
        },
        int(100 * scale),
    )
    report.add("a fresh vault with a raw key, opened and closed", median(times["files"]) / 1000, "ms", 4)
    report.add("the same in memory", median(times["memory"]) / 1000, "ms", 0.2)
