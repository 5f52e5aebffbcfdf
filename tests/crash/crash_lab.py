"""The crash lab: a store lives on a disk that remembers what was flushed; then every power cut is survived, or not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from effort import some
from memory import QuickDisk

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.doctor import Severity, examine
from vaultsession.errors import SessionNotFound, VaultError
from vaultsession.testing.clock import ManualClock
from vaultsession.testing.lossy_disk import Crashed, LossyDisk

KEY = RawKey(bytes(range(100, 132)))
IDS = ("a", "b", "c")
NEXT = {"role": "user", "content": "what comes next"}

explored: Counter[str] = Counter()
"""Crash states that were looked at, by test: reported at the end of the run."""

Act = Callable[[SessionStore], object]


def reader(store: SessionStore) -> dict[str, Any]:
    """What each session is, to a caller that loads it."""
    found = {}
    for name in IDS:
        try:
            session = store.load(name)
        except SessionNotFound:
            found[name] = None
        else:
            found[name] = (dict(session.state), list(session.messages), session.title, session.expires_at)
    return found


@dataclass
class Life:
    """A store on a disk that loses, and what each session was after each act that has returned.

    With ``now`` it goes on in a vault that is there, from that time on; else the vault is made.
    """

    where: Path
    name: str
    disk: Any = None
    now: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    history: list[list[dict[str, Any]]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    dead: list[SessionStore] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock(self.now) if self.now else ManualClock()
        self.path = self.where / "vault"
        make = self.disk or LossyDisk
        self.disk = self.through = make(self.path, images=self.where / "images")
        self.store = self.open()
        self.acknowledge()
        self.since = 0 if self.now else self.disk.position

    def open(self, **how: Any) -> SessionStore:
        return open_store(self.path, disk=self.through, key=KEY, clock=self.clock, **{**self.settings, **how})

    def acknowledge(self) -> None:
        """Whatever was done until now has returned."""
        self.history.append([reader(self.store)])
        self.times.append(self.clock.now())
        self.disk.note(len(self.history) - 1)

    def act(self, *acts: Act) -> None:
        for each in acts:
            each(self.store)
            self.acknowledge()

    def attempt(self, act: Act, intended: list[dict[str, Any]]) -> bool:
        """An act that may be refused: then what was acknowledged stands, and what was intended may come of it."""
        try:
            act(self.store)
        except VaultError:
            self.history[-1].extend((*intended, reader(self.store)))
            return False
        self.acknowledge()
        return True

    def die(self) -> None:
        """Leave the store as a killed process would: its marker not held, and nothing written. Open another."""
        self.dead.append(self.store)
        self.store._backend._markers.release(clean=False)
        self.store = self.open()
        self.acknowledge()

    def restart(self) -> None:
        """Close and open again: two acts."""
        self.store.close()
        self.store = self.open()
        self.acknowledge()

    def allowed(self, crashed: Crashed) -> tuple[list[dict[str, Any]], int]:
        """What may be read after the cut: as acknowledged, or as the act that was under way would have left it."""
        last = max((note for note in crashed.notes if isinstance(note, int)), default=-1)
        return [each for some in self.history[max(last, 0) : last + 2] for each in some], self.times[max(last, 0)]

    def crash_states(self, **how: Any) -> Iterator[Crashed]:
        """Every power cut since the store was opened first."""
        yield from self.disk.crash_states(**{"since": self.since, **how})

    def survive(self, *, bound: int = 24, most: int | None = None, every: int = 1) -> int:
        """Hold the invariant over every crash state, or over ``some`` of them; how many there were."""
        before = self.disk.explored
        for crashed in some(self.crash_states(bound=bound, most=most), every):
            explored[self.name] += 1
            try:
                survived(crashed, *self.allowed(crashed), settings=self.settings)
            except BaseException as error:
                error.add_note(str(crashed))
                raise
        self.close()
        return self.disk.explored - before

    def close(self) -> None:
        """Let go of everything, also of what the dead have left open."""
        for store in (self.store, *self.dead):
            store.close()
        self.disk.forget()


def survived(crashed: Any, allowed: list[dict[str, Any]], now: int, *, settings: dict[str, Any]) -> None:
    """The invariant: old or new, listed as it is, writable, without findings, and the same when opened again."""
    clock = ManualClock(now)
    opening = partial(open_store, crashed, disk=QuickDisk(), key=KEY, clock=clock, **settings)
    with opening() as store:
        found = reader(store)
        for name in IDS:
            assert found[name] in [each[name] for each in allowed], (
                f"{name} is neither old nor new: {found[name]!r:.500}"
            )
        there = sorted(name for name in IDS if found[name] is not None)
        listed = {info.id: info.message_count for info in store.list()}
        assert sorted(listed) == there, f"listed: {sorted(listed)}, there: {there}"
        assert listed == {name: len(found[name][1]) for name in there}
        assert store.count() == len(there)
        for name in IDS:
            store.append(name, NEXT, create=True)
        after = reader(store)
    for name in IDS:
        before = found[name][1] if found[name] else []
        assert after[name][1] == [*before, NEXT]
        assert after[name][0] == (found[name][0] if found[name] else {})
    with opening() as store:
        assert reader(store) == after
        assert sorted(info.id for info in store.list()) == sorted(IDS)
    findings = list(examine(os.fspath(crashed), [("the key", KEY)]))
    # A rotation that was cut is reported, and the next one goes on with it.
    told = [finding for finding in findings if finding.severity > Severity.INFO]
    assert [finding for finding in told if finding.name != "rotation-unfinished"] == []
    assert [name for name in os.listdir(Path(crashed) / "sessions") if name.endswith((".tmp", ".new"))] == []
