"""RedisBackend: what is compared and swapped, remembered, lost on the way, and set back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from redis_lab import Place
from servers import redis_server

from vaultsession.backends.redis import RedisBackend
from vaultsession.backends.redis.scripts import COMMIT, LOOK, READ, Script
from vaultsession.backends.redis.server import AnswerLost
from vaultsession.errors import (
    BackendUnavailable,
    Conflict,
    Damaged,
    DurabilityUnknown,
    RollbackDetected,
    TooLarge,
    UnsupportedFormat,
    VaultNotFound,
)
from vaultsession.format.sealed import IndexRow, Query
from vaultsession.testing.sealer import Sealer


class Trips:
    """Counts what is asked of the server, and lets a test step in between."""

    def __init__(self, backend: RedisBackend) -> None:
        self.asked: list[Script] = []
        self.before: Callable[[Script], None] = lambda _: None
        self.after: Callable[[Script], None] = lambda _: None
        self._run = backend._server._run
        backend._server._run = self

    def __call__(self, say: Callable[..., Any], script: Script, *words: Any) -> Any:
        self.before(script)
        self.asked.append(script)
        answer = self._run(say, script, *words)
        self.after(script)
        return answer


@pytest.fixture
def backend(place: Place, scribe: Sealer) -> RedisBackend:
    return place.backend(scribe)


@pytest.fixture
def key(backend: RedisBackend, scribe: Sealer) -> str:
    """A session with one record."""
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    return key


# -- round trips -------------------------------------------------------------------------------------------------------


def test_an_append_behind_ones_own_is_one_round_trip(backend: RedisBackend, scribe: Sealer, key: str) -> None:
    trips = Trips(backend)
    for _ in range(3):
        backend.commit(key, scribe.append())
    assert trips.asked == [COMMIT] * 3


def test_an_append_behind_what_nobody_here_knows_is_two(place: Place, scribe: Sealer, key: str) -> None:
    fresh = place.backend(scribe)
    trips = Trips(fresh)
    fresh.commit(key, scribe.append())
    assert trips.asked == [LOOK, COMMIT]


def test_an_append_behind_what_was_read_is_one(place: Place, scribe: Sealer, key: str) -> None:
    fresh = place.backend(scribe)
    fresh.read(key)
    trips = Trips(fresh)
    fresh.commit(key, scribe.append())
    assert trips.asked == [COMMIT]


def test_an_append_behind_someone_elses_is_two(backend: RedisBackend, place: Place, scribe: Sealer, key: str) -> None:
    place.backend(scribe).commit(key, scribe.append("theirs"))
    trips = Trips(backend)
    backend.commit(key, scribe.append("ours"))
    assert trips.asked == [COMMIT, COMMIT]
    assert scribe.texts(backend, key) == ["first", "theirs", "ours"]


# -- compare and swap --------------------------------------------------------------------------------------------------


def test_what_a_seal_says_of_what_is_remembered_is_asked_again_of_what_is_there(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str
) -> None:
    newer = place.backend(scribe).commit(key, scribe.append("theirs")).after

    def expecting(newest: Any) -> Any:
        if newest.version != newer.version:
            raise Conflict("someone was quicker")
        return scribe.append("ours")(newest)

    backend.commit(key, expecting)
    assert scribe.texts(backend, key) == ["first", "theirs", "ours"]
    place.backend(scribe).commit(key, scribe.append("more"))
    seen: list[Any] = []
    assert backend.commit(key, seen.append).after.seq == 3
    assert seen[-1].seq == 3


def test_who_is_never_first_is_told_and_nothing_is_changed(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultsession.backends.optimistic.TRIES", 3)
    other, trips = place.backend(scribe), Trips(backend)
    trips.before = lambda _: other.commit(key, scribe.append("theirs"))
    with pytest.raises(Conflict, match="3 times"):
        backend.commit(key, scribe.append("ours"))
    trips.before = lambda _: None
    assert scribe.texts(backend, key) == ["first"] + ["theirs"] * 3


def test_a_commit_of_another_thread_is_no_rollback_to_a_reader(backend: RedisBackend, scribe: Sealer, key: str) -> None:
    """A reader that had its bytes, and was then overtaken, once took the newer row for a witness against them."""
    trips = Trips(backend)

    def overtake(script: Script) -> None:
        if script is READ:
            trips.after = lambda _: None
            backend.commit(key, scribe.append())

    trips.after = overtake
    container = backend.read(key)
    assert container is not None
    assert container.witness is not None
    assert container.witness.seq == 0
    assert scribe.reader.load(key, partial(backend.read, key)) is not None


def test_a_session_that_changes_while_it_is_looked_at_is_looked_at_again(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str
) -> None:
    """A row older than one that another thread has meanwhile seen was once paired with the newer container."""
    place.backend(scribe).commit(key, scribe.append("theirs"))
    trips = Trips(backend)

    def overtake(script: Script) -> None:
        if script is LOOK:
            trips.after = lambda _: None
            thread = threading.Thread(target=backend.commit, args=(scribe.key("b"), scribe.create(scribe.key("b"))))
            thread.start()
            thread.join()
            backend._seen.see(key, place.backend(scribe).commit(key, scribe.append("quick")).after)

    trips.after = overtake
    row = backend.head(key)
    assert isinstance(row, IndexRow)
    assert row.seq == 2


# -- answers that are lost ---------------------------------------------------------------------------------------------


def lose(after: bool, times: int = 1) -> Callable[[Script], None]:
    """The connection fails at a commit, before or after the server has done it."""
    left = [times]

    def fail(script: Script) -> None:
        if script is COMMIT and left[0]:
            left[0] -= 1
            raise AnswerLost("the connection failed")

    return fail


@pytest.mark.parametrize("was_done", [True, False])
def test_a_write_whose_answer_was_lost_is_applied_once(
    backend: RedisBackend, scribe: Sealer, key: str, was_done: bool
) -> None:
    trips = Trips(backend)
    setattr(trips, "after" if was_done else "before", lose(was_done))
    row = backend.commit(key, scribe.append("once")).after
    assert scribe.texts(backend, key) == ["first", "once"]
    assert backend.head(key) == row
    backend.commit(key, scribe.append("then"))
    assert scribe.texts(backend, key) == ["first", "once", "then"]


def test_a_write_that_others_have_written_behind_is_not_applied_again(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str
) -> None:
    trips, other = Trips(backend), place.backend(scribe)

    def fail(script: Script) -> None:
        if script is COMMIT:
            trips.after = lambda _: None
            other.commit(key, scribe.append("theirs"))
            raise AnswerLost("the connection failed")

    trips.after = fail
    row = backend.commit(key, scribe.append("ours")).after
    assert row.seq == 1
    assert scribe.texts(backend, key) == ["first", "ours", "theirs"]
    backend.commit(key, scribe.append("then"))
    assert scribe.texts(backend, key) == ["first", "ours", "theirs", "then"]


def test_a_write_that_was_lost_before_it_was_done_goes_behind_what_others_wrote(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str
) -> None:
    trips, other = Trips(backend), place.backend(scribe)

    def fail(script: Script) -> None:
        if script is COMMIT:
            trips.before = lambda _: None
            other.commit(key, scribe.append("theirs"))
            raise AnswerLost("the connection failed")

    trips.before = fail
    backend.commit(key, scribe.append("ours"))
    assert scribe.texts(backend, key) == ["first", "theirs", "ours"]


@pytest.mark.parametrize("was_done", [True, False])
def test_what_cannot_be_told_any_more_is_said_to_be_unknown(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str, was_done: bool
) -> None:
    trips, other = Trips(backend), place.backend(scribe)

    def fail(script: Script) -> None:
        if script is COMMIT:
            trips.before = trips.after = lambda _: None
            other.commit(key, scribe.create(key, "replaced"))
            raise AnswerLost("the connection failed")

    setattr(trips, "after" if was_done else "before", fail)
    with pytest.raises(DurabilityUnknown, match="replaced by someone else"):
        backend.commit(key, scribe.append("ours"))
    assert scribe.texts(backend, key) == ["replaced"]


def test_a_server_that_loses_every_answer_leaves_the_outcome_unknown(
    backend: RedisBackend, scribe: Sealer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultsession.backends.redis.backend._DOUBTS", (0.0, 0.0))
    trips = Trips(backend)
    trips.after = lose(after=True, times=3)
    with pytest.raises(DurabilityUnknown, match="not known"):
        backend.commit(key, scribe.append("once"))
    assert scribe.texts(backend, key) == ["first", "once"]


def test_a_removal_whose_answer_was_lost_is_a_removal(backend: RedisBackend, scribe: Sealer, key: str) -> None:
    trips = Trips(backend)
    trips.after = lose(after=True)
    grave = backend.commit(key, scribe.remove(key)).after
    assert backend.head(key) is None
    assert backend.commit(key, scribe.remove(key)).after == grave


def test_mutant_without_the_comparison_a_lost_answer_is_applied_twice(
    backend: RedisBackend, scribe: Sealer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the tests above: the script's comparison is what makes a repetition harmless."""
    careless = Script(COMMIT.text.replace("or size ~= tonumber(ARGV[2]) then", "and false then"))
    monkeypatch.setattr("vaultsession.backends.redis.backend.COMMIT", careless)
    trips, lost = Trips(backend), []

    def fail(script: Script) -> None:
        if script is careless and not lost:
            lost.append(script)
            raise AnswerLost("the connection failed")

    trips.after = fail
    backend.commit(key, scribe.append("once"))
    with pytest.raises((AssertionError, Damaged)):
        assert scribe.texts(backend, key) == ["first", "once"]


# -- keys of others ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["c", "n"])
def test_a_key_of_another_type_is_refused_and_stays(
    backend: RedisBackend, place: Place, scribe: Sealer, kind: str
) -> None:
    key = scribe.key("a")
    place.bare.rpush(place.of(key, kind), "a list")
    for verb in (lambda: backend.commit(key, scribe.create(key)), lambda: backend.head(key), lambda: backend.read(key)):
        with pytest.raises(Damaged, match="prefix of its own"):
            verb()
    assert place.bare.lrange(place.of(key, kind), 0, -1) == [b"a list"]


@pytest.mark.parametrize("kind", ["all", "exp", "tag"])
def test_an_index_of_another_type_stops_a_write_before_its_first_byte(
    backend: RedisBackend, place: Place, scribe: Sealer, kind: str
) -> None:
    key, tag = scribe.key("a"), scribe.user("alice")
    foreign = f"{place.prefix}:{{0}}:{kind}{':' + tag.hex() if kind == 'tag' else ''}"
    place.bare.set(foreign, "a string")
    with pytest.raises(Damaged, match="another program"):
        backend.commit(key, scribe.create(key, user_id="alice", expires=2**50))
    assert place.keys("c:") == place.keys("n:") == []
    assert place.bare.get(foreign) == b"a string"


@pytest.mark.parametrize("kind", ["c", "n"])
def test_foreign_bytes_are_refused_and_stay(backend: RedisBackend, place: Place, scribe: Sealer, kind: str) -> None:
    key = scribe.key("a")
    place.bare.set(place.of(key, kind), "x" * 200)
    for verb in (lambda: backend.commit(key, scribe.create(key)), lambda: backend.head(key)):
        with pytest.raises(Damaged):
            verb()
    assert place.bare.get(place.of(key, kind)) == b"x" * 200


def test_a_container_without_its_row_is_derived_from_its_bytes(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str
) -> None:
    place.bare.delete(place.of(key, "n"))
    fresh = place.backend(scribe)
    assert fresh.head(key).seq == 0
    fresh.commit(key, scribe.append())
    assert scribe.texts(backend, key) == ["first", "more"]


def test_a_row_without_its_container_is_damage_and_not_absence(place: Place, scribe: Sealer, key: str) -> None:
    place.bare.delete(place.of(key, "c"))
    fresh = place.backend(scribe)
    for verb in (lambda: fresh.head(key), lambda: fresh.read(key), lambda: fresh.commit(key, scribe.append())):
        with pytest.raises(Damaged, match="maxmemory-policy"):
            verb()


def test_a_prefix_of_another_application_is_refused(place: Place) -> None:
    place.bare.set(f"{place.prefix}:schema", "something of mine")
    with pytest.raises(VaultNotFound, match="prefix of its own"):
        place.engine()
    place.bare.delete(f"{place.prefix}:schema")
    place.bare.rpush(f"{place.prefix}:schema", "a list")
    with pytest.raises(VaultNotFound):
        place.engine()
    assert place.bare.lrange(f"{place.prefix}:schema", 0, -1) == [b"a list"]


def test_a_schema_of_another_version_is_refused(place: Place) -> None:
    place.bare.set(f"{place.prefix}:schema", "vaultsession redis 2 shards 1")
    with pytest.raises(UnsupportedFormat) as caught:
        place.engine()
    assert (caught.value.found, caught.value.supported) == (2, 1)


def test_keys_that_a_cluster_made_are_read_on_one_server(place: Place, scribe: Sealer) -> None:
    place.bare.set(f"{place.prefix}:schema", "vaultsession redis 1 shards 5")
    backend = place.backend(scribe)
    keys = [scribe.key(str(number)) for number in range(30)]
    for number, key in enumerate(keys):
        backend.commit(key, scribe.create(key, updated=number, user_id="alice", expires=number or None))
    assert len(place.keys("all")) == 5
    assert [row.key for row in backend.scan(Query())] == keys[::-1]
    assert [row.key for row in backend.scan(Query((scribe.user("alice"),), newest_first=False, limit=7))] == keys[:7]
    assert [row.key for row in backend.scan(Query(expired_at=5, newest_first=False))] == keys[1:6]
    backend.reindex()
    assert backend.count(Query(alive_at=5)) == 25


# -- what was set back -------------------------------------------------------------------------------------------------


def test_a_session_that_was_set_back_is_told_while_this_process_lives(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str
) -> None:
    old = place.dump()
    backend.commit(key, scribe.append("acknowledged"))
    new = place.dump()
    place.restore(old)
    for verb in (
        lambda: backend.head(key),
        lambda: backend.commit(key, scribe.append("fork")),
        lambda: scribe.reader.load(key, partial(backend.read, key)),
    ):
        with pytest.raises(RollbackDetected):
            verb()
    assert place.dump() == old
    place.restore(new)
    backend.commit(key, scribe.append("then"))
    assert scribe.texts(backend, key) == ["first", "acknowledged", "then"]


def test_one_who_only_read_the_newer_state_tells_it_too(place: Place, scribe: Sealer, key: str) -> None:
    reader, writer, old = place.backend(scribe), place.backend(scribe), place.dump()
    writer.commit(key, scribe.append("acknowledged"))
    assert scribe.reader.load(key, partial(reader.read, key)) is not None
    place.restore(old)
    with pytest.raises(RollbackDetected):
        scribe.reader.load(key, partial(reader.read, key))


def test_a_removed_session_that_was_put_back_is_absent(
    backend: RedisBackend, place: Place, scribe: Sealer, key: str
) -> None:
    old = place.dump()
    grave = backend.commit(key, scribe.remove(key)).after
    place.restore(old)
    assert backend.head(key) is None
    assert scribe.reader.load(key, partial(backend.read, key)) is None
    assert backend.commit(key, lambda _: None).after == grave
    again = backend.commit(key, scribe.create(key, "again")).after
    assert again.generation > grave.generation
    assert scribe.texts(backend, key) == ["again"]


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_session_larger_than_a_string_may_be_is_too_large(scribe: Sealer) -> None:
    with redis_server("--proto-max-bulk-len", "1mb") as server:
        place = Place(server.url)
        try:
            backend, key = place.backend(scribe), scribe.key("a")
            backend.commit(key, scribe.create(key, "x" * 600_000))
            with pytest.raises(TooLarge, match="no string as large"):
                backend.commit(key, scribe.append("y" * 600_000))
            assert scribe.texts(backend, key) == ["x" * 600_000]
            backend.commit(key, scribe.append())
        finally:
            place.close()


def test_a_server_without_memory_refuses_and_nothing_is_half_written(scribe: Sealer) -> None:
    with redis_server("--maxmemory", "3mb") as server:
        place = Place(server.url)
        try:
            backend, key = place.backend(scribe), scribe.key("a")
            backend.commit(key, scribe.create(key))

            def fill() -> None:
                for _ in range(100):
                    backend.commit(key, scribe.append("y" * 100_000))

            with pytest.raises(BackendUnavailable, match="refuses"):
                fill()
            texts = scribe.texts(backend, key)
            assert texts is not None
            assert backend.head(key).seq == len(texts) - 1
            backend.commit(key, scribe.remove(key))
            backend.commit(key, scribe.create(key, "again"))
        finally:
            place.close()


def test_many_sessions_of_one_microsecond_are_all_listed(backend: RedisBackend, scribe: Sealer) -> None:
    keys = [scribe.key(str(number)) for number in range(130)]
    for key in keys:
        backend.commit(key, scribe.create(key, updated=7))
    ordered = sorted(keys, key=lambda key: key[-32:])
    for limit in (3, 60, None):
        found: list[str] = []
        after = None
        while page := list(backend.scan(Query(newest_first=False, after=after, limit=limit))):
            found += [row.key for row in page]
            after = (7, page[-1].key[-32:])
        assert found == ordered
