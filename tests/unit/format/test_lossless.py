"""Values that strict JSON cannot carry: boxed, and given back as they were; all else stored as it is."""

from __future__ import annotations

import math
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.errors import Damaged, InvalidDocument, TooLarge
from vaultsession.format import document, lossless, payload
from vaultsession.testing import strategies


def kind(value: object) -> str:
    """The name of a case: values so deep or so long have no other."""
    return type(value).__name__


def exactly(one: Any, other: Any) -> bool:
    """Equal and of the same types; floats by their bits."""
    waiting = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if type(left) is not type(right):
            return False
        if isinstance(left, float):
            if struct.pack(">d", left) != struct.pack(">d", right):
                return False
        elif isinstance(left, list):
            if len(left) != len(right):
                return False
            waiting += zip(left, right, strict=True)
        elif isinstance(left, dict):
            if list(left) != list(right):
                return False
            waiting += zip(left.values(), right.values(), strict=True)
        elif left != right:
            return False
    return True


def nested(levels: int, leaf: Any = 1) -> Any:
    value = leaf
    for number in range(levels):
        value = {"in": value} if number % 2 else [value]
    return value


def stored(state: Any, messages: list[Any], *, boxes: bool = True) -> bytes:
    return payload.join(payload.elements(state, messages, boxes=boxes))


def come_back(state: Any, messages: list[Any], *, boxes: bool = True) -> bool:
    given_state, given_messages = document.parse([stored(state, messages, boxes=boxes)])
    return exactly([state, messages], [given_state, given_messages])


@pytest.mark.slow
@given(strategies.lossless_documents(), st.lists(strategies.lossless_documents(), max_size=3))
def test_whatever_is_boxed_comes_back_as_it_was(state: Any, messages: list[Any]) -> None:
    assert come_back(state, messages)


@pytest.mark.slow
@given(strategies.json_documents(), st.lists(strategies.messages(), max_size=3))
def test_what_is_plain_is_stored_byte_for_byte_as_without_boxes(state: Any, messages: list[Any]) -> None:
    assert stored(state, messages) == stored(state, messages, boxes=False)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00\xff",
        2**64,
        -(2**63) - 1,
        10**5000,
        math.inf,
        -math.inf,
        struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0],
        "\ud800",
        "\ud83d\ude00",
        "a\\\udfffb\\u0041",
        {"\ud800": 1, "$b": 2, "$$": 3, "$s:": 4, "": 5},
        {"$b": "eA=="},
        {"$r": 0},
        {lossless.BOX: [1]},
        nested(254),
        nested(600, b"x"),
        nested(5_000, "\udc00"),
        [nested(300), nested(300), b""],
    ],
    ids=kind,
)
def test_each_kind_in_a_state_and_in_a_message(value: Any) -> None:
    assert come_back({"k": value}, [{"role": "user", "content": value}, {"role": "user"}])


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize(
    "value",
    [{lossless.BOX: [1]}, {lossless.BOX: 1, "a": 2}, {lossless.BOX: {"$b": "eA=="}}, {f"{lossless.BOX}:x": 1}],
    ids=kind,
)
def test_what_looks_like_a_box_is_none(value: Any, boxes: bool) -> None:
    assert come_back(value, [value, {"a": value}], boxes=boxes)
    assert come_back({"a": value}, [value], boxes=boxes)


def test_keys_of_the_state_are_any_text() -> None:
    assert come_back({"\ud800": 1, "a\\\udc00": b"x", lossless.BOX: 2, f"{lossless.BOX}:\ud800": 3}, [])


def test_without_boxes_it_is_refused_and_the_message_named() -> None:
    with pytest.raises(InvalidDocument) as caught:
        payload.elements({}, [{"a": 1}, {"a": [b""]}])
    assert (caught.value.path, caught.value.index) == ("messages[1].a[0]", 1)
    with pytest.raises(InvalidDocument) as caught:
        payload.elements({"a": b""}, [{"a": 1}])
    assert (caught.value.path, caught.value.index) == ("state.a", None)


@pytest.mark.parametrize("value", [(1,), {1: 2}, {1}, bytearray(), object(), 1j], ids=kind)
def test_what_no_box_holds_is_refused(value: Any) -> None:
    with pytest.raises(InvalidDocument) as caught:
        payload.elements({}, [{"a": [value]}], boxes=True)
    assert caught.value.path == "messages[0].a[0]"
    assert caught.value.index == 0
    with pytest.raises(InvalidDocument, match=r"state\.x"):
        payload.elements({"x": [value]}, [], boxes=True)


def test_a_value_that_holds_itself_is_refused() -> None:
    short: Any = []
    short.append({"a": short})
    with pytest.raises(InvalidDocument, match="holds itself"):
        payload.elements({}, [{"a": short}], boxes=True)
    often: Any = []
    often += [often, {"a": often}] * 9
    with pytest.raises(InvalidDocument, match="holds itself"):
        payload.elements({}, [{"a": often}], limit=100_000, boxes=True)  # and not that it is too large


def test_a_value_beyond_the_limit_is_refused_before_it_is_spelled() -> None:
    bomb: Any = [b""]
    for _ in range(60):
        bomb = [bomb, bomb]
    with pytest.raises(TooLarge):
        payload.elements({}, [{"a": bomb}], limit=10_000, boxes=True)
    with pytest.raises(TooLarge):
        payload.elements({}, [{"a": b"x" * 20_000}], limit=10_000, boxes=True)


@pytest.mark.parametrize(
    "box",
    [
        1,
        [],
        {},
        [{"$b": "%"}],
        [{"$b": 1}],
        [{"$i": "0x1"}],
        [{"$i": ""}],
        [{"$f": "00"}],
        [{"$s": "\\"}],
        [{"$s": "\\u0041"}],
        [{"$x": "1"}],
        [{"$x": 1, "a": 2}],
        [{"$r": 0}],
        [{"$r": 1}],
        [{"$r": True}, 1],
        [[{"$r": 1}, {"$r": 1}], 1],
        [1, 2],
        [1, {"$r": 1}],
    ],
    ids=kind,
)
def test_a_box_that_no_writer_fills_is_damage(box: Any) -> None:
    with pytest.raises(Damaged):
        lossless.unbox({lossless.BOX: box})


def test_a_box_with_something_beside_it_is_damage() -> None:
    with pytest.raises(Damaged):
        lossless.unbox({lossless.BOX: [1], "a": 1})
    with pytest.raises(Damaged):
        lossless.unbox_state({lossless.BOX: 1})


def test_a_message_that_is_no_object_is_damage() -> None:
    with pytest.raises(Damaged):
        document.parse([b"[{},\n{},\n5]"])


def test_parts_of_a_box_that_are_nested_too_deeply_are_damage() -> None:
    with pytest.raises(Damaged):
        lossless.unbox({lossless.BOX: [nested(100_000)]})


def test_people_read_it_without_boxes() -> None:
    shown = lossless.readable({"a": b"x", "b": [math.inf, 2**64, "\ud800"], "c": nested(300)})
    assert shown["a"] == {"$b": "eA=="}
    assert shown["b"] == [{"$f": "7ff0000000000000"}, {"$i": "10000000000000000"}, "\ud800"]
    assert b"\xe2\x80\xa6" in orjson.dumps(shown["c"])
