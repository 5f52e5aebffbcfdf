"""Batches, forks and verification: each session by itself, and what failed is reported."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from vaultsession import (
    Conflict,
    InvalidDocument,
    InvalidSetting,
    PartialFailure,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    SessionStore,
)
from vaultsession.engine.verify import Verdict
from vaultsession.errors import Damaged
from vaultsession.testing.clock import ManualClock

Opening = Callable[..., SessionStore]


def break_one(vault: Path, name: str) -> Path:
    (file,) = (vault / "sessions").glob(f"{name}*")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return file


# -- batches -----------------------------------------------------------------------------------------------------------


def test_many_documents_are_saved_and_loaded(store: SessionStore) -> None:
    saved = store.save_many(
        {"id": f"s{n}", "state": {"n": n}, "messages": [{"n": n}], "user_id": "u", "ttl": "1h"} for n in range(200)
    )
    assert [session.id for session in saved] == [f"s{n}" for n in range(200)]
    found = store.load_many([*(f"s{n}" for n in range(200)), "absent"])
    assert list(found) == [f"s{n}" for n in range(200)]
    assert all(session.state == {"n": int(name[1:])} for name, session in found.items())
    assert store.count(user_id="u") == 200
    assert found["s5"].ttl == timedelta(hours=1)
    assert store.delete_many([*found, "absent"]) == 200
    assert store.count() == 0


def test_loaded_sessions_are_saved_in_a_batch_and_follow_what_was_written(store: SessionStore) -> None:
    store.save_many({"id": name} for name in "abc")
    sessions = list(store.load_many([*"abc"]).values())
    for session in sessions:
        session.messages.append({"to": session.id})
    assert list(store.save_many(sessions)) == sessions
    for session in sessions:
        session.state["again"] = True
    store.save_many(sessions)
    assert store.load("b").state == {"again": True}
    assert store.messages("b") == [{"to": "b"}]


def test_one_conflict_in_a_batch_is_told_and_the_others_are_saved(store: SessionStore) -> None:
    store.save_many({"id": name} for name in "abc")
    sessions = store.load_many([*"abc"])
    store.update("b", {"faster": True})
    for session in sessions.values():
        session.state["mine"] = True
    with pytest.raises(PartialFailure, match="'b'") as raised:
        store.save_many(sessions.values())
    assert {name: type(error) for name, error in raised.value.failures.items()} == {"b": Conflict}
    assert raised.value.done == [sessions["a"], sessions["c"]]
    assert [store.load(name).state for name in "abc"] == [{"mine": True}, {"faster": True}, {"mine": True}]
    store.save_many(sessions.values(), overwrite=True)
    assert store.load("b").state == {"mine": True}


def test_a_document_that_is_refused_leaves_the_others_written(store: SessionStore) -> None:
    with pytest.raises(PartialFailure) as raised:
        store.save_many([{"id": "a"}, {"id": "b", "state": {"x": {1}}}, {"id": "", "state": {}}, {"id": "c"}])
    assert sorted(raised.value.failures) == ["", "b"]
    assert isinstance(raised.value.failures["b"], InvalidDocument)
    assert sorted(info.id for info in store.list()) == ["a", "c"]


def test_a_fact_that_there_is_not_is_a_mistake_of_the_caller(store: SessionStore) -> None:
    with pytest.raises(TypeError, match="colour"):
        store.save_many([{"id": "a", "colour": "red"}])  # type: ignore[typeddict-unknown-key]  # as it is meant


def test_the_same_id_twice_in_a_batch_is_saved_twice_in_some_order(store: SessionStore) -> None:
    store.save_many([{"id": "a", "state": {"n": 1}}, {"id": "a", "state": {"n": 2}}])
    assert store.load("a").state in ({"n": 1}, {"n": 2})


def test_absent_and_expired_sessions_are_left_out_and_damaged_ones_are_not(
    open_files: Opening, tmp_path: Path, clock: ManualClock
) -> None:
    with open_files() as before:
        before.save_many([{"id": "a"}, {"id": "gone", "ttl": 10}, {"id": "broken", "state": {"x": "y" * 300}}])
    clock.advance(60)
    break_one(tmp_path / "vault", "broken")
    store = open_files()
    assert list(store.load_many(["a", "gone", "absent"])) == ["a"]
    with pytest.raises(PartialFailure) as raised:
        store.load_many(["broken", "a"])
    assert isinstance(raised.value.failures["broken"], Damaged)
    assert isinstance(raised.value.done, dict)
    assert list(raised.value.done) == ["a"]
    with pytest.raises(PartialFailure) as raised:
        store.delete_many(["broken", "a"])
    assert raised.value.done == 1
    assert not store.exists("a")


def test_an_empty_batch_does_nothing(store: SessionStore) -> None:
    assert (list(store.save_many([])), dict(store.load_many([])), store.delete_many([])) == ([], {}, 0)


# -- forks -------------------------------------------------------------------------------------------------------------


def test_a_copy_has_the_state_and_the_history_and_a_life_of_its_own(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", user_id="u", title="T", labels={"k": "v"}, state={"s": [1]}, messages=[{"n": 0}], ttl=100)
    store.append("a", {"n": 1}, {"n": 2})
    clock.advance(50)
    fork = store.copy("a", "b", title="fork", labels={"k": "w"})
    assert (fork.id, fork.state, fork.messages) == ("b", {"s": [1]}, [{"n": 0}, {"n": 1}, {"n": 2}])
    assert (fork.user_id, fork.title, fork.labels) == ("u", "fork", {"k": "w"})
    assert fork.created_at == fork.updated_at > store.load("a").created_at
    assert fork.expires_at == fork.created_at + timedelta(seconds=100)
    store.append("b", {"n": 3})
    fork.state["s"].append(2)
    assert store.messages("a") == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert store.load("a").state == {"s": [1]}
    assert [info.id for info in store.list(labels={"k": "w"})] == ["b"]


def test_a_fork_can_begin_at_an_earlier_turn(store: SessionStore) -> None:
    store.create("a", state={"s": 1}, messages=[{"n": n} for n in range(10)])
    store.update("a", {"t": 2})
    fork = store.copy("a", until=4)
    assert (fork.messages, fork.state) == ([{"n": n} for n in range(4)], {"s": 1, "t": 2})
    assert store.copy("a", until=0).messages == []
    assert store.copy("a", until=99).message_count == 10
    assert store.copy("a", until=6, max_messages=2).messages == [{"n": 4}, {"n": 5}]
    with pytest.raises(InvalidSetting):
        store.copy("a", until=-1)


def test_a_copy_without_an_id_gets_a_new_one(store: SessionStore) -> None:
    store.create("a")
    assert store.copy("a").id != store.copy("a").id
    assert store.count() == 3


def test_a_copy_may_live_for_ever_or_shorter(store: SessionStore) -> None:
    store.create("a", ttl=100, sliding=True, max_messages=5, tenant_id="t")
    kept = store.copy("a", ttl=None, sliding=None, max_messages=None, tenant_id=None)
    assert (kept.expires_at, kept.sliding, kept.max_messages, kept.tenant_id) == (None, True, None, None)
    assert store.copy("a", ttl=50).ttl == timedelta(seconds=50)


def test_a_copy_never_replaces_a_living_session(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", state={"x": 1})
    store.create("b", ttl=10)
    for taken in ("a", "b"):
        with pytest.raises(SessionExists):
            store.copy("a", taken)
    clock.advance(60)
    assert store.copy("a", "b").state == {"x": 1}
    with pytest.raises(SessionNotFound):
        store.copy("absent", "c")
    with pytest.raises(TypeError, match="colour"):
        store.copy("a", "c", colour="red")  # type: ignore[call-arg]  # refused at run time as well
    assert not store.exists("c")


def test_an_expired_session_is_not_copied(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl=10)
    clock.advance(60)
    with pytest.raises(SessionExpired):
        store.copy("a", "b")


def test_a_long_history_is_copied_in_records_of_bounded_size(open_files: Opening) -> None:
    store = open_files()
    store.create("a", messages=[{"n": n, "text": f"{n} " * 500} for n in range(600)])
    store.append("a", {"n": 600})
    store.copy("a", "b")
    again = open_files()
    assert again.load("b").messages == again.load("a").messages
    assert again.messages("b", last=1) == [{"n": 600}]


# -- verification ------------------------------------------------------------------------------------------------------


def test_a_vault_that_is_well_says_so(store: SessionStore) -> None:
    store.create("a", messages=[{"n": 0}])
    store.append("a", {"n": 1})
    store.create("b")
    told: list[int] = []
    verified = store.verify(progress=told.append)
    assert verified.ok
    assert (verified.sessions, verified.records, verified.problems) == (2, 3, ())
    assert verified.bytes == store.stats()["bytes"]
    assert told == [1, 2]


def test_what_is_damaged_is_a_finding_and_no_error(open_files: Opening, tmp_path: Path) -> None:
    with open_files() as before:
        for name in ("a", "broken", "missing"):
            before.create(name, state={"x": "y" * 300})
    break_one(tmp_path / "vault", "broken")
    store = open_files()
    verified = store.verify()
    assert not verified.ok
    assert [(each.verdict, each.key.split("~")[0]) for each in verified.problems] == [(Verdict.DAMAGED, "broken")]
    assert verified.sessions == 3
    assert store.load("a").state == {"x": "y" * 300}


def test_a_session_removed_while_all_are_verified_is_no_finding(store: SessionStore) -> None:
    for name in "abc":
        store.create(name)

    def remove(done: int) -> None:
        if done == 1:
            store.delete_many([*"abc"])

    verified = store.verify(progress=remove)
    assert verified.problems == ()


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_stats_tell_how_long_each_verb_took_and_how_well_it_compresses(store: SessionStore) -> None:
    assert store.stats()["ratio"] is None
    store.create("a", state={"text": "again and " * 1000})
    with pytest.raises(SessionNotFound):
        store.load("b")
    store.load("a")
    store.list()
    stats: dict[str, Any] = store.stats()
    assert stats["ratio"] > 5
    load = stats["verbs"]["load"]
    assert (load["calls"], load["errors"]) == (2, 1)
    assert 0 < load["p50_ms"] <= load["p90_ms"] <= load["p99_ms"] <= load["max_ms"]
    assert {"create", "list", "stats"} <= stats["verbs"].keys()
    assert "delete" not in stats["verbs"]


def test_a_warm_load_of_an_event_loop_is_counted_as_a_load(store: SessionStore) -> None:
    store.create("a")
    assert store.load_if_warm("a") is not None
    assert store.stats()["verbs"]["load"]["calls"] == 1
