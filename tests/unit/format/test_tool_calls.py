"""What an agent sees of tool calls: never a result without its call, never a call that nothing answers before a turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession import SessionStore, open_store
from vaultsession.format.tool_calls import UNANSWERED, accepted, calls, cut, results

Message = dict[str, Any]
USER: Message = {"role": "user", "content": "weather?"}
SAID: Message = {"role": "assistant", "content": "It rains."}


def chat(*names: str) -> Message:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": name, "type": "function"} for name in names]}


def chat_result(name: str) -> list[Message]:
    return [{"role": "tool", "tool_call_id": name, "content": "rain"}]


def block(*names: str) -> Message:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": name, "name": "w"} for name in names]}


def block_result(*names: str) -> list[Message]:
    found = [{"type": "tool_result", "tool_use_id": name, "content": "rain"} for name in names]
    return [{"role": "user", "content": found}]


def item(name: str) -> Message:
    return {"type": "function_call", "call_id": name, "name": "w", "arguments": "{}"}


def item_result(name: str) -> list[Message]:
    return [{"type": "function_call_output", "call_id": name, "output": "rain"}]


FORMATS = pytest.mark.parametrize(
    ("call", "result"), [(chat, chat_result), (block, block_result), (item, item_result)], ids=["chat", "block", "item"]
)


def refusal(history: Sequence[Message]) -> str:
    """Why a model API refuses a history that ends with a user's message; nothing where it does not."""
    called: list[object] = []
    waiting: list[object] = []
    for message in history:
        brought = results(message)
        if not set(brought) <= set(called):
            return "a result without its call"
        waiting = [name for name in waiting if name not in brought]
        if not brought and not calls(message) and waiting:
            return "a call that nothing answers"
        called += calls(message)
        waiting += calls(message)
    return ""


@FORMATS
def test_what_is_whole_stays_as_it_is(call: Any, result: Any) -> None:
    history = [USER, call("c1"), *result("c1"), SAID, call("c2"), *result("c2"), SAID, USER]
    assert accepted(history) == history
    assert not refusal(history)


@FORMATS
@pytest.mark.parametrize("most", range(1, 9))
@pytest.mark.parametrize("how", ["max_messages", "window"])
def test_a_cut_never_parts_a_result_from_its_call(call: Any, result: Any, most: int, how: str) -> None:
    turns = [USER, call("c1"), *result("c1"), call("c2"), *result("c2"), SAID]
    seen: list[list[Message]] = []

    def agent(history: list[Message]) -> str:
        seen.append(history)
        return "ok"

    with open_store("memory://") as store:
        store.create("x", max_messages=most if how == "max_messages" else None)
        store.append("x", *turns)
        store.conversation("x", agent=agent, window=most if how == "window" else None).send("and tomorrow?")
    assert not refusal(seen[0])
    assert seen[0][-1]["content"] == "and tomorrow?"


@FORMATS
@pytest.mark.parametrize(("most", "first"), [(1, 5), (2, 5), (3, 3), (4, 3), (5, 1), (6, 0), (7, 0)])
def test_what_is_stored_is_cut_there_however_it_came(call: Any, result: Any, most: int, first: int) -> None:
    turns = [USER, call("c1"), *result("c1"), call("c2"), *result("c2"), SAID]
    with open_store("memory://") as store:
        store.create("at once", max_messages=most, messages=turns)
        store.create("appended", max_messages=most)
        store.append("appended", *turns)
        store.create("one by one", max_messages=most)
        for message in turns:
            store.append("one by one", message)
            assert not refusal(store.messages("one by one"))
            assert store.messages("one by one")[-1] == message
        store.create("edited", messages=turns)
        with store.edit("edited") as draft:
            draft.max_messages = most
        store.create("whole", messages=turns)
        store.copy("whole", "copied", max_messages=most)
        store.import_(list(store.export(["at once"])), existing="replace")
        for name in ("at once", "appended", "one by one", "edited", "copied"):
            assert store.messages(name) == turns[first:], name
            assert store.load(name).message_count == len(turns) - first


@FORMATS
def test_a_call_with_more_results_than_messages_may_stay_keeps_them_until_the_next(call: Any, result: Any) -> None:
    group = [call("c1"), *result("c1")]
    with open_store("memory://") as store:
        store.create("x", max_messages=1, messages=[USER])
        store.append("x", call("c1"))
        store.append("x", *result("c1"))
        assert store.messages("x") == group
        store.update("x", {"step": 1})  # nor does a change of anything else part them
        assert store.messages("x") == group
        assert store.append("x", SAID).message_count == 1
        store.append("x", *group, SAID, *result("c1"))  # what answers a call again holds nothing
        assert store.load("x").message_count == 1


def test_calls_that_wait_for_their_results_stay_until_somebody_says_something_else() -> None:
    with open_store("memory://") as store:
        store.create("x", max_messages=1, messages=[USER])
        for message in [item("c1"), item("c2"), {"type": "reasoning"}, *item_result("c2"), *item_result("c1")]:
            store.append("x", message)
        assert store.load("x").message_count == 5
        assert store.append("x", item("c3"), USER).message_count == 1


@pytest.mark.parametrize("wrapper", ["message", "payload"])
def test_an_entry_of_a_transcript_is_cut_as_what_it_holds(wrapper: str) -> None:
    entries = [{"type": "entry", wrapper: each} for each in [block("c1"), *block_result("c1"), SAID]]
    with open_store("memory://") as store:
        assert store.create("x", max_messages=2, messages=entries).messages == entries[2:]


MADE = st.lists(
    st.one_of(
        st.sampled_from([USER, SAID]),
        st.builds(lambda make, name: make(name), st.sampled_from([chat, block, item]), st.sampled_from("abc")),
        st.builds(
            lambda make, name: make(name)[0],
            st.sampled_from([chat_result, block_result, item_result]),
            st.sampled_from("abc"),
        ),
    ),
    min_size=1,
    max_size=12,
)


@given(MADE, st.integers(1, 13))
def test_a_cut_is_the_first_place_that_parts_nothing_else_the_last_before(history: list[Message], most: int) -> None:
    pairs = []
    for end, message in enumerate(history):
        for name in results(message):
            asked = [place for place in range(end) if name in calls(history[place])][-1:]
            pairs += [
                (place, end) for place in asked if not any(name in results(history[n]) for n in range(place, end))
            ]
    for place, message in enumerate(history):
        rest = history[place + 1 :]
        goes_on = all(calls(each) or results(each) for each in rest)
        if goes_on and not any({*calls(message)} & {*calls(each), *results(each)} for each in rest):
            pairs += [(place, len(history))] * len(calls(message))
    places = [place for place in range(len(history)) if not any(begin < place <= end for begin, end in pairs)]
    later = [place for place in places if place >= len(history) - most]
    assert cut(len(history), history.__getitem__, most) == (later[0] if later else places[-1])


def test_a_cut_looks_at_no_more_than_it_needs() -> None:
    history = [USER, SAID, chat("c1"), *chat_result("c1"), SAID, *[USER, SAID] * 1000]
    asked: list[int] = []

    def message(number: int) -> Message:
        asked.append(number)
        return history[number]

    assert cut(len(history), message, len(history) - 2) == 2
    assert cut(len(history), message, len(history) - 3) == 4
    assert max(asked) == 3


def test_a_call_that_is_never_answered_holds_no_history_for_ever() -> None:
    history = [chat("never"), *[each for n in range(100) for each in (chat(f"{n}"), *chat_result(f"{n}"))]]
    assert cut(len(history), history.__getitem__, 1) == len(history) - 2
    assert cut(3, history.__getitem__, 1) == 0
    alone = [chat("never"), *[{"type": "event"}] * 100]
    assert [cut(n, alone.__getitem__, 1) for n in (10, 65, 66)] == [0, 0, 65]


@FORMATS
def test_a_window_of_nothing_but_results_shows_their_call(call: Any, result: Any) -> None:
    seen: list[list[Message]] = []

    def agent(history: list[Message]) -> str:
        seen.append(history)
        return "ok"

    group = [call("c1"), *result("c1")]
    with open_store("memory://") as store:
        store.create("x", messages=[USER, SAID, USER, *group])
        store.conversation("x", agent=agent, window=1).answer()
        store.create("y", messages=[USER, {**SAID, "interrupted": True}])
        store.conversation("y", agent=agent, window=1).answer()
    assert seen == [group, [USER]]


def test_of_parallel_calls_that_were_cut_apart_the_one_that_is_there_keeps_its_result() -> None:
    history = [item("c2"), *item_result("c1"), *item_result("c2"), SAID]
    assert accepted(history) == [item("c2"), *item_result("c2"), SAID]
    results_of_both = [{**block_result("c1", "c2")[0]}]
    results_of_both[0]["content"] = [*results_of_both[0]["content"], {"type": "text", "text": "and?"}]
    assert accepted([block("c2"), *results_of_both])[1]["content"][1:] == [{"type": "text", "text": "and?"}]
    assert accepted(results_of_both) == [{"role": "user", "content": [{"type": "text", "text": "and?"}]}]


@FORMATS
def test_after_an_interrupt_between_call_and_result_the_next_message_is_accepted(call: Any, result: Any) -> None:
    seen: list[list[Message]] = []

    def agent(history: list[Message]) -> Any:
        seen.append(history)
        if len(seen) == 1:
            return call("c1")
        if len(seen) == 2:
            raise KeyboardInterrupt  # while the tool runs
        return "ok"

    with open_store("memory://") as store:
        conversation = store.conversation("x", agent=agent)
        with pytest.raises(KeyboardInterrupt):
            conversation.send("weather?")
        assert not conversation.is_answered()
        conversation.send("never mind")
        assert len(seen[2]) == 4
        assert UNANSWERED in repr(seen[2][2])
        assert not refusal(seen[2])
        assert conversation.message_count() == 4  # the stand-in is not written
        assert conversation.is_answered()


@FORMATS
def test_an_open_call_at_the_end_is_left_to_the_agent_that_goes_on(call: Any, result: Any) -> None:
    history = [USER, call("c1")]
    assert accepted(history) == history


def test_a_call_of_which_one_of_two_results_came_gets_the_other() -> None:
    assert not refusal(accepted([USER, chat("a", "b"), *chat_result("a"), USER]))
    seen = accepted([USER, block("a", "b"), *block_result("b"), USER])
    assert [each["tool_use_id"] for each in seen[2]["content"]] == ["a", "b"]
    assert len(seen) == 4
    assert not refusal(accepted([USER, item("a"), item("b"), *item_result("b"), USER]))


def test_nonsense_in_the_place_of_calls_is_no_reason_to_fail() -> None:
    history: list[Message] = [
        {"tool_calls": 5},
        {"tool_calls": [3, {"id": ["x"]}]},
        {"content": [1, {"type": ["tool_use"]}]},
        {"type": {}, "role": "user"},
    ]
    assert [message for message in accepted(history) if message in history] == history


def interrupted(store: SessionStore) -> list[list[Message]]:
    seen: list[list[Message]] = []

    def agent(history: list[Message]) -> Any:
        seen.append(history)
        if len(seen) > 1:
            return "It rains all day."

        def stream() -> Any:
            yield "It ra"
            raise KeyboardInterrupt

        return stream()

    conversation = store.conversation("x", agent=agent)
    with pytest.raises(KeyboardInterrupt):
        conversation.send("weather?")
    assert not conversation.is_answered()
    conversation.answer()
    assert conversation.is_answered()
    return seen


def test_an_answer_that_was_interrupted_is_not_answered_and_can_be_given_again(store: SessionStore) -> None:
    seen = interrupted(store)
    assert seen[1] == [{"role": "user", "content": "weather?"}]
    assert [message["content"] for message in store.messages("x")] == ["weather?", "It ra", "It rains all day."]


def test_a_result_without_an_id_belongs_to_the_call_before_it() -> None:
    history = [USER, chat("1"), {"role": "tool", "content": "42"}, USER]
    assert accepted(history) == history
    assert accepted(history[2:]) == [USER]
