"""A value that names the same parts over and over is measured without being laid out, and refused by what it takes."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession import InvalidDocument, PartialFailure, TooLarge, open_store
from vaultsession.format import payload
from vaultsession.format.survey import JsonSurvey

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=20),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=20),
)


def doubled(value: Any, times: int = 40) -> Any:
    """A value that holds another 2**times times, and takes so many lists."""
    for _ in range(times):
        value = [value, value]
    return value


def chained(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def circle(*beside: Any) -> Any:
    held: Any = [*beside]
    held.append(held)
    return held


HOSTILE = {
    "lists": doubled([]),
    "objects": {"a": doubled({"k": 1})},
    "texts": doubled("x" * 100),
    "numbers that are none": doubled([math.nan]),
    "what JSON has not, at its end": [doubled("x", 20), object()],
    "bytes": doubled(b"x"),
    "deep as well": doubled(chained(1_000)),
    "deeper than the stack": doubled(chained(5_000)),
    "a wide one": [[["x" * 1000] * 1000] * 1000] * 1000,
    "itself, at its end": circle(doubled("x", 20)),
}


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_value_is_refused_by_every_verb_that_writes(
    value: Any, lossless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2**40 texts took 23 s to be refused, and where they were to be boxed many times as long."""
    monkeypatch.setattr(payload, "_AT_ONCE", 1 << 10)  # what is looked at together costs a third of a second
    held = {"value": value}
    with open_store("memory://", lossless=lossless) as store:
        store.create("a", messages=[{"n": 1}])
        for write in (
            lambda: store.create("b", state=held),
            lambda: store.create("b", messages=[held]),
            lambda: store.save("a", messages=[held]),
            lambda: store.append("a", held),
            lambda: store.append("a", held, dedupe="value"),
            lambda: store.append("a", state=held),
            lambda: store.update("a", held),
            lambda: store.update("a", lambda session: session.messages.append(held)),
            lambda: store.save_many([{"id": "b", "messages": [held]}]),
            lambda: store.append("a", {"n": 2}, state={"x": 1}, create=True, title=value),
        ):
            with pytest.raises((TooLarge, InvalidDocument, PartialFailure)):
                write()
        assert not store.exists("b")
        assert store.messages("a") == [{"n": 1}]


@pytest.mark.slow
@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_it_is_refused_as_it_is_looked_at_in_earnest(value: Any, boxes: bool) -> None:
    with pytest.raises((TooLarge, InvalidDocument)):
        payload.elements({}, [{"value": value}], boxes=boxes)


def test_messages_that_share_what_they_hold_are_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "LARGEST_DOCUMENT", 1000)
    for shared in ("x" * 100, doubled("x", 7)):
        with pytest.raises(TooLarge, match="in one session"):
            payload.elements({}, [{"value": shared}] * 10)


@given(JSON)
def test_nothing_is_taken_to_be_larger_than_it_is(value: Any) -> None:
    held = {"a": value, "b": [value, value]}
    assert JsonSurvey().size(held, "") <= len(orjson.dumps(held))
    assert JsonSurvey().size(held, "") == JsonSurvey().size(orjson.loads(orjson.dumps(held)), "")


@pytest.mark.parametrize("levels", [251, 252])
def test_a_part_is_as_deep_as_the_deepest_place_that_names_it(levels: int) -> None:
    shared = chained(100)
    deeper = shared
    for _ in range(levels - 101):
        deeper = [deeper]
    held = {"a": {"shallow": shared}, "b": deeper}
    survey = JsonSurvey(lambda _: None, deepest=payload.DEEPEST)
    if levels < payload.DEEPEST - 1:
        survey.size(held, "state")
    else:
        held["b"] = [deeper]
        with pytest.raises(InvalidDocument, match=r"^state\.b.*nested deeper"):
            survey.size(held, "state")
