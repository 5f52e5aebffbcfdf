"""Conversation: turns, what the agent sees, and what stays when anything fails on the way."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import FRESH

from vaultsession import (
    AsyncConversation,
    AsyncSessionStore,
    BackendUnavailable,
    InvalidDocument,
    InvalidSessionId,
    InvalidSetting,
    LeaseTimeout,
    RawKey,
    SessionNotFound,
    SessionStore,
    Step,
    open_store,
)
from vaultsession.testing.clock import ManualClock

ROOT = Path(__file__).parents[3]
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "42"}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def echo(messages: list[dict[str, Any]]) -> str:
    return f"You said {messages[-1]['content']}."


class Scripted:
    """An agent that says one thing per call, and remembers what it was given. An exception is raised."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.given: list[list[Any]] = []

    def __call__(self, messages: list[dict[str, Any]]) -> Any:
        self.given.append(messages)
        says = self.script.pop(0)
        if isinstance(says, BaseException):
            raise says
        return says() if callable(says) else says


def breaks(*pieces: Any, error: BaseException | None = None) -> Callable[[], Iterator[Any]]:
    """A stream that breaks off behind these pieces."""

    def stream() -> Iterator[Any]:
        yield from pieces
        raise error or ConnectionError("the model has gone")

    return stream


# -- turns -------------------------------------------------------------------------------------------------------------


def test_what_is_said_and_answered_is_in_the_session(store: SessionStore) -> None:
    chat = store.conversation("a", agent=echo, user_id="alice", ttl="1h", title="T")
    assert not store.exists("a")
    reply = chat.send("hello")
    assert reply.text == "You said hello."
    assert reply.done
    assert reply.messages == (said("You said hello."),)
    session = store.load("a")
    assert session.messages == [user("hello"), said("You said hello.")]
    assert (session.user_id, session.title) == ("alice", "T")
    assert session.ttl is not None
    assert (reply.session.id, reply.session.message_count) == ("a", 2)


def test_a_conversation_is_loaded_where_there_is_one(store: SessionStore) -> None:
    store.conversation("a", agent=echo).send("one")
    again = store.conversation("a", agent=echo, user_id="not taken: the session is there")
    again.send("two")
    assert again.message_count() == 4
    assert again.history(last=1) == [said("You said two.")]
    assert store.load("a").user_id is None


def test_an_expired_one_begins_anew(store: SessionStore, clock: ManualClock) -> None:
    store.conversation("a", agent=echo, ttl="1h").send("old")
    clock.advance("1h")
    chat = store.conversation("a", agent=echo, ttl="1h")
    assert (chat.history(), chat.message_count()) == ([], 0)
    chat.send("new")
    assert [message["content"] for message in chat.history()] == ["new", "You said new."]


def test_without_an_id_it_has_a_new_one(store: SessionStore) -> None:
    one, other = (store.conversation(agent=echo) for _ in range(2))
    assert one.session_id != other.session_id
    one.send("x")
    assert store.exists(one.session_id)
    assert not store.exists(other.session_id)


def test_a_message_of_any_shape_is_taken_as_it_is(store: SessionStore) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image", "url": "x"}]}
    store.conversation("a", agent=Scripted({"role": "assistant", "content": "A cat.", "usage": {"n": 5}})).send(message)
    assert store.messages("a") == [message, {"role": "assistant", "content": "A cat.", "usage": {"n": 5}}]


def test_clearing_keeps_the_session_and_there_may_be_none(store: SessionStore) -> None:
    chat = store.conversation("a", agent=echo, title="T")
    chat.clear()
    assert not store.exists("a")
    chat.send("x")
    chat.clear()
    assert (chat.message_count(), chat.history(), store.load("a").title) == (0, [], "T")
    assert chat.is_answered()


def test_an_agent_that_says_nothing_adds_nothing(store: SessionStore) -> None:
    reply = store.conversation("a", agent=Scripted("")).send("x")
    assert (reply.text, reply.messages, reply.done, reply.session.message_count) == ("", (), True, 1)


def test_nothing_of_what_is_said_is_in_a_repr(store: SessionStore) -> None:
    chat = store.conversation("a", agent=lambda _: "secret", system="secret")
    shown = repr(chat.send("secret")) + repr(chat)
    assert "secret" not in shown
    assert "'a'" in shown


# -- what the agent sees -----------------------------------------------------------------------------------------------


def test_the_agent_sees_the_system_prompt_and_the_history_and_neither_is_its_to_change(store: SessionStore) -> None:
    def meddles(messages: list[Any]) -> str:
        seen.append([dict(message) for message in messages])
        messages.clear()
        return "ok"

    seen: list[Any] = []
    chat = store.conversation("a", agent=meddles, system="Be brief.")
    chat.send("one")
    chat.send("two")
    prompt = {"role": "system", "content": "Be brief."}
    assert seen == [[prompt, user("one")], [prompt, user("one"), said("ok"), user("two")]]
    assert store.messages("a") == [user("one"), said("ok"), user("two"), said("ok")]


def test_a_window_bounds_what_it_sees_and_begins_with_no_tools_answer(store: SessionStore) -> None:
    store.create("a", messages=[user("1"), CALL, RESULT, RESULT, said("2")])
    agent = Scripted("3", "4")
    store.conversation("a", agent=agent, window=3).send("x")
    assert agent.given[0] == [said("2"), user("x")]
    store.conversation("a", agent=agent, window=1).send("y")
    assert agent.given[1] == [user("y")]


def test_what_a_turn_adds_is_seen_in_it_whatever_the_window(store: SessionStore) -> None:
    agent = Scripted(CALL, RESULT, "42")
    store.conversation("a", agent=agent, window=1).send("x")
    assert agent.given == [[user("x")], [user("x"), CALL], [user("x"), CALL, RESULT]]


# -- tools and iterations ----------------------------------------------------------------------------------------------


def test_a_turn_goes_over_tools_until_the_agent_is_done(store: SessionStore) -> None:
    agent = Scripted([CALL, RESULT], Step("Looking …", done=False), ["a", "b"])
    told: list[str] = []
    reply = store.conversation("a", agent=agent).send("x", on_text=told.append)
    assert reply.messages == (CALL, RESULT, said("Looking …"), said("a"), said("b"))
    assert reply.text == "b"
    assert "".join(told) == "Looking …\n\na\n\nb"
    assert store.messages("a") == [user("x"), *reply.messages]


def test_a_turn_is_bounded_and_can_be_gone_on_with(store: SessionStore) -> None:
    agent = Scripted(CALL, RESULT, CALL, RESULT, "42")
    chat = store.conversation("a", agent=agent, max_iterations=2)
    reply = chat.send("x")
    assert (reply.done, reply.messages, len(agent.given)) == (False, (CALL, RESULT), 2)
    assert not chat.is_answered()
    assert chat.answer(max_iterations=1).messages == (CALL,)
    reply = chat.answer()
    assert (reply.done, reply.text) == (True, "42")
    assert chat.is_answered()
    assert chat.message_count() == 6


def test_each_call_is_written_when_it_has_ended(store: SessionStore) -> None:
    def agent(messages: list[Any]) -> Any:
        written.append(store.messages("a"))
        return [CALL, RESULT] if len(messages) == 1 else iter(["It ", "is ", "42"])

    written: list[Any] = []
    store.conversation("a", agent=agent).send("x")
    assert written == [[user("x")], [user("x"), CALL, RESULT]]
    assert store.messages("a")[-1] == said("It is 42")


def test_a_stream_is_told_as_it_comes_and_written_once(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    appended: list[int] = []
    append = store.append

    def counted(id: str, *messages: Any) -> Any:
        appended.append(len(messages))
        return append(id, *messages)

    monkeypatch.setattr(store, "append", counted)
    store.create("a")
    told: list[str] = []
    reply = store.conversation("a", agent=lambda _: iter("Hello")).send("x", on_text=told.append)
    assert (told, reply.text, appended) == (["H", "e", "l", "l", "o"], "Hello", [1, 1])


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_limits_that_are_none_are_refused_and_nothing_is_written(store: SessionStore, wrong: Any) -> None:
    for habit in ("max_iterations", "window"):
        with pytest.raises(InvalidSetting, match=habit):
            store.conversation("a", agent=echo, **{habit: wrong})
    with pytest.raises(InvalidSetting):
        store.conversation("a", agent=echo).send("x", max_iterations=wrong)
    assert not store.exists("a")


def test_other_mistakes_are_told_at_once(store: SessionStore) -> None:
    with pytest.raises(InvalidSessionId):
        store.conversation("", agent=echo)
    with pytest.raises(InvalidSetting, match="on_failure"):
        store.conversation("a", agent=echo, on_failure="retry")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="callable"):
        store.conversation("a", agent="no agent")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="colour"):
        store.conversation("a", agent=echo, colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidDocument, match="not list"):
        store.conversation("a", agent=echo).send(["x"])  # type: ignore[arg-type]
    with pytest.raises(SessionNotFound):
        store.conversation("a", agent=echo).answer()
    assert not store.exists("a")


# -- failures ----------------------------------------------------------------------------------------------------------

KEPT = {
    "keep": [user("x"), CALL, RESULT, said("whole"), {**said("cut of"), "interrupted": True}],
    "whole": [user("x"), CALL, RESULT, said("whole")],
    "drop": [],
}


@pytest.mark.parametrize("on_failure", KEPT)
@pytest.mark.parametrize("error", [ConnectionError("gone"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_what_stays_when_a_stream_breaks_is_chosen(store: SessionStore, on_failure: Any, error: BaseException) -> None:
    before = [user("before"), said("hello")]
    store.create("a", messages=before)
    agent = Scripted([CALL, RESULT], breaks("whole", {"role": "note"}, "cut", " of", error=error))
    with pytest.raises(type(error)):
        store.conversation("a", agent=agent, on_failure=on_failure).send("x")
    kept = [message for message in store.messages("a") if message != {"role": "note"}]
    assert kept == before + KEPT[on_failure]


@pytest.mark.parametrize("on_failure", ["keep", "whole"])
def test_an_agent_that_fails_at_once_loses_no_message_and_can_be_asked_again(
    store: SessionStore, on_failure: Any
) -> None:
    chat = store.conversation("a", agent=Scripted(ConnectionError(), "Here."), on_failure=on_failure)
    with pytest.raises(ConnectionError):
        chat.send("x")
    assert chat.history() == [user("x")]
    assert not chat.is_answered()
    assert chat.answer().text == "Here."
    assert chat.history() == [user("x"), said("Here.")]


def test_cut_text_is_seen_by_the_agent_without_its_mark(store: SessionStore) -> None:
    agent = Scripted(breaks("half"), "whole")
    chat = store.conversation("a", agent=agent)
    with pytest.raises(ConnectionError):
        chat.send("x")
    chat.send("go on")
    assert agent.given[1] == [user("x"), said("half"), user("go on")]


def test_what_others_wrote_behind_is_never_dropped_with_a_turn(store: SessionStore) -> None:
    def agent(_: list[Any]) -> str:
        store.append("a", user("from elsewhere"))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.conversation("a", agent=agent, on_failure="drop").send("x")
    assert store.messages("a") == [user("x"), user("from elsewhere")]


def test_a_listener_that_raises_breaks_the_stream_which_is_told_so(store: SessionStore) -> None:
    def stream() -> Iterator[str]:
        try:
            yield "one "
            yield "two"
        finally:
            ended.append(True)

    def agent(_: list[Any]) -> Iterator[str]:
        held.append(stream())  # so that it is the conversation that ends it
        return held[0]

    def listener(text: str) -> None:
        raise BrokenPipeError

    ended: list[bool] = []
    held: list[Iterator[str]] = []
    with pytest.raises(BrokenPipeError):
        store.conversation("a", agent=agent).send("x", on_text=listener)
    assert ended == [True]
    assert store.messages("a") == [user("x"), {**said("one "), "interrupted": True}]


@pytest.mark.parametrize("nonsense", [None, 5, [None], Step(5), {"score": float("nan")}])  # type: ignore[arg-type]
def test_an_agent_that_says_nonsense_is_an_error_and_the_message_stays(store: SessionStore, nonsense: Any) -> None:
    with pytest.raises(InvalidDocument):
        store.conversation("a", agent=lambda _: nonsense).send("x")
    assert store.messages("a") == [user("x")]


def test_a_reply_that_the_store_refuses_is_not_lost(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(id: str, *messages: Any) -> Any:
        raise BackendUnavailable("no space left")

    def agent(_: list[Any]) -> str:
        monkeypatch.setattr(store, "append", full)
        return "dear words"

    chat = store.conversation("a", agent=agent)
    with pytest.raises(BackendUnavailable) as raised:
        chat.send("x")
    assert "unsaved" in "".join(raised.value.__notes__)
    assert chat.unsaved == [said("dear words")]
    monkeypatch.undo()
    store.append("a", *chat.unsaved)
    assert chat.history() == [user("x"), said("dear words")]
    chat.clear()
    store.conversation("a", agent=echo).send("y")


def test_a_session_removed_while_the_agent_thinks_is_not_made_again(store: SessionStore) -> None:
    def agent(_: list[Any]) -> str:
        store.delete("a")
        return "too late"

    chat = store.conversation("a", agent=agent)
    with pytest.raises(SessionNotFound):
        chat.send("x")
    assert not store.exists("a")
    assert chat.unsaved == [said("too late")]


def test_a_failure_while_following_the_failure_is_a_note_without_content(store: SessionStore) -> None:
    def agent(_: list[Any]) -> Iterator[str]:
        yield "secret"
        store.delete("a")
        raise ConnectionError

    with pytest.raises(ConnectionError) as raised:
        store.conversation("a", agent=agent).send("x")
    assert "could not be followed" in "".join(raised.value.__notes__)
    assert "secret" not in "".join(raised.value.__notes__)


def test_an_asynchronous_agent_is_sent_to_the_asynchronous_store(store: SessionStore) -> None:
    async def agent(_: list[Any]) -> str:
        return "x"

    with pytest.raises(TypeError, match="AsyncSessionStore"):
        store.conversation("a", agent=agent)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="AsyncSessionStore"):
        store.conversation("a", agent=Scripted(functools.partial(agent, []))).send("x")
    assert store.messages("a") == [user("x")]


# -- several at once ---------------------------------------------------------------------------------------------------


def test_two_who_make_the_session_at_once_both_say_theirs(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    create = store.create

    def late(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        create("a", messages=[user("first")])
        return create(*args, **kwargs)

    monkeypatch.setattr(store, "create", late)
    store.conversation("a", agent=echo).send("second")
    assert store.messages("a") == [user("first"), user("second"), said("You said second.")]


def test_with_a_lease_nobody_says_anything_while_the_agent_answers(store: SessionStore) -> None:
    def agent(_: list[Any]) -> str:
        other = store.conversation("a", agent=echo, lease=True, lease_timeout=0)
        with pytest.raises(LeaseTimeout):
            other.send("meanwhile")
        with pytest.raises(LeaseTimeout):
            other.clear()
        return "done"

    store.conversation("a", agent=agent, lease=True).send("x")
    assert store.messages("a") == [user("x"), said("done")]
    store.conversation("a", agent=Scripted(ConnectionError(), "y"), lease=True, lease_timeout=0)
    with store.lease("a", timeout=0):
        pass


def test_threads_with_a_lease_take_turns(store: SessionStore) -> None:
    def talk(name: str) -> None:
        chat = store.conversation("a", agent=echo, lease=True)
        for number in range(5):
            chat.send(f"{name}{number}")

    threads = [threading.Thread(target=talk, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_turns(store.messages("a"), 15)


def assert_turns(messages: list[dict[str, Any]], turns: int) -> None:
    """Each question is followed by its own answer."""
    questions, answers = messages[::2], messages[1::2]
    assert len(messages) == 2 * turns
    assert [said(f"You said {question['content']}.") for question in questions] == answers


def _talk(path: str, key: str, name: str, turns: int) -> None:
    with open_store(path, key=RawKey.parse(key), durability="os", create=False) as store:
        chat = store.conversation("a", agent=echo, lease=True)
        for number in range(turns):
            chat.send(f"{name}{number}")


def test_processes_with_a_lease_take_turns(open_files: Any, tmp_path: Path, vault_key: RawKey) -> None:
    open_files().close()
    arguments = [(str(tmp_path / "vault"), vault_key.text(), name, 8) for name in ("x", "y")]
    processes = [FRESH.Process(target=_talk, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert_turns(open_files().messages("a"), 16)


_KILLED = """
import sys, vaultsession

def agent(messages):
    if messages[-1]["role"] == "user":
        return [{"role": "assistant", "tool_calls": [{"id": "1"}]}, {"role": "tool", "content": "42"}]
    return stream()

def stream():
    yield "half an ans"
    print("answering", flush=True)
    sys.stdin.read()

key = vaultsession.RawKey.parse(sys.argv[2])
store = vaultsession.open_store(sys.argv[1], key=key)
store.conversation("a", agent=agent, lease=True, on_failure="drop").send("remember me")
"""


def test_a_process_killed_while_answering_leaves_the_message_and_the_calls_that_ended(
    open_files: Any, tmp_path: Path, vault_key: RawKey
) -> None:
    open_files().close()
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "vault"), vault_key.text()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"answering\n"
        process.send_signal(signal.SIGKILL)
    store = open_files()
    kept = store.messages("a")
    assert kept == [
        user("remember me"),
        {"role": "assistant", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "42"},
    ]
    chat = store.conversation(
        "a", agent=lambda messages: f"It was {messages[-1]['content']}.", lease=True, lease_timeout=60
    )
    assert not chat.is_answered()
    assert chat.answer().text == "It was 42."


# -- awaited -----------------------------------------------------------------------------------------------------------

Test = Callable[[AsyncSessionStore], Coroutine[Any, Any, None]]


@pytest.fixture
def run(store: SessionStore) -> Callable[[Test], None]:
    def running(test: Test) -> None:
        async def around() -> None:
            async with AsyncSessionStore(store) as awaited:
                await test(awaited)

        asyncio.run(around())

    return running


def test_every_verb_of_a_conversation_can_be_awaited(run: Any) -> None:
    async def answers(messages: list[Any]) -> str:
        await asyncio.sleep(0)
        return echo(messages)

    async def streams(_: list[Any]) -> Any:
        for piece in ("It ", "is ", "42"):
            await asyncio.sleep(0)
            yield piece

    async def hands_a_stream(messages: list[Any]) -> Any:
        return streams(messages)

    async def test(store: AsyncSessionStore) -> None:
        told: list[str] = []

        async def listener(text: str) -> None:
            told.append(text)

        chat = store.conversation("a", agent=answers, user_id="alice", lease=True, window=5, system="s")
        assert isinstance(chat, AsyncConversation)
        assert (await chat.history(), await chat.message_count()) == ([], 0)
        await chat.clear()
        assert (await chat.send("x")).text == "You said x."
        for agent in (streams, hands_a_stream, lambda _: iter(["It is ", "42"]), Scripted([CALL, RESULT], "It is 42")):
            other = store.conversation("a", agent=agent)
            assert (await other.send("y", on_text=listener)).text == "It is 42"
        assert "".join(told[:3]) == "It is 42"
        assert await chat.message_count() == 12
        assert await chat.is_answered()
        await chat.clear()
        assert await chat.history() == []
        assert (await store.load("a")).user_id == "alice"
        with pytest.raises(SessionNotFound):
            await store.conversation("b", agent=answers).answer()

    run(test)


@pytest.mark.parametrize("on_failure", KEPT)
def test_a_cancelled_turn_leaves_what_is_chosen_and_the_lease(run: Any, on_failure: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        async def agent(messages: list[Any]) -> Any:
            if messages[-1] == user("x"):
                yield [CALL, RESULT]
                return
            try:
                yield "whole"
                yield {"role": "note"}
                yield "cut"
                yield " of"
                answering.set()
                await asyncio.sleep(600)
            finally:
                ended.append(True)

        answering, ended = asyncio.Event(), []
        chat = store.conversation("a", agent=agent, on_failure=on_failure, lease=True, lease_timeout=60)
        task = asyncio.create_task(chat.send("x"))
        await answering.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True]
        kept = [message for message in await store.messages("a") if message != {"role": "note"}]
        assert kept == KEPT[on_failure]
        async with store.lease("a", timeout=60):
            pass

    run(test)


def test_a_turn_cancelled_while_its_reply_is_written_is_written(run: Any, store: SessionStore) -> None:
    """The write settles, so the reply is there although the task was cancelled; and it is there once."""
    begun, go = threading.Event(), threading.Event()
    append = store.append

    def slowly(id: str, *messages: Any, **how: Any) -> Any:
        if messages[0]["role"] == "assistant":
            begun.set()
            go.wait(60)
        return append(id, *messages, **how)

    store.append = slowly  # type: ignore[method-assign]

    async def test(awaited: AsyncSessionStore) -> None:
        task = asyncio.create_task(awaited.conversation("a", agent=lambda _: "reply").send("x"))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await awaited.messages("a") == [user("x"), said("reply")]

    run(test)


def test_awaited_failures_are_those_of_the_blocking_one(run: Any) -> None:
    async def test(store: AsyncSessionStore) -> None:
        def breaking(text: str) -> None:
            raise BrokenPipeError

        async def pieces(_: list[Any]) -> Any:
            try:
                yield "one "
                yield "two"
            finally:
                ended.append(True)

        ended: list[bool] = []
        with pytest.raises(BrokenPipeError):
            await store.conversation("a", agent=pieces).send("x", on_text=breaking)
        assert ended == [True]
        assert await store.messages("a") == [user("x"), {**said("one "), "interrupted": True}]

        async def too_late(_: list[Any]) -> str:
            await store.delete("a")
            return "too late"

        chat = store.conversation("a", agent=too_late)
        with pytest.raises(SessionNotFound):
            await chat.send("y")
        assert chat.unsaved == [said("too late")]
        with pytest.raises(InvalidDocument):
            await store.conversation("b", agent=lambda _: None).send("y")  # type: ignore[arg-type, return-value]

    run(test)
