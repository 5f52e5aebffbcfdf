"""Export and import: lines that say all of a session, and come back as it was, or are refused by number."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession import (
    Imported,
    InvalidDocument,
    InvalidSetting,
    PartialFailure,
    SessionExists,
    SessionNotFound,
    SessionStore,
    UnsupportedFormat,
    VaultError,
    open_store,
)
from vaultsession.engine import listing
from vaultsession.format.jsonl import read_line
from vaultsession.testing import strategies
from vaultsession.testing.clock import ManualClock

Opening = Callable[..., SessionStore]


def everything(store: SessionStore) -> dict[str, dict[str, Any]]:
    loaded = [store.load(info.id) for info in store.list()]
    return {each.id: {**each.facts(), "state": each.state, "messages": each.messages} for each in loaded}


def line(**fields: Any) -> bytes:
    return json.dumps({"vaultsession": 1, "id": "a", **fields}).encode()


@pytest.fixture
def other(clock: ManualClock) -> Any:
    with open_store("memory://", clock=clock, ttl="5m", max_messages=2, sliding=True) as store:
        yield store


def test_what_is_exported_comes_back_as_it_was(store: SessionStore, other: SessionStore, clock: ManualClock) -> None:
    store.create(
        "full",
        user_id="alice",
        tenant_id="acme",
        assistant_id="helper",
        title="Two\nlines",
        labels={"k": "v"},
        state={"deep": [{"x": 1.5}], "text": "größe\u2028"},
        messages=[{"role": "user", "content": f"line\n{n}"} for n in range(5)],
        ttl="24h",
        sliding=True,
        max_messages=50,
    )
    clock.advance(0.000_001)
    store.create("plain")
    clock.advance(3600)
    store.append("full", {"role": "assistant"})
    store.update("full", {"more": None})
    store.pop("full")
    lines = list(store.export())
    assert [json.loads(each)["id"] for each in lines] == ["plain", "full"]
    clock.advance(100)
    assert other.import_(lines) == Imported(made=2)
    assert everything(other) == everything(store)


def test_each_line_stands_for_itself(store: SessionStore, other: SessionStore) -> None:
    for name in ("a", "b", "c"):
        store.create(name, messages=[{"content": ",\n\n"}])
    first, second, third = store.export()
    assert all(each.endswith(b"\n") and each.count(b"\n") == 1 for each in (first, second, third))
    assert other.import_([third, b"\n", b"  \r\n", first]) == Imported(made=2)
    assert {info.id for info in other.list()} == {json.loads(third)["id"], json.loads(first)["id"]}


def test_a_file_is_written_and_read_as_it_is(store: SessionStore, other: SessionStore, tmp_path: Path) -> None:
    store.create("a", messages=[{"content": "x"}])
    with (tmp_path / "out.jsonl").open("wb") as file:
        file.writelines(store.export())
    with (tmp_path / "out.jsonl").open("rb") as file:
        assert other.import_(file).made == 1
    assert everything(other) == everything(store)


def test_ids_or_filters_choose_what_is_exported(store: SessionStore) -> None:
    store.create("a", user_id="alice")
    store.create("b", user_id="bob")
    assert [json.loads(each)["id"] for each in store.export(user_id="bob")] == ["b"]
    assert [json.loads(each)["id"] for each in store.export(["b", "a", "b"])] == ["b", "a"]
    with pytest.raises(SessionNotFound, match="'c'"):
        list(store.export(["a", "c"]))
    with pytest.raises(InvalidSetting):
        store.export(["a"], user_id="bob")


def test_sessions_that_change_while_they_are_exported_are_neither_lost_nor_told_twice(
    store: SessionStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_PAGE", 32)
    for number in range(75):  # more than two pages
        store.create(f"s{number}")
        clock.advance(1)
    told = []
    for number, each in enumerate(store.export()):
        told.append(json.loads(each)["id"])
        store.append(f"s{number}", {})  # moves to the end of the listing
        store.append(f"s{74 - number}", {})
        clock.advance(1)
    assert sorted(told) == sorted(f"s{number}" for number in range(75))


def test_what_is_there_already_is_an_error_or_skipped_or_replaced(store: SessionStore, other: SessionStore) -> None:
    store.create("a", state={"from": "export"})
    store.create("b")
    lines = list(store.export())
    other.create("a", state={"from": "before"})
    with pytest.raises(SessionExists, match=r"line [12]: .*'a'"):
        other.import_(lines)
    assert other.load("a").state == {"from": "before"}
    other.delete("b")
    assert other.import_(lines, existing="skip") == Imported(made=1, skipped=1)
    assert other.load("a").state == {"from": "before"}
    assert other.import_(lines, existing="replace") == Imported(replaced=2)
    assert everything(other) == everything(store)
    with pytest.raises(InvalidSetting, match="existing"):
        other.import_(lines, existing="maybe")  # type: ignore[arg-type]  # refused at run time as well


def test_what_has_expired_since_is_left_out_and_counted(
    store: SessionStore, other: SessionStore, clock: ManualClock
) -> None:
    store.create("short", ttl=10)
    store.create("long", ttl=1000)
    lines = list(store.export())
    clock.advance(100)
    assert other.import_(lines) == Imported(made=1, expired=1)
    assert [json.loads(each)["id"] for each in store.export()] == ["long"]


def test_an_expired_session_of_the_same_id_gives_way(store: SessionStore, clock: ManualClock) -> None:
    store.create("a", ttl=10)
    clock.advance(100)
    assert store.import_([line(state={"new": True})]) == Imported(made=1)
    assert store.load("a").state == {"new": True}


DAMAGED = {
    "cut short": (line(state={"x": 1})[:-3], InvalidDocument, "JSON"),
    "no object": (b"[1]", InvalidDocument, "no exported session"),
    "of something else": (b'{"id": "a"}', InvalidDocument, "no exported session"),
    "of a later version": (line(vaultsession=3), UnsupportedFormat, "version 3"),
    "of no version": (line(vaultsession="1"), InvalidDocument, "version"),
    "true is no version": (line(vaultsession=True), InvalidDocument, "version"),
    "with an unknown field": (line(colour="red"), InvalidDocument, "colour"),
    "without an id": (b'{"vaultsession": 1}', VaultError, "id"),
    "with an empty id": (line(id=""), VaultError, "empty"),
    "with a state that is no object": (line(state=[1]), InvalidDocument, "state"),
    "with messages that are no list": (line(messages={}), InvalidDocument, "messages"),
    "with a message that is no object": (line(messages=[{}, 5]), InvalidDocument, r"messages\[1\]"),
    "with a naive time": (line(created_at="2026-01-01T00:00:00"), InvalidDocument, "created_at"),
    "with a time that is none": (line(updated_at=5), InvalidDocument, "updated_at"),
    "with a life span that is none": (line(ttl="1h"), InvalidDocument, "ttl"),
    "with a negative life span": (line(ttl=-1), InvalidDocument, "ttl"),
    "with a flag that is none": (line(sliding=1), InvalidDocument, "sliding"),
    "with labels that are none": (line(labels={"k": 1}), InvalidDocument, "labels"),
    "with a limit that is none": (line(max_messages=0), InvalidDocument, "max_messages"),
    "with a number that JSON does not give back": (line(state={"x": 2**70}), InvalidDocument, "64 bits"),
    "nested too deeply": (b'{"vaultsession":1,"id":"a","state":' + b'{"x":' * 500 + b"1" + b"}" * 501, VaultError, ""),
    "no UTF-8": (b'{"vaultsession":1,"id":"\xff"}', InvalidDocument, "JSON"),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_line_is_named_by_its_number_and_nothing_of_it_is_written(store: SessionStore, how: str) -> None:
    damaged, error, said = DAMAGED[how]
    with pytest.raises(error, match=rf"^line 3: .*{said}"):
        store.import_([line(id="before"), b"\n", damaged, line(id="behind")])
    assert [info.id for info in store.list()] == ["before"]


def test_content_does_not_stand_in_the_error_of_a_damaged_line(store: SessionStore) -> None:
    with pytest.raises(InvalidDocument) as raised:
        store.import_([line(state={"password": "hunter2"})[:-3]])
    assert "hunter2" not in str(raised.value)


def test_a_line_of_another_system_needs_no_more_than_an_id(store: SessionStore, clock: ManualClock) -> None:
    store.import_(
        [b'{"vaultsession":1,"id":"a"}', line(id="b", ttl=60), line(id="c", created_at="2020-01-01T02:00:00+02:00")]
    )
    assert (store.load("a").state, store.load("a").messages, store.load("a").expires_at) == ({}, [], None)
    assert store.load("b").expires_at == store.load("b").updated_at + timedelta(seconds=60)
    assert store.load("c").created_at == datetime(2020, 1, 1, tzinfo=UTC)
    store.import_([line(id="d", state={"x": 2**64 - 1, "y": "9" * 40})])
    assert store.load("d").state == {"x": 2**64 - 1, "y": "9" * 40}
    with pytest.raises(InvalidDocument):
        read_line(line(created_at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))).isoformat() * 2), 0)


def test_max_messages_of_a_line_is_kept(store: SessionStore) -> None:
    store.import_([line(max_messages=2, messages=[{"n": n} for n in range(5)])])
    assert store.messages("a") == [{"n": 3}, {"n": 4}]


def test_a_damaged_session_is_told_behind_the_last_line(open_files: Opening, tmp_path: Path) -> None:
    with open_files() as before:
        for name in ("a", "broken", "c"):
            before.create(name, state={"x": "y" * 200})
    (file,) = (tmp_path / "vault" / "sessions").glob("broken*")
    file.write_bytes(file.read_bytes()[:-30] + bytes(30))
    told: list[str] = []
    with pytest.raises(PartialFailure) as raised:  # noqa: PT012 - the lines before it are the point
        for each in open_files().export():
            told.append(json.loads(each)["id"])  # noqa: PERF401 - as above
    assert sorted(told) == ["a", "c"]
    assert list(raised.value.failures) == ["broken"]


def test_an_import_that_stopped_half_way_is_taken_up_again(store: SessionStore) -> None:
    """A disk ran full in the middle of an import. Repeated with ``existing="skip"``, it goes on where it stopped."""
    lines = [line(id=f"s{number}") for number in range(5)]

    def breaks_off() -> Any:
        yield from lines[:3]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        store.import_(breaks_off())
    assert store.count() == 3
    assert store.import_(lines, existing="skip") == Imported(made=2, skipped=3)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(strategies.json_documents(), strategies.conversations(), strategies.facts()), min_size=1, max_size=4
    )
)
def test_whatever_a_session_holds_it_survives_the_journey(drawn: list[tuple[Any, Any, dict[str, Any]]]) -> None:
    clock = ManualClock()
    with open_store("memory://", clock=clock) as here, open_store("memory://", clock=clock, ttl=5) as there:
        for number, (state, messages, facts) in enumerate(drawn):
            here.create(f"s{number}", state=state, messages=messages, **facts)
            clock.advance(0.5)
        there.import_(here.export())
        assert everything(there) == everything(here)
        assert list(there.export()) == list(here.export())
