"""Parts of a session: append, messages, pop, clear, update, edit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sampling import sampled

from vaultsession import Conflict, InvalidDocument, InvalidSetting, RawKey, SessionNotFound, SessionStore, open_store
from vaultsession.engine import operations
from vaultsession.engine.reader import Reader
from vaultsession.testing.clock import ManualClock
from vaultsession.util.disk import Disk


def turns(first: int, end: int) -> list[dict[str, Any]]:
    return [{"role": "user" if number % 2 else "assistant", "n": number} for number in range(first, end)]


# -- append ------------------------------------------------------------------------------------------------------------


def test_messages_are_appended_in_order(store: SessionStore, clock: ManualClock) -> None:
    created = store.create("a", state={"x": 1}, messages=turns(0, 2)).created_at
    clock.advance("3s")
    info = store.append("a", *turns(2, 5))
    assert (info.id, info.message_count) == ("a", 5)
    assert (info.updated_at - created).total_seconds() == 3
    session = store.load("a")
    assert session.messages == turns(0, 5)
    assert session.state == {"x": 1}
    assert session.info().facts() == info.facts()


def test_nothing_appended_changes_nothing(store: SessionStore, clock: ManualClock) -> None:
    before = store.create("a", messages=turns(0, 2))
    clock.advance("3s")
    info = store.append("a")
    assert (info.message_count, info.updated_at) == (2, before.updated_at)
    assert store.load("a").version == before.version


def test_append_makes_the_session_only_where_it_is_asked_to(store: SessionStore) -> None:
    with pytest.raises(SessionNotFound):
        store.append("a", {"n": 1})
    assert store.append("a", {"n": 1}, create=True).message_count == 1
    assert store.append("a", {"n": 2}, create=True).message_count == 2
    assert store.append("b", create=True).message_count == 0
    assert store.load("a").messages == [{"n": 1}, {"n": 2}]
    assert store.load("b").messages == []


def test_a_bounded_session_keeps_its_newest_messages(store: SessionStore) -> None:
    store.create("a", max_messages=3)
    for number in range(8):
        info = store.append("a", {"n": number})
        assert info.message_count == min(3, number + 1)
        expected = [{"n": n} for n in range(max(0, number - 2), number + 1)]
        assert store.messages("a") == expected
        assert store.load("a").messages == expected
    store.append("a", *turns(0, 10))
    assert store.messages("a") == turns(7, 10)


def test_deduped_messages_are_told_apart_by_their_id(store: SessionStore) -> None:
    store.create("a", messages=[{"id": "m1", "v": 1}, {"v": "no id"}])
    store.append("a", {"id": "m1", "v": 2}, {"id": "m2"}, {"id": "m2", "v": 3}, {"v": "no id"}, {"id": 5}, dedupe=True)
    assert store.messages("a") == [{"id": "m1", "v": 1}, {"v": "no id"}, {"id": "m2"}, {"v": "no id"}, {"id": 5}]
    version = store.load("a").version
    assert store.append("a", {"id": "m1"}, {"id": "m2"}, {"id": 5}, dedupe=True).message_count == 5
    assert store.load("a").version == version
    store.append("a", {"id": "m1", "v": 4})
    assert store.load("a").message_count == 6


def test_a_number_and_a_text_are_different_ids(store: SessionStore) -> None:
    store.create("a", messages=[{"id": 5}])
    store.append("a", {"id": "5"}, {"id": 5}, {"id": None}, {"id": None}, dedupe=True)
    assert store.messages("a") == [{"id": 5}, {"id": "5"}, {"id": None}, {"id": None}]


def test_a_session_made_by_a_deduped_append_holds_no_message_twice(store: SessionStore) -> None:
    store.append("a", {"id": "m1", "v": 1}, {"id": "m1", "v": 2}, {"n": 1}, create=True, dedupe=True)
    assert store.messages("a") == [{"id": "m1", "v": 1}, {"n": 1}]


def test_a_long_history_is_appended_and_read_in_parts(store: SessionStore) -> None:
    store.create("a")
    for start in range(0, 1500, 3):  # past the bound at which small records are merged
        store.append("a", *turns(start, start + 3))
    assert store.load("a").messages == turns(0, 1500)
    assert store.messages("a", last=4) == turns(1496, 1500)
    assert store.messages("a", offset=700, limit=5) == turns(700, 705)


def test_messages_larger_than_a_record_is_cut_into_come_back(store: SessionStore) -> None:
    large = [{"n": number, "text": f"{number} " * 30_000} for number in range(12)]
    store.create("a", messages=large)
    store.append("a", *large[:3])
    assert store.load("a").messages == large + large[:3]
    assert store.messages("a", last=4) == [large[11], *large[:3]]


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ({}, 0, 10),
        ({"last": 3}, 7, 10),
        ({"last": 0}, 0, 0),
        ({"last": 99}, 0, 10),
        ({"limit": 3}, 0, 3),
        ({"offset": 4}, 4, 10),
        ({"offset": 4, "limit": 3}, 4, 7),
        ({"offset": 8, "limit": 9}, 8, 10),
        ({"offset": 10}, 0, 0),
        ({"offset": 99, "limit": 5}, 0, 0),
        ({"limit": 0}, 0, 0),
    ],
    ids=str,
)
@pytest.mark.parametrize("warm", [True, False])
def test_a_page_of_the_history(open_one: Any, asked: dict[str, int], first: int, end: int, warm: bool) -> None:
    store = open_one(cache_bytes=64 << 20 if warm else 0)
    store.create("a", messages=turns(0, 4))
    store.append("a", *turns(4, 9), {"popped": True})
    store.pop("a")
    store.append("a", *turns(9, 10))
    assert store.messages("a", **asked) == turns(first, end)


@pytest.mark.parametrize(
    "asked", [{"last": 1, "offset": 0}, {"last": 1, "limit": 1}, {"last": -1}, {"offset": -1}, {"limit": -1}], ids=str
)
def test_a_page_that_cannot_be_is_refused(store: SessionStore, asked: dict[str, int]) -> None:
    store.create("a")
    with pytest.raises(InvalidSetting):
        store.messages("a", **asked)


def test_messages_are_ones_own(store: SessionStore) -> None:
    store.create("a", messages=[{"x": [1]}])
    store.messages("a")[0]["x"].append(2)
    assert store.messages("a") == [{"x": [1]}]


def test_a_page_may_end_within_what_was_trimmed(open_one: Any) -> None:
    store = open_one(cache_bytes=0)
    store.create("a", max_messages=5)
    for number in range(9):
        store.append("a", {"n": number})
    assert store.messages("a", last=99) == [{"n": n} for n in range(4, 9)]
    assert store.messages("a", offset=1, limit=2) == [{"n": 5}, {"n": 6}]


# -- pop and clear -----------------------------------------------------------------------------------------------------


def test_popped_messages_are_returned_oldest_first_and_gone(store: SessionStore, clock: ManualClock) -> None:
    created = store.create("a", state={"x": 1}, messages=turns(0, 6)).created_at
    clock.advance("2s")
    assert store.pop("a") == turns(5, 6)
    assert store.pop("a", 2) == turns(3, 5)
    assert (store.load("a").updated_at - created).total_seconds() == 2
    assert store.messages("a") == turns(0, 3)
    assert store.pop("a", 99) == turns(0, 3)
    assert store.load("a").messages == []
    assert store.load("a").state == {"x": 1}


def test_popping_nothing_changes_nothing(store: SessionStore) -> None:
    version = store.create("a", messages=turns(0, 1)).version
    assert store.pop("a", 0) == []
    assert store.load("a").version == version
    store.pop("a")
    version = store.load("a").version
    assert store.pop("a") == []
    assert store.load("a").version == version


def test_a_negative_number_is_not_popped(store: SessionStore) -> None:
    store.create("a", messages=turns(0, 3))
    with pytest.raises(InvalidSetting):
        store.pop("a", -1)
    assert store.messages("a") == turns(0, 3)


def test_popping_reaches_through_appends_and_saves(store: SessionStore) -> None:
    session = store.create("a", messages=turns(0, 2))
    store.append("a", *turns(2, 4))
    assert store.pop("a", 3) == turns(1, 4)
    store.append("a", *turns(1, 3))
    assert store.pop("a", 2) == turns(1, 3)
    session = store.load("a")
    session.messages.extend(turns(1, 3))
    store.save(session)
    assert store.pop("a", 2) == turns(1, 3)
    assert store.load("a").messages == turns(0, 1)


def test_a_state_that_looks_like_operations_is_only_a_state(store: SessionStore) -> None:
    store.create("a", state={"pop": 2, "trim": 1, "set": {"x": 1}, "unset": ["pop"]}, messages=turns(0, 3))
    store.append("a", *turns(3, 4))
    assert store.messages("a", last=3) == turns(1, 4)
    assert store.load("a").state == {"pop": 2, "trim": 1, "set": {"x": 1}, "unset": ["pop"]}


def test_a_cleared_session_keeps_its_state_and_facts(store: SessionStore, clock: ManualClock) -> None:
    created = store.create("a", state={"x": 1}, messages=turns(0, 3), title="T", labels={"k": "v"}).created_at
    store.update("a", {"y": 2})
    clock.advance("1s")
    info = store.clear("a")
    assert (info.message_count, info.title, info.labels, info.created_at) == (0, "T", {"k": "v"}, created)
    session = store.load("a")
    assert (session.state, session.messages) == ({"x": 1, "y": 2}, [])
    assert (session.updated_at - created).total_seconds() == 1
    store.append("a", {"n": 1})
    assert store.messages("a") == [{"n": 1}]


def test_a_cleared_session_takes_up_no_more_room_than_an_empty_one(store: SessionStore) -> None:
    store.create("a")
    empty = store.stats()["bytes"]
    store.append("a", *({"text": f"{number}" * 500} for number in range(100)))
    store.clear("a")
    assert abs(store.stats()["bytes"] - empty) < 64


@pytest.mark.parametrize("how", sampled([(0, 0), (0, 1 << 20), (1, 0), (1, 1 << 20), (3, 0)], [(0, 0), (1, 1 << 20)]))
def test_the_newest_messages_are_read_from_few_bodies_after_any_number_of_pops_and_updates(
    monkeypatch: pytest.MonkeyPatch, how: tuple[int, int]
) -> None:
    added, cache_bytes = how
    opened = 0
    body = Reader.body

    def counted(reader: Reader, *args: Any) -> bytes:
        nonlocal opened
        opened += 1
        return body(reader, *args)

    near, far = 6, 12  # in place of 32 and 64
    monkeypatch.setattr(operations, "NEAR", near)
    monkeypatch.setattr(operations, "FAR", far)
    monkeypatch.setattr(operations, "FAR_FOR_STATE", far)
    monkeypatch.setattr(Reader, "body", counted)
    # Large enough that what is popped is no reason to write it anew.
    long = [{**each, "text": "x" * 400} for each in turns(0, 120)]
    most = popping = pops = 0
    with open_store("memory://", cache_bytes=cache_bytes, compression="none") as store:
        expected = store.create("a", messages=long).messages
        for number in range(70):
            more = turns(1000 + added * number, 1000 + added * (number + 1))
            for message in more:
                store.append("a", message)
            expected += more
            n = 1 + added * (number % 3 == 1)
            before = opened
            assert store.pop("a", n) == expected[-n:]
            del expected[-n:]
            popping, pops = popping + opened - before, pops + 1
            if number % 5 == 0:
                before = opened
                assert store.messages("a", last=4) == expected[-4:]
                most = max(most, opened - before)
        for number in range(70):
            store.update("a", {"n": number})
            if number % 5 == 0:
                before = opened
                assert store.messages("a", last=4) == expected[-4:]
                most = max(most, opened - before - far)
        assert store.load("a").messages == expected
        assert store.load("a").state == {"n": 69}
    assert most <= far + near
    assert popping <= 2 * far * pops


def test_what_was_popped_is_nothing_that_a_bounded_history_is_cut_by(store: SessionStore) -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "c"}]}
    result = {"role": "tool", "tool_call_id": "c"}
    store.create("a", max_messages=3)
    store.append("a", *turns(0, 4))
    assert store.pop("a", 2) == turns(2, 4)
    store.append("a", call, result)
    assert store.messages("a") == [*turns(1, 2), call, result]
    store.append("a", *turns(5, 7))
    assert store.messages("a") == turns(5, 7)


def test_messages_that_are_large_are_not_written_again(
    monkeypatch: pytest.MonkeyPatch, open_one: Callable[..., SessionStore]
) -> None:
    for name, value in (("NEAR", 3), ("FAR", 6), ("LARGEST_AGAIN", 2000)):
        monkeypatch.setattr(operations, name, value)
    large = [{"n": number, "text": "x" * 600} for number in range(8)]
    store = open_one(compression="none")
    store.create("a", messages=large)
    before = store.stats()["bytes"]
    for number in range(20):
        store.append("a", {"n": number})
        assert store.pop("a", 1) == [{"n": number}]
    assert store.load("a").messages == large
    assert store.stats()["bytes"] - before < 40 * 400


# -- update ------------------------------------------------------------------------------------------------------------


def test_a_mapping_is_merged_into_the_state(store: SessionStore, clock: ManualClock) -> None:
    created = store.create("a", state={"x": 1, "deep": {"p": 1}}, messages=turns(0, 2)).created_at
    clock.advance("1s")
    info = store.update("a", {"y": [2], "deep": {"q": 2}})
    session = store.load("a")
    assert session.state == {"x": 1, "y": [2], "deep": {"q": 2}}
    assert session.messages == turns(0, 2)
    assert (info.updated_at - created).total_seconds() == 1
    store.update("a", {"x": None})
    assert store.load("a").state["x"] is None


def test_an_empty_merge_changes_nothing(store: SessionStore) -> None:
    version = store.create("a", state={"x": 1}).version
    store.update("a", {})
    assert store.load("a").version == version


def test_a_function_changes_anything_at_once(store: SessionStore) -> None:
    store.create("a", state={"n": 1}, messages=turns(0, 2))

    def change(draft: Any) -> None:
        draft.state["n"] += 1
        draft.messages.pop(0)
        draft.title = "T"

    info = store.update("a", change)
    session = store.load("a")
    assert (session.state, session.messages, session.title) == ({"n": 2}, turns(1, 2), "T")
    assert (info.title, info.message_count) == ("T", 1)


def test_a_function_is_applied_again_to_what_is_newest(store: SessionStore) -> None:
    store.create("a", state={"n": 0})
    seen = []

    def change(draft: Any) -> None:
        seen.append(draft.state["n"])
        if len(seen) < 4:
            store.update("a", {"n": len(seen) * 10})
        draft.state["n"] += 1

    store.update("a", change)
    assert seen == [0, 10, 20, 30]
    assert store.load("a").state == {"n": 31}


def test_a_function_that_never_comes_first_gives_up(store: SessionStore) -> None:
    store.create("a", state={"n": 0})
    tries = []

    def change(draft: Any) -> None:
        tries.append(draft.version)
        draft.state["mine"] = True
        store.update("a", {"n": len(tries)})

    with pytest.raises(Conflict, match="in a row"):
        store.update("a", change)
    assert len(set(tries)) == len(tries) > 10


def test_a_function_that_raises_changes_nothing(store: SessionStore) -> None:
    version = store.create("a", state={"n": 0}).version

    def change(draft: Any) -> None:
        draft.state["n"] = 1
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        store.update("a", change)
    assert store.load("a").version == version


def test_a_function_that_removes_the_session_finds_it_gone(store: SessionStore) -> None:
    store.create("a")

    def change(draft: Any) -> None:
        draft.state["mine"] = True
        store.delete("a")

    with pytest.raises(SessionNotFound):
        store.update("a", change)
    assert not store.exists("a")


@pytest.mark.parametrize("changes", [None, 5, "text", ["x"]], ids=repr)
def test_an_update_by_anything_else_is_refused(store: SessionStore, changes: Any) -> None:
    store.create("a")
    with pytest.raises(InvalidDocument, match="mapping or a function"):
        store.update("a", changes)


# -- edit --------------------------------------------------------------------------------------------------------------


def test_an_edit_is_saved_once_on_exit(store: SessionStore) -> None:
    store.create("a", state={"x": 1}, messages=turns(0, 2))
    with store.edit("a") as draft:
        draft.state["x"] = 2
        draft.messages.pop()
        assert store.load("a").state == {"x": 1}
    session = store.load("a")
    assert (session.state, session.messages) == ({"x": 2}, turns(0, 1))
    assert session.version == draft.version


def test_an_edit_that_raises_saves_nothing(store: SessionStore) -> None:
    version = store.create("a", state={"x": 1}).version
    with pytest.raises(KeyError), store.edit("a") as draft:  # noqa: PT012 - the block is what raises
        draft.state["x"] = 2
        raise KeyError
    assert store.load("a").version == version


def test_an_edit_conflicts_if_someone_was_faster(store: SessionStore) -> None:
    store.create("a", state={"x": 1})
    with pytest.raises(Conflict), store.edit("a") as draft:  # noqa: PT012 - the exit is what raises
        draft.state["x"] = 2
        store.update("a", {"y": 1})
    assert store.load("a").state == {"x": 1, "y": 1}


def test_the_injected_clock_tells_every_time(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the store reads the wall clock: the injected one gives all times."""

    def refuse() -> float:
        raise AssertionError("the wall clock was read")

    monkeypatch.setattr(time, "time", refuse)
    monkeypatch.setattr(time, "time_ns", refuse)
    store.create("a", ttl="1h", sliding=True)
    store.append("a", {"n": 1})
    store.touch("a")
    store.load("a")
    assert store.count() == 1
    assert store.sweep() == 0


def test_small_records_are_merged_by_whoever_is_alone(tmp_path: Path) -> None:
    """Four processes that wrote to one session in turns spent a third of their time waiting for one of them to merge.

    Over a disk that is given no pause is waited for.
    """
    key = RawKey(bytes(range(100, 132)))

    def replaced(*turns: SessionStore) -> int:
        generation = turns[0]._backend.head(turns[0]._key("a")).generation
        for number in range(60):
            turns[number % len(turns)].append("a", {"role": "user", "content": f"{number} " + "word " * 200})
        return turns[0]._backend.head(turns[0]._key("a")).generation - generation

    with (
        open_store(tmp_path / "vault", key=key, durability="os", disk=Disk()) as one,
        open_store(tmp_path / "vault", key=key, durability="os", disk=Disk()) as other,
    ):
        one.create("a", messages=[{"role": "user", "content": "".join(f"{number**3} " for number in range(400))}])
        assert replaced(one, other) == 0
        assert 1 <= replaced(one) <= 3
        assert len(one.messages("a")) == 121
