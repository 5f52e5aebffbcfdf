"""A lossless store: what strict JSON does not carry is taken by every verb, and given back by any store."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import orjson
import pytest

from vaultsession import InvalidDocument, InvalidSetting, SessionStore, open_store, open_store_async
from vaultsession.store.elements import Elements
from vaultsession.store.watch import SessionWatch
from vaultsession.testing.clock import ManualClock

ODD: dict[str, Any] = {
    "role": "user",
    "id": "5",
    "content": [b"\x00\xff", 2**70, math.inf, "\ud800", {"$b": "eA=="}, {"$lossless": 1}],
}
PLAIN = {"role": "assistant", "content": "yes", "id": "6"}


@pytest.fixture
def lossless(tmp_path: Any, clock: ManualClock, vault_key: Any) -> Any:
    with open_store(tmp_path / "vault", lossless=True, clock=clock, key=vault_key) as store:
        yield store


@pytest.fixture
def strict(lossless: SessionStore, tmp_path: Any, clock: ManualClock, vault_key: Any) -> Any:
    with open_store(tmp_path / "vault", clock=clock, key=vault_key) as store:
        yield store


def test_every_verb_takes_and_gives_it(lossless: SessionStore, strict: SessionStore) -> None:
    lossless.create("a", state={"x": b"1", "y": 1}, messages=[ODD])
    lossless.append("a", PLAIN, ODD, state={"\ud800": b"2", "z": 2**64}, unset=["y"], dedupe=True)
    assert lossless.messages("a") == strict.messages("a") == [ODD, PLAIN]
    assert lossless.load("a").state == strict.load("a").state == {"x": b"1", "\ud800": b"2", "z": 2**64}
    lossless.append("a", {**ODD, "id": "7"}, unset=["\ud800"])
    assert lossless.pop("a") == [{**ODD, "id": "7"}]
    lossless.replace_last("a", 1, ODD)
    lossless.update("a", {"x": b"3"})
    assert lossless.messages("a", last=1) == strict.messages("a", last=1) == [ODD]
    session = lossless.load("a")
    session.messages.append(ODD)
    session.state["w"] = -(2**65)
    lossless.save(session)
    assert strict.load("a").messages == [ODD, ODD, ODD]
    assert strict.load("a").state == {"x": b"3", "z": 2**64, "w": -(2**65)}
    lossless.copy("a", "b")
    lossless.clear("a")
    assert lossless.load("a").state == lossless.load("b").state
    assert lossless.load("b").messages == [ODD, ODD, ODD]


def test_a_difference_of_a_large_document_says_it(lossless: SessionStore) -> None:
    history = [{"role": "user", "content": f"{number} {'x' * 100}"} for number in range(400)]
    session = lossless.create("a", state={"x": b"1", "y": b"2"}, messages=[ODD, *history])
    session.messages.append(ODD)
    session.state["x"] = b"3"
    del session.state["y"]
    lossless.save(session)
    loaded = lossless.load("a")
    assert (loaded.state, loaded.messages) == ({"x": b"3"}, [ODD, *history, ODD])


def test_a_state_that_is_nested_to_the_last_level_can_be_set(lossless: SessionStore) -> None:
    deep: Any = 1
    for _ in range(251):
        deep = [deep]
    lossless.create("a")
    lossless.update("a", {"deep": deep})
    assert lossless.load("a").state == {"deep": deep}


def test_a_strict_store_refuses_it_where_the_session_held_none(strict: SessionStore) -> None:
    strict.create("a", messages=[PLAIN])
    with pytest.raises(InvalidDocument) as caught:
        strict.append("a", PLAIN, ODD)
    assert (caught.value.index, caught.value.path) == (1, "messages[1].content[0]")
    session = strict.load("a")
    session.messages.append(ODD)
    with pytest.raises(InvalidDocument):
        strict.save(session)


def test_a_strict_store_keeps_what_a_session_holds(lossless: SessionStore, strict: SessionStore) -> None:
    lossless.create("a", state={"x": b"1"}, messages=[ODD])
    version = strict.load("a").version
    assert strict.update("a", lambda session: session.messages).version == version
    session = strict.load("a")
    session.messages.append(PLAIN)
    strict.save(session)
    strict.append("a", PLAIN, state={"y": 1})
    assert strict.load("a").messages == [ODD, PLAIN, PLAIN]
    assert lossless.load("a").state == {"x": b"1", "y": 1}


def test_it_counts_when_old_messages_are_dropped(lossless: SessionStore) -> None:
    call = {"role": "assistant", "content": b"x", "tool_calls": [{"id": "c", "type": "function"}]}
    result = {"role": "tool", "tool_call_id": "c", "content": b"5"}
    lossless.create("a", messages=[PLAIN, call, result], max_messages=2)
    lossless.append("a", PLAIN)
    assert lossless.messages("a") == [PLAIN]


def test_it_is_exported_and_imported(lossless: SessionStore, clock: ManualClock) -> None:
    lossless.create("a", state={"x": b"1", "\ud800": 1}, messages=[ODD, PLAIN])
    lossless.create("b", state={"y": 1}, messages=[PLAIN])
    lines = list(lossless.export(["a", "b"]))
    assert [line[:18] for line in lines] == [b'{"vaultsession":2,', b'{"vaultsession":1,']
    with open_store("memory://", clock=clock) as other:
        other.import_(lines)
        assert other.load("a").messages == [ODD, PLAIN]
        assert other.load("a").state == {"x": b"1", "\ud800": 1}
        broken = lines[0].replace(b'{"$b":"AP8="}', b'{"$b":"?"}')
        with pytest.raises(InvalidDocument, match="line 1"):
            other.import_([broken], existing="replace")


def test_it_is_found(lossless: SessionStore) -> None:
    lossless.create("a", messages=[{"content": {"deep": "a\\b \ud800 Rome"}}, {"content": b"Rome"}])
    assert [match.path for match in lossless.search("Rome")] == ["messages[0].content.deep"]
    assert [match.path for match in lossless.search("a\\b")] == ["messages[0].content.deep"]
    deep: Any = "Rome"
    for _ in range(3_000):
        deep = [deep]
    lossless.create("b", messages=[{"content": deep}])
    assert sorted(match.id for match in lossless.search("Rome")) == ["a", "b"]


def test_elements_that_look_like_boxes_come_back_byte_for_byte(lossless: SessionStore) -> None:
    each = [b'{"$lossless":[1]}', b'{"a":1,"$lossless":{"$b":"?"}}', b'{"a":"\\"$lossless"}', b'{"a":{"$lossless":1}}']
    elements = Elements(lossless)
    elements.put("a", {"$lossless": 1}, each, {}, replace=False)
    assert [orjson.dumps(message) for message in lossless.messages("a")] == each
    elements.append("a", [orjson.loads(element) for element in each], {})
    read = elements.read("a")
    assert read is not None
    assert (read.elements, read.state) == (each + each, {"$lossless": 1})


def test_it_is_watched(lossless: SessionStore) -> None:
    lossless.create("a", messages=[PLAIN, ODD])
    watch = SessionWatch(lossless, "a")
    assert watch.begin(1) == [ODD]
    lossless.append("a", ODD, PLAIN)
    assert watch.look() == [ODD, PLAIN]
    assert watch.look() == []


def test_it_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULTSESSION_LOSSLESS", "true")
    with open_store("memory://") as store:
        assert store.create(state={"x": b""}).state == {"x": b""}
    with pytest.raises(InvalidSetting, match="lossless"):
        open_store("memory://", lossless="yes")  # type: ignore[arg-type]


def test_the_asynchronous_store_takes_it() -> None:
    async def main() -> Any:
        async with await open_store_async("memory://", lossless=True) as store:
            await store.append("a", ODD, create=True)
            return await store.messages("a")

    assert asyncio.run(main()) == [ODD]
