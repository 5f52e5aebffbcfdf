"""Small records are merged in a pause: no turn waits for it, the document stays what it was, and so does its version."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vaultsession import BackendUnavailable, SessionStore, open_store
from vaultsession.engine import compaction, merge_policy
from vaultsession.engine.compaction import Compactor
from vaultsession.format.document import Bodies
from vaultsession.format.payload import Packed
from vaultsession.testing.clock import ManualClock
from vaultsession.util.disk import Disk

KEY = bytes(range(32))
PAUSE = 0.02


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "PAUSE", PAUSE)
    monkeypatch.setattr(merge_policy, "APPENDED_FLOOR", 500)
    monkeypatch.setattr(merge_policy, "POSTPONED", 4)  # eight turns are not overdue
    monkeypatch.setattr(compaction._schedule, "_rests_until", 0.0)
    monkeypatch.setattr(compaction._schedule, "_has_failed", False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=KEY, durability="os") as opened:
        yield opened


def until(holds: Callable[[], object]) -> bool:
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.002)
    return bool(holds())


def grown(store: SessionStore, id: str, turns: int) -> list[dict[str, object]]:
    messages: list[dict[str, object]] = [
        {"n": number, "text": "a turn of some length, and longer" * 4} for number in range(turns)
    ]
    store.create(id)
    for message in messages:
        store.append(id, message)
    return messages


def records(store: SessionStore, id: str) -> int:
    row = store._backend.head(store._key(id))
    assert row is not None
    return row.seq + 1


def test_a_session_that_is_left_alone_is_merged_and_stays_what_it_was(store: SessionStore) -> None:
    messages = grown(store, "a", 8)
    before, loaded = store.info("a"), store.load("a")
    assert until(lambda: records(store, "a") == 1)
    after = store.info("a")
    assert (after.version, after.updated_at, after.message_count) == (before.version, before.updated_at, 8)
    assert store.load("a").messages == messages
    loaded.state["k"] = 1
    store.save(loaded)  # of the version that it was loaded with: no conflict
    assert store.load("a").state == {"k": 1}
    assert [info.id for info in store.list()] == ["a"]


def test_a_merge_in_a_pause_leaves_the_cached_document_the_newest(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "PAUSE", 60.0)
    grown(store, "a", 8)
    store.load("a")
    assert store._operations.compact(store._key("a"))
    hits = store.stats()["cache_hits"]
    store.load("a")
    assert store.stats()["cache_hits"] == hits + 1


def test_a_session_that_is_never_left_alone_is_merged_when_small_records_have_piled_up_and_by_no_writer(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    merging: list[str] = []
    merge = store._operations._writer.merge
    monkeypatch.setattr(compaction, "PAUSE", 60.0)
    monkeypatch.setattr(
        store._operations._writer,
        "merge",
        lambda bodies: merging.append(threading.current_thread().name) or merge(bodies),
    )
    messages = grown(store, "a", 8)
    assert records(store, "a") == 9
    for number in range(8, 70):
        messages.append({"n": number, "text": "a turn of some length, and longer" * 4})
        store.append("a", messages[-1])
    assert until(lambda: records(store, "a") < 60)
    assert set(merging) == {"vaultsession-compaction"}
    assert store.load("a").messages == messages
    with open_store(store.origin.where, key=KEY) as other:
        assert other.load("a").messages == messages


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda store: store.append("a", {"n": 8}),
        lambda store: store.pop("a", 3),
        lambda store: (store.pop("a", 9), store.append("a", {"n": 8})),
        lambda store: store.update("a", {"k": 2}),
        lambda store: store.touch("a", ttl="1h"),
        lambda store: store.save("a", messages=[{"n": "another"}]),
        lambda store: store.clear("a"),
        lambda store: [store.append("a", {"n": number}) for number in range(40)],
    ],
)
@pytest.mark.parametrize("cached", [True, False])
def test_what_is_written_while_a_session_is_merged_stands_in_what_was_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[SessionStore], object], cached: bool
) -> None:
    monkeypatch.setattr(compaction, "PAUSE", 60.0)
    how = {} if cached else {"cache_bytes": 0}
    with open_store(tmp_path / "vault", key=KEY, durability="os", ttl="1d", **how) as store:
        writer, after = store._operations._writer, []
        monkeypatch.setattr(writer, "postpone", lambda _, is_overdue: True)
        grown(store, "a", 8)
        merge = writer.merge

        def slow(bodies: Bodies) -> list[Packed]:
            if not after:
                after.append(meanwhile(store))
                after.append(store.load("a"))
            return merge(bodies)

        monkeypatch.setattr(writer, "merge", slow)
        store._operations.compact(store._key("a"))
        written = after[1]
        with open_store(tmp_path / "vault", key=KEY) as other:
            for each in (store, other):
                loaded = each.load("a")
                assert (loaded.state, loaded.messages) == (written.state, written.messages)
                assert loaded.version == written.version
                assert each.info("a").message_count == len(written.messages)


def test_the_thread_rests_while_nothing_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "PAUSE", 0.0)
    merged: list[tuple[str, float]] = []

    def merge(key: str) -> None:
        merged.append((key, time.monotonic()))
        time.sleep(0.004)

    compactor = Compactor(merge)
    for key in "ab":
        assert compactor.postpone(key)
    assert until(lambda: len(merged) == 2)
    assert merged[1][1] - merged[0][1] >= compaction.SHARE * 0.004
    with compaction._schedule._guard:
        assert compactor.postpone("c")
        assert compactor.postpone("d", is_overdue=True)
        assert compactor.postpone("d")  # and it goes on being that
    assert until(lambda: len(merged) == 4)
    assert [key for key, _ in merged] == ["a", "b", "d", "c"]
    compactor.stop()
    assert not compactor.postpone("e", is_overdue=True)


def test_what_is_overdue_and_fails_is_not_tried_again_before_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "PAUSE", 60.0)
    tried: list[str] = []

    def merge(key: str) -> None:
        tried.append(key)
        raise BackendUnavailable("no room")

    compactor = Compactor(merge)
    compactor.postpone("a", is_overdue=True)
    assert until(lambda: tried)
    compactor.postpone("a", is_overdue=True)
    time.sleep(0.02)
    assert tried == ["a"]
    compactor.stop()


def test_a_removed_session_and_one_that_was_merged_meanwhile_are_left_alone(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "PAUSE", 60.0)
    grown(store, "a", 8)
    operations, key = store._operations, store._key("a")
    assert operations.compact(key)
    assert not operations.compact(key)
    store.delete("a")
    assert not operations.compact(key)
    assert not operations.compact(store._key("never there"))


def test_an_expired_session_is_left_alone(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_store(tmp_path / "vault", key=KEY, clock=clock, ttl="1h") as store:
        grown(store, "a", 8)
        clock.advance(7200)
        assert not store._operations.compact(store._key("a"))


def test_over_a_disk_that_was_given_writers_merge(tmp_path: Path) -> None:
    with open_store(tmp_path / "vault", key=KEY, disk=Disk()) as store:
        grown(store, "a", 30)
        assert records(store, "a") < 25
        assert until(lambda: "vaultsession-compaction" not in {thread.name for thread in threading.enumerate()})


def test_closing_waits_for_a_merge_and_ends_the_thread(store: SessionStore) -> None:
    for number in range(5):
        grown(store, f"s{number}", 8)
    store.close()
    assert until(lambda: "vaultsession-compaction" not in {thread.name for thread in threading.enumerate()})


def test_what_fails_is_left_and_the_thread_goes_on() -> None:
    merged: list[str] = []

    def merge(key: str) -> None:
        merged.append(key)
        if key == "a":
            raise BackendUnavailable("no room")
        if key == "b":
            raise ZeroDivisionError

    compactor = Compactor(merge)
    with compaction._schedule._guard:  # all are due before the thread looks
        for key in "abca":
            compactor.postpone(key)
    assert until(lambda: len(merged) == 3)
    assert merged == ["b", "c", "a"]
    thread = compaction._schedule._thread
    compactor.postpone("d")
    assert until(lambda: merged[-1] == "d")
    assert compaction._schedule._thread is thread
    compactor.stop()
    assert until(lambda: compaction._schedule._thread is None)
    compactor.postpone("e")
    time.sleep(3 * PAUSE)
    assert merged[-1] == "d"


def test_a_store_that_is_dropped_keeps_neither_itself_nor_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_IDLE", PAUSE)
    compactor = Compactor(lambda _: None)
    dropped = weakref.ref(compactor)
    compactor.postpone("a")
    del compactor
    assert until(lambda: dropped() is None)
    assert until(lambda: compaction._schedule._thread is None)


def test_all_stores_of_a_process_have_one_thread_and_one_that_closes_leaves_it_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread a store would be as many as there are stores with conversations under way."""
    monkeypatch.setattr(compaction, "PAUSE", 60.0)
    merged: list[str] = []
    compactors = [Compactor(merged.append) for _ in range(20)]
    for number, compactor in enumerate(compactors):
        compactor.postpone(str(number))
    assert [thread.name for thread in threading.enumerate()].count("vaultsession-compaction") == 1
    for compactor in compactors[::2]:
        compactor.stop()
    for number, compactor in enumerate(compactors):
        compactor.postpone(str(number), is_overdue=True)
    assert until(lambda: len(merged) == 10)
    assert sorted(map(int, merged)) == list(range(1, 20, 2))
    for compactor in compactors:
        compactor.stop()


def test_one_that_closes_waits_for_its_own_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def merge(_key: str) -> None:
        begun.set()
        goes_on.wait(60)
        ended.set()

    slow, other = Compactor(merge), Compactor(lambda _: None)
    slow.postpone("a")
    assert begun.wait(60)
    other.postpone("b")
    other.stop()
    assert not ended.is_set()
    threading.Timer(2 * PAUSE, goes_on.set).start()
    slow.stop()
    assert ended.is_set()


def test_no_more_wait_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MOST", 3)
    merged: list[str] = []
    compactor = Compactor(merged.append)
    with compaction._schedule._guard:
        for key in "abcde":
            compactor.postpone(key)
    assert until(lambda: len(merged) == 3)
    assert merged == ["c", "d", "e"]
    compactor.stop()
