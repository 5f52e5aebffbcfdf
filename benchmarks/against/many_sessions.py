"""Many sessions: a page of a user's newest 50, how many a user has, and the removal of what has expired."""

from __future__ import annotations

import itertools

from .bench import Action, Bench
from .rival import Filling, Rival

_USERS_SESSIONS = 200
_EXPIRED = 20
PAGE = "page of 50 of a user's sessions"
COUNT = "count of a user's sessions"
SWEEP = f"sweep of {_EXPIRED} expired"


def lists(bench: Bench) -> None:
    """Only stores that have such a thing, each in its best way."""
    for number in bench.scale.sessions:
        message = [{"role": "user", "content": "Where did we stop yesterday?"}]
        every = number // _USERS_SESSIONS
        sessions = [
            Filling(f"session-{each}", message, "alice" if each % every == 0 else f"user-{each % 97}")
            for each in range(number)
        ]
        with bench.opened() as all_stores:
            stores = {name: store for name, store in all_stores.items() if store.page or store.sweep}
            ready: dict[str, Rival] = {}
            for name, store in stores.items():
                workloads = (f"{what}, {number} sessions" for what in _asked_of(store))
                ready |= bench.filled({name: store}, sessions, *workloads)
            _measure(bench, number, ready)


def _asked_of(store: Rival) -> list[str]:
    return [PAGE, COUNT] * bool(store.page) + [SWEEP] * bool(store.sweep)


def _measure(bench: Bench, number: int, ready: dict[str, Rival]) -> None:
    pages = {
        name: Action(lambda _, store=store: store.page("alice", 50)) for name, store in ready.items() if store.page
    }
    bench.measure(f"{PAGE}, {number} sessions", pages, plot=number)
    counts = {name: Action(lambda _, store=store: store.count("alice")) for name, store in ready.items() if store.count}
    bench.measure(f"{COUNT}, {number} sessions", counts, plot=number)
    fresh = itertools.count()

    def expire(store: Rival) -> None:
        for _ in range(_EXPIRED):
            store.expiring(f"expired-{next(fresh)}", [{"role": "user", "content": "Forget me."}])

    sweeps = {
        name: Action(lambda _, store=store: store.sweep(), lambda store=store: expire(store))
        for name, store in ready.items()
        if store.sweep and store.expiring
    }
    bench.measure(f"{SWEEP}, {number} sessions", sweeps, writes=True, plot=number)
