"""One run: which stores take part, how much is measured, and what came out.

Stores are measured in turns, one operation of each at a time, so that noise of the machine meets all of them alike. Who
comes after whom is drawn anew for every round, from a seed: a store that follows one with the same libraries finds them
warm in the caches of the processor, and in a fixed order it always would. Before each write the journal of the file
system is flushed, unmeasured: else a store that flushes pays for what the others left behind.

A store drops out of a workload when it has used its share of time; the number of its samples stands beside its median.
A workload whose preparation alone would take a store too long, by what it took for a smaller one, is left out for it,
and that is a cell of its own.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..harness import log
from ..sample import Author
from .rival import Filling, Rival
from .rivals import OURS, Entry
from .table import Cell, show

FILLING = "filling"
_MANY = 100
_FIXED = 0.02
"""Seconds that say nothing yet of how a store grows."""
_SEED = 20
_FEW = 6
LEFT_OUT = "left out"
"""What the note of a store begins with that was not measured for lack of time."""


@dataclass(frozen=True)
class Scale:
    """How much is done. Times in seconds."""

    share: float
    """Of one store in one workload."""
    rounds: int
    patience: float
    """For one operation."""
    filling: float
    """For filling one store for one workload."""
    histories: tuple[int, ...]
    sessions: tuple[int, ...]
    shared: int
    """Sessions that processes share."""
    running: float
    """How long four processes run."""
    repetitions: int
    """How often they do."""
    starts: int
    """Fresh processes of each kind."""
    starting: float
    """For the fresh processes of one store and kind."""
    colds: int
    """Sessions of which each is loaded cold."""
    conversations: int
    """Above 200 KB; of smaller ones more."""
    keeping: float
    """For the conversations of one size and store, written in one way."""


QUICK = Scale(
    share=0.03,
    rounds=120,
    patience=0.5,
    filling=2.0,
    histories=(10, 1000, 10_000),
    sessions=(1000, 5000),
    shared=100,
    running=0.25,
    repetitions=1,
    starts=5,
    starting=0.15,
    colds=30,
    conversations=1,
    keeping=0.12,
)
"""Two minutes."""
FULL = Scale(
    share=0.3,
    rounds=400,
    patience=6.0,
    filling=10.0,
    histories=(10, 1000, 10_000, 100_000),
    sessions=(1000, 10_000, 100_000),
    shared=1000,
    running=2.0,
    repetitions=3,
    starts=40,
    starting=3.5,
    colds=100,
    conversations=10,
    keeping=1.5,
)
"""Twenty minutes."""


class Action(NamedTuple):
    """One measured operation: ``call`` with what ``prepare``, which is not measured, gives. A float is its own time."""

    call: Callable[[Any], object]
    prepare: Callable[[], Any] = lambda: None


class Turn:
    """One store in one workload."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self.times: list[float] = []
        self.spent = 0.0
        self.error = ""

    def goes_on(self, share: float, patience: float) -> bool:
        """Until the share is used; a few times where those take no more than the patience for one."""
        if self.error:
            return False
        done = len(self.times)
        return self.spent < share or (done < _FEW and self.spent * _FEW / max(1, done) < patience)

    def take(self, settle: Callable[[], object]) -> None:
        """One operation. ``settle`` comes right before it, and is on nobody's account."""
        began = time.perf_counter_ns()
        settled = 0
        try:
            given = self.action.prepare()
            prepared = time.perf_counter_ns()
            settle()
            start = time.perf_counter_ns()
            settled = start - prepared
            result = self.action.call(given)
            end = time.perf_counter_ns()
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the others go on
            self.error = f"failed: {type(error).__name__}: {error}"[:90]
        else:
            self.times.append(result if type(result) is float else (end - start) / 1000)
        self.spent += (time.perf_counter_ns() - began - settled) / 1e9


@dataclass
class Bench:
    """The stores of a run, its scale, and its cells so far. ``flushes`` by store and operation, where counted."""

    entries: list[Entry]
    directory: str
    scale: Scale
    cells: list[Cell] = field(default_factory=list)
    flushes: dict[str, dict[str, float]] = field(default_factory=dict)
    author: Author = field(default_factory=Author)
    chance: random.Random = field(default_factory=lambda: random.Random(_SEED))
    """The order of the stores, in every round."""
    _pace: dict[tuple[str, str], float] = field(default_factory=dict)
    _made: int = 0

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, Rival]]:
        """All stores, each in a directory of its own, gone afterwards. Names to stores."""
        self._made += 1
        stores = {}
        try:
            for entry in self.entries:
                stores[entry.name] = entry.open(self.place(entry))
            yield stores
        finally:
            for store in stores.values():
                store.close()
            shutil.rmtree(self._run(), ignore_errors=True)

    def place(self, entry: Entry) -> str:
        """The directory of a store in this moment."""
        return os.path.join(self._run(), entry.name.replace(", ", "-").replace(" ", "-"))

    def _run(self) -> str:
        return os.path.join(self.directory, f"run-{self._made}")

    def filled(self, stores: dict[str, Rival], sessions: list[Filling], *workloads: str) -> dict[str, Rival]:
        """Those stores that could be filled in time; many sessions begin with a few of them, which tell how long.

        The others are noted in each of the workloads, as left out.
        """
        ready = {}
        few = len(sessions) // 20 if len(sessions) >= _MANY else 0
        begin, rest = (sessions[:few], sessions[few:]) if few else ([], sessions)
        family = f"{FILLING} with many sessions" if few else FILLING
        for name, store in stores.items():
            try:
                self._fill(store, name, family, begin)
                if self.is_too_slow(family, name, _messages(rest), *workloads):
                    continue
                self._fill(store, name, family, rest)
            except Exception as error:  # noqa: BLE001 - as above
                self._note(workloads, name, f"failed: {type(error).__name__}: {error}"[:90])
                continue
            ready[name] = store
        return ready

    def _fill(self, store: Rival, name: str, family: str, sessions: list[Filling]) -> None:
        began = time.perf_counter()
        store.fill(sessions)
        if len(sessions) > 1 or _messages(sessions) >= _MANY:
            self.paced(family, name, _messages(sessions), time.perf_counter() - began)

    def is_too_slow(self, family: str, name: str, units: float, *workloads: str) -> bool:
        """Whether it would take longer than there is patience for; noted as such. Ours is never left out."""
        expected = self._pace.get((family, name), 0.0) * units
        if name == OURS or expected <= (self.scale.filling if family.startswith(FILLING) else self.scale.patience):
            return False
        self._note(workloads, name, f"{LEFT_OUT}: {family} would take about {expected:.0f} s")
        return True

    def paced(self, family: str, name: str, units: float, seconds: float) -> None:
        """Remember how long a unit took, once that is more than what comes with every call."""
        if seconds > _FIXED:
            self._pace[family, name] = seconds / units

    def measure(
        self,
        workload: str,
        actions: dict[str, Action],
        *,
        flushes: str = "",
        writes: bool = False,
        plot: float | None = None,
        share: float | None = None,
        rounds: int | None = None,
    ) -> dict[str, Turn]:
        """Take turns, note the cells and show them.

        ``flushes`` is the operation whose flushes stand beside, and ``writes`` says that it writes where none do.

        The first time of each warms up and is not among its samples.
        """
        turns = {name: Turn(action) for name, action in actions.items()}
        limit = self.scale.share if share is None else share
        settle = self._settle if flushes or writes else lambda: None
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds or self.scale.rounds + 1):
                running = [each for each in turns.values() if each.goes_on(limit, self.scale.patience)]
                if not running:
                    break
                self.chance.shuffle(running)
                for turn in running:
                    turn.take(settle)
        finally:
            gc.enable()
        for name, turn in turns.items():
            times = turn.times[1:] if len(turn.times) > 2 else turn.times
            self.note(workload, name, times, unit="us", flushes=flushes, note=turn.error, plot=plot)
        self.show(workload)
        return turns

    def note(
        self,
        workload: str,
        name: str,
        values: list[float],
        *,
        unit: str,
        flushes: str = "",
        note: str = "",
        plot: float | None = None,
    ) -> None:
        """One cell."""
        counted = self.flushes.get(name, {}).get(flushes) if flushes else None
        self.cells.append(Cell.of(workload, name, values, unit=unit, flushes=counted, note=note, at=plot))

    def show(self, workload: str) -> None:
        """Print the table of a workload."""
        show(workload, [cell for cell in self.cells if cell.workload == workload], counted=bool(self.flushes))

    def _settle(self) -> None:
        """Have the file system write down what it knows: a file that grew is flushed."""
        fd = os.open(
            os.path.join(self.directory, "settled"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(fd, b".")
            os.fsync(fd)
        finally:
            os.close(fd)

    def _note(self, workloads: tuple[str, ...], name: str, why: str) -> None:
        log(f"{workloads[0]}: {name}: {why}")
        for workload in workloads:
            self.note(workload, name, [], unit="", note=why)


def _messages(sessions: list[Filling]) -> int:
    return sum(len(each.messages) for each in sessions)
