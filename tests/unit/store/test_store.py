"""Whole sessions: create, save, load, get, delete, exists, and the store itself."""

from __future__ import annotations

import enum
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vaultsession import (
    Conflict,
    Damaged,
    InvalidDocument,
    InvalidSessionId,
    InvalidSetting,
    SessionExists,
    SessionNotFound,
    SessionStore,
    TooLarge,
    UnknownKey,
)
from vaultsession.testing.clock import ManualClock
from vaultsession.testing.strategies import HOSTILE_IDS

Opening = Callable[..., SessionStore]


class Shade(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class OwnStr(str):
    __slots__ = ()


NOT_JSON = {
    "nan": (float("nan"), "state.x"),
    "infinity": (float("inf"), "state.x"),
    "tuple": ((1, 2), "state.x"),
    "set": ({1}, "state.x"),
    "bytes": (b"raw", "state.x"),
    "datetime": (datetime(2026, 1, 1, tzinfo=UTC), "state.x"),
    "uuid": (uuid.UUID(int=1), "state.x"),
    "str enum": (Shade.RED, "state.x"),
    "int enum": (Level.HIGH, "state.x"),
    "own str": (OwnStr("x"), "state.x"),
    "integer beyond 64 bits": (2**64, "state.x"),
    "negative integer beyond 64 bits": (-(2**63) - 1, "state.x"),
    "lone surrogate": ("\ud800", "state.x"),
    "key that is no str": ({1: 2}, "state.x"),
    "inside a list": ([0, {"y": {3}}], "state.x[1].y"),
    "an object": (object(), "state.x"),
}

NO_OBJECT = [None, [], [1], "text", 3, ("a",)]


def every_facet(store: SessionStore, id: str) -> dict[str, Any]:
    session = store.load(id)
    return {**session.facts(), "state": session.state, "messages": session.messages, "version": session.version}


# -- create ------------------------------------------------------------------------------------------------------------


def test_a_created_session_comes_back_with_everything_it_was_given(store: SessionStore, clock: ManualClock) -> None:
    made = store.create(
        "user-123",
        user_id="alice",
        tenant_id="acme",
        assistant_id="helper",
        title="First",
        labels={"client": "desktop"},
        state={"language": "en", "deep": {"list": [1, 2.5, None, True]}},
        messages=[{"role": "user", "content": "hello"}],
        ttl="24h",
        sliding=True,
        max_messages=50,
    )
    found = store.load("user-123")
    start = datetime.fromtimestamp(clock.now() / 1e6, UTC)
    for session in (made, found):
        assert session.id == "user-123"
        assert (session.user_id, session.tenant_id, session.assistant_id) == ("alice", "acme", "helper")
        assert (session.title, session.labels) == ("First", {"client": "desktop"})
        assert session.state == {"language": "en", "deep": {"list": [1, 2.5, None, True]}}
        assert session.messages == [{"role": "user", "content": "hello"}]
        assert session.message_count == 1
        assert session.created_at == session.updated_at == start
        assert session.expires_at == start + timedelta(hours=24)
        assert (session.ttl, session.sliding, session.max_messages) == (timedelta(hours=24), True, 50)
    assert made.version == found.version


def test_a_session_without_anything_is_empty_and_kept_for_ever(store: SessionStore) -> None:
    session = store.create("bare")
    assert (session.state, session.messages, session.expires_at, session.ttl) == ({}, [], None, None)
    assert (session.user_id, session.title, session.labels) == (None, None, {})
    assert (session.sliding, session.max_messages) == (False, None)


def test_an_id_is_made_where_none_is_given(store: SessionStore, clock: ManualClock) -> None:
    first = store.create().id
    clock.advance("1s")
    second = store.create().id
    assert uuid.UUID(first).version == uuid.UUID(second).version == 7
    assert first < second
    assert store.exists(first)
    assert store.exists(second)


def test_create_refuses_an_id_that_lives(store: SessionStore) -> None:
    store.create("a", state={"x": 1})
    with pytest.raises(SessionExists, match="'a'"):
        store.create("a", state={"x": 2})
    assert store.load("a").state == {"x": 1}


def test_what_was_created_belongs_to_nobody_else(store: SessionStore) -> None:
    state: dict[str, Any] = {"list": [1]}
    made = store.create("a", state=state)
    state["list"].append(2)
    made.state["list"].append(3)
    loaded = store.load("a")
    loaded.state["list"].append(4)
    assert store.load("a").state == {"list": [1]}


def test_defaults_of_the_store_reach_new_sessions(open_one: Opening) -> None:
    store = open_one(ttl="30m", sliding=True, max_messages=2)
    session = store.create("a", messages=[{"n": 1}, {"n": 2}, {"n": 3}])
    assert (session.ttl, session.sliding, session.max_messages) == (timedelta(minutes=30), True, 2)
    assert session.messages == [{"n": 2}, {"n": 3}]
    assert store.create("b", ttl=None, sliding=False).expires_at is None
    assert store.save("c", state={}).ttl == timedelta(minutes=30)


# -- save --------------------------------------------------------------------------------------------------------------


def test_a_loaded_session_is_saved_with_every_change(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", state={"x": 1}, user_id="alice")
    created = store.load("a").created_at
    clock.advance("5s")
    session = store.load("a")
    session.state["x"] = 2
    session.messages.append({"role": "user"})
    session.title, session.user_id, session.tenant_id, session.assistant_id = "T", "bob", "acme", "helper"
    session.labels = {"k": "v"}
    session.max_messages = 9
    session.sliding = True
    session.ttl = "1h"
    assert store.save(session) is session
    found = store.load("a")
    assert found.version == session.version
    assert found.facts() == session.facts()
    assert (found.state, found.messages) == ({"x": 2}, [{"role": "user"}])
    assert (found.title, found.user_id, found.tenant_id, found.assistant_id) == ("T", "bob", "acme", "helper")
    assert (found.labels, found.max_messages, found.sliding) == ({"k": "v"}, 9, True)
    assert found.created_at == created
    assert found.updated_at == created + timedelta(seconds=5)
    assert found.expires_at == found.updated_at + timedelta(hours=1)


def test_a_session_may_be_saved_again_and_again(store: SessionStore) -> None:
    session = store.create("a")
    versions = set()
    for number in range(5):
        session.state["n"] = number
        store.save(session)
        versions.add(session.version)
    assert len(versions) == 5
    assert store.load("a").state == {"n": 4}


def test_a_stale_save_conflicts_and_changes_nothing(store: SessionStore) -> None:
    store.create("a", state={"by": "nobody"})
    first, second = store.load("a"), store.load("a")
    first.state["by"] = "first"
    store.save(first)
    before = every_facet(store, "a")
    second.state["by"] = "second"
    with pytest.raises(Conflict, match="'a'"):
        store.save(second)
    assert every_facet(store, "a") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.append("a", {"n": 1}),
        lambda store: store.update("a", {"n": 1}),
        lambda store: store.update("a", lambda draft: draft.state.update(n=1)),
        lambda store: store.pop("a"),
        lambda store: store.clear("a"),
        lambda store: store.save("a", state={"n": 1}),
        lambda store: store.delete("a") and store.create("a"),
    ],
    ids=["append", "merge", "function", "pop", "clear", "replace", "delete and create"],
)
def test_every_change_of_the_document_makes_an_older_save_conflict(store: SessionStore, change: Any) -> None:
    session = store.create("a", messages=[{"n": 0}])
    change(store)
    before = every_facet(store, "a")
    with pytest.raises(Conflict):
        store.save(session)
    assert every_facet(store, "a") == before


def test_a_relabel_makes_an_older_save_conflict(store: SessionStore) -> None:
    store.create("a")
    first, second = store.load("a"), store.load("a")
    first.labels = {"k": "v"}
    store.save(first)
    with pytest.raises(Conflict):
        store.save(second)
    assert store.load("a").labels == {"k": "v"}


@pytest.mark.parametrize("touches", [1, 3, 700])
def test_a_touch_never_makes_an_honest_save_conflict(store: SessionStore, clock: ManualClock, touches: int) -> None:
    session = store.create("a", ttl="1h")
    for _ in range(touches):  # so many that the container is replaced in between
        clock.advance("1s")
        store.touch("a")
    assert store.load("a").version == session.version
    session.state["x"] = 1
    store.save(session)
    assert store.load("a").state == {"x": 1}


def test_overwrite_saves_over_whatever_is_there(store: SessionStore) -> None:
    session = store.create("a", state={"by": "me"})
    store.update("a", {"by": "someone"})
    store.save(session, overwrite=True)
    assert store.load("a").state == {"by": "me"}
    store.delete("a")
    store.save(session, overwrite=True)
    assert store.load("a").state == {"by": "me"}
    store.save(session)


def test_a_removed_session_is_not_brought_back_by_a_save(store: SessionStore) -> None:
    session = store.create("a")
    store.delete("a")
    with pytest.raises(SessionNotFound, match="'a'"):
        store.save(session)
    assert not store.exists("a")


def test_a_document_is_saved_under_an_id_whether_it_is_there_or_not(store: SessionStore, clock: ManualClock) -> None:
    store.save("a", state={"x": 1}, messages=[{"n": 1}], user_id="alice", title="T", ttl="1h")
    created = store.load("a").created_at
    clock.advance("1m")
    saved = store.save("a", state={"y": 2}, user_id="bob")
    found = store.load("a")
    assert found.version == saved.version
    assert (found.state, found.messages) == ({"y": 2}, [])
    assert (found.user_id, found.title, found.ttl, found.expires_at) == ("bob", None, None, None)
    assert found.created_at == created
    assert found.updated_at == created + timedelta(minutes=1)


def test_saving_keeps_the_newest_messages_of_a_bounded_session(store: SessionStore) -> None:
    session = store.create("a", max_messages=3)
    session.messages = [{"n": number} for number in range(10)]
    store.save(session)
    assert store.load("a").messages == [{"n": 7}, {"n": 8}, {"n": 9}]
    assert store.save("b", messages=[{"n": 1}, {"n": 2}], max_messages=1).messages == [{"n": 2}]


def test_a_session_takes_no_document_beside_its_own(store: SessionStore) -> None:
    session = store.create("a")
    for extra in ({"state": {}}, {"messages": [{}]}, {"title": "x"}, {"ttl": 3}):
        with pytest.raises(InvalidSetting, match="saved as it is"):
            store.save(session, **extra)  # type: ignore[arg-type]  # that they are refused is the point
    assert store.load("a").version == session.version


def test_a_document_that_fails_to_save_can_be_mended_and_saved(store: SessionStore) -> None:
    session = store.create("a", state={"x": 1})
    session.state["x"] = {1, 2}
    with pytest.raises(InvalidDocument):
        store.save(session)
    assert store.load("a").state == {"x": 1}
    session.state["x"] = [1, 2]
    store.save(session)
    assert store.load("a").state == {"x": [1, 2]}


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", NOT_JSON)
def test_what_json_cannot_give_back_is_refused_with_its_place(store: SessionStore, case: str) -> None:
    value, path = NOT_JSON[case]
    store.create("a", state={"x": 1}, messages=[{"n": 1}])
    before = every_facet(store, "a")
    in_message = path.replace("state", "messages[1]", 1)
    for attempt, place in (
        (lambda: store.create("b", state={"x": value}), path),
        (lambda: store.save("a", state={"x": value}), path),
        (lambda: store.save("a", messages=[{}, {"x": value}]), in_message),
        (lambda: store.append("a", {}, {"x": value}), in_message),
        (lambda: store.append("b", {}, {"x": value}, create=True), in_message),
        (lambda: store.update("a", {"x": value}), path),
        (lambda: store.update("a", lambda draft: draft.state.update(x=value)), path),
    ):
        with pytest.raises(InvalidDocument) as raised:
            attempt()
        assert raised.value.path == place
        assert place in str(raised.value)
    assert every_facet(store, "a") == before
    assert not store.exists("b")


@pytest.mark.parametrize("value", NO_OBJECT, ids=repr)
def test_what_is_no_json_object_is_refused(store: SessionStore, value: Any) -> None:
    store.create("a", state={"x": 1}, messages=[{"n": 1}])
    before = every_facet(store, "a")
    attempts = [
        lambda: store.append("a", value),
        lambda: store.save("a", messages=[value]),
        lambda: store.create("b", messages=[{}, value]),
        lambda: setattr(store.load("a"), "state", value),
    ]
    if value:  # nothing given is the empty state
        attempts += [lambda: store.create("b", state=value), lambda: store.save("a", state=value)]
    for attempt in attempts:
        with pytest.raises(InvalidDocument):
            attempt()
    assert every_facet(store, "a") == before
    assert not store.exists("b")


def test_nesting_is_bounded_and_what_is_accepted_comes_back(store: SessionStore) -> None:
    deepest: Any = []
    for _ in range(250):
        deepest = [deepest]
    store.create("a", state={"x": deepest})
    assert store.load("a").state == {"x": deepest}
    for _ in range(10):
        deepest = [deepest]
    with pytest.raises(InvalidDocument, match="nested deeper"):
        store.update("a", {"x": deepest})


@pytest.mark.parametrize("id", ["", "x" * 1025, "é" * 513, "\ud800", 5, None, b"a"], ids=lambda given: repr(given)[:20])
def test_an_id_that_cannot_be_is_refused_by_every_verb(store: SessionStore, id: Any) -> None:
    verbs: list[Callable[[], object]] = [
        lambda: store.load(id),
        lambda: store.get(id),
        lambda: store.append(id, {}, create=True),
        lambda: store.messages(id),
        lambda: store.pop(id),
        lambda: store.clear(id),
        lambda: store.update(id, {"x": 1}),
        lambda: store.update(id, lambda draft: None),
        lambda: store.edit(id).__enter__(),
        lambda: store.touch(id),
        lambda: store.lease(id).__enter__(),
        lambda: store.delete(id),
        lambda: store.exists(id),
    ]
    if id is not None:
        verbs.append(lambda: store.create(id))
    if isinstance(id, str):
        verbs.append(lambda: store.save(id, state={}))
    for verb in verbs:
        with pytest.raises(InvalidSessionId):
            verb()
    assert store.count() == 0


def test_hostile_ids_are_sessions_like_any_other(store: SessionStore) -> None:
    for number, name in enumerate(HOSTILE_IDS):
        store.create(name, state={"n": number})
    for number, name in enumerate(HOSTILE_IDS):
        assert store.load(name).state == {"n": number}
        assert store.load(name).id == name
    assert {info.id for info in store.list()} == set(HOSTILE_IDS)
    assert store.count() == len(HOSTILE_IDS)
    for name in HOSTILE_IDS:
        assert store.delete(name)
    assert store.count() == 0


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"user_id": 5}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"tenant_id": b"x"}, "tenant_id"),
        ({"assistant_id": ["x"]}, "assistant_id"),
        ({"title": 3}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"labels": {"k": 1}}, "labels"),
        ({"labels": {"": "v"}}, "labels"),
        ({"labels": {1: "v"}}, "labels"),
        ({"max_messages": 0}, "max_messages"),
        ({"max_messages": "3"}, "max_messages"),
        ({"max_messages": True}, "max_messages"),
        ({"sliding": "yes"}, "sliding"),
    ],
    ids=str,
)
def test_facts_of_the_wrong_kind_are_refused(store: SessionStore, facts: Any, path: str) -> None:
    for attempt in (lambda: store.create("a", **facts), lambda: store.save("a", **facts)):
        with pytest.raises(InvalidDocument) as raised:
            attempt()
        assert raised.value.path == path
    assert not store.exists("a")


@pytest.mark.parametrize(
    "ttl", [0, -1, float("nan"), float("inf"), "", "soon", "1x", "-5m", True, [], timedelta(0)], ids=repr
)
def test_a_ttl_that_is_no_duration_is_refused(store: SessionStore, ttl: Any) -> None:
    store.create("a", ttl="1h")
    for attempt in (
        lambda: store.create("b", ttl=ttl),
        lambda: store.save("b", ttl=ttl),
        lambda: store.touch("a", ttl),
    ):
        with pytest.raises(InvalidSetting, match="is no duration"):
            attempt()
    assert not store.exists("b")


@pytest.mark.parametrize("ttl", [90, 90.0, "90", "90s", "1.5m", timedelta(seconds=90), "90000ms"], ids=repr)
def test_a_ttl_is_spelled_in_many_ways(store: SessionStore, ttl: Any) -> None:
    assert store.create("a", ttl=ttl).ttl == timedelta(seconds=90)


def test_a_head_has_a_bound(store: SessionStore) -> None:
    with pytest.raises(TooLarge):
        store.create("a", labels={str(number): "x" * 100 for number in range(200)})
    assert not store.exists("a")


def test_an_unknown_fact_is_a_type_error(store: SessionStore) -> None:
    with pytest.raises(TypeError, match="colour"):
        store.create("a", colour="red")  # type: ignore[call-arg]  # that it is refused is the point
    assert not store.exists("a")


# -- load, get, delete, exists -----------------------------------------------------------------------------------------


def test_what_is_absent_is_said_to_be_absent(store: SessionStore) -> None:
    default = object()
    assert not store.exists("a")
    assert store.get("a") is None
    assert store.get("a", default) is default
    assert store.delete("a") is False
    verbs: list[Callable[[], object]] = [
        lambda: store.load("a"),
        lambda: store.append("a", {}),
        lambda: store.messages("a"),
        lambda: store.pop("a"),
        lambda: store.clear("a"),
        lambda: store.update("a", {"x": 1}),
        lambda: store.update("a", lambda draft: None),
        lambda: store.edit("a").__enter__(),
        lambda: store.touch("a"),
    ]
    for verb in verbs:
        with pytest.raises(SessionNotFound, match="'a'"):
            verb()
    assert store.count() == 0


def test_a_deleted_session_is_gone_and_its_id_free(store: SessionStore) -> None:
    store.create("a", state={"life": 1})
    assert store.delete("a") is True
    assert not store.exists("a")
    assert store.get("a") is None
    assert store.list() == []
    assert store.delete("a") is False
    store.create("a", state={"life": 2})
    assert store.load("a").state == {"life": 2}


def test_a_loaded_session_is_ones_own(store: SessionStore) -> None:
    store.create("a", state={"x": [1]}, messages=[{"m": [1]}], labels={"k": "v"})
    one, other = store.load("a"), store.load("a")
    one.state["x"].append(2)
    one.messages[0]["m"].append(2)
    one.labels["k"] = "w"
    assert (other.state, other.messages, other.labels) == ({"x": [1]}, [{"m": [1]}], {"k": "v"})
    assert store.load("a").state == {"x": [1]}


def test_reprs_name_the_session_and_nothing_of_its_content(store: SessionStore) -> None:
    session = store.create("a", state={"secret": "hunter2"}, messages=[{"content": "hunter2"}])
    info = store.list()[0]
    assert "hunter2" not in repr(session) + repr(info) + repr(store.stats()) + repr(store.health())
    assert "'a'" in repr(session)
    assert "1 messages" in repr(info)


# -- the store itself --------------------------------------------------------------------------------------------------


def test_stats_count_sessions_and_bytes(store: SessionStore) -> None:
    assert store.stats()["sessions"] == 0
    store.create("a", state={"x": "y" * 1000})
    store.create("b")
    store.load("a")
    stats = store.stats()
    assert stats["sessions"] == 2
    assert stats["bytes"] > 160
    assert stats["cache_sessions"] == 2
    assert stats["cache_hits"] == 1
    assert stats["backend"] in {"memory", "files"}


def test_a_healthy_store_says_so(store: SessionStore) -> None:
    health = store.health()
    assert health["ok"] is True
    assert health["where"]
    assert health["key"]
    assert set(map(type, health.values())) == {bool, str}


def test_a_closed_store_refuses_every_verb(open_one: Opening) -> None:
    store = open_one()
    session = store.create("a", messages=[{}], ttl="1h")
    store.load("a")
    store.close()
    store.close()
    verbs: dict[str, Callable[[], object]] = {
        "create": lambda: store.create("b"),
        "save": lambda: store.save(session),
        "save by id": lambda: store.save("a", state={}),
        "load": lambda: store.load("a"),
        "get": lambda: store.get("a"),
        "append": lambda: store.append("a", {}),
        "messages": lambda: store.messages("a"),
        "pop": lambda: store.pop("a"),
        "clear": lambda: store.clear("a"),
        "update": lambda: store.update("a", {"x": 1}),
        "update by function": lambda: store.update("a", lambda draft: None),
        "edit": lambda: store.edit("a").__enter__(),
        "touch": lambda: store.touch("a"),
        "lease": lambda: store.lease("a").__enter__(),
        "delete": lambda: store.delete("a"),
        "exists": lambda: store.exists("a"),
        "list": store.list,
        "count": store.count,
        "sweep": store.sweep,
        "start_sweeper": store.start_sweeper,
        "reindex": store.reindex,
        "stats": store.stats,
        "copy": lambda: store.copy("a"),
        "search": lambda: store.search("x"),
        "export": store.export,
        "import": lambda: store.import_([]),
        "save_many": lambda: store.save_many([]),
        "load_many": lambda: store.load_many([]),
        "delete_many": lambda: store.delete_many([]),
        "verify": store.verify,
    }
    accepted = []
    for name, verb in verbs.items():
        try:
            verb()
        except RuntimeError:
            continue
        accepted.append(name)
    assert accepted == []


def test_a_store_is_a_context_manager(open_one: Opening) -> None:
    with open_one() as store:
        store.create("a")
    with pytest.raises(RuntimeError):
        store.load("a")


def test_nothing_secret_stands_in_an_error(store: SessionStore) -> None:
    store.create("a", state={"x": "hunter2"})
    session = store.load("a")
    store.update("a", {"y": 1})
    messages = []
    for attempt in (
        lambda: store.save(session),
        lambda: store.create("a"),
        lambda: store.save("a", state={"p": b"hunter2"}),
    ):
        with pytest.raises(Exception, match=re.compile("session|state")) as raised:
            attempt()
        messages.append(str(raised.value))
    assert not any("hunter2" in message for message in messages)


def test_damage_is_never_taken_for_absence(open_files: Opening, tmp_path: Path) -> None:
    store = open_files()
    store.create("a", state={"x": "y" * 100}, messages=[{}])
    store.close()
    (file,) = (tmp_path / "vault" / "sessions").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    store = open_files()
    verbs: list[Callable[[], object]] = [
        lambda: store.load("a"),
        lambda: store.get("a"),
        lambda: store.get("a", "default"),
        lambda: store.messages("a"),
        lambda: store.append("a", {}),
        lambda: store.append("a", {}, create=True),
        lambda: store.create("a"),
        lambda: store.save("a", state={}),
        lambda: store.update("a", {"x": 1}),
        lambda: store.touch("a"),
        lambda: store.pop("a"),
        lambda: store.clear("a"),
        lambda: store.delete("a"),
    ]
    for verb in verbs:
        with pytest.raises(Damaged):
            verb()
    assert store.sweep() == 0
    assert file.read_bytes() == bytes(data)


def test_a_session_under_a_key_that_is_gone_is_locked_and_left_alone(open_files: Opening, tmp_path: Path) -> None:
    store = open_files()
    store.create("a", state={"x": 1}, ttl="1s")
    store.close()
    (file,) = (tmp_path / "vault" / "sessions").iterdir()
    data = bytearray(file.read_bytes())
    data[8] ^= 1  # the key id
    file.write_bytes(data)
    store = open_files()
    for verb in (lambda: store.load("a"), lambda: store.get("a"), lambda: store.append("a", {}, create=True)):
        with pytest.raises(UnknownKey):
            verb()
    assert file.read_bytes() == bytes(data)
