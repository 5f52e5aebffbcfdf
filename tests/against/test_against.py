"""The comparison with other stores compares like with like: every adapter keeps what it is given, and nothing is hidden.

Which rivals are measured here depends on what is installed; the extra "bench" installs them all.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.against import fresh, processes, readme, table
from benchmarks.against.bench import QUICK, Action, Bench
from benchmarks.against.flushes import _between_marks, count_flushes
from benchmarks.against.on_disk import CLASSES
from benchmarks.against.results import Results
from benchmarks.against.rival import Filling, Message, Rival
from benchmarks.against.rivals import BY_NAME, ENTRIES, Entry
from benchmarks.sample import Author

AUTHOR = Author()
HISTORY = AUTHOR.history(6000)
OTHER = AUTHOR.history(3000)
TURN = AUTHOR.turn()


@pytest.fixture(params=[entry for entry in ENTRIES if entry.installed], ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Entry:
    if why := request.param.missing():
        pytest.skip(why)
    return request.param


@pytest.fixture
def store(entry: Entry, tmp_path: Path) -> Iterator[Rival]:
    store = entry.open(str(tmp_path / "store"))
    yield store
    store.close()


# What other libraries warn about as they are imported and closed is their business.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_store_gives_back_what_it_was_given(store: Rival) -> None:
    store.create("a", HISTORY)
    assert store.load("a") == HISTORY
    store.append("a", TURN)
    assert store.load("a") == HISTORY + TURN


def test_a_save_replaces_the_whole_history(store: Rival) -> None:
    store.create("a", HISTORY)
    store.save("a", OTHER)
    assert store.load("a") == OTHER
    store.append("a", TURN)
    store.save("a", HISTORY)
    assert store.load("a") == HISTORY


def test_the_last_messages_are_the_last_ones(store: Rival) -> None:
    if store.last is None:
        pytest.skip("it has no such thing")
    store.create("a", HISTORY)
    store.append("a", TURN)
    assert store.last("a", 3) == (HISTORY + TURN)[-3:]


def test_sessions_are_found_by_their_user(store: Rival) -> None:
    if store.page is None or store.count is None:
        pytest.skip("it has no such thing")
    store.fill([Filling(f"s{number}", TURN, "alice" if number % 2 else "bob") for number in range(20)])
    assert store.page("alice", 5) == 5
    assert store.count("alice") == 10


def test_a_sweep_removes_what_has_expired_and_says_how_much(store: Rival) -> None:
    if store.sweep is None or store.expiring is None:
        pytest.skip("it has no such thing")
    store.create("stays", TURN)
    for number in range(3):
        store.expiring(f"goes-{number}", TURN)
    time.sleep(0.01)
    assert store.sweep() == 3
    assert store.load("stays") == TURN


def test_what_was_filled_and_closed_is_there_when_opened_cold(entry: Entry, tmp_path: Path) -> None:
    directory = str(tmp_path / "store")
    store = entry.open(directory)
    if entry.name == "redis, default":
        store.close()
        pytest.skip("nothing is promised: a snapshot is made when there have been enough changes")
    store.fill([Filling("a", HISTORY)])
    store.append("a", TURN)
    store.close()
    again = entry.open(directory, cold=True)
    assert again.load("a") == HISTORY + TURN
    again.append("a", TURN)
    assert again.load("a") == HISTORY + TURN + TURN
    again.close()


def test_a_message_of_any_shape_is_kept_where_an_adapter_says_so(store: Rival) -> None:
    if not store.takes_any_json:
        pytest.skip("it takes a role and a text")
    messages: list[Message] = [{"type": "tool", "role": "tool", "content": [{"deep": [1, None, True, "é"]}]}]
    store.create("a", messages)
    assert store.load("a") == messages


# -- the run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench([BY_NAME["sqlite blobs"]], str(tmp_path), QUICK)


@pytest.mark.slow
def test_stores_take_turns_and_one_that_fails_does_not_stop_the_others(bench: Bench) -> None:
    order: list[str] = []

    def fail(_: object) -> None:
        order.append("bad")
        raise OSError("no space")

    bench.measure("w", {"good": Action(lambda _: order.append("good")), "bad": Action(fail)})
    assert sorted(order[:2]) == ["bad", "good"]
    assert set(order[2:]) == {"good"}
    good, bad = bench.cells
    assert good.samples == QUICK.rounds
    assert bad.median is None
    assert "no space" in bad.note


@pytest.mark.slow
def test_who_comes_after_whom_is_drawn_anew_in_every_round_and_the_same_in_every_run(tmp_path: Path) -> None:
    """In a fixed order the same store would always find the caches that its neighbour has warmed."""

    def orders() -> list[tuple[str, ...]]:
        order: list[str] = []
        actions = {name: Action(lambda _, name=name: order.append(name)) for name in "abc"}
        Bench([], str(tmp_path), QUICK).measure("w", actions)
        return [tuple(order[at : at + 3]) for at in range(0, len(order), 3)]

    drawn = orders()
    assert all(sorted(each) == ["a", "b", "c"] for each in drawn)
    assert len(set(drawn)) == 6
    assert drawn == orders()


@pytest.mark.slow
def test_each_write_finds_the_journal_flushed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a library that flushes pays for what the others, which do not, have left behind."""
    seen: list[str] = []
    monkeypatch.setattr(Bench, "_settle", lambda _: seen.append("settled"))
    action = Action(lambda _: seen.append("written"), lambda: seen.append("prepared"))
    bench.measure("w", {"a": action}, flushes="save", rounds=5)
    assert seen == ["prepared", "settled", "written"] * 5


@pytest.mark.slow
def test_what_is_prepared_is_not_measured(bench: Bench) -> None:
    seen = []
    numbers = itertools.count()
    action = Action(seen.append, lambda: (time.sleep(0.02), next(numbers))[1])
    (turn,) = bench.measure("w", {"a": action}).values()
    assert seen == list(range(len(seen)))
    assert turn.spent >= 0.02 * len(seen) > sum(turn.times) / 1e6


@pytest.mark.slow
def test_a_store_that_takes_long_drops_out_with_fewer_samples(bench: Bench) -> None:
    """A few times all the same, as long as those do not take long together: a median of two says nothing."""
    bench.measure("w", {"slow": Action(lambda _: time.sleep(0.015)), "quick": Action(lambda _: None)})
    slow, quick = bench.cells
    assert 1 <= slow.samples < 10
    assert quick.samples == QUICK.rounds


@pytest.mark.slow
def test_an_operation_may_tell_its_own_time(bench: Bench) -> None:
    bench.measure("w", {"a": Action(lambda _: 5.0)})
    assert bench.cells[0].median == 5.0


def test_a_store_that_would_be_filled_for_too_long_is_left_out_and_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Rival):
        filled = 0

        def fill(self, sessions: object) -> None:
            self.filled += len(list(sessions))  # type: ignore[call-overload]  # a list, here

    slow = Slow()
    monkeypatch.setattr(time, "perf_counter", lambda: slow.filled * 0.002)
    sessions = [Filling(f"s{number}", TURN) for number in range(1000)]
    bench.scale = dataclasses.replace(QUICK, filling=1.0)
    assert bench.filled({"slow": slow}, sessions, "w", "another") == {}
    assert slow.filled == 50
    assert [(cell.workload, cell.median) for cell in bench.cells] == [("w", None), ("another", None)]
    assert "left out: filling with many sessions would take about 2 s" in bench.cells[0].note


def test_the_printed_table_has_the_best_first_and_every_gap(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        table.Cell.of("w", "sqlite rows", [3.0], unit="us", flushes=1.0),
        table.Cell.of("w", "vaultsession", [2.0], unit="us", flushes=1.0),
        table.Cell.of("w", "diskcache", [], unit="", note="left out"),
    ]
    table.show("w", cells, counted=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["vaultsession", "sqlite", "diskcache"]
    assert "1.50" in lines[4]
    assert "left out" in lines[5]


def test_of_rates_the_highest_is_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    table.show(
        "w", [table.Cell.of("w", name, [rate], unit="/s") for name, rate in (("a", 1.0), ("b", 9.0))], counted=True
    )
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[3:]] == ["b", "a"]


# -- a fresh process and several of them -------------------------------------------------------------------------------


def test_what_a_library_imports_when_it_is_first_used_is_among_its_imports(bench: Bench) -> None:
    """Else its first operation pays for them, and those of a library that imports everything at once are nowhere."""
    entry = BY_NAME["sqlite blobs"]
    with bench.opened() as stores:
        stores.pop(entry.name).fill([Filling("short", HISTORY), Filling("long", HISTORY)])
        imports: list[float] = []
        took = fresh._first(bench, entry, "append", ["no.such.module", "asyncio.sslproto"], imports)
    assert took > 0
    assert len(imports) == 1


def test_a_store_that_cannot_be_opened_by_a_process_is_told_and_the_others_are_not_kept_waiting(bench: Bench) -> None:
    tally = processes.Tally()
    context = multiprocessing.get_context("fork")
    processes._all(context, ("no such store", bench.directory, 0.05, 1, 0.0), tally)
    assert tally.rates == [0.0]
    assert [error.split(":")[0] for error in tally.errors] == ["not opened"] * processes.PROCESSES


# -- results, table and plots ------------------------------------------------------------------------------------------


@pytest.fixture
def results() -> Results:
    stores = [
        {"name": name, "how": "", "package": "", "version": "", "durable": True, "encrypted": True, "flushes": {}}
        for name in ("sqlite rows", "vaultsession")
    ]
    conditions = {
        "run": "quick", "date": "2026-01-02", "system": "Linux 6", "cores": 2, "file system": "ext4", "python": "3.11.7",
        "load at the end": 0.5,
    }  # fmt: skip
    cells = [
        table.Cell.of(
            "save of an existing session, 20 KB", "vaultsession", [1234.5678], unit="us", flushes=1.0, at=2e4
        ),
        table.Cell.of("warm load, 20 KB", "sqlite rows", [], unit="", note="left out: it would take a week"),
        table.Cell.of(f"{processes.MIXED}, 100 sessions", "sqlite rows", [9876.0], unit="/s", note="3 of 8 lost"),
    ]
    return Results(conditions, stores, cells)


def test_results_come_back_as_they_were_saved_but_for_digits_that_are_noise(results: Results, tmp_path: Path) -> None:
    results.save(tmp_path / "results.json")
    again = Results.load(tmp_path / "results.json")
    assert (again.conditions, again.stores) == (results.conditions, results.stores)
    assert again.cells[0].median == 1235.0
    assert again.cells[1:] == results.cells[1:]


def test_the_table_of_the_readme_shows_figures_gaps_and_losses_for_what_they_are(results: Results) -> None:
    _, _, ours, theirs = readme.text(results).splitlines()[:4]
    assert ours.startswith("| **vaultsession** | yes | 1.23 ms | -")
    assert [cell.strip() for cell in theirs.split("|")][6] == "left out"
    assert "9 876/s, 3 lost" in theirs


def test_a_readme_without_a_place_for_the_table_is_left_alone(results: Results, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# nothing\n")
    with pytest.raises(SystemExit, match="no place"):
        readme.PLACE.write(file, readme.text(results))
    assert file.read_text() == "# nothing\n"


def test_names_beside_a_plot_do_not_overlap_and_stay_in_order() -> None:
    plots = pytest.importorskip("benchmarks.against.plots")
    places = plots._spread([0.1, 0.11, 0.12, 0.5, 0.51], 0.05)
    assert places == pytest.approx([0.06, 0.11, 0.16, 0.48, 0.53])
    assert plots._spread([0.0, 1.0], 0.05) == [0.0, 1.0]


# -- flushes -----------------------------------------------------------------------------------------------------------


def test_flushes_are_counted_between_the_marks_of_a_section_alone() -> None:
    trace = """\
10  fsync(3) = 0
10  getpriority(PRIO_USER, 7000000) = -1 ESRCH (No such process)
10  fdatasync(4 <unfinished ...>
11  fsync(5)                = 0
10  <... fdatasync resumed>) = 0
10  getpriority(PRIO_USER, 7000000) = -1 ESRCH (No such process)
10  fsync(3) = 0
10  getpriority(PRIO_USER, 7000001) = -1 ESRCH (No such process)
10  fsync(3) = 0
"""
    assert _between_marks(trace.splitlines()) == {0: 2}  # the second section was begun and never reached its end


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_floor_flushes_twice_to_create_and_once_to_write(tmp_path: Path) -> None:
    counted = count_flushes([BY_NAME["floor, sealed"], BY_NAME["vaultsession, os"]], str(tmp_path))
    if not counted:
        pytest.skip("strace is not allowed here")
    assert counted["floor, sealed"] == {"create": 2.0, "save": 1.0, "append": 1.0}
    assert set(counted["vaultsession, os"].values()) == {0.0}


def test_the_classes_of_size_leave_no_gap() -> None:
    bounds = [(low, high) for low, high, _ in CLASSES.values()]
    assert all(high == low for (_, high), (low, _) in itertools.pairwise(bounds))
