"""The power is cut at every moment of every public operation: what was acknowledged is there, old or new, never a mix.

The quick part looks at a bounded sample of one scenario; the slow part at legal states of each up to a wide bound: at
one in three, other ones in each run, and with more effort at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_lab import IDS, Act, Life
from effort import EFFORT
from files_lab import preallocate_early

from vaultsession.backends.files import container_store
from vaultsession.engine import merge_policy
from vaultsession.format import diff

pytestmark = pytest.mark.usefixtures("late_index")

SAID = [{"role": "user", "content": f"message {number} " + "x" * 40} for number in range(4)]
LONG = [
    {"role": "user", "content": f"{number} " + "".join(chr(97 + (number * i * i) % 26) for i in range(3000))}
    for number in range(40)
]


def saved(id: str, *, erase: bool = False, **state: Any) -> Act:
    def act(store: Any) -> None:
        session = store.load(id)
        session.state.update(state)
        store.save(session, erase=erase)

    return act


def life_of_a_session(life: Life) -> None:
    life.act(
        lambda store: store.create("a", state={"n": 1}, messages=SAID[:1], title="first", user_id="alice"),
        lambda store: store.append("a", *SAID[1:3]),
        lambda store: store.pop("a"),
        lambda store: store.update("a", {"n": 2}),
        lambda store: store.touch("a", ttl="1h"),
        saved("a", n=3),
        lambda store: store.save("a", state={"n": 4}, messages=SAID),
        lambda store: store.clear("a"),
        lambda store: store.delete("a"),
    )
    life.store.close()


def messages_and_state_at_once(life: Life) -> None:
    """Never the one without the other: each is one record."""
    life.act(
        lambda store: store.append("a", SAID[0], state={"n": 1}, create=True, title="first", ttl="1h"),
        lambda store: store.append("a", *SAID[1:3], state={"n": 2}, if_version=store.info("a").version, dedupe="n"),
        lambda store: store.append("a", state={"m": 3}, unset=["n"]),
        lambda store: store.replace_last("a", 1, *SAID[2:4]),
        lambda store: store.append("a", *SAID, state={"large": "x" * 2000}),
        lambda store: store.replace_last("a", 9, SAID[3]),
        lambda store: store.delete("a", if_version=store.info("a").version),
        lambda store: store.append("a", SAID[1], state={"n": 4}, create=True),
    )
    life.store.close()


def updates_and_erasures(life: Life) -> None:
    life.act(
        lambda store: store.update("a", {"n": 1, "m": 1}, create=True, title="first", ttl="1h"),
        lambda store: store.append("a", *SAID),
        lambda store: store.update("a", {"n": 2}, unset=["m"], if_version=store.info("a").version),
        saved("a", erase=True, n=3),
        lambda store: store.append("a", SAID[0]),
        lambda store: store.save("a", state={"n": 4}, messages=SAID[:1], erase=True),
        lambda store: store.update("a", lambda session: session.messages.append(SAID[2])),
        lambda store: store.update("b", lambda session: session.messages.append(SAID[2]), create=True, user_id="bob"),
        saved("a", erase=True, n=5),
    )
    life.store.close()


def several_sessions(life: Life) -> None:
    life.act(
        lambda store: store.create("a", messages=SAID[:1]),
        lambda store: store.append("b", SAID[0], create=True),
        lambda store: store.append("a", SAID[1]),
        lambda store: store.update("b", {"k": "v"}),
        lambda store: store.delete("a"),
        lambda store: store.create("a", messages=SAID[2:3]),
        lambda store: store.append("b", SAID[1]),
    )


def a_session_made_again(life: Life) -> None:
    for number in range(3):
        life.act(
            lambda store, number=number: store.create("a", messages=SAID[: number + 1]),
            lambda store: store.append("a", SAID[3]),
            lambda store: store.delete("a"),
        )
    life.store.close()


def expiry_and_sweep(life: Life) -> None:
    life.act(
        lambda store: store.create("a", ttl="1m", messages=SAID[:1]),
        lambda store: store.create("b", ttl="1h", sliding=True),
        lambda store: store.create("c", ttl="1m"),
        lambda store: life.clock.advance("2m"),
        lambda store: store.load("b"),
        lambda store: store.sweep(),
        lambda store: store.create("a", messages=SAID[:2]),
        lambda store: store.append("c", SAID[0], create=True),
        lambda store: life.clock.advance("2h"),
        lambda store: store.sweep(),
    )
    life.store.close()


def a_sweep_of_what_another_store_made(life: Life) -> None:
    """Decided by the rows: no container is open in the store that sweeps."""
    life.act(*(lambda store, name=name: store.create(name, ttl="1m", messages=SAID[:1]) for name in IDS))
    life.restart()
    life.act(
        lambda store: store.touch("b", ttl="1h"),
        lambda store: life.clock.advance("2m"),
        lambda store: store.sweep(),
        lambda store: store.create("a", messages=SAID[:2]),
    )
    life.restart()
    life.act(lambda store: life.clock.advance("2h"), lambda store: store.sweep())
    life.store.close()


def replaced_for_dead_bytes(life: Life) -> None:
    life.act(lambda store: store.create("a", messages=SAID), *(saved("a", n=number) for number in range(9)))
    life.store.close()


def replaced_for_small_records(life: Life) -> None:
    life.act(
        lambda store: store.create("a"),
        *((lambda store, n=number: store.append("a", {"n": n, "text": "y" * 200})) for number in range(9)),
        lambda store: store.touch("a", ttl=None),
    )


def merged_in_a_pause(life: Life) -> None:
    """Small records wait until nobody writes: the document is the same before, after and half-way."""

    def merged(store: Any) -> None:
        assert store._operations.compact(store._key("a"))
        assert len(store.load("a").messages) == 9

    life.store._operations._writer.postpone = lambda _, is_overdue: True
    life.act(
        lambda store: store.create("a", state={"n": 1}),
        *((lambda store, n=number: store.append("a", {"n": n, "text": "y" * 400})) for number in range(9)),
        merged,
        lambda store: store.append("a", SAID[0]),
        lambda store: store.touch("a", ttl="1h"),
    )
    life.store.close()


def large_records(life: Life) -> None:
    life.act(
        lambda store: store.create("a", messages=LONG[:20]),
        lambda store: store.append("a", *LONG[20:]),
        lambda store: store.save("a", messages=LONG),
        lambda store: store.clear("a"),
    )


def saves_that_write_little(life: Life) -> None:
    def changed(change: Callable[[Any], object]) -> Act:
        return lambda store: store.update("a", change)

    life.act(
        lambda store: store.create("a", state={"n": 1}, messages=LONG[:1] + SAID),
        changed(lambda session: session.messages.append(SAID[0])),
        changed(lambda session: session.state.update(n=2)),
        changed(lambda session: session.messages.pop()),
        changed(lambda session: setattr(session, "title", "another")),
        lambda store: store.append("a", SAID[1]),
        changed(lambda session: session.messages.pop(-2)),
        changed(lambda session: setattr(session, "state", {"m": 1})),
    )
    life.store.close()


def batches(life: Life) -> None:
    """Side by side, in several threads: each session for itself is old or new."""
    life.act(
        lambda store: store.save_many([{"id": name, "messages": SAID[:1]} for name in IDS]),
        lambda store: store.save_many([{"id": name, "messages": LONG[:1]} for name in IDS[:2]]),
        lambda store: store.delete_many(IDS[1:]),
        lambda store: store.save_many([store.load("a"), {"id": "b", "messages": SAID[1:]}]),
    )
    life.store.close()


def the_index_is_written(life: Life) -> None:
    life.act(
        lambda store: store.create("a", messages=SAID[:1]),
        lambda store: store.count(),
        lambda store: store.append("a", SAID[1]),
        lambda store: store.create("b", user_id="bob"),
        lambda store: store.list(user_id="bob"),
        lambda store: store.delete("b"),
        lambda store: store.count(),
        lambda store: store.append("a", SAID[2]),
    )
    life.restart()
    life.act(lambda store: store.append("a", SAID[3]), lambda store: store.create("b"))
    life.restart()
    life.restart()
    life.act(lambda store: store.delete("b"))
    life.store.close()


def the_index_is_derived_anew(life: Life) -> None:
    life.act(
        lambda store: store.create("a", messages=SAID[:1]),
        lambda store: store.create("b", messages=SAID[:2]),
        lambda store: store.reindex(),
        lambda store: store.append("a", SAID[1]),
        lambda store: store.reindex(),
    )
    life.restart()
    life.act(lambda store: store.reindex(), lambda store: store.append("b", SAID[1]))


def the_index_is_lost(life: Life) -> None:
    life.act(lambda store: store.create("a", messages=SAID[:1]), lambda store: store.create("b", messages=SAID[:2]))
    life.store.close()
    for side in ("", "-wal", "-shm"):
        Path(f"{life.path}/index.sqlite{side}").unlink(missing_ok=True)
    life.store = life.open()
    life.acknowledge()
    life.act(lambda store: store.count(), lambda store: store.append("a", SAID[1]))
    life.store.close()


def the_index_is_damaged(life: Life) -> None:
    life.act(lambda store: store.create("a", messages=SAID[:1]), lambda store: store.create("b", messages=SAID[:2]))
    life.store.close()
    Path(f"{life.path}/index.sqlite").write_bytes(b"not what it was" * 400)
    life.store = life.open()
    life.acknowledge()
    life.act(lambda store: store.count(), lambda store: store.append("a", SAID[1]), lambda store: store.delete("b"))
    life.store.close()


def a_writer_died(life: Life) -> None:
    """Killed: what it wrote is in memory, not on the medium; the next store that opens finds it there."""
    life.act(
        lambda store: store.create("a", messages=SAID[:1]),
        lambda store: store.count(),
        lambda store: store.append("a", SAID[1]),
        lambda store: store.count(),
    )
    life.die()
    life.restart()
    life.restart()
    life.act(lambda store: store.create("b"), lambda store: store.delete("a"))
    life.die()
    life.act(lambda store: store.list(), lambda store: store.append("b", SAID[1]))
    life.store.close()


SCENARIOS: list[Callable[[Life], None]] = [
    life_of_a_session,
    messages_and_state_at_once,
    updates_and_erasures,
    several_sessions,
    a_session_made_again,
    expiry_and_sweep,
    a_sweep_of_what_another_store_made,
    replaced_for_dead_bytes,
    replaced_for_small_records,
    merged_in_a_pause,
    large_records,
    saves_that_write_little,
    batches,
    the_index_is_written,
    the_index_is_derived_anew,
    the_index_is_lost,
    the_index_is_damaged,
    a_writer_died,
]
QUICK = (several_sessions,)


@pytest.fixture(autouse=True)
def _early_compaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_policy, "DEAD_FLOOR", 1500)
    monkeypatch.setattr(merge_policy, "APPENDED_FLOOR", 1200)
    monkeypatch.setattr(merge_policy, "RUN", 0)
    monkeypatch.setattr(diff, "SMALLEST", 1000)


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.__name__)
def test_a_power_cut_leaves_old_or_new(where: Path, scenario: Callable[[Life], None]) -> None:
    life = Life(where, f"quick: {scenario.__name__}")
    scenario(life)
    assert life.survive(bound=6, most=60) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_every_power_cut_leaves_old_or_new(where: Path, scenario: Callable[[Life], None]) -> None:
    life = Life(where, f"slow: {scenario.__name__}")
    scenario(life)
    assert life.survive(bound=6 * EFFORT, every=3) >= 60


WRITTEN_BEHIND: list[Callable[[Life], None]] = [
    life_of_a_session,
    several_sessions,
    saves_that_write_little,
    a_writer_died,
]


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Every session has room; the sizes of what was written into it."""
    inside: list[int] = []
    real = container_store.extend

    def extend(disk: Any, temporary: Any, state: Any, data: bytes, **how: Any) -> int:
        if state.preallocated >= len(data):
            inside.append(len(data))
        return real(disk, temporary, state, data, **how)

    preallocate_early(monkeypatch)
    monkeypatch.setattr(container_store, "extend", extend)
    yield inside
    assert inside


@pytest.mark.slow
@pytest.mark.parametrize("scenario", WRITTEN_BEHIND, ids=lambda scenario: scenario.__name__)
def test_every_power_cut_leaves_old_or_new_where_records_are_written_into_room(
    where: Path, roomy: list[int], scenario: Callable[[Life], None]
) -> None:
    life = Life(where, f"slow: {scenario.__name__}, with room")
    scenario(life)
    assert life.survive(bound=6 * EFFORT, every=3) >= 60


def any_act(chance: random.Random, life: Life) -> Act:
    """Something that somebody might do next."""
    who, n = chance.choice(IDS), chance.randrange(1000)
    said = [
        {"role": "user", "n": n, "content": chance.randbytes(chance.choice((10, 300, 900))).hex()} for _ in range(2)
    ]
    acts: tuple[Act, ...] = (
        lambda store: store.create(who, state={"n": n}, messages=said, user_id=chance.choice(("alice", "bob"))),
        lambda store: store.append(who, *said, create=True),
        lambda store: store.append(who, said[0]),
        lambda store: store.append(who, said[1]),
        lambda store: store.pop(who),
        lambda store: store.update(who, {"n": n}),
        lambda store: store.touch(who, ttl="5m"),
        saved(who, n=n),
        saved(who, erase=True, n=n),
        lambda store: store.update(who, {"m": n}, unset=["n"], create=True),
        lambda store: store.save(who, state={"n": n}, messages=said),
        lambda store: store.clear(who),
        lambda store: store.delete(who),
        lambda store: store.sweep(),
        lambda store: store.count(),
        lambda store: life.clock.advance("4m"),
        lambda _: life.restart(),
    )
    return chance.choice(acts)


def any_life(where: Path, seed: int, name: str) -> Life:
    chance = random.Random(seed)
    life = Life(where / f"{seed}", name)
    for _ in range(14):
        life.attempt(any_act(chance, life), [])
    return life


@pytest.mark.slow
def test_a_power_cut_in_many_lives_leaves_old_or_new(where: Path) -> None:
    lives = (any_life(where, seed, "slow: any life") for seed in range(3 * EFFORT))
    assert sum(life.survive(bound=8 * EFFORT, every=3) for life in lives) >= 240
