"""A primary and its mirror: what arrives, what never waits, and what a follower can do to a save: nothing."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirror_lab import Shaky, compare, contents, eventually, is_level, mirrored

from vaultsession.backends import FilesBackend, MemoryBackend
from vaultsession.backends.mirror import MirrorBackend
from vaultsession.backends.replication import Outcome
from vaultsession.errors import BackendUnavailable, Conflict, Damaged
from vaultsession.format.sealed import Commit, Current, Delete, IndexRow, Write
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk


@pytest.fixture
def scribe() -> Sealer:
    return Sealer()


@pytest.fixture
def primary() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def follower() -> Iterator[Shaky]:
    follower = Shaky()
    yield follower
    follower.answers.set()
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "vaultsession-mirror"])


@pytest.fixture
def store(primary: MemoryBackend, follower: Shaky) -> Iterator[MirrorBackend]:
    store = mirrored(primary, follower)
    yield store
    follower.answers.set()
    store.close()


def level(store: MirrorBackend, follower: Shaky) -> None:
    assert is_level(store.mirror, 30)
    assert contents(follower) == contents(store.primary)


def test_what_is_written_arrives(store: MirrorBackend, follower: Shaky, scribe: Sealer) -> None:
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    store.commit(key, scribe.append())
    level(store, follower)
    assert scribe.texts(follower, key) == ["first", "more"]


def test_a_removal_arrives(store: MirrorBackend, follower: Shaky, scribe: Sealer) -> None:
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    level(store, follower)
    assert contents(follower)
    store.commit(key, scribe.remove(key))
    level(store, follower)
    assert contents(follower) == {}


def test_what_many_removals_took_is_removed_there_too(tmp_path: Path, follower: Shaky, scribe: Sealer) -> None:
    """Of a primary that removes in batches, each is marked."""
    primary = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    store = mirrored(primary, follower)
    keys = [scribe.key(f"session {number}") for number in range(20)]
    for key in keys:
        store.commit(key, scribe.create(key))
    level(store, follower)

    def update(key: str, newest: Current) -> Delete | None:
        if key in keys[:4] or not isinstance(newest, IndexRow):
            return None
        return Delete(scribe.reader.rows.tombstone(key, newest.generation))

    store.delete_many(keys, update)
    level(store, follower)
    assert contents(follower).keys() == set(keys[:4])
    store.close()


def test_what_was_there_before_is_found_by_comparison(primary: MemoryBackend, follower: Shaky, scribe: Sealer) -> None:
    """Also what was removed by a process that had no mirror."""
    removed, missing = scribe.key("removed"), scribe.key("missing")
    primary.commit(removed, scribe.create(removed))
    follower.commit(removed, lambda _: _copy(primary, removed))
    primary.commit(removed, scribe.remove(removed))
    primary.commit(missing, scribe.create(missing))
    store = mirrored(primary, follower)
    eventually(lambda: contents(follower) == contents(primary) != {})
    store.close()


def test_appends_during_an_outage_arrive_in_order(store: MirrorBackend, follower: Shaky, scribe: Sealer) -> None:
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    level(store, follower)
    follower.down = True
    for number in range(500):
        store.commit(key, scribe.append(str(number)))
    eventually(lambda: store.mirror.status().error)
    assert len(scribe.texts(follower_is_up(follower), key) or []) == 1
    level(store, follower)
    assert scribe.texts(follower, key) == ["first", *map(str, range(500))]


def follower_is_up(follower: Shaky) -> MemoryBackend:
    """What it holds, before the mirror can have reached it again."""
    copy = MemoryBackend()
    copy._sessions.update(follower._sessions)
    follower.down = False
    return copy


def test_a_follower_that_lost_everything_in_an_outage_gets_everything_again(
    store: MirrorBackend, follower: Shaky, scribe: Sealer
) -> None:
    """A server in memory was restarted: nothing was written meanwhile, so nothing was marked."""
    keys = [scribe.key(str(number)) for number in range(20)]
    for key in keys:
        store.commit(key, scribe.create(key))
    level(store, follower)
    follower.down = True
    store.commit(keys[0], scribe.append())
    eventually(lambda: store.mirror.status().error)
    follower._sessions.clear()
    follower.down = False
    eventually(lambda: contents(follower) == contents(store.primary))


def test_a_dead_follower_costs_nothing_at_opening_or_saving(primary: MemoryBackend, scribe: Sealer) -> None:
    follower = Shaky()
    follower.down = True
    store = mirrored(primary, follower)
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    assert scribe.texts(store, key) == ["first"]
    eventually(lambda: store.mirror.status().error)
    status = store.mirror.status()
    assert (status.behind, status.succeeded) == (1, None)
    assert "connection refused" in status.words
    assert store.health()["mirror"] is None  # an outage that may pass is no illness of the vault
    assert store.stats()["mirror_behind"] == 1
    store.close()


@pytest.mark.slow
def test_a_frozen_follower_holds_up_neither_saves_nor_closing(
    primary: MemoryBackend, follower: Shaky, scribe: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    store = mirrored(primary, follower, drain=0.2)
    key = scribe.key("a")
    eventually(lambda: follower.openings)
    follower.answers.clear()
    for number in range(50):
        store.commit(key, scribe.create(key, str(number)))
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        store.close()
    assert time.monotonic() - began < 20  # it would be for ever
    assert "does not answer" in caplog.text
    with pytest.raises(RuntimeError, match="closed"):
        store.head(key)
    follower.answers.set()  # and the thread ends by itself: the fixture waits for it


def test_closing_gives_what_waits_its_time(primary: MemoryBackend, follower: Shaky, scribe: Sealer) -> None:
    store = mirrored(primary, follower)
    keys = [scribe.key(str(number)) for number in range(50)]
    for key in keys:
        store.commit(key, scribe.create(key))
    kept = contents(primary)
    store.close()
    assert contents(follower) == kept


def test_a_follower_in_which_nothing_can_be_put_is_given_up_at_closing(
    primary: MemoryBackend, scribe: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Shaky()
    follower.down = True
    store = mirrored(primary, follower)
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    eventually(lambda: store.mirror.status().error)
    with caplog.at_level(logging.WARNING):
        store.close()
    assert "1 sessions are not mirrored yet" in caplog.text


def test_what_a_seal_raises_passes_and_marks_nothing(store: MirrorBackend, follower: Shaky, scribe: Sealer) -> None:
    def refuse(_: Current) -> None:
        raise Conflict("someone was faster")

    assert is_level(store.mirror, 30)
    eventually(lambda: follower.openings)
    commits = follower.commits
    with pytest.raises(Conflict):
        store.commit(scribe.key("a"), refuse)
    store.commit(scribe.key("a"), lambda _: None)
    assert store.mirror.status().behind == 0
    assert follower.commits == commits


def test_a_commit_that_raised_after_its_seal_is_looked_at(follower: Shaky, scribe: Sealer) -> None:
    """``DurabilityUnknown`` and the like: what the primary has then, it has."""

    class Uncertain(MemoryBackend):
        def commit(self, key: str, update: object) -> Commit:
            super().commit(key, update)  # type: ignore[arg-type]  # passed on
            raise BackendUnavailable("after the fact")

    primary = Uncertain()
    store = mirrored(primary, follower, first_comparison=3600.0)  # no comparison finds it instead
    key = scribe.key("a")
    with pytest.raises(BackendUnavailable):
        store.commit(key, scribe.create(key))
    eventually(lambda: scribe.texts(follower, key) == ["first"])
    store.close()


def test_one_session_that_cannot_be_copied_does_not_keep_the_others_waiting(
    store: MirrorBackend, follower: Shaky, scribe: Sealer
) -> None:
    bad, good = scribe.key("bad"), scribe.key("good")
    follower.poisoned.add(bad)
    follower.error = Damaged("the copy of it is damaged")
    store.commit(bad, scribe.create(bad))
    store.commit(good, scribe.create(good))
    eventually(lambda: scribe.texts(follower, good) == ["first"])
    assert is_level(store.mirror, 30)
    assert store.mirror.status().refused == {bad: "the copy of it is damaged"}
    assert "the copy of it is damaged" in (store.health()["mirror"] or "")
    follower.poisoned.clear()
    store.commit(bad, scribe.append())
    level(store, follower)
    assert store.health()["mirror"] is None


def test_a_session_of_the_primary_that_cannot_be_read_is_not_taken_for_an_outage(
    follower: Shaky, scribe: Sealer
) -> None:
    class OneBadSector(MemoryBackend):
        bad = ""

        def read(self, key: str, start: int = 0, *, settled: bool = False):
            if key == self.bad:
                raise BackendUnavailable("input/output error")
            return super().read(key, start, settled=settled)

    primary = OneBadSector()
    store = mirrored(primary, follower)
    primary.bad, good = scribe.key("bad"), scribe.key("good")
    store.commit(primary.bad, scribe.create(primary.bad))
    store.commit(good, scribe.create(good))
    eventually(lambda: scribe.texts(follower, good) == ["first"])
    assert is_level(store.mirror, 30)
    status = store.mirror.status()
    assert (status.error, status.refused) == (None, {primary.bad: "input/output error"})
    store.close()


def test_a_session_that_is_newer_at_the_mirror_is_told_and_left(
    store: MirrorBackend, follower: Shaky, scribe: Sealer
) -> None:
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    level(store, follower)
    follower.commit(key, scribe.append("elsewhere"))
    follower.commit(key, scribe.append("and again"))
    store.commit(key, scribe.append("here"))
    eventually(lambda: store.mirror.status().refused)
    assert "newer" in (store.health()["mirror"] or "")
    assert scribe.texts(follower, key) == ["first", "elsewhere", "and again"]


def test_what_only_the_follower_has_is_counted_and_kept(store: MirrorBackend, follower: Shaky, scribe: Sealer) -> None:
    key = scribe.key("a")
    follower.commit(key, scribe.create(key))
    compare(store.mirror)
    eventually(lambda: store.mirror.status().extra == 1)
    assert store.health()["mirror"] is None
    assert scribe.texts(follower, key) == ["first"]


def test_more_marks_than_are_kept_become_a_comparison(primary: MemoryBackend, follower: Shaky, scribe: Sealer) -> None:
    follower.down = True
    store = mirrored(primary, follower, most=10)
    keys = [scribe.key(str(number)) for number in range(100)]
    for key in keys:
        store.commit(key, scribe.create(key))
        assert store.mirror.status().behind <= 11
    follower.down = False
    eventually(lambda: contents(follower) == contents(primary))
    assert len(contents(follower)) == 100
    store.close()


def test_papers_that_cannot_be_brought_level_are_a_problem(primary: MemoryBackend, follower: Shaky) -> None:
    follower.metadata = lambda: Outcome.AHEAD
    store = mirrored(primary, follower)
    eventually(lambda: store.health()["mirror"])
    assert "key slots" in (store.health()["mirror"] or "")
    store.close()


def test_a_follower_that_holds_another_vault_is_a_problem_at_once(
    primary: MemoryBackend, follower: Shaky, scribe: Sealer
) -> None:
    def refuse() -> Outcome:
        raise Conflict("shaky://host holds another vault")

    follower.metadata = refuse
    store = mirrored(primary, follower)
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    eventually(lambda: "another vault" in (store.health()["mirror"] or ""))
    assert contents(follower) == {}
    store.close()


def test_an_outage_that_lasts_becomes_a_problem(primary: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaultsession.backends.mirror.status.GRACE", 0.0)
    follower = Shaky()
    follower.down = True
    store = mirrored(primary, follower)
    eventually(lambda: "connection refused" in (store.health()["mirror"] or ""))
    store.close()


def test_an_unexpected_error_of_a_follower_ends_nothing_and_tells_no_content(
    primary: MemoryBackend, follower: Shaky, scribe: Sealer
) -> None:
    def broken() -> Outcome:
        raise ZeroDivisionError("secret of a driver")

    follower.metadata = broken
    store = mirrored(primary, follower)
    eventually(lambda: store.mirror.status().error)
    assert store.mirror.status().error == "ZeroDivisionError, which is unexpected"
    follower.metadata = lambda: Outcome.CURRENT
    key = scribe.key("a")
    store.commit(key, scribe.create(key))
    eventually(lambda: scribe.texts(follower, key) == ["first"])
    store.close()


@pytest.mark.slow
def test_attempts_become_rarer_and_the_connection_is_opened_anew(primary: MemoryBackend, follower: Shaky) -> None:
    follower.down = True
    store = mirrored(primary, follower)
    eventually(lambda: follower.openings > 2)
    follower.down = False
    eventually(lambda: store.mirror.status().error is None and store.mirror.status().succeeded)
    follower.down = True
    before = follower.openings
    compare(store.mirror)
    eventually(lambda: follower.openings > before)
    assert follower.closings >= 1
    store.close()


def test_a_process_that_dies_half_way_is_caught_up_with(tmp_path: Path, follower: Shaky, scribe: Sealer) -> None:
    """Killed with a backlog that no other process knows: the next opening finds it by comparison."""
    keys = [scribe.key(str(number)) for number in range(30)]
    child = os.fork()
    if not child:
        try:
            backend = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
            gone = Shaky()
            gone.down = True
            store = mirrored(backend, gone)
            for key in keys:
                store.commit(key, scribe.create(key))
            store.commit(keys[0], scribe.append())
        finally:
            os._exit(9)  # as a kill: nothing is closed or drained
    os.waitpid(child, 0)
    backend = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    store = mirrored(backend, follower)
    eventually(lambda: contents(follower) == contents(backend))
    assert len(contents(follower)) == 30
    store.close()


def test_a_forked_child_mirrors_what_it_writes(tmp_path: Path, follower: Shaky, scribe: Sealer) -> None:
    backend = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    store = mirrored(backend, follower)
    parents, childs = scribe.key("parent"), scribe.key("child")
    store.commit(parents, scribe.create(parents))
    level(store, follower)
    child = os.fork()
    if not child:
        code = 1
        try:
            store.commit(childs, scribe.create(childs))
            code = 0 if is_level(store.mirror, 20) and scribe.texts(follower, childs) == ["first"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.commit(parents, scribe.append())
    compare(store.mirror)
    eventually(lambda: contents(follower) == contents(backend))
    store.close()


def test_many_threads_write_and_all_of_it_arrives(tmp_path: Path, follower: Shaky, scribe: Sealer) -> None:
    backend = FilesBackend(str(tmp_path), disk=Disk(), describe=scribe.describe)
    store = mirrored(backend, follower)
    keys = [scribe.key(str(number)) for number in range(4)]
    for key in keys:
        store.commit(key, scribe.create(key))

    def write(name: int) -> None:
        for number in range(40):
            store.commit(keys[number % 4], scribe.append(f"{name} {number}"))
            if number == 20:
                follower.down = not follower.down

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    follower.down = False
    level(store, follower)
    store.close()


def _copy(backend: MemoryBackend, key: str) -> Write:
    row, container = backend.head(key), backend.read(key)
    assert row is not None
    assert container is not None
    return Write(row, 0, container.header + container.data)
