"""What is particular to the backend of a database: heads that are known, tails and pieces, answers that are lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from vaultsession.backends.sql import SqlBackend, SqlEngine, connect, queries
from vaultsession.backends.sql.database import Database, OutcomeUnknown
from vaultsession.backends.sql.leases import SqlLeases
from vaultsession.backends.sql.sessions import PIECE, TAIL
from vaultsession.errors import Conflict, DurabilityUnknown, LeaseTimeout
from vaultsession.format.sealed import IndexRow, Query
from vaultsession.testing.sealer import Sealer


@pytest.fixture
def scribe() -> Sealer:
    return Sealer()


@pytest.fixture
def engine(any_url: str) -> Iterator[SqlEngine]:
    engine = connect(any_url)
    yield engine
    engine.close()


@pytest.fixture
def backend(engine: SqlEngine, scribe: Sealer) -> SqlBackend:
    return engine.backend(scribe.describe)


@pytest.fixture
def other(any_url: str, scribe: Sealer) -> Iterator[SqlBackend]:
    backend = connect(any_url).backend(Sealer(scribe.keyring).describe)
    yield backend
    backend.close()


def asked(backend: SqlBackend) -> list[str]:
    """The statements that it makes from now on."""
    made: list[str] = []
    sa.event.listen(backend._database.engine, "before_cursor_execute", lambda *given: made.append(given[2]))
    return made


def pieces(backend: SqlBackend) -> int:
    count = sa.select(sa.func.count()).select_from(backend._tables.pieces)
    return backend._database.ask(lambda connection: connection.execute(count).scalar_one())


# -- tails and pieces --------------------------------------------------------------------------------------------------


def test_an_append_to_what_is_known_is_one_statement(backend: SqlBackend, scribe: Sealer) -> None:
    key = scribe.key("a")
    backend.commit(key, scribe.create(key, user_id="alice"))
    made = asked(backend)
    backend.commit(key, scribe.append("short"))
    assert [text.split()[0] for text in made] == ["UPDATE"]


@pytest.mark.parametrize("removed", [False, True])
def test_a_session_that_another_makes_and_fills_meanwhile_is_no_damage(
    backend: SqlBackend, other: SqlBackend, scribe: Sealer, *, removed: bool
) -> None:
    """Two processes begin one session. The second finds pieces where it saw nothing: those of the first."""
    key = scribe.key("a")
    if removed:
        backend.commit(key, scribe.create(key))
        backend.commit(key, scribe.remove(key))
    shown: list[Any] = []

    def update(newest: Any) -> Any:
        shown.append(newest)
        if len(shown) == 1:
            other.commit(key, scribe.create(key, "x" * (TAIL + 1)))
        elif isinstance(newest, IndexRow):
            return scribe.append("mine")(newest)
        return scribe.create(key, "mine")(newest)

    backend.commit(key, update)
    assert scribe.texts(other, key) == ["x" * (TAIL + 1), "mine"]


@pytest.mark.slow
def test_containers_of_every_size_come_back_from_tail_and_pieces(
    backend: SqlBackend, other: SqlBackend, scribe: Sealer
) -> None:
    sizes = [1, TAIL // 3, TAIL // 3, TAIL // 3, 1, TAIL, 10, TAIL - 400, 10, 3 * TAIL, 1, PIECE + 7, 2, 2 * PIECE, 3]
    for first in (10, TAIL - 400, TAIL + 1, PIECE + 1):
        key, texts = scribe.key(f"a {first}"), ["x" * first]
        backend.commit(key, scribe.create(key, texts[0]))
        for number, size in enumerate(sizes):
            texts.append(chr(97 + number) * size)
            (backend, other)[number % 2].commit(key, scribe.append(texts[-1]))
            whole = other.read(key)
            assert whole.size == backend.head(key).size
            for start in (81, whole.size - 1, whole.size // 2, -1, -100, -TAIL, -whole.size // 2, -2 * whole.size):
                part = backend.read(key, start)
                assert part.size == whole.size
                assert part.data == whole.data[part.offset - 80 :]
        assert scribe.texts(backend, key) == texts
        backend.commit(key, scribe.create(key, "replaced"))
        assert scribe.texts(other, key) == ["replaced"]
    assert pieces(backend) == 0


def test_what_was_removed_leaves_no_bytes(backend: SqlBackend, scribe: Sealer) -> None:
    key = scribe.key("a")
    backend.commit(key, scribe.create(key, "x" * 3 * TAIL, user_id="alice"))
    backend.commit(key, scribe.append("y"))
    backend.commit(key, scribe.remove(key))
    sessions = backend._tables.sessions.c
    statement = sa.select(sessions.head, sessions.tail, sessions.header, sessions.tags)
    assert backend._database.ask(lambda connection: connection.execute(statement).all()) == [(None, None, None, None)]
    assert pieces(backend) == 0
    assert backend.stats() == {"sessions": 0, "bytes": 0, "tombstones": 1}


def test_generations_and_expiries_of_63_bits_are_kept(backend: SqlBackend, other: SqlBackend, scribe: Sealer) -> None:
    key = scribe.key("a")
    scribe_at = (1 << 63) - 5

    def update(newest: Any) -> Any:
        sealed = scribe.create(key, expires=(1 << 63) - 1, updated=-5)
        return sealed(IndexRow(key, scribe_at - 1, 0, b"", 0, None, 0, (), b""))

    row = backend.commit(key, update).after
    assert row.generation == scribe_at
    assert other.head(key)[:7] == row[:7]
    assert list(other.scan(Query())) == [row]
    grave = other.commit(key, scribe.remove(key)).after
    assert grave.generation == scribe_at
    assert backend.commit(key, scribe.create(key)).after.generation == scribe_at + 1


# -- what is known -----------------------------------------------------------------------------------------------------


def test_what_a_seal_says_of_a_head_that_is_no_longer_the_newest_does_not_count(
    backend: SqlBackend, other: SqlBackend, scribe: Sealer
) -> None:
    """Raised, or left as it is: it is asked again about the newest, and only that answer is given."""
    key = scribe.key("a")
    old = backend.commit(key, scribe.create(key)).after
    new = other.commit(key, scribe.append("by another")).after

    def refuse_old(newest: Any) -> Any:
        if newest.version == old.version:
            raise Conflict("someone saved first")
        return scribe.append("mine")(newest)

    assert backend.commit(key, refuse_old).after.seq == new.seq + 1
    assert scribe.texts(other, key) == ["first", "by another", "mine"]
    newer = other.commit(key, scribe.append("and again")).after
    assert backend.commit(key, lambda _: None).after.version == newer.version


@pytest.mark.parametrize("what", ["short", "long", "replace", "remove", "create again"])
def test_nothing_is_written_over_what_came_between(
    backend: SqlBackend, other: SqlBackend, scribe: Sealer, what: str
) -> None:
    """Another commits after the update was asked: it is asked again, about what is there then."""
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    if what == "create again":
        backend.commit(key, scribe.remove(key))
    between = scribe.create(key, "between") if what == "create again" else scribe.append("between")
    mine = {
        "short": scribe.append("mine"),
        "long": scribe.append("mine" * TAIL),
        "replace": scribe.create(key, "mine"),
        "remove": scribe.remove(key),
        "create again": scribe.create(key, "mine"),
    }[what]
    shown: list[Any] = []

    def update(newest: Any) -> Any:
        shown.append(newest)
        if len(shown) == 1:
            shown.append(other.commit(key, between).after)
        return mine(newest)

    after = backend.commit(key, update).after
    assert shown[2].version == shown[1].version
    assert len(shown) == 3
    assert after.generation >= shown[1].generation
    expected = {"short": ["first", "between", "mine"], "long": ["first", "between", "mine" * TAIL], "remove": None}
    assert scribe.texts(other, key) == expected.get(what, ["mine"])


# -- lost answers ------------------------------------------------------------------------------------------------------


def lose_answers(
    monkeypatch: pytest.MonkeyPatch, backend: SqlBackend, *, landed: bool, then: Callable[[], None] = bool
) -> list[str]:
    """The next change is committed or not, and its answer is lost; then something else happens."""
    lost: list[str] = []
    real = Database.change

    def once(database: Database, act: Any, **how: bool) -> bool:
        if database is not backend._database or lost:
            return real(database, act, **how)
        lost.append(str(how))
        if landed:
            assert real(database, act, **how)
        then()
        raise OutcomeUnknown("the line went dead")

    monkeypatch.setattr(Database, "change", once)
    return lost


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("size", [10, 2 * TAIL, PIECE + 100])
def test_a_record_whose_answer_was_lost_is_there_once(
    monkeypatch: pytest.MonkeyPatch, backend: SqlBackend, other: SqlBackend, scribe: Sealer, size: int, landed: bool
) -> None:
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    lost = lose_answers(monkeypatch, backend, landed=landed)
    backend.commit(key, scribe.append("x" * size))
    assert lost
    backend.commit(key, scribe.append("next"))
    assert scribe.texts(other, key) == ["first", "x" * size, "next"]


@pytest.mark.parametrize("landed", [True, False])
def test_a_record_that_others_have_followed_is_there_once(
    monkeypatch: pytest.MonkeyPatch, backend: SqlBackend, other: SqlBackend, scribe: Sealer, landed: bool
) -> None:
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    lose_answers(monkeypatch, backend, landed=landed, then=lambda: other.commit(key, scribe.append("by another")))
    backend.commit(key, scribe.append("mine"))
    expected = ["first", "mine", "by another"] if landed else ["first", "by another", "mine"]
    assert scribe.texts(other, key) == expected


@pytest.mark.parametrize("landed", [True, False])
def test_creating_and_removing_whose_answer_was_lost_is_done_once(
    monkeypatch: pytest.MonkeyPatch, backend: SqlBackend, other: SqlBackend, scribe: Sealer, landed: bool
) -> None:
    key = scribe.key("a")
    with monkeypatch.context() as patch:
        lose_answers(patch, backend, landed=landed)
        backend.commit(key, scribe.create(key))
    assert scribe.texts(other, key) == ["first"]
    with monkeypatch.context() as patch:
        lose_answers(patch, backend, landed=landed)
        backend.commit(key, scribe.remove(key))
    assert other.head(key) is None
    assert other.stats()["tombstones"] == 1


@pytest.mark.slow
def test_nobody_can_tell_of_a_record_that_was_replaced_meanwhile(
    monkeypatch: pytest.MonkeyPatch, backend: SqlBackend, other: SqlBackend, scribe: Sealer
) -> None:
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    lose_answers(monkeypatch, backend, landed=True, then=lambda: other.commit(key, scribe.create(key, "replaced")))
    with pytest.raises(DurabilityUnknown, match="may have been written"):
        backend.commit(key, scribe.append("mine"))
    assert scribe.texts(backend, key) == ["replaced"]


# -- listings ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_long_listing_comes_in_pages_and_in_order(backend: SqlBackend, scribe: Sealer) -> None:
    for number in range(600):
        key = scribe.key(str(number))
        backend.commit(key, scribe.create(key, updated=number // 7, user_id="alice", flush=False))
    made = asked(backend)
    for tags in ((), (scribe.user("alice"),)):
        for newest_first in (True, False):
            rows = list(backend.scan(Query(tags, newest_first=newest_first)))
            assert [row.updated for row in rows] == sorted((n // 7 for n in range(600)), reverse=newest_first)
            assert len({row.key for row in rows}) == 600
    assert len(made) == 8


def test_a_listing_by_tag_is_answered_from_the_tags(tmp_path: Path, scribe: Sealer) -> None:
    """One session of a user among many: the planner may not walk the others in their order. SQLite's plan shows it."""
    backend = connect(f"sqlite:///{tmp_path}/x.db").backend(scribe.describe)
    statement = queries.page(backend._tables, Query((scribe.user("alice"),)), None, 20, 0)
    text = str(statement.compile(backend._database.engine, compile_kwargs={"render_postcompile": True}))
    values = statement.compile(backend._database.engine).params
    with backend._database.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", tuple(values.values())).all()
    backend.close()
    told = " ".join(str(row[-1]) for row in plan)
    assert "sessions_updated" not in told
    assert "SEARCH" in told


def test_reindexing_an_empty_database_is_nothing(backend: SqlBackend) -> None:
    assert not any(backend.reindex())


# -- leases ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_lease_of_a_holder_that_died_ends_by_itself(engine: SqlEngine, backend: SqlBackend) -> None:
    """It is no longer renewed; a waiter gets it when its life is over, by the clock of the server."""
    dead = SqlLeases(engine._database, engine._tables, life=0.4, renewal=1000)
    living = SqlLeases(engine._database, engine._tables)
    held = dead.lease("0" * 32, 0)
    held.__enter__()
    with pytest.raises(LeaseTimeout), living.lease("0" * 32, 0):
        pytest.fail("two held it at once")
    with living.lease("0" * 32, 20):
        held.__exit__(None, None, None)  # it comes late, and must not take away what is another's
        with pytest.raises(LeaseTimeout), dead.lease("0" * 32, 0):
            pytest.fail("two held it at once")


@pytest.mark.slow
def test_a_lease_is_renewed_for_as_long_as_it_is_held(engine: SqlEngine, backend: SqlBackend) -> None:
    holding = SqlLeases(engine._database, engine._tables, life=2.0, renewal=0.1)
    others = SqlLeases(engine._database, engine._tables)
    with holding.lease("0" * 32, 0):
        time.sleep(2.2)
        with pytest.raises(LeaseTimeout), others.lease("0" * 32, 0):
            pytest.fail("two held it at once")
    with others.lease("0" * 32, 0):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "vaultsession leases"]


def test_no_descriptor_or_thread_stays_behind(any_url: str, scribe: Sealer) -> None:
    def use() -> None:
        engine = connect(any_url)
        backend = engine.backend(scribe.describe)
        with engine.leases().lease("0" * 32, 0):
            backend.head("0" * 32)
        backend.close()

    use()
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    use()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_a_session_that_was_made_and_grew_meanwhile_is_no_damage(
    backend: SqlBackend, other: SqlBackend, scribe: Sealer
) -> None:
    """Three processes appended to a new session at once, and one of them got the error that it is damaged.

    It had found no row; when it came to write there were pieces, as of a session whose row was removed. The process
    that made the pieces had made the row with them.
    """
    key, shown = scribe.key("a"), []

    def update(newest):
        if not shown:
            other.commit(key, scribe.create(key, "theirs"))
            other.commit(key, scribe.append("x" * 3 * TAIL))
        shown.append(newest)
        return scribe.create(key, "ours")(newest) if newest is None else scribe.append("ours")(newest)

    backend.commit(key, update)
    assert [newest is None for newest in shown] == [True, False]
    assert scribe.texts(backend, key) == ["theirs", "x" * 3 * TAIL, "ours"]
