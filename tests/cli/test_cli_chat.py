"""``vaultsession chat``: piped, and as a person has it on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest
from cli_lab import PATIENCE, chunks, plain, take_terminal
from vaults import container_in

from vaultsession.cli.chat.agents import agent_named, is_asynchronous
from vaultsession.cli.chat.echo import echo
from vaultsession.errors import InvalidSetting

AGENTS = """
import asyncio, os, time

def shouts(messages):
    return messages[-1]["content"].upper()

async def waits(messages):
    await asyncio.sleep(0)
    return f"awaited {messages[-1]['content']}"

async def streams(messages):
    for piece in ("one ", "two"):
        await asyncio.sleep(0)
        yield piece

def counts(messages):
    return f"{len(messages)} messages, the first of {messages[0]['role']}"

def fails(messages):
    raise ConnectionError("the model has gone")

def hangs(messages):
    yield "half an "
    yield "answer "
    time.sleep(600)

async def hangs_too(messages):
    yield "half an "
    yield "answer "
    await asyncio.sleep(600)

def fails_once(messages):
    if not os.path.exists("failed"):
        open("failed", "w").close()
        raise ConnectionError("the model has gone")
    return "here again"

class Object:
    def __call__(self, messages):
        return "from an object"

    def method(self, messages):
        return "from a method"

made = Object()
number = 5
"""


@pytest.fixture(autouse=True)
def agents(tmp_path: Path) -> None:
    (tmp_path / "agents_here.py").write_text(AGENTS)


def said(place, name="a"):
    with place.open() as store:
        return [(message["role"], message["content"]) for message in store.messages(name)]


# -- piped -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_line_is_answered_and_kept_over_two_processes(place, spawn):
    first = spawn("chat", "a", stdin="My name is Alice.\n\n")
    assert (first.code, first.out, first.err) == (0, "Hello Alice, I will remember that.\n", "")
    second = spawn("chat", "a", stdin="What is my name?\nÿ 漢字")
    assert second.out == "Your name is Alice: you told me.\nYou said: ÿ 漢字\n"
    assert [role for role, _ in said(place)] == ["user", "assistant"] * 3


def test_without_an_id_the_session_is_new_and_said(place, run):
    done = run("chat", stdin="x")
    (name,) = re.findall(r"a new session: (\S+)", done.err)
    assert said(place, name) == [("user", "x"), ("assistant", "You said: x")]


def test_json_lines_are_the_messages_of_each_reply(place, run):
    done = run("chat", "a", "--jsonl", stdin="x\ny\n")
    assert done.out == (
        '{"role": "assistant", "content": "You said: x"}\n{"role": "assistant", "content": "You said: y"}\n'
    )


def test_commands(place, run):
    done = run(
        "chat", "a", stdin="one\n/count\n//slash\n/list\n/switch b\ntwo\n/count\n/clear\n/retry\n/help\n/exit\nno"
    )
    lines = done.out.splitlines()
    assert lines[:3] == ["You said: one", "a: 2 messages", "You said: /slash"]
    assert [line.split("\t")[0] for line in lines[3:5]] == ["id", "a"]
    assert lines[5:8] == ["You said: two", "b: 2 messages", "b: 0 messages"]
    assert any(line.startswith("/switch ID\t") for line in lines[8:])
    assert "Nothing waits for an answer." in done.err
    assert said(place)[-1] == ("assistant", "You said: /slash")
    assert said(place, "b") == []


def test_switching_without_an_id_goes_to_a_new_session(place, run):
    done = run("chat", "a", stdin="/switch\nx\n")
    (name,) = re.findall(r"a new session: (\S+)", done.err)
    assert len(said(place, name)) == 2


@pytest.mark.parametrize(
    ("agent", "answer"),
    [
        ("shouts", "HELLO"),
        ("waits", "awaited hello"),
        ("streams", "one two"),
        ("made", "from an object"),
        ("made.method", "from a method"),
    ],
)
def test_any_callable_answers(agent, answer, place, spawn):
    done = spawn("chat", "a", "--agent", f"agents_here:{agent}", stdin="hello\n")
    assert (done.code, done.out, done.err) == (0, f"{answer}\n", "")
    assert said(place) == [("user", "hello"), ("assistant", answer)]


def test_what_the_agent_sees_can_be_chosen(place, run, monkeypatch):
    monkeypatch.syspath_prepend(".")
    options = ("chat", "a", "--agent", "agents_here:counts")
    assert run(*options, "--system", "Be brief.", stdin="x").out == "2 messages, the first of system\n"
    assert run(*options, "--window", "2", stdin="x").out == "2 messages, the first of assistant\n"
    assert run(*options, stdin="x").out == "5 messages, the first of user\n"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("no_colon", "MODULE:CALLABLE"),
        (":x", "MODULE:CALLABLE"),
        ("no_such_module:x", "cannot be imported"),
        ("agents_here:nobody", "has no nobody"),
        ("agents_here:number", "not callable"),
        ("broken:x", "ZeroDivisionError"),
    ],
)
def test_an_agent_that_is_none_is_usage_and_nothing_is_opened(name, word, place, run, tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    done = run("chat", "a", "--agent", name, stdin="x")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert word in done.err


@pytest.mark.slow
def test_an_agent_that_fails_ends_a_pipe_with_1_and_the_message_is_kept(place, spawn):
    done = spawn("chat", "a", "--agent", "agents_here:fails_once", stdin="x\ny\n")
    assert (done.code, done.out) == (1, "")
    assert "ConnectionError: the model has gone" in done.err
    assert "Traceback" not in done.err
    assert said(place) == [("user", "x")]
    again = spawn("chat", "a", "--agent", "agents_here:fails_once", stdin="/retry\n")
    assert again.out == "here again\n"
    assert said(place) == [("user", "x"), ("assistant", "here again")]
    assert "Traceback" in spawn("chat", "a", "--agent", "agents_here:fails", stdin="x", VAULTSESSION_DEBUG="1").err


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (("a",), "/nothing\n", 2),
        (("",), "x", 2),
        (("a",), b"\xff\n", 2),
        (("a", "--window", "0"), "x", 2),
        (("b",), "/retry", 0),
        (("a",), "/switch \x00\n", 0),
        (("a",), "", 0),
    ],
)
def test_what_is_wrong_ends_a_pipe_with_its_code(arguments, stdin, code, place, run):
    done = run("chat", *arguments, stdin=stdin)
    assert done.code == code, done.err
    assert run("ls").rows == []


def test_without_a_vault_it_is_10(run):
    assert run("chat", "a", stdin="x").code == 10


def test_a_damaged_session_is_6_and_nothing_is_added(place, run):
    run("chat", "a", stdin="x")
    file = place.file("a")
    data = bytearray(container_in(file))
    data[-20] ^= 1
    file.write_bytes(data)
    assert run("chat", "a", stdin="y").code == 6
    assert file.read_bytes() == data


def test_a_reader_that_leaves_is_no_error_message(place, executable):
    with subprocess.Popen(
        [*executable, "chat", "a"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"x\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"You said: x\n"
        process.stdout.close()
        process.stdin.write(b"y\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 141
    assert said(place)[2] == ("user", "y")


# -- on a terminal -----------------------------------------------------------------------------------------------------


@pytest.fixture
def person(executable):
    """Types each text when what it waits for has come since the last one; the exit code and all that was seen."""

    def talking(*arguments: str, typed: tuple[tuple[str, Any], ...], columns: int = 80) -> tuple[int, str]:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen(
            [*executable, "chat", *arguments],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1"},
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509 - nothing else runs in this process
        )
        os.close(follower)
        seen, place = "", 0
        try:
            for awaited, text in (*typed, (None, "")):
                while awaited is None or not (found := re.compile(awaited, re.DOTALL).search(plain(seen), place)):
                    ready, _, _ = select.select([leader], [], [], PATIENCE)
                    assert ready, f"{awaited!r} never came; seen {seen[place:]!r}"
                    chunk = next(chunks(leader), b"")
                    if not chunk:
                        break
                    seen += chunk.decode(errors="replace").replace("\r\n", "\n")
                if awaited is not None:
                    assert found, f"{awaited!r} never came; seen {seen[place:]!r}"
                    place = found.end()
                    os.write(leader, (text if isinstance(text, str) else text()).encode())
            return process.wait(PATIENCE), plain(seen)
        finally:
            process.kill()
            process.wait()
            os.close(leader)

    return talking


BEGUN = "Ctrl-D leaves.*> "


@pytest.mark.slow
def test_a_person_talks_and_leaves_with_ctrl_d(place, person):
    code, text = person("a", typed=((BEGUN, "my name is Alice\r"), ("remember that.*> ", "\x04")))
    assert code == 0
    assert "a: 0 messages. /help shows the commands" in text
    assert "assistant\n  Hello Alice, I will remember that.\n" in text
    assert "a: 2 messages. Go on with: vaultsession chat a" in text
    assert len(said(place)) == 2


@pytest.mark.slow
def test_a_person_sees_where_it_stopped_and_has_it_in_the_history(place, person, run):
    run("chat", "a", stdin="first\n")
    code, text = person(
        "a",
        "--agent",
        "agents_here:shouts",
        typed=(
            (BEGUN, "\x1b[A"),
            ("first", "\r"),
            ("FIRST.*> ", "/co\t"),
            ("/co.*unt", "\r"),
            ("4 messages.*> ", "/exit\r"),
        ),
    )
    assert code == 0
    assert "user\n  first\n" in text
    assert "elsewhere" not in text


@pytest.mark.slow
def test_two_windows_see_what_is_said_in_the_other(place, person, spawn):
    def other_window() -> str:
        assert spawn("chat", "a", stdin="from the side\n").code == 0
        return "two\r"

    code, text = person(
        "a",
        "--agent",
        "agents_here:counts",
        typed=((BEGUN, "one\r"), ("1 messages.*> ", other_window), ("5 messages, the first of user.*> ", "\x04")),
    )
    assert code == 0
    assert "Said elsewhere, 2 messages:\nuser\n  from the side\n\nassistant\n  You said: from the side\n" in text
    assert text.count("Said elsewhere") == 1
    assert len(said(place)) == 6


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["hangs", "hangs_too"])
def test_ctrl_c_during_a_reply_keeps_what_was_said_and_the_vault_whole(agent, place, person, run):
    code, text = person(
        "a",
        "--agent",
        f"agents_here:{agent}",
        typed=((BEGUN, "x\r"), ("half an answer", "\x03"), ("Interrupted.*> ", "/count\r"), ("2 messages.*> ", "\x04")),
    )
    assert code == 0
    assert "Traceback" not in text
    with place.open() as store:
        assert store.messages("a") == [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "half an answer ", "interrupted": True},
        ]
        with store.lease("a", timeout=0):
            pass
    assert run("verify").code == 0


@pytest.mark.slow
def test_a_person_is_told_what_goes_wrong_and_goes_on(place, person):
    code, text = person(
        "a",
        "--agent",
        "agents_here:fails_once",
        typed=(
            (BEGUN, "x\r"),
            ("The agent failed.*> ", "/nothing\r"),
            ("there is no /nothing.*> ", "\x03"),
            ("/exit leaves.*> ", "/retry\r"),
            ("here again.*> ", "/clear\r"),
            (r"\[y/N\]", "y\r"),
            ("a: 0 messages\n.*> ", "/switch \x16\x00\r"),
            ("> ", "/exit\r"),
        ),
    )
    assert code == 0
    assert "Traceback" not in text
    assert said(place) == []


@pytest.mark.slow
def test_a_window_waits_for_the_turn_of_another_and_says_so(place, person):
    with place.open() as store, store.lease("a"):
        code, _ = person("a", typed=((BEGUN, "x\r"), ("waits for its turn", "\x03"), ("Interrupted.*> ", "\x04")))
        assert code == 0
        assert not store.exists("a")


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 40])
def test_what_is_said_is_wrapped_and_cannot_move_the_cursor(columns, place, person):
    with place.open() as store:
        store.create("a", messages=[{"role": "user", "content": "\x1b[2Jgone\u202e " + "word " * 40}])
    code, text = person(
        "a",
        "--agent",
        "agents_here:shouts",
        columns=columns,
        typed=(("no answer.*> ", "/retry\r"), ("WORD.*> ", "\x04")),
    )
    assert code == 0
    assert "\x1b[2J" not in text
    assert max(len(line) for line in text.splitlines() if line.startswith("  ")) <= columns
    assert "\\x1b[2JGONE\\u202e WORD" in text


# -- the agent that needs no model -------------------------------------------------------------------------------------


def test_the_echo_remembers_a_name_from_the_history_alone():
    def answer(*said):
        return "".join(echo([{"role": "user", "content": text} for text in said]))

    assert answer("What's my name?") == "You have not told me your name."
    assert answer("My name is O'Neill!") == "Hello O'Neill, I will remember that."
    assert answer("my name is Bob", "x", "What is my name") == "Your name is Bob: you told me."
    assert answer("two\n lines ") == "You said: two\n lines "
    assert answer(" ") == answer() == "I am listening."
    assert "".join(echo([{"role": "user", "content": ["blocks"]}])) == "I am listening."


def test_agents_are_known_by_what_their_call_is(monkeypatch):
    monkeypatch.syspath_prepend(".")
    assert [is_asynchronous(agent_named(f"agents_here:{name}")) for name in ("waits", "streams", "made", "shouts")] == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(InvalidSetting):
        agent_named("agents_here:made.nothing")


@pytest.mark.parametrize(
    ("id", "command"),
    [("it's mine; rm -rf ~", "vaultsession chat 'it'\"'\"'s mine; rm -rf ~'"), ("-x", "vaultsession chat -- -x")],
)
def test_the_command_to_go_on_with_can_be_pasted(id, command, place, person):
    code, text = person("--", id, typed=((BEGUN, "\x04"),))
    assert code == 0
    assert f"Go on with: {command}" in " ".join(text.split())
