"""``vaultsession demo --which assistant``: one assistant on one machine, over restarts and a kill."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ... import output
from ...chat.echo import echo
from .stage import Stage, say, transcript

_ID = "alice/assistant"


def thinks_for_ever(messages: list[dict[str, Any]]) -> Iterator[str]:
    """An agent that is killed before it has answered."""
    yield from echo(messages)
    sys.stdout.write("\n")
    sys.stdout.flush()
    time.sleep(3600)


def _first_life(stage: Stage) -> None:
    stage.make()
    process, told = stage.run("chat", _ID, said="Hello! My name is Alice.\n")
    say(f"Process {process} answered one message, and ended:")
    say(told.strip(), "green")


def _second_life(stage: Stage) -> None:
    process, told = stage.run("chat", _ID, said="What is my name?\n")
    say(f"Process {process} knows what the first one was told, from the vault alone:")
    say(told.strip(), "green")


def _killed(stage: Stage) -> None:
    with stage.process("chat", _ID, "--agent", f"{__name__}:thinks_for_ever") as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        process.stdin.write(b"Remember to water the plants.\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    with stage.store() as store:
        say(f"Process {process.pid} was killed in the midst of its answer. In the vault are")
        say(f"{output.counted(len(store.messages(_ID)), 'message')}, the last of them:")
        transcript(store.messages(_ID, last=1))


def _third_life(stage: Stage) -> None:
    process, told = stage.run("chat", _ID, said="/retry\n/count\n")
    say(f"Process {process} answers what was left unanswered, and nothing had to be said twice:")
    for line in told.splitlines():
        say(line, "green")


def _code(stage: Stage) -> None:
    agent_seen: list[int] = []

    def agent(messages: list[dict[str, Any]]) -> str:
        agent_seen.append(len(messages))
        return "You have told me your name, and of the plants."

    with stage.store() as store:
        chat = store.conversation(_ID, agent=agent, window=4, lease=True)
        reply = chat.send("What do you know?")
    say('chat = store.conversation("alice/assistant", agent=agent, window=4, lease=True)', "dim")
    say('chat.send("What do you know?").text', "dim")
    say(reply.text, "green")
    say(f"The agent saw the newest {agent_seen[0]} of {output.counted(reply.session.message_count - 1, 'message')}.")


STEPS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("An assistant, and the first life of its process", _first_life),
    ("The second life", _second_life),
    ("A kill in the midst of an answer", _killed),
    ("The third life", _third_life),
    ("The same in a program", _code),
)
