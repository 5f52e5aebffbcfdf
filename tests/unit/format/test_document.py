"""A document as bodies agrees with a plain dict and list, whichever way it is read."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.errors import Damaged, UnsupportedFormat
from vaultsession.format import document, payload
from vaultsession.format.document import Change

NAMES = st.sampled_from(["a", "b", "pop", "trim"])
STATE = st.dictionaries(NAMES, st.integers(0, 9) | st.text("x,\n[]{}", max_size=3), max_size=3)
MESSAGES = st.lists(
    st.builds(lambda n, text: {"n": n, "text": text}, st.integers(0, 99), st.text(",\n]", max_size=40)), max_size=5
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 6), STATE, st.lists(NAMES, max_size=2, unique=True), MESSAGES, st.none() | st.integers(1, 6)
    ),
    max_size=8,
)


class Model:
    """The document as a dict and a list, and its bodies as writers make them."""

    def __init__(self, state, messages, largest):
        self.state, self.messages = dict(state), list(messages)
        first, *elements = payload.split(payload.body(state, messages))
        self.bodies = list(document.segments(first, elements, largest=largest))

    def change(self, pop, setting, unset, added, most):
        """A change as a writer makes one: it pops no more than there is, and trims down to ``most``."""
        pop = min(pop, len(self.messages))
        count = len(self.messages) - pop + len(added)
        trim = max(0, count - most) if most else 0
        change = Change(pop, setting, unset or (), trim)
        assert document.change_of(self._body(change, added)) == change
        self.bodies.append(self._body(change, added))
        self.messages = (self.messages[: len(self.messages) - pop] + added)[trim:]
        self.state = {name: value for name, value in {**self.state, **setting}.items() if name not in unset}

    @staticmethod
    def _body(change, added):
        return b"[" + orjson.dumps(change.fields()) + payload.body({}, added)[3:]

    def agrees(self, bodies):
        assert document.parse(bodies) == (self.state, self.messages)
        assert document.state_of(bodies) == self.state
        assert [payload.parse(element) for element in document.elements(bodies)] == self.messages
        for wanted in range(len(self.messages) + 1):
            for skip in range(len(self.messages) + 1 - wanted):
                end = len(self.messages) - skip
                found = document.tail(reversed(bodies), wanted, skip=skip)
                assert [payload.parse(element) for element in found] == self.messages[end - wanted : end]


@given(STATE, MESSAGES, STEPS, st.integers(1, 200))
def test_every_way_of_reading_agrees_with_a_plain_model(state, messages, steps, largest):
    model = Model(state, messages, largest)
    model.agrees(model.bodies)
    for step in steps:
        model.change(*step)
    model.agrees(model.bodies)


@given(STATE, MESSAGES, STEPS, st.integers(1, 200))
def test_merging_changes_nothing_and_can_be_gone_on_with(state, messages, steps, largest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "SEGMENT", largest)
        patch.setattr(document, "LARGE", largest // 2)
        patch.setattr(document.segments, "__kwdefaults__", {"largest": largest, "follows": False})
        model = Model(state, messages, largest)
        for step in steps:
            model.change(*step)
            before = model.bodies
            model.bodies = document.merged(before)
            model.agrees(model.bodies)
            assert document.parse(before) == document.parse(model.bodies)
            assert sum(body.count(b",\n") for body in model.bodies) == len(model.messages)


@given(STATE, MESSAGES, STEPS, STEPS)
def test_what_was_only_added_since_stands_behind_what_was_merged(state, messages, before, since):
    model = Model(state, messages, 200)
    for step in before:
        model.change(*step)
    known = tuple(model.bodies)
    merged = document.merged(known)
    for step in since:
        model.change(*step)
    added = document.added(tuple(model.bodies), known)
    assert (added is None) is any(document.change_of(body) != document.NO_CHANGE for body in model.bodies[len(known) :])
    if added is not None:
        model.agrees([*merged, *added])
    assert document.added(known[1:], known) is None


def test_merging_keeps_nothing_of_what_was_dropped():
    old = payload.body({"secret": "s" * 200_000}, [{"content": "gone" * 50_000}, {"content": "kept"}])
    replaced = b'[{"pop":0,"set":{"secret":"no"},"trim":1},\n{"content":"new"}]'
    (body,) = document.merged([old, replaced])
    assert body == b'[{"secret":"no"},\n{"content":"kept"},\n{"content":"new"}]'


@pytest.mark.parametrize("operations", [b'{"set":{"x":1}}', b'{"unset":["secret"]}', b'{"trim":1}', b'{"pop":1}'])
def test_a_large_body_at_the_front_is_not_kept_where_a_later_one_changes_what_it_says(operations):
    large = payload.body({"secret": "s" * 200_000}, [{"content": "x" * 100_000}])
    state, messages = document.parse([large, b"[" + operations + b"]"])
    assert document.merged([large, b"[" + operations + b"]"]) == list(
        document.segments(orjson.dumps(state), [orjson.dumps(message) for message in messages])
    )


def test_merging_appends_carries_large_bodies_over_as_they_are():
    large = payload.body({"a": 1}, [{"content": "x" * 200_000}])
    small = [payload.body({}, [{"n": n}]) for n in range(5)]
    merged = document.merged([large, *small])
    assert merged[0] is large
    assert merged[1:] == [payload.body({}, [{"n": n} for n in range(5)])]


def test_a_pop_that_reaches_into_a_large_body_rewrites_it():
    large = payload.body({}, [{"content": "x" * 200_000}, {"content": "old"}])
    bodies = [large, payload.body({}, [{"n": 1}]), b'[{"pop":2}]']
    assert document.merged(bodies) == [payload.body({}, [{"content": "x" * 200_000}])]


@given(st.lists(st.binary(min_size=1, max_size=60).map(lambda data: orjson.dumps(data.hex()))), st.integers(1, 300))
def test_segments_are_bounded_and_hold_everything_in_order(messages, largest):
    bodies = list(document.segments(b'{"a":1}', messages, largest=largest))
    assert [element for body in bodies for element in payload.split(body)[1:]] == messages
    assert [payload.split(body)[0] for body in bodies] == [b'{"a":1}'] + [b"{}"] * (len(bodies) - 1)
    for body in bodies:
        first, *held = payload.split(body)
        assert len(first) + sum(map(len, held)) <= largest or len(held) <= 1
    if len(bodies) > 1:
        short = largest // document.NEWEST
        assert len(held[-1]) > short or sum(map(len, held)) <= short


def test_the_newest_messages_stay_in_a_short_body_when_a_long_history_is_merged():
    messages = [orjson.dumps({"n": n, "x": "y" * 9000}) for n in range(100)]
    bodies = list(document.segments(b'{"a":1}', messages))
    assert document.merged(bodies) == bodies
    small = [payload.body({}, [{"n": n, "x": "z" * 1000}]) for n in range(50)]
    for grown in (document.merged([*bodies, *small]), document.merged([*bodies[:-1], *small])):
        assert len(grown[-1]) <= document.SEGMENT // document.NEWEST + len(grown[-1].splitlines())
        assert document.merged(grown) == grown


def test_newest_asks_for_no_more_bodies_than_it_needs():
    def bodies():
        yield payload.body({}, [{"n": 2}, {"n": 3}])
        yield payload.body({}, [{"n": 0}, {"n": 1}])
        raise AssertionError("nobody needs this one")

    found = document.tail(bodies(), 3)
    assert [payload.parse(element)["n"] for element in found] == [1, 2, 3]
    assert document.tail(bodies(), 0) == []


def test_a_state_that_looks_like_operations_is_a_state():
    full = payload.body({"pop": 5, "trim": 5, "set": {"x": 1}}, [{"n": n} for n in range(3)])
    assert document.parse([full]) == ({"pop": 5, "trim": 5, "set": {"x": 1}}, [{"n": n} for n in range(3)])
    assert len(document.tail(iter([full]), 3)) == 3
    assert len(document.tail(iter([payload.body({}, [{"n": 3}]), full]), 4)) == 4


def test_reading_gives_new_objects_each_time():
    bodies = [payload.body({"a": [1]}, [{"b": [2]}])]
    state, messages = document.parse(bodies)
    state["a"].append(9)
    messages[0]["b"].append(9)
    document.state_of(bodies)["a"].append(9)
    assert document.parse(bodies) == ({"a": [1]}, [{"b": [2]}])


def test_a_change_names_only_what_there_is_to_do():
    assert document.NO_CHANGE.fields() == {}
    assert Change(pop=1, unset=["a"]).fields() == {"pop": 1, "unset": ["a"]}


def test_unsetting_what_is_not_there_changes_nothing():
    state = {"a": 1}
    Change(unset=["b"]).apply_to_state(state)
    assert state == {"a": 1}


@pytest.mark.parametrize("operations", [b'{"push":1}', b'{"pop":1,"colour":"red"}'])
def test_operations_of_another_version_are_named(operations):
    bodies = [b"[{}]", b"[" + operations + b"]"]
    for read in (document.parse, document.state_of, document.elements, document.merged):
        with pytest.raises(UnsupportedFormat, match="another version"):
            read(bodies)


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[]", b"7", b"{}", b'"x"', b"[7]", b"[[]]", b"null", b"[null]", b'{"a":1}']
)
def test_a_first_body_that_is_no_document_is_damage(body):
    with pytest.raises(Damaged):
        document.parse([body])


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b"7", b"[7]", b"[[1]]", b'["x"]'])
def test_a_later_body_that_is_no_change_is_damage(body):
    with pytest.raises(Damaged):
        document.parse([b"[{}]", body])
    with pytest.raises(Damaged):
        document.state_of([b"[{}]", body])
