"""A save writes what changed, and what is loaded is what was saved: with every fact, over every change of others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession import Conflict, Session, SessionStore, open_store
from vaultsession.format import diff
from vaultsession.testing.clock import ManualClock

Opening = Callable[..., SessionStore]

PROSE = "all work and no play makes a long conversation "


def history(count: int) -> list[dict[str, Any]]:
    return [{"role": "user", "n": n, "content": f"{n * 7919 % 104729} {PROSE * 3}"} for n in range(count)]


def stored(store: SessionStore) -> int:
    size: int = store.stats()["bytes"]
    return size


def seen(session: Session[Any]) -> dict[str, Any]:
    return {**session.facts(), "state": session.state, "messages": session.messages, "version": session.version}


def test_a_message_more_or_a_key_changed_writes_little(open_files: Opening) -> None:
    store = open_files()
    made = store.create("long", state={"turns": 0, "notes": PROSE * 50}, messages=history(2000))
    whole, before = stored(store), stored(store)
    for n in range(10):
        made.messages.append({"n": n})
        made.state["turns"] = n
        store.save(made)
    assert stored(store) - before < 10 * 600 < whole
    assert store.load("long").state["turns"] == 9
    assert len(store.load("long").messages) == 2010


def test_it_is_the_same_for_a_store_that_reads_it_from_the_disk(open_files: Opening) -> None:
    store, other = open_files(), open_files(cache_bytes=0)
    made = store.create("a", state={"x": [1], "y": 2}, messages=history(300))
    made.state = {"x": [1, 2], "z": {"deep": True}}
    made.messages = [*made.messages[5:-3], {"last": 1}]
    made.title, made.labels, made.user_id = "A title", {"k": "v"}, "alice"
    before = stored(store)
    store.save(made)
    assert stored(store) - before < 1000
    assert seen(other.load("a")) == seen(store.load("a")) == seen(made)
    assert other.messages("a", last=2) == made.messages[-2:]
    assert other.messages("a", offset=0, limit=1) == made.messages[:1]
    assert [info.title for info in other.list(user_id="alice")] == ["A title"]


def test_of_two_who_changed_little_the_second_conflicts(open_files: Opening) -> None:
    store, other = open_files(), open_files()
    store.create("a", messages=history(300))
    ours, theirs = store.load("a"), other.load("a")
    ours.messages.append({"ours": 1})
    store.save(ours)
    theirs.messages.append({"theirs": 1})
    with pytest.raises(Conflict):
        other.save(theirs)
    assert other.load("a").messages[-1] == {"ours": 1}


@pytest.mark.parametrize("between", ["append", "merge", "save", "pop", "clear", "delete", "replace"])
def test_one_who_overwrites_leaves_what_he_holds_whatever_came_between(open_files: Opening, between: str) -> None:
    store, other = open_files(), open_files()
    store.create("a", state={"x": 1}, messages=history(300))
    ours = store.load("a")
    if between == "append":
        other.append("a", {"theirs": 1})
    elif between == "merge":
        other.update("a", {"theirs": 1})
    elif between == "save":
        other.update("a", lambda session: session.messages.append({"theirs": 1}))
    elif between == "pop":
        other.pop("a", 2)
    elif between == "clear":
        other.clear("a")
    else:
        other.delete("a")
        if between == "replace":
            other.create("a", messages=history(301))
    ours.messages.append({"ours": 1})
    store.save(ours, overwrite=True)
    assert other.load("a").messages == ours.messages == [*history(300), {"ours": 1}]
    assert other.load("a").state == {"x": 1}
    ours.messages.append({"ours": 2})
    store.save(ours)
    assert other.load("a").messages[-2:] == [{"ours": 1}, {"ours": 2}]


def test_a_touch_or_a_rotation_of_keys_in_between_is_no_conflict_and_loses_nothing(
    open_files: Opening, clock: ManualClock
) -> None:
    store, other = open_files(), open_files()
    made = store.create("a", ttl=100, messages=history(300))
    other.touch("a", ttl=1000)
    made.messages.append({"n": 1})
    store.save(made)
    other.rotate_key()
    made.messages.append({"n": 2})
    store.save(made)
    found = other.load("a")
    assert found.messages == [*history(300), {"n": 1}, {"n": 2}]
    assert found.ttl is not None
    assert found.ttl.total_seconds() == 1000
    assert other.verify().ok


def test_a_session_that_changes_its_tenant_lies_under_the_keys_of_the_new_one_at_once(open_files: Opening) -> None:
    store = open_files(tenant_keys=True)
    large = store.create("large", tenant_id="acme", messages=history(300))
    small = store.create("small", tenant_id="acme", messages=history(3))
    store.create("other", tenant_id="other")
    for session in (large, small):
        session.tenant_id = "other"
        store.save(session)
    store.destroy_tenant("acme")
    assert [store.load(name).tenant_id for name in ("large", "small")] == ["other", "other"]
    assert store.verify().ok


@pytest.mark.slow
def test_what_is_replaced_again_and_again_does_not_pile_up(open_files: Opening) -> None:
    """The last message is written while it streams: each time a little longer, and not a little of the document."""
    store = open_files()
    made = store.create("a", messages=history(100))
    made.messages.append({"content": ""})
    largest = 0
    for n in range(600):
        made.messages[-1] = {"content": "".join(f"{n * each * 7919 % 104729} " for each in range(1, 500))}
        store.save(made)
        largest = max(largest, stored(store))
    assert store.load("a").messages == made.messages
    assert largest < 200_000


EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3)),
        st.tuples(st.just("drop newest"), st.integers(0, 4)),
        st.tuples(st.just("drop oldest"), st.integers(0, 4)),
        st.tuples(st.just("change"), st.integers(0, 400)),
        st.tuples(st.just("set"), st.integers(0, 2)),
        st.tuples(st.just("unset"), st.integers(0, 2)),
        st.tuples(st.just("most"), st.none() | st.integers(95, 110)),
        st.tuples(st.just("save"), st.none()),
        st.tuples(st.just("others touch"), st.none()),
        st.tuples(st.just("others append"), st.none()),
        st.tuples(st.just("load"), st.none()),
    ),
    max_size=25,
)


@given(EDITS)
@pytest.mark.parametrize("where", ["memory", "files"])
def test_what_is_loaded_is_what_was_saved(where: str, tmp_path_factory: pytest.TempPathFactory, edits: Any) -> None:
    path = "memory://" if where == "memory" else tmp_path_factory.mktemp("vault")
    with open_store(path, key=bytes(range(32)), durability="os", clock=ManualClock()) as store:
        held = store.create("a", ttl=1000, state={"s0": 0, "s1": PROSE}, messages=history(100))
        expected = history(100)
        for number, (what, how) in enumerate(edits):
            _edit(held, what, how, number)
            if what == "others touch":
                store.touch("a")
            elif what == "others append":
                store.append("a", {"others": number})
                held = store.load("a")
            elif what == "load":
                held = store.load("a")
            elif what == "save":
                most = held.max_messages
                expected = held.messages if most is None else held.messages[-most:]
                expected = copy.deepcopy(expected)
                state = copy.deepcopy(held.state)
                store.save(held)
                assert held.messages == expected
                for found in (store.load("a"), _cold(store, "a")):
                    assert found.messages == expected
                    assert list(found.state.items()) == list(state.items())
                    assert found.message_count == len(expected)
                    assert (found.version, found.max_messages) == (held.version, most)
                assert store.messages("a", last=7) == expected[-7:]
        assert store.verify().ok


def _cold(store: SessionStore, id: str) -> Session[Any]:
    store._cache.documents.clear()
    return store.load(id)


def _edit(held: Session[Any], what: str, how: Any, number: int) -> None:
    if what == "append":
        held.messages.extend({"number": number, "each": each} for each in range(how))
    elif what == "drop newest":
        del held.messages[len(held.messages) - min(how, len(held.messages)) :]
    elif what == "drop oldest":
        del held.messages[:how]
    elif what == "change" and held.messages:
        held.messages[how % len(held.messages)] = {"changed": number}
    elif what == "set":
        held.state[f"s{how}"] = number
    elif what == "unset":
        held.state.pop(f"s{how}", None)
    elif what == "most":
        held.max_messages = how


def test_the_documents_of_the_test_above_are_large_enough_to_be_compared() -> None:
    assert len(str(history(95))) > diff.SMALLEST
