"""LangGraph's checkpoints in a vault: its own conformance suite, graphs at work, and where things go wrong."""

from __future__ import annotations

import asyncio
import copy
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from frameworks import require

from vaultsession import (
    BackendUnavailable,
    Damaged,
    InvalidDocument,
    InvalidSessionId,
    RawKey,
    SessionExists,
    SessionStore,
    UnsupportedFormat,
    WrongKey,
    open_store,
    open_store_async,
)
from vaultsession.admin.importers import ImportedSession, Skipped, place, read
from vaultsession.testing import ManualClock

require("langgraph.graph")
require("langgraph.checkpoint.sqlite")
conformance = require("langgraph.checkpoint.conformance")
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage  # noqa: E402 - they are there
from langgraph.checkpoint.base import empty_checkpoint  # noqa: E402 - as above
from langgraph.checkpoint.conformance.capabilities import Capability  # noqa: E402 - as above
from langgraph.checkpoint.memory import InMemorySaver  # noqa: E402 - as above
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer  # noqa: E402 - as above
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # noqa: E402 - as above
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402 - as above
from langgraph.graph import END, START, StateGraph  # noqa: E402 - as above
from langgraph.graph.message import add_messages  # noqa: E402 - as above
from langgraph.types import Command, interrupt  # noqa: E402 - as above

from vaultsession.format import thread_log  # noqa: E402 - as above
from vaultsession.integrations.langgraph import VaultSaver  # noqa: E402 - as above

KEY = RawKey(bytes(range(200, 232)))
ALICE: Any = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}


@pytest.fixture
def store() -> Iterator[SessionStore]:
    with open_store("memory://", clock=ManualClock()) as opened:
        yield opened


@pytest.fixture
def saver(store: SessionStore) -> VaultSaver:
    return VaultSaver(store)


def put(saver: Any, config: Any = ALICE, run: str = "r", space: str = "", **values: Any) -> Any:
    """A checkpoint behind that of the configuration, all of whose values are new."""
    config = {"configurable": {**config["configurable"], "checkpoint_ns": space}}
    checkpoint = empty_checkpoint()
    before = saver.get_tuple(config) if "checkpoint_id" in config["configurable"] else None
    versions = dict(before.checkpoint["channel_versions"]) if before else {}
    new = {name: saver.get_next_version(versions.get(name), None) for name in values}
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = versions | new
    return saver.put(config, checkpoint, {"source": "loop", "step": 1, "parents": {}, "run_id": run}, new)


def values(saver: Any, config: Any = ALICE) -> Any:
    found = saver.get_tuple(config)
    return None if found is None else found.checkpoint["channel_values"]


# -- their suite -------------------------------------------------------------------------------------------------------


def conformed(name: str, capability: Capability, saver: VaultSaver) -> Any:
    async def made() -> Any:
        yield saver

    registered = conformance.checkpointer_test(name=name)(made)
    report = asyncio.run(conformance.validate(registered, capabilities={capability.value}))
    return report.results[capability.value]


@pytest.mark.parametrize("capability", [*Capability], ids=lambda each: each.value)
def test_it_conforms(capability: Capability, saver: VaultSaver) -> None:
    result = conformed("VaultSaver", capability, saver)
    assert (result.failures, result.tests_failed) == ([], 0)
    assert result.tests_passed >= 5
    saver.close()


@pytest.mark.slow
@pytest.mark.parametrize("capability", [*Capability], ids=lambda each: each.value)
def test_it_conforms_on_files_and_under_another_cipher(capability: Capability, tmp_path: Path) -> None:
    serde = EncryptedSerializer.from_pycryptodome_aes(key=bytes(32))
    with VaultSaver.from_url(tmp_path / "vault", key=KEY, serde=serde) as saver:
        assert conformed("sealed twice", capability, saver).failures == []
    with VaultSaver.from_url(tmp_path / "plain", key=KEY) as saver:
        assert conformed("files", capability, saver).failures == []


# -- graphs at work ----------------------------------------------------------------------------------------------------


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def graph(saver: Any, *, asks: bool = False) -> Any:
    """An agent that calls a tool and answers; with ``asks`` the tool waits for a person."""

    def agent(state: State) -> Any:
        last = state["messages"][-1]
        if last.type == "human":
            call = {"name": "weather", "args": {"city": last.content}, "id": f"c{len(state['messages'])}"}
            return {"messages": [AIMessage(content="", tool_calls=[call])]}
        return {"messages": [AIMessage(content=f"It is {last.content}.")]}

    def tool(state: State) -> Any:
        call = state["messages"][-1].tool_calls[0]
        found = interrupt("how is it?") if asks else f"sunny in {call['args']['city']}"
        return {"messages": [{"role": "tool", "content": found, "tool_call_id": call["id"]}]}

    builder = StateGraph(State)
    builder.add_node("agent", agent)
    builder.add_node("tool", tool)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges(
        "agent", lambda state: "tool" if getattr(state["messages"][-1], "tool_calls", 0) else END
    )
    builder.add_edge("tool", "agent")
    return builder.compile(checkpointer=saver)


def told(state: Any) -> list[tuple[str, Any]]:
    return [(message.type, message.content) for message in state["messages"]]


def test_an_agent_goes_on_where_it_was_as_in_memory(saver: VaultSaver) -> None:
    config = {"configurable": {"thread_id": "alice"}}
    found = []
    for each in (saver, InMemorySaver()):
        made = graph(each)
        made.invoke({"messages": [("user", "Rome")]}, config)
        state = made.invoke({"messages": [("user", "Oslo")]}, config)
        history = [(told(one.values) if one.values else [], one.next) for one in made.get_state_history(config)]
        found.append((told(state), history))
    assert found[0] == found[1]
    assert found[0][0][-1] == ("ai", "It is sunny in Oslo.")


def test_an_interrupted_one_is_resumed_forked_and_edited(saver: VaultSaver) -> None:
    config: Any = {"configurable": {"thread_id": "alice", "user_id": "u-1"}}
    found = []
    for each in (saver, InMemorySaver()):
        made = graph(each, asks=True)
        made.invoke({"messages": [("user", "Rome")]}, config)
        waiting = made.get_state(config)
        resumed = made.invoke(Command(resume="cold"), config)
        forked = made.invoke(Command(resume="warm"), waiting.config)
        last = made.get_state(config).values["messages"][-1]
        made.update_state(config, {"messages": [RemoveMessage(id=last.id), HumanMessage("Oslo", id="edited")]})
        found.append((told(resumed), told(forked), told(made.get_state(config).values), waiting.next))
    assert found[0] == found[1]
    assert found[0][0][-1] == ("ai", "It is cold.")
    assert [info.user_id for info in saver._handle.store.list(user_id="u-1")] == ["u-1"]


def test_an_agent_of_asyncio(tmp_path: Path) -> None:
    async def run() -> Any:
        store = await open_store_async(tmp_path / "vault", key=KEY, durability="os")
        async with store, VaultSaver(store) as saver:
            made = graph(saver)
            config = {"configurable": {"thread_id": "alice"}}
            await made.ainvoke({"messages": [("user", "Rome")]}, config)
            state = await made.ainvoke({"messages": [("user", "Oslo")]}, config)
            return told(state), [each async for each in made.aget_state_history(config)]

    state, history = asyncio.run(run())
    assert len(state) == 8
    assert len(history) == 10
    with open_store(tmp_path / "vault", key=KEY) as store:
        assert len({match.id for match in store.search("sunny in Oslo")}) == 1


def test_subgraphs_and_threads_of_parallel_tasks_share_a_session(saver: VaultSaver, store: SessionStore) -> None:
    builder = StateGraph(State)
    builder.add_node("inner", graph(True))
    builder.add_edge(START, "inner")
    made = builder.compile(checkpointer=saver)
    running = [
        threading.Thread(
            target=made.invoke, args=({"messages": [("user", "Rome")]}, {"configurable": {"thread_id": at}})
        )
        for at in "abcd"
    ]
    [each.start() for each in running]
    [each.join() for each in running]
    assert sorted(info.id for info in store.list()) == [*"abcd"]
    spaces = {each.config["configurable"]["checkpoint_ns"].partition(":")[0] for each in saver.list(None)}
    assert spaces == {"", "inner"}


PROGRAM = """
import os, signal, sys
sys.path[:0] = sys.argv[3:]
from test_langgraph_saver import KEY, VaultSaver, graph
from langchain_core.messages import HumanMessage
what, vault = sys.argv[1:3]
with VaultSaver.from_url(vault, key=KEY) as saver:
    config = {"configurable": {"thread_id": "alice"}}
    if what == "die":
        graph(saver).invoke({"messages": [("user", "Rome")]}, config)
        write = saver.put_writes
        def dying(config, writes, *rest):
            write(config, writes, *rest)
            if any(getattr(message, "content", "") == "" for _, value in writes if isinstance(value, list) for message in value):
                os.kill(os.getpid(), signal.SIGKILL)
        saver.put_writes = dying
        graph(saver).invoke({"messages": [("user", "Oslo")]}, config, durability="sync")
    else:
        parent = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}
        from test_langgraph_saver import put
        for number in range(40):
            put(saver, run=f"{what} {number}", messages=[HumanMessage(f"{what} {number}", id=f"{what} {number}")])
"""


def started(what: str, vault: Path) -> subprocess.Popen[bytes]:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, what, str(vault), *paths])


@pytest.mark.slow
def test_an_agent_that_was_killed_in_the_middle_of_a_turn_is_resumed(tmp_path: Path) -> None:
    assert started("die", tmp_path / "vault").wait(timeout=120) == -signal.SIGKILL
    with VaultSaver.from_url(tmp_path / "vault", key=KEY) as saver:
        made = graph(saver)
        config = {"configurable": {"thread_id": "alice"}}
        assert told(made.get_state(config).values)[-1] == ("human", "Oslo")  # and what the agent said is pending
        state = made.invoke(None, config)
    assert told(state)[-4:] == [
        ("human", "Oslo"),
        ("ai", ""),
        ("tool", "sunny in Oslo"),
        ("ai", "It is sunny in Oslo."),
    ]
    assert len(told(state)) == 8


@pytest.mark.slow
def test_two_processes_at_once_lose_no_checkpoint(tmp_path: Path) -> None:
    open_store(tmp_path / "vault", key=KEY).close()
    running = [started(name, tmp_path / "vault") for name in "ab"]
    assert [each.wait(timeout=120) for each in running] == [0, 0]
    with VaultSaver.from_url(tmp_path / "vault", key=KEY) as saver:
        found = [
            (each.metadata["run_id"], values(saver, each.config)["messages"][0].content) for each in saver.list(ALICE)
        ]
    assert sorted(found) == sorted((f"{name} {number}", f"{name} {number}") for name in "ab" for number in range(40))


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_a_message_that_was_changed_in_place_is_kept_as_it_is(saver: VaultSaver) -> None:
    message = AIMessage(content="a text that is long enough", id="1", usage_metadata=None)
    message.additional_kwargs["seen"] = 1
    config = put(saver, messages=[message])
    for change in (True, 1.0, "1", None, [1], [True], {"a": b"x"}):
        message.additional_kwargs["seen"] = change
        config = put(saver, config, messages=[message, HumanMessage("x", id="2")])
        found = values(saver, config)["messages"]
        assert repr(found[0].additional_kwargs["seen"]) == repr(change)
        assert found == [message, HumanMessage("x", id="2")]
    message.content = "another text that is long enough"
    config = put(saver, config, messages=[message, HumanMessage("x", id="2")])
    assert values(saver, config)["messages"][0].content == "another text that is long enough"


def test_what_it_gives_out_is_nobody_else_s(saver: VaultSaver) -> None:
    put(saver, messages=[HumanMessage("Hi", id="1")], other={"a": [1]})
    values(saver)["messages"][0].content = "changed"
    values(saver)["other"]["a"].append(2)
    assert values(saver)["messages"][0].content == "Hi"
    assert values(saver)["other"] == {"a": [1]}


def test_a_growing_list_costs_what_is_new(saver: VaultSaver, store: SessionStore) -> None:
    messages: list[Any] = []
    config = ALICE
    for number in range(60):
        messages = [*messages, HumanMessage(f"message {number}: {'words ' * 50}", id=str(number))]
        config = put(saver, config, messages=messages)
    records = store.messages("alice")
    assert [len(record["elements"]) for record in records] == [1] * 60
    assert values(saver)["messages"] == messages


def test_the_end_of_a_long_log_is_all_that_a_reader_needs(
    saver: VaultSaver, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_log, "_WHOLE_FROM", 10_000)
    messages: list[Any] = []
    config = ALICE
    for number in range(200):
        messages = [*messages, HumanMessage(f"message {number}: {'words ' * 20}", id=str(number))]
        config = put(saver, config, messages=messages, step=number)
    cold = VaultSaver(store)
    assert values(cold)["messages"] == messages
    assert cold._logs._folded.get("alice").log.first > 50
    config = put(cold, config, messages=[*messages, HumanMessage("more", id="200")])
    assert values(VaultSaver(store))["messages"][-1].content == "more"
    first = [*cold.list(ALICE)][-1]  # what stands before it is read where it is asked for
    assert first.checkpoint["channel_values"]["messages"] == messages[:1]


def test_memory_is_bounded_by_what_logs_have_become(store: SessionStore) -> None:
    saver = VaultSaver(store)
    saver._logs._folded.capacity = 60_000
    configs = {}
    for number in range(60):
        for thread in "ab":
            before = configs.get(thread, {"configurable": {"thread_id": thread}})
            configs[thread] = put(saver, before, messages=[HumanMessage(f"{number} {'words ' * 60}", id=str(number))])
    kept = [each.log.weight for each in saver._logs._folded._values.values()]
    assert sum(kept) <= 60_000
    assert values(saver, configs["a"])["messages"][0].content.startswith("59 ")


def test_a_write_that_failed_is_not_believed(saver: VaultSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    config = put(saver, messages=[HumanMessage("one " * 20, id="1")])
    two = [HumanMessage("one " * 20, id="1"), HumanMessage("two " * 20, id="2")]
    with monkeypatch.context() as patched:
        patched.setattr(SessionStore, "append", lambda *_, **__: (_ for _ in ()).throw(BackendUnavailable("full")))
        with pytest.raises(BackendUnavailable):
            put(saver, config, messages=two)
    config = put(saver, config, messages=[*two, HumanMessage("three", id="3")])
    assert values(VaultSaver(saver._handle.store), config)["messages"] == [*two, HumanMessage("three", id="3")]


def test_what_another_saver_wrote_meanwhile_stays(saver: VaultSaver, store: SessionStore) -> None:
    other = VaultSaver(store)
    config = put(saver, messages=[HumanMessage("one " * 20, id="1")])
    ours, theirs = config, config
    for number in range(5):
        ours = put(saver, ours, messages=[HumanMessage(f"ours {number} " * 9, id="a")])
        theirs = put(other, theirs, messages=[HumanMessage(f"theirs {number} " * 9, id="a")])
    assert values(other, ours)["messages"][0].content.startswith("ours 4")
    assert values(saver, theirs)["messages"][0].content.startswith("theirs 4")
    assert len([*saver.list(ALICE)]) == 11


@pytest.mark.parametrize(
    "value",
    [
        "\x00 text",
        "größer 文字 🎭",
        b"\xff\x00",
        bytearray(b"x"),
        float("inf"),
        -0.0,
        2**63,
        {1: {2.5: None}},
        (1, [2]),
        {3, 4},
        "\uf780",
    ],
    ids=repr,
)
def test_hostile_values_come_back_as_from_memory(value: Any, saver: VaultSaver) -> None:
    found = []
    for each in (saver, InMemorySaver()):
        config = put(each, channel=value, inside=[value, {"a": value}])
        each.put_writes(config, [("channel", value), ("inside", [value])], "task")
        read = each.get_tuple(config)
        found.append((repr(read.checkpoint["channel_values"]), repr(read.pending_writes)))
    assert found[0] == found[1]


def test_pruning_keeps_what_a_delta_channel_is_made_of(saver: VaultSaver) -> None:
    counters = {"counters_since_delta_snapshot": {"log": (2, 2)}}
    config: Any = ALICE
    for number, value in enumerate(["old", _DeltaSnapshot(["a"]), None, None]):
        checkpoint = empty_checkpoint()
        version = f"{number + 1:032}.0"
        checkpoint["channel_values"] = {"big": [f"words {number} " * 9]} | ({} if value is None else {"log": value})
        checkpoint["channel_versions"] = {"log": version, "big": version}
        config = saver.put(config, checkpoint, {"step": number, **counters}, {"log": version, "big": version})
        saver.put_writes(config, [("log", f"write {number}")], f"task {number}")
    before = saver.get_delta_channel_history(config=config, channels=["log"])
    assert before["log"]["seed"] == _DeltaSnapshot(["a"])
    assert [write[2] for write in before["log"]["writes"]] == ["write 1", "write 2"]
    saver.prune(["alice", "nobody"])
    assert saver.get_delta_channel_history(config=config, channels=["log"]) == before
    assert [each.metadata["step"] for each in saver.list(ALICE)] == [3, 2, 1]
    assert values(saver)["big"] == ["words 3 words 3 words 3 words 3 words 3 words 3 words 3 words 3 words 3 "]


def test_pruning_without_them_leaves_one_and_runs_are_removed(saver: VaultSaver, store: SessionStore) -> None:
    config, messages = ALICE, []
    for number in range(6):
        messages = [*messages, HumanMessage(f"{number} " * 20, id=str(number))]
        config = put(saver, config, run=f"run {number % 2}", messages=messages, note=[number])
    saver.put_writes(config, [("messages", messages[-1])], "task")
    put(saver, space="child:1", run="run 1", messages=messages)
    saver.copy_thread("alice", "bob")
    with pytest.raises(SessionExists):
        saver.copy_thread("alice", "bob")
    saver.delete_for_runs(["run 0"])
    assert [each.metadata["run_id"] for each in saver.list(ALICE)] == ["run 1"] * 3
    saver.prune(["alice"])
    assert store.info("alice").message_count < 5
    assert values(saver, config) == {"messages": messages, "note": [5]}
    assert saver.get_tuple(config).pending_writes == [("task", "messages", messages[-1])]
    assert len([*VaultSaver(store).list({"configurable": {"thread_id": "alice"}})]) == 2
    assert len([*saver.list({"configurable": {"thread_id": "bob", "checkpoint_ns": ""}})]) == 3
    saver.prune(["bob"], strategy="delete")
    assert [info.id for info in store.list()] == ["alice"]
    with pytest.raises(ValueError, match="strategy"):
        saver.prune(["alice"], strategy="everything")


# -- moving in ---------------------------------------------------------------------------------------------------------


def test_the_database_of_a_sqlite_saver_is_imported(store: SessionStore, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "theirs.db", check_same_thread=False)
    theirs = SqliteSaver(connection)
    config: Any = {"configurable": {"thread_id": "alice"}}
    odd: Any = {"configurable": {"thread_id": "100%"}}
    made = graph(theirs, asks=True)
    made.invoke({"messages": [("user", "größer 文字")]}, config)
    made.invoke(Command(resume="cold"), config)
    made.invoke({"messages": [("user", "Oslo")]}, config)  # and waits
    put(theirs, {"configurable": {"thread_id": "100%", "checkpoint_ns": ""}}, n=1, many=[*range(20)], none=None, b=b"x")
    connection.commit()
    found = [*read(str(tmp_path / "theirs.db"))]
    assert [type(each) for each in found] == [ImportedSession] * 2
    assert [place(store, each) for each in found] == ["imported"] * 2
    ours = VaultSaver(store)
    for at in (config, odd):
        before, after = [*theirs.list(at)], [*ours.list(at)]
        for each in (*before, *after):
            each.metadata.pop("thread_id", None)
        assert [each._replace(parent_config=None) for each in after] == [
            each._replace(parent_config=None) for each in before
        ]
        assert [each.parent_config for each in after] == [each.parent_config for each in before]
    assert store.info("alice").message_count < 2 * 40
    assert len({match.id for match in store.search("größer")}) == 1
    resumed = graph(ours, asks=True).invoke(Command(resume="warm"), config)
    assert told(resumed)[-1] == ("ai", "It is warm.")
    connection.close()


def test_what_cannot_be_imported_is_named(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "theirs.db", check_same_thread=False)
    sealed = SqliteSaver(connection, serde=EncryptedSerializer.from_pycryptodome_aes(key=bytes(32)))
    put(sealed, number=1)
    put(SqliteSaver(connection), {"configurable": {"thread_id": "bob"}}, number=1)
    connection.execute("UPDATE checkpoints SET checkpoint = substr(checkpoint, 1, 40) WHERE thread_id = 'bob'")
    connection.commit()
    found = [*read(str(tmp_path / "theirs.db"), "langgraph")]
    assert [type(each) for each in found] == [Skipped] * 2
    assert ["encrypted" in each.reason for each in found] == [True, False]
    lenient = [*read(str(tmp_path / "theirs.db"), "langgraph", lenient=True)]
    assert [each.messages for each in lenient if isinstance(each, ImportedSession)] == [[], []]
    connection.close()


# -- where things go wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thread", ["x" * 5000, "文" * 1000, "a/b%2F", "100%", "../..", "\x00", 17])
def test_ids_of_any_length_and_script(thread: Any, saver: VaultSaver) -> None:
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    put(saver, config, number=1)
    assert values(saver, config) == {"number": 1}
    assert [each.config["configurable"]["thread_id"] for each in saver.list(None)] == [str(thread)]


@pytest.mark.parametrize("thread", ["", "\ud800"])
def test_ids_that_are_none_are_refused(thread: str, saver: VaultSaver) -> None:
    with pytest.raises(InvalidSessionId):
        put(saver, {"configurable": {"thread_id": thread}}, number=1)


def test_an_expired_thread_has_no_checkpoint_and_begins_anew() -> None:
    clock = ManualClock()
    with open_store("memory://", clock=clock, ttl="1h", max_messages=2) as store:
        saver = VaultSaver(store, tenant_id=None, labels={"team": "red"})
        for number in range(5):
            put(saver, number=number)
        assert len([*saver.list(ALICE)]) == 5  # a log is never cut, whatever the store does with other sessions
        clock.advance(3601)
        assert saver.get_tuple(ALICE) is None
        put(saver, number=9)
        assert values(saver) == {"number": 9}
        assert len([*saver.list(ALICE)]) == 1
        assert store.info("alice").labels["team"] == "red"


def test_a_wrong_key_is_raised_and_damage_too(tmp_path: Path) -> None:
    with VaultSaver.from_url(tmp_path / "vault", key=KEY) as saver:
        put(saver, number=1)
        put(saver, {"configurable": {"thread_id": "bob"}}, number=2)
    with pytest.raises(WrongKey):
        VaultSaver.from_url(tmp_path / "vault", key=RawKey(bytes(range(32))))
    [path] = [each for each in (tmp_path / "vault").rglob("alice~*") if each.is_file()]
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with VaultSaver.from_url(tmp_path / "vault", key=KEY) as saver:
        with pytest.raises(Damaged):
            saver.get_tuple(ALICE)
        with pytest.raises(Damaged):
            put(saver, number=3)
        assert [each.config["configurable"]["thread_id"] for each in saver.list(None)] == ["bob"]


def test_a_session_of_something_else_is_left_alone(saver: VaultSaver, store: SessionStore) -> None:
    store.create("alice", messages=[{"role": "user", "content": "Hi"}])
    for verb in (
        lambda: saver.get_tuple(ALICE),
        lambda: put(saver, number=1),
        lambda: saver.delete_thread("alice"),
        lambda: saver.copy_thread("alice", "bob"),
    ):
        with pytest.raises(InvalidDocument, match="no thread of LangGraph"):
            verb()
    assert store.info("alice").message_count == 1


def test_a_record_of_another_version_is_refused(saver: VaultSaver, store: SessionStore) -> None:
    put(saver, number=1)
    store.append("alice", {"something": "else"})
    with pytest.raises(UnsupportedFormat):
        saver.get_tuple(ALICE)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    saver = VaultSaver.from_url(tmp_path / "vault", key=KEY)
    put(saver, number=1)
    saver.close()
    saver.close()
    with pytest.raises(RuntimeError, match="closed"):
        saver.get_tuple(ALICE)


def test_a_clone_with_an_allowlist_reads_the_same(saver: VaultSaver) -> None:
    put(saver, number=1)
    clone = saver.with_allowlist([("tests", "Nothing")])
    assert values(clone) == {"number": 1}
    assert copy.copy(saver)._logs is saver._logs
    assert os.environ.get("LANGGRAPH_AES_KEY") is None
