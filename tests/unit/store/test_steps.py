"""What an agent may say, and which messages come of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from vaultsession import InvalidDocument, Step
from vaultsession.format.tool_calls import involves_tool, results
from vaultsession.store.steps import MessageAssembler, text_of

CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "42"}
USE = {"role": "assistant", "content": [{"type": "text", "text": "Let me look."}, {"type": "tool_use", "id": "1"}]}
BROUGHT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "42"}]}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def gathered(*pieces: object) -> tuple[list[Any], list[str], bool]:
    call = MessageAssembler()
    read = [call.add(piece) for piece in pieces]
    return call.complete(), read, call.done


@pytest.mark.parametrize(
    ("pieces", "messages", "done"),
    [
        (["Hi"], [said("Hi")], True),
        ([""], [], True),
        ([], [], True),
        (["He", "", "llo"], [said("Hello")], True),
        ([{"anything": 1}], [{"anything": 1}], True),
        (["a", {"role": "x"}, "b", "c"], [said("a"), {"role": "x"}, said("bc")], True),
        ([["a", "b", {"n": 1}]], [said("a"), said("b"), {"n": 1}], True),
        ([("a",), "b"], [said("a"), said("b")], True),
        ([CALL], [CALL], False),
        ([[CALL, RESULT]], [CALL, RESULT], False),
        ([CALL, RESULT, "It is 42."], [CALL, RESULT, said("It is 42.")], True),
        ([USE], [USE], False),
        ([BROUGHT], [BROUGHT], False),
        ([Step("more", done=False)], [said("more")], False),
        ([Step([CALL], done=True)], [CALL], True),
        ([Step(done=False)], [], False),
        ([Step({"n": 1})], [{"n": 1}], True),
        ([Step("x", done=False), "y"], [said("xy")], True),
    ],
)
def test_what_is_said_becomes_messages_and_ends_the_turn_or_not(
    pieces: Sequence[object], messages: list[Any], done: bool
) -> None:
    found, _, ended = gathered(*pieces)
    assert (found, ended) == (messages, done)


def test_what_people_read_is_the_assistants_text_with_messages_set_apart() -> None:
    _, read, _ = gathered("He", "llo", {"role": "tool", "content": "secret"}, said("You"), ["a", "", "b"])
    assert read == ["He", "llo", "", "\n\nYou", "\n\na\n\nb"]
    later = MessageAssembler(has_text=True)
    assert later.add("x") == "\n\nx"


@pytest.mark.parametrize("wrong", [None, 5, b"bytes", {1, 2}, [5], [["nested"]], Step(5), Step([None])])  # type: ignore[arg-type]
def test_anything_else_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidDocument, match="an agent"):
        MessageAssembler().add(wrong)


def test_of_a_call_that_broke_off_the_cut_text_is_marked_or_left_out() -> None:
    call = MessageAssembler()
    for piece in ("whole", {"role": "x"}, "cu", "t"):
        call.add(piece)
    assert call.interrupted(partial=False) == [said("whole"), {"role": "x"}]
    assert call.interrupted(partial=True) == [said("whole"), {"role": "x"}, {**said("cut"), "interrupted": True}]


def test_the_text_of_a_message_is_its_string_or_its_blocks_of_text() -> None:
    assert text_of(said("x")) == "x"
    assert text_of({"content": "no role"}) == "no role"
    assert text_of(USE) == "Let me look."
    assert text_of({"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "text"}, 5]}) == "a"
    assert text_of(CALL) == text_of({"role": "user", "content": "x"}) == text_of({}) == ""


def test_tools_are_known_by_the_two_usual_shapes() -> None:
    assert [involves_tool(message) for message in (CALL, RESULT, USE, BROUGHT, said("x"))] == [True] * 4 + [False]
    assert [bool(results(message)) for message in (CALL, RESULT, USE, BROUGHT)] == [False, True, False, True]
    assert not involves_tool({"tool_calls": []})


def test_a_step_shows_nothing_of_what_is_said() -> None:
    assert repr(Step("secret")) == "<Step, done>"
    assert repr(Step("secret", done=False)) == "<Step, goes on>"
