"""``vaultsession demo --which desktop``: a desktop agent: a key in the OS keyring, several windows on one session."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from ....errors import KeyUnavailable, LeaseTimeout
from ... import output
from ...chat.echo import echo
from .stage import Stage, say, transcript

_ID = "desktop/notes"
_WINDOWS = ("red", "green", "blue")
_TURNS = 3
_BETWEEN_WORDS = 0.01


def takes_its_time(messages: list[dict[str, Any]]) -> Iterator[str]:
    """An agent that other windows could interrupt, if nothing kept them from it."""
    for word in echo(messages):
        time.sleep(_BETWEEN_WORDS)
        yield word


def _make(stage: Stage) -> None:
    try:
        entry = stage.make_in_keyring()
        say(f"Its key is in the {entry}.")
        say("No file holds it, and every window of yours finds it there.")
    except KeyUnavailable as error:
        say(f"{error}.")
        say("So the key lies in a private file, here as for open_store(): where there is a keyring, it is put there.")
    say(f"made in {stage.vault}")


def _windows(stage: Stage) -> None:
    with stage.store() as store:
        store.create(_ID, title="Notes")
    follower = stage.process("tail", _ID, "--follow", "--jsonl", "--last", "100")
    try:
        windows = {name: stage.process("chat", _ID, "--agent", f"{__name__}:takes_its_time") for name in _WINDOWS}
        for name, window in windows.items():
            _write(window, "".join(f"{name} {number}\n" for number in range(1, _TURNS + 1)))
        for window in windows.values():
            stage.ended(window)
        with stage.store() as store:
            messages = store.messages(_ID)
        followed = _lines(follower, len(messages))
    finally:
        follower.terminate()
        follower.communicate()
    ids = ", ".join(str(window.pid) for window in windows.values())
    say(f"Three windows, processes {ids}, say {_TURNS} things each at the same time:")
    transcript(messages[:4])
    say(f"     … {output.counted(len(messages) - 4, 'message')} more", "dim")
    own = sum(answer["content"].endswith(asked["content"]) for asked, answer in zip(*[iter(messages)] * 2, strict=True))
    say(f"Each was answered before the next was heard: {own} of {len(messages) // 2} answers follow their question.")
    say(f"A fourth process followed with `vaultsession tail -f` and saw {followed} of {len(messages)} as they came.")


def _lease(stage: Stage) -> None:
    with stage.store() as one, stage.store() as other, one.lease(_ID):
        chat = other.conversation(_ID, agent=echo, lease=True, lease_timeout=0.1)
        try:
            chat.send("Is it my turn?")
            say("It was answered. That should not happen: please report it.", "bold red")
        except LeaseTimeout as error:
            say(f"{type(error).__name__}: {error}", "red")
        say("Nothing of that turn was written. A window that crashes lets go of its lease.")


def _again(stage: Stage) -> None:
    _, told = stage.run("chat", _ID, said="My name is Alice.\nWhat is my name?\n/count\n")
    say("The next day, in a new window:")
    for line in told.splitlines():
        say(line, "green")


def _write(process: subprocess.Popen[bytes], text: str) -> None:
    """All that the process will hear."""
    if process.stdin is None:
        raise RuntimeError("the process has no pipe")
    process.stdin.write(text.encode())
    process.stdin.close()
    process.stdin = None


def _lines(process: subprocess.Popen[bytes], count: int) -> int:
    """How many of so many lines came."""
    if process.stdout is None:
        raise RuntimeError("the process has no pipe")
    return sum(bool(process.stdout.readline()) for _ in range(count))


STEPS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("A vault for a desktop agent", _make),
    ("Three windows on one conversation", _windows),
    ("What keeps them apart: a lease for each turn", _lease),
    ("Started again", _again),
)
