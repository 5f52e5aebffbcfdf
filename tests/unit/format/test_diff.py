"""A document made of another by what differs is the document, whatever the bodies and whatever was changed."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vaultsession.format import diff, document, payload
from vaultsession.format.document import Change

NAMES = st.sampled_from(["a", "b", "pop", "trim", "set"])
STATE = st.dictionaries(NAMES, st.integers(0, 3) | st.text("x,\n", max_size=3) | st.just({"deep": [1]}), max_size=4)
MESSAGES = st.lists(st.builds(lambda n: {"n": n}, st.integers(0, 4)), max_size=6)
STEPS = st.lists(
    st.tuples(st.integers(0, 4), STATE, st.lists(NAMES, max_size=2, unique=True), MESSAGES, st.integers(0, 4)),
    max_size=5,
)
EDITS = st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 8), MESSAGES)


def written(state, messages, steps, largest):
    """Bodies as writers make them: a document in segments, then changes of every kind."""
    bodies = list(document.segments(orjson.dumps(state), list(map(orjson.dumps, messages)), largest=largest))
    count = len(messages)
    for pop, setting, unset, added, trim in steps:
        popped = min(pop, count)
        trimmed = min(trim, count - popped + len(added))
        operations = orjson.dumps(Change(popped, setting, unset, trimmed).fields())
        bodies.append(payload.join([operations, *map(orjson.dumps, added)]))
        count += len(added) - popped - trimmed
    return bodies


def edited(messages, edit):
    """A piece replaced, and another put behind: what most edits come to."""
    front, start, end, added = edit
    kept = messages[min(front, len(messages)) :]
    start, end = sorted((min(start, len(kept)), min(end, len(kept))))
    return [*kept[:start], *added, *kept[end:]]


def agrees(bodies, state, messages):
    found = diff.between(bodies, payload.elements(state, messages))
    if found is None:
        # Nothing is refused but another order of the keys, which is kept.
        before = document.state_of(bodies)
        grown = {**{name: value for name, value in before.items() if name in state}, **state}
        assert list(grown) != list(state)
        return None
    made = [*bodies, found.text]
    assert document.parse(made) == (state, messages)
    assert list(document.state_of(made)) == list(state)
    assert document.merged(made) == list(document.segments(orjson.dumps(state), list(map(orjson.dumps, messages))))
    assert found.growth == len(messages) - len(document.elements(bodies))
    assert found.messages == len(payload.split(found.text)) - 1
    assert 0 <= found.dropped <= sum(map(len, bodies))
    for wanted in range(len(messages) + 1):
        tail = document.tail(reversed(made), wanted)
        assert [payload.parse(each) for each in tail] == messages[len(messages) - wanted :]
    return found


@pytest.mark.slow
@given(STATE, MESSAGES, STEPS, st.sampled_from([8, 30, 1000]), STATE, EDITS, st.booleans())
@example({}, [{"n": 1}, {"n": 2}], [(2, {}, [], [], 0)], 8, {}, (0, 0, 0, [{"n": 1}, {"n": 2}]), True)
def test_a_document_made_by_what_differs_is_the_document(state, messages, steps, largest, other, edit, same):
    bodies = written(state, messages, steps, largest)
    state, messages = document.parse(bodies)
    agrees(bodies, state if same else {**state, **other}, edited(messages, edit))
    agrees(bodies, other, messages)


LONG = [{"n": n, "content": "x" * 100} for n in range(500)]


def differing(state, messages, bodies=None):
    bodies = bodies or list(document.segments(b'{"a":1,"b":[2]}', list(map(orjson.dumps, LONG)), largest=8000))
    return diff.smaller_delta(bodies, payload.elements(state, messages))


@pytest.mark.parametrize(
    ("state", "messages", "text"),
    [
        pytest.param({"a": 1, "b": [2]}, LONG, b"[{}]", id="nothing"),
        pytest.param({"a": 1, "b": [2]}, [*LONG, {"n": 0}], b'[{},\n{"n":0}]', id="a message more"),
        pytest.param({"a": 2, "b": [2]}, LONG, b'[{"set":{"a":2}}]', id="a key set"),
        pytest.param({"b": [2], "c": 3}, LONG, b'[{"set":{"c":3},"unset":["a"]}]', id="a key set, another gone"),
        pytest.param({"a": 1, "b": [2]}, LONG[:-2], b'[{"pop":2}]', id="two messages less"),
        pytest.param({"a": 1, "b": [2]}, LONG[3:], b'[{"trim":3}]', id="the oldest gone"),
        pytest.param({"a": 1, "b": [2]}, [*LONG[2:-1], {}], b'[{"pop":1,"trim":2},\n{}]', id="both ends"),
        pytest.param({"a": True, "b": [2.0]}, LONG, b'[{"set":{"a":true,"b":[2.0]}}]', id="equal, and not the same"),
    ],
)
def test_what_is_written_is_what_changed_and_no_more(state, messages, text):
    found = differing(state, messages)
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize(
    ("state", "messages"),
    [
        pytest.param({"a": 1, "b": [2]}, [], id="all messages gone"),
        pytest.param({"a": 1, "b": [2]}, LONG[:200], id="most of them gone"),
        pytest.param({"a": 1, "b": [2]}, LONG[:10] + LONG[11:], id="one gone near the front"),
        pytest.param({"a": 1, "b": [2]}, LONG + LONG[:200], id="many more"),
        pytest.param({"b": [2], "a": 1}, LONG, id="the keys in another order"),
        pytest.param({"a": 1, "b": ["x" * 20_000]}, LONG, id="a large key"),
    ],
)
def test_a_document_that_changed_much_is_written_whole(state, messages):
    assert differing(state, messages) is None


def test_a_small_document_is_written_whole():
    bodies = [payload.body({"a": 1}, LONG[:100])]
    assert differing({"a": 1}, LONG[:100], bodies) is None


def test_a_value_nested_as_deeply_as_json_goes_is_written_whole():
    deep = []
    for _ in range(payload.DEEPEST - 1):
        deep = [deep]
    payload.body({"a": deep}, LONG)
    assert differing({"a": deep, "b": [2]}, LONG) is None


def test_what_is_dropped_is_counted_in_bytes():
    large = {"content": "y" * 50_000}
    bodies = [payload.body({}, [*LONG, large])]
    found = diff.between(bodies, payload.elements({}, [*LONG, {"n": 1}]))
    assert found is not None
    assert found.dropped == len(orjson.dumps(large))
