"""Random programs over LangGraph's checkpointers: ours must answer as InMemorySaver does, whoever reads."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
from frameworks import require

from vaultsession import open_store

require("langgraph.checkpoint.memory")
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage  # noqa: E402 - behind the test that they are there
from langgraph.checkpoint.memory import InMemorySaver  # noqa: E402 - as above
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # noqa: E402 - as above

from vaultsession.format import thread_log  # noqa: E402 - as above
from vaultsession.integrations.langgraph import VaultSaver, thread_logs  # noqa: E402 - as above

CHANNELS = ("messages", "notes", "number", "delta", "branch:to:agent")
QUICK, ALL = 40, 1000


class Program:
    """One seed's actions on two savers. What it observes is compared; ``observed`` counts it."""

    def __init__(self, seed: int, ours: Callable[[], VaultSaver]) -> None:
        self.random = random.Random(seed)
        self.reopen = ours
        self.ours = ours()
        self.theirs = InMemorySaver()
        self.serial = 0
        self.versions = 0
        self.known: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.observed = 0

    def run(self, steps: int) -> None:
        actions = [
            *[self.put] * 8,
            *[self.writes] * 4,
            *[self.get] * 3,
            self.list,
            self.delta,
            self.restart,
            self.delete,
        ]
        for _ in range(steps):
            self.random.choice(actions)()
        for thread, space in [*self.known]:
            self.compare(lambda saver, at=(thread, space): saver.get_tuple(config(*at)))
            self.compare(lambda saver, at=(thread, space): [*saver.list(config(*at))])

    def place(self) -> tuple[str, str]:
        return self.random.choice(["a", "a", "a", "b/%"]), self.random.choice(["", "", "", "child:1"])

    def put(self) -> None:
        thread, space = self.place()
        here = self.known.setdefault((thread, space), [])
        parent = None
        if here and self.random.random() < 0.95:
            parent = here[-1] if self.random.random() < 0.85 else self.random.choice(here)
        state = copy.deepcopy(parent["values"]) if parent else {}
        versions = dict(parent["versions"]) if parent else {}
        new = {}
        for channel in self.random.sample(CHANNELS, self.random.randint(0, 3)):
            self.versions += 1
            new[channel] = versions[channel] = f"{self.versions:08}.{self.random.random()}"
            self.change(state, channel)
        if self.random.random() < 0.05 and versions:  # a version that no channel's value was ever given for
            versions[self.random.choice([*versions])] = "unknown"
        self.serial += 1
        name = f"{self.serial:06}"
        if here and self.random.random() < 0.06:  # put again, behind its own parent: in memory a circle has no end
            again = self.random.choice(here)
            name, parent = again["id"], again["parent"]
        elif self.random.random() < 0.08:
            name = f"{self.random.randrange(self.serial):06}-{self.serial}"  # of a machine whose clock is behind
        checkpoint = {
            "v": 2,
            "id": name,
            "ts": "2026-11-30T00:00:00+00:00",
            "channel_values": copy.deepcopy(state),
            "channel_versions": dict(versions),
            "versions_seen": {"agent": dict(versions)},
            "updated_channels": None,
        }
        metadata = {"source": "loop", "step": self.serial % 7, "parents": {}, "run_id": f"r{self.serial % 3}"}
        at = config(thread, space, parent["id"] if parent else None)
        self.compare(lambda saver: saver.put(at, copy.deepcopy(checkpoint), dict(metadata), dict(new)))
        here[:] = [each for each in here if each["id"] != name] + [
            {"id": name, "values": state, "versions": versions, "parent": parent}
        ]

    def message(self) -> Any:
        text = self.random.choice(
            ["hi", "größer 文字 \x00", "a longer text of some words " * self.random.randint(1, 4)]
        )
        name = f"m{self.random.randrange(10_000)}"
        return self.random.choice(
            [
                HumanMessage(content=text, id=name),
                AIMessage(content=text, id=name, tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c"}]),
                ToolMessage(content=[{"type": "text", "text": text}], tool_call_id="c", id=name),
            ]
        )

    def change(self, state: dict[str, Any], channel: str) -> None:
        choose = self.random.random()
        if channel == "messages":
            messages = state.setdefault("messages", [])
            if choose < 0.7 or not messages:
                messages += [self.message() for _ in range(self.random.randint(1, 3))]
            elif choose < 0.8:
                self.random.choice(messages).additional_kwargs["seen"] = self.random.choice([1, True, 1.0, "1"])
            elif choose < 0.9:
                del messages[self.random.randrange(len(messages))]
            else:
                self.random.shuffle(messages)
        elif channel == "notes":
            state["notes"] = [
                *state.get("notes", []),
                self.random.choice([b"\x00\xff", "x" * 30, 1, None, {"a": [1.5]}]),
            ]
            if choose < 0.2:
                state["notes"] = state["notes"][1:]
        elif channel == "delta":
            state.pop("delta", None)
            if choose < 0.3:
                state["delta"] = _DeltaSnapshot([self.serial])
        elif choose < 0.3:
            state.pop(channel, None)
        else:
            state[channel] = self.random.choice([None, b"bytes", "text", {"deep": [1, {"x": (1, 2)}]}, 2**60])

    def writes(self) -> None:
        thread, space = self.place()
        here = self.known.get((thread, space), [])
        of = self.random.choice(here)["id"] if here and self.random.random() < 0.95 else f"{self.serial + 3:06}"
        written = [
            (self.random.choice(["messages", "delta", "number", "__error__", "__interrupt__", "__resume__"]), value)
            for value in self.random.choices(
                [[self.message()], self.message(), "text", None, b"\xff" * 40, [1, 2]], k=2
            )
        ]
        task, path = f"task{self.random.randrange(3)}", self.random.choice(["", "~__pregel_pull, a", "b"])
        at = config(thread, space, of)
        self.compare(lambda saver: saver.put_writes(at, copy.deepcopy(written), task, path))

    def get(self) -> None:
        thread, space = self.place()
        here = self.known.get((thread, space), [])
        name = self.random.choice(here)["id"] if here and self.random.random() < 0.5 else None
        self.compare(lambda saver: saver.get_tuple(config(thread, space, name)))

    def list(self) -> None:
        thread, space = self.place()
        at = self.random.choice([None, config(thread, space), {"configurable": {"thread_id": thread}}])
        wanted = self.random.choice([None, {"step": 1}, {"step": 2, "source": "loop"}, {"nothing": 1}])
        before = self.random.choice([None, config(thread, space, f"{self.random.randrange(self.serial + 1):06}")])
        limit = self.random.choice([None, 0, 1, 3]) if at == config(thread, space) else None
        self.compare(
            lambda saver: sorted(saver.list(at, filter=wanted, before=before, limit=limit), key=place_of),
        )

    def delta(self) -> None:
        thread, space = self.place()
        here = self.known.get((thread, space), [])
        name = self.random.choice(here)["id"] if here and self.random.random() < 0.5 else None
        at = config(thread, space, name)
        self.compare(lambda saver: saver.get_delta_channel_history(config=at, channels=["delta", "messages", "never"]))

    def restart(self) -> None:
        self.ours.close()
        self.ours = self.reopen()

    def delete(self) -> None:
        if self.random.random() < 0.2:
            thread = self.random.choice(["b/%", "none"])
            self.compare(lambda saver: saver.delete_thread(thread))
            self.known = {at: here for at, here in self.known.items() if at[0] != thread}

    def compare(self, observe: Callable[[Any], Any]) -> None:
        self.observed += 1
        ours, theirs = exact(observe(self.ours)), exact(observe(self.theirs))
        if ours != theirs:  # without a diff, which takes minutes
            pytest.fail(f"{ours!r:.2000}\nis not\n{theirs!r:.2000}")


def config(thread: str, space: str, name: str | None = None) -> dict[str, Any]:
    found = {"thread_id": thread, "checkpoint_ns": space}
    return {"configurable": found if name is None else {**found, "checkpoint_id": name}}


def place_of(found: Any) -> tuple[str, ...]:
    at = found.config["configurable"]
    return at["thread_id"], at["checkpoint_ns"], at["checkpoint_id"]


def exact(value: Any) -> Any:
    """The value with the type of each part: 1, 1.0 and True are three."""
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    if isinstance(value, _DeltaSnapshot):
        return ("snapshot", exact(value.value))
    if isinstance(value, list | tuple):
        return [type(value).__name__ if isinstance(value, tuple) else "list", *map(exact, value)]
    if hasattr(value, "model_dump"):
        return (type(value).__name__, exact(value.model_dump()))
    return (type(value).__name__, value)


@pytest.mark.parametrize(
    "seed", [seed if seed < QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(ALL)]
)
def test_a_program_observes_the_same_as_in_memory(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:  # ends of logs are read, of short ones too
        monkeypatch.setattr(thread_log, "_WHOLE_FROM", 600)
        monkeypatch.setattr(thread_log, "_WHOLE_AGAIN", 1)
        monkeypatch.setattr(thread_logs, "_SHORT", 3)
        monkeypatch.setattr(thread_logs, "_LOOK", 2)
    with open_store("memory://") as store:
        program = Program(seed, lambda: VaultSaver(store))
        program.run(40)
        assert program.observed > 20
