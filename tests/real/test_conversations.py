"""Real agent conversations, and generated ones of sizes that real ones reach: all go in, and all come back equal.

The conversations are no part of the project. ``VAULTSESSION_TEST_CONVERSATIONS`` names the directory that holds them: one
``*.jsonl.zst`` per source, each line a session with ``source``, ``id`` and ``messages``.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from effort import EFFORT
from sampling import sampled

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.format import document
from vaultsession.format.tool_calls import calls, results
from vaultsession.testing.clock import ManualClock

WHERE = Path(
    os.environ.get("VAULTSESSION_TEST_CONVERSATIONS")
    or Path(__file__).resolve().parents[3] / "shared" / "data" / "conversations"
)
FILES = sorted(WHERE.glob("*.jsonl.zst"))
WINDOW = 64 << 20  # the frames were made with long-distance matching

needs_conversations = pytest.mark.skipif(
    not FILES, reason=f"no *.jsonl.zst in {WHERE}: set VAULTSESSION_TEST_CONVERSATIONS to a directory that holds some"
)

KEY = RawKey(bytes(range(150, 182)))
CHUNK = 7


def conversations(files: Sequence[Path] = FILES) -> Iterator[dict[str, Any]]:
    for path in files:
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        with path.open("rb") as file, decompressor.stream_reader(file) as reader:
            for line in io.TextIOWrapper(reader, encoding="utf-8", newline="\n"):
                yield json.loads(line)


def name_of(number: int, conversation: dict[str, Any]) -> str:
    return f"{number}/{conversation['source']}/{conversation['id']}"


def opened(path: Path, clock: ManualClock, **settings: Any) -> SessionStore:
    return open_store(path, key=KEY, clock=clock, durability="os", **settings)


def put(store: SessionStore, number: int, conversation: dict[str, Any]) -> None:
    """Half of them whole, half of them message by message, a few at a time."""
    name, messages = name_of(number, conversation), conversation["messages"]
    labels = {"source": conversation["source"]}
    ttl = "1h" if number % 3 == 0 else None
    if number % 2:
        store.create(name, labels=labels, messages=messages, ttl=ttl, state={"number": number})
        return
    store.create(name, labels=labels, ttl=ttl, state={"number": number})
    for start in range(0, len(messages), CHUNK):
        store.append(name, *messages[start : start + CHUNK])


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ManualClock]:
    path, clock = tmp_path_factory.mktemp("real") / "vault", ManualClock()
    with opened(path, clock) as store:
        for number, conversation in enumerate(conversations()):
            clock.advance("1s")
            put(store, number, conversation)
    return path, clock


@needs_conversations
@pytest.mark.slow
def test_all_come_back_equal_from_a_store_that_has_never_seen_them(filled: tuple[Path, ManualClock]) -> None:
    path, clock = filled
    with opened(path, clock, cache_bytes=0) as store:
        for number, conversation in enumerate(conversations()):
            name, messages = name_of(number, conversation), conversation["messages"]
            assert store.messages(name, last=20) == messages[-20:]
            session = store.load(name)
            assert session.message_count == len(messages)
            assert session.messages == messages
            assert session.state == {"number": number}


@needs_conversations
@pytest.mark.slow
def test_what_comes_back_is_spelled_as_it_was(filled: tuple[Path, ManualClock]) -> None:
    """Equal is not enough: 1 == 1.0 == True. The JSON must be the same, key order included."""
    path, clock = filled
    with opened(path, clock, cache_bytes=0) as store:
        for number, conversation in enumerate(conversations()):
            if number % 10 == 0:
                found = store.load(name_of(number, conversation)).messages
                assert json.dumps(found) == json.dumps(conversation["messages"])


@needs_conversations
@pytest.mark.slow
def test_they_are_listed_and_counted_by_their_source(filled: tuple[Path, ManualClock]) -> None:
    path, clock = filled
    names: dict[str, list[str]] = {}
    lengths = {}
    for number, conversation in enumerate(conversations()):
        name = name_of(number, conversation)
        names.setdefault(conversation["source"], []).append(name)
        lengths[name] = len(conversation["messages"])
    with opened(path, clock) as store:
        assert store.count() == len(lengths)
        for source, expected in names.items():
            labels = {"source": source}
            assert store.count(labels=labels) == len(expected)
            assert [info.id for info in store.list(labels=labels)] == expected[::-1]
        seen, after = [], None
        while True:
            page = store.list(limit=50, after=after)
            seen += [(info.id, info.message_count) for info in page]
            after = page.after
            if after is None:
                break
    assert seen == list(lengths.items())[::-1]


@needs_conversations
@pytest.mark.slow
def test_they_take_less_room_sealed_than_spelled(filled: tuple[Path, ManualClock]) -> None:
    path, clock = filled
    spelled = sum(len(json.dumps(conversation["messages"])) for conversation in conversations())
    with opened(path, clock) as store:
        assert store.stats()["bytes"] < spelled / 2


@needs_conversations
@pytest.mark.slow
def test_built_turn_by_turn_they_take_little_more_room_than_written_whole(tmp_path: Path) -> None:
    """The whole sample, class by class: ``benchmarks.disk``."""
    clock, bars = ManualClock(), {20_000: 0.4, 200_000: 0.25}
    spelled, whole, turns = Counter[int](), Counter[int](), Counter[int]()
    with opened(tmp_path / "vault", clock) as store:
        for number, conversation in enumerate(conversations()):
            messages = conversation["messages"]
            size = len(json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode())
            if number % 5 or size < 2000 or size > max(bars):
                continue
            largest = next(bar for bar in bars if size <= bar)
            spelled[largest] += size
            before = store.stats()["bytes"]
            store.create(f"{number} whole", messages=messages)
            between = store.stats()["bytes"]
            for message in messages:
                store.append(f"{number} turn by turn", message, create=True)
            store._operations.compact(store._key(f"{number} turn by turn"))  # as in the pause behind it
            whole[largest] += between - before
            turns[largest] += store.stats()["bytes"] - between
    for largest, bar in bars.items():
        assert whole[largest] < bar * spelled[largest]
        assert turns[largest] < 1.6 * whole[largest]


@needs_conversations
@pytest.mark.slow
def test_those_whose_time_ran_out_are_swept_and_no_others(tmp_path: Path) -> None:
    clock, sizes = ManualClock(), Counter[bool]()
    with opened(tmp_path / "vault", clock) as store:
        for number, conversation in enumerate(conversations()):
            if len(conversation["messages"]) < 60:
                put(store, number, {**conversation, "messages": conversation["messages"][:10]})
                sizes[number % 3 == 0] += 1
        clock.advance("1h")
        assert store.sweep() == sizes[True] > 0
        assert store.count() == store.stats()["sessions"] == sizes[False] > 0
    with opened(tmp_path / "vault", clock) as store:
        assert {store.load(info.id).state["number"] % 3 for info in store.list()} == {1, 2}


@needs_conversations
@pytest.mark.slow
def test_a_vault_learns_a_dictionary_of_them_and_reads_all_that_it_wrote_before_and_after(tmp_path: Path) -> None:
    kept: dict[str, list[Any]] = {}
    with opened(tmp_path / "vault", ManualClock()) as store:
        for number, conversation in enumerate(conversations()):
            if len(json.dumps(conversation["messages"])) < 60_000:
                kept[name_of(number, conversation)] = conversation["messages"]
        names = list(kept)
        half = len(names) // 2
        for name in names[:half]:
            store.create(name, messages=kept[name][:-1])
        trained = store.train()
        assert trained.after < trained.before < trained.plain
        for name in names[half:]:
            store.create(name, messages=kept[name][:-1])
        for name in names:
            store.append(name, *kept[name][-1:])
    with opened(tmp_path / "vault", ManualClock(), cache_bytes=0) as store:
        assert all(store.load(name).messages == messages for name, messages in kept.items())


@needs_conversations
@pytest.mark.slow
def test_records_of_the_kind_that_was_learned_take_three_fifths_of_what_they_took(tmp_path: Path) -> None:
    """Measured by ``train`` on sessions that it has not seen; more, source by source, in ``benchmarks.dictionaries``."""
    with opened(tmp_path / "vault", ManualClock()) as store:
        for number, conversation in enumerate(conversations()):
            if conversation["source"] in ("sierra-research/tau-bench", "SWE-agent/SWE-agent"):
                put(store, number, conversation)
        assert store.count() > 100
        assert store.train(dry_run=True).ratio < 0.6


LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233)


def said(message: dict[str, Any]) -> dict[str, Any]:
    """What a message says, or an entry of a transcript."""
    within = message.get("message", message.get("payload"))
    return within if isinstance(within, dict) else message


def orphans(history: Sequence[dict[str, Any]]) -> int:
    """Results whose call is not before them."""
    called: set[object] = set()
    found = 0
    for message in history:
        found += len({*results(said(message))} - called)
        called.update(calls(said(message)))
    return found


@needs_conversations
@pytest.mark.parametrize(
    "path", sampled(FILES, [path for path in FILES if "tau-bench" in path.name]), ids=lambda path: path.name
)
def test_wherever_one_is_cut_no_result_is_left_without_its_call(path: Path, tmp_path: Path) -> None:
    brought = 0
    with opened(tmp_path / "vault", ManualClock()) as store:
        for number, conversation in enumerate(conversations([path])):
            messages = conversation["messages"]
            brought += sum(len(results(said(message))) for message in messages)
            before = orphans(messages)
            for most in LENGTHS:
                assert orphans(document.trim(messages, most)) <= before, (conversation["id"], most)
            if number % 40 == 0:
                most = LENGTHS[number // 40 % len(LENGTHS)]
                store.create("grown", max_messages=most)
                for message in messages[: 2 * most + 20]:
                    store.append("grown", message)
                    assert orphans(store.messages("grown")) <= before
                store.delete("grown")
    assert brought or not any(kind in path.name for kind in ("tau-bench", "claude-code", "codex"))


# -- generated ---------------------------------------------------------------------------------------------------------


def turn(number: int) -> dict[str, Any]:
    return {"role": "user" if number % 2 else "assistant", "content": f"Turn {number}: {number * 7919 % 104729} times."}


@pytest.mark.slow
def test_a_tool_output_of_five_megabytes_is_a_message_like_any_other(tmp_path: Path) -> None:
    text = "".join(f"{number:08d} {number * 2654435761 % 2**32:08x}\n" for number in range(280_000))
    assert len(text) > 5_000_000
    large = {"role": "tool", "content": text}
    with opened(tmp_path / "vault", ManualClock(), cache_bytes=0) as store:
        store.create("a", messages=[turn(0), large, turn(1)])
        store.append("a", large)
        store.append("a", turn(2))
        assert store.messages("a", last=1) == [turn(2)]
        assert store.load("a").messages == [turn(0), large, turn(1), large, turn(2)]
        assert store.pop("a", 2) == [large, turn(2)]
        assert store.load("a").message_count == 3


@pytest.mark.slow
def test_a_session_of_a_hundred_thousand_messages(tmp_path: Path) -> None:
    count, chunk = 100_000, 10
    clock = ManualClock()
    with opened(tmp_path / "vault", clock) as store:
        store.create("a", state={"x": 1})
        for start in range(0, count, chunk):
            store.append("a", *(turn(number) for number in range(start, start + chunk)))
    with opened(tmp_path / "vault", clock, cache_bytes=0) as store:
        assert store.messages("a", last=3) == [turn(number) for number in range(count - 3, count)]
        assert store.messages("a", offset=55_555, limit=4) == [turn(number) for number in range(55_555, 55_559)]
        assert store.messages("a", limit=2) == [turn(0), turn(1)]
        assert store.pop("a", 1001) == [turn(number) for number in range(count - 1001, count)]
        assert store.append("a", turn(7)).message_count == count - 1000
        assert store.messages("a", last=2) == [turn(count - 1002), turn(7)]
        session = store.load("a")
        assert session.messages == [*(turn(number) for number in range(count - 1001)), turn(7)]
        assert session.state == {"x": 1}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_vault_of_very_many_sessions(tmp_path: Path) -> None:
    count = 12_500 * EFFORT
    clock = ManualClock()
    with opened(tmp_path / "vault", clock) as store:
        for number in range(count):
            clock.advance("1ms")
            store.create(
                f"session-{number}",
                user_id=f"user-{number % 500}",
                labels={"parity": str(number % 2)},
                ttl="2h" if number % 10 == 0 else None,
                messages=[turn(number)],
            )
    with opened(tmp_path / "vault", clock) as store:
        assert store.count() == count
        assert store.count(user_id="user-7") == count // 500
        assert store.count(user_id="user-7", labels={"parity": "0"}) == 0
        mine = store.list(user_id="user-7", limit=5)
        assert [info.id for info in mine] == [f"session-{count - 493 - 500 * number}" for number in range(5)]
        page = store.list(limit=50, offset=count - 50)
        assert [info.id for info in page] == [f"session-{number}" for number in range(49, -1, -1)]
        assert store.messages(f"session-{count - 3}") == [turn(count - 3)]
        clock.advance("2h")
        assert store.sweep() == count // 10
        assert store.count() == count - count // 10
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (tmp_path / "vault" / name).unlink(missing_ok=True)
    with opened(tmp_path / "vault", clock) as store:
        assert store.count() == count - count // 10
        assert store.count(user_id="user-7") == count // 500
        assert not store.exists("session-10")
