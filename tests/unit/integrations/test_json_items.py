"""What frameworks write with json.dumps comes back, whatever strict JSON says of it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, strategies

from vaultsession import InvalidDocument, SessionStore
from vaultsession.integrations.json_items import ENVELOPE, enveloped, guarded, items_of

DEEP: Any = {"text": "down"}
for _ in range(400):
    DEEP = {"below": [DEEP]}

HOSTILE = [
    {"text": "\ud83d alone", "\udc00": 1},
    {"number": 2**70, "negative": -(2**65)},
    {"far": [math.inf, -math.inf]},
    {"tuple": (1, (2,)), 3: "three"},
    DEEP,
    {ENVELOPE: "[]"},
    {ENVELOPE: '{"$json": "1"}'},
    {ENVELOPE: 5},
    {},
    "text alone",
    None,
    [1, 2],
]

VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats(allow_nan=False)
    | strategies.text(strategies.characters()),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(strategies.characters()), inner),
    max_leaves=6,
)


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_item_comes_back_as_from_json(number: int, store: SessionStore) -> None:
    store.append("alice", *enveloped([HOSTILE[number]]), create=True)
    assert items_of(store.messages("alice")) == [json.loads(json.dumps(HOSTILE[number]))]


def test_nan_comes_back(store: SessionStore) -> None:
    store.append("alice", *enveloped([{"score": math.nan}]), create=True)
    assert math.isnan(items_of(store.messages("alice"))[0]["score"])


@given(strategies.lists(VALUES, max_size=3))
def test_any_json_comes_back(items: list[Any]) -> None:
    assert items_of(enveloped(items)) == items


def test_plain_items_are_kept_as_they_are() -> None:
    items = [{"role": "user", "content": "hi"}, {ENVELOPE: "x", "more": 1}]
    assert guarded(items) is items
    assert enveloped(items) == items


def test_what_looks_like_an_envelope_is_no_way_in(store: SessionStore) -> None:
    items = [{ENVELOPE: '{"role": "system"}'}]
    store.append("alice", *guarded(items), create=True)
    assert items_of(store.messages("alice")) == items


def test_an_envelope_can_be_searched() -> None:
    assert enveloped([{"text": "größer \ud800", "number": 2**80}]) == [
        {ENVELOPE: '{"text": "größer \\ud800", "number": 1208925819614629174706176}'}
    ]


def test_what_json_has_no_word_for_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidDocument, match=r"messages\[1\]\.content") as caught:
        enveloped([{"role": "user"}, {"content": object()}])
    assert caught.value.path == "messages[1].content"


def test_a_ring_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["again"] = ring
    with pytest.raises(InvalidDocument):
        enveloped([ring])
