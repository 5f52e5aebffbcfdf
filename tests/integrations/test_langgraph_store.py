"""LangGraph's long-term memory: what a store of it does, over ours and its own two; and its cipher over a vault's key."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from frameworks import require

from vaultsession import (
    Damaged,
    InvalidDocument,
    RawKey,
    SessionStore,
    UnknownKey,
    UnsupportedFormat,
    WrongKey,
    open_store,
)
from vaultsession.testing import ManualClock

require("langgraph.store.sqlite")
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer  # noqa: E402 - behind the test that it is there
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402 - as above
from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp, SearchOp  # noqa: E402 - as above
from langgraph.store.memory import InMemoryStore  # noqa: E402 - as above
from langgraph.store.sqlite import SqliteStore  # noqa: E402 - as above

from vaultsession.integrations.langgraph import VaultCipher, VaultSaver, VaultStore  # noqa: E402 - as above

KEY = RawKey(bytes(range(200, 232)))
KINDS = ("ours", "in memory", "sqlite")
USER = ("users", "alice")


def embedded(texts: Any) -> list[list[float]]:
    """Counts of three letters, as an embedding."""
    return [[float(text.count(letter)) + 0.01 for letter in "abc"] for text in texts]


INDEX: Any = {"dims": 3, "embed": embedded, "fields": ["text"]}


@pytest.fixture
def vault() -> Iterator[SessionStore]:
    with open_store("memory://", clock=ManualClock()) as opened:
        yield opened


@pytest.fixture(params=KINDS)
def memory(request: pytest.FixtureRequest, vault: SessionStore) -> Iterator[Any]:
    if request.param == "sqlite":
        with SqliteStore.from_conn_string(":memory:") as store:
            store.setup()
            yield store
    else:
        yield VaultStore(vault) if request.param == "ours" else InMemoryStore()


@pytest.fixture(params=["ours", "in memory"])
def indexed(request: pytest.FixtureRequest, vault: SessionStore) -> Any:
    return VaultStore(vault, index=INDEX) if request.param == "ours" else InMemoryStore(index=INDEX)


def keys(found: Any) -> list[str]:
    return sorted(item.key for item in found)


# -- what every store does ---------------------------------------------------------------------------------------------


def test_an_item_comes_back_with_its_times(memory: Any) -> None:
    memory.put(USER, "prefs", {"theme": "dark", "deep": {"list": [1, None, 2.5, True, "x"]}})
    item = memory.get(USER, "prefs")
    assert (item.namespace, item.key) == (USER, "prefs")
    assert item.value == {"theme": "dark", "deep": {"list": [1, None, 2.5, True, "x"]}}
    assert isinstance(item.created_at, datetime)
    assert item.updated_at >= item.created_at


def test_what_is_not_there_is_none(memory: Any) -> None:
    assert memory.get(USER, "prefs") is None
    memory.delete(USER, "prefs")
    assert memory.search(("users",)) == []


def test_an_item_is_replaced_and_removed(memory: Any) -> None:
    memory.put(USER, "prefs", {"a": 1})
    memory.put(USER, "prefs", {"b": 2})
    assert memory.get(USER, "prefs").value == {"b": 2}
    memory.put(USER, "prefs", None)
    assert memory.get(USER, "prefs") is None


def test_the_same_key_in_two_namespaces_is_two_items(memory: Any) -> None:
    memory.put(("a", "b"), "c", {"n": 1})
    memory.put(("a",), "c", {"n": 2})
    memory.put(("a", "b", "c"), "c", {"n": 3})
    assert [memory.get(space, "c").value["n"] for space in (("a", "b"), ("a",), ("a", "b", "c"))] == [1, 2, 3]


@pytest.mark.parametrize("key", ["a/b", "100%", "ключ", "🎭", "../..", " "])
def test_keys_of_any_script(key: str, memory: Any) -> None:
    space = (key.replace(".", "-"), "x")  # a namespace has no dots
    memory.put(space, key, {"n": 1})
    assert memory.get(space, key).key == key
    assert memory.list_namespaces() == [space]


def test_a_search_is_of_a_namespace_and_what_is_below(memory: Any) -> None:
    for space in (("docs",), ("docs", "a"), ("docs", "a", "b"), ("docsx",), ("other", "docs")):
        memory.put(space, "/".join(space), {"n": len(space)})
    assert keys(memory.search(("docs",))) == ["docs", "docs/a", "docs/a/b"]
    assert keys(memory.search(("docs", "a"))) == ["docs/a", "docs/a/b"]
    assert keys(memory.search(())) == ["docs", "docs/a", "docs/a/b", "docsx", "other/docs"]


def test_a_search_has_pages(memory: Any) -> None:
    for number in range(12):
        memory.put(USER, f"{number:02}", {"n": number})
    assert len(memory.search(USER)) == 10
    pages = [keys(memory.search(USER, limit=5, offset=offset)) for offset in (0, 5, 10, 15)]
    assert [len(page) for page in pages] == [5, 5, 2, 0]
    assert sorted([key for page in pages for key in page]) == [f"{number:02}" for number in range(12)]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"kind": "a"}, ["1", "3"]),
        ({"kind": "a", "score": 3}, ["3"]),
        ({"score": {"$gt": 1}}, ["2", "3"]),
        ({"score": {"$gte": 1, "$lt": 3}}, ["1", "2"]),
        ({"score": {"$lte": 2}}, ["1", "2"]),
        ({"kind": {"$ne": "a"}}, ["2"]),
        ({"kind": {"$eq": "b"}}, ["2"]),
        ({"nothing": "x"}, []),
    ],
)
def test_a_search_filters(wanted: Any, found: list[str], memory: Any) -> None:
    for key, kind, score in (("1", "a", 1), ("2", "b", 2), ("3", "a", 3)):
        memory.put(USER, key, {"kind": kind, "score": score})
    assert keys(memory.search(USER, filter=wanted)) == found
    assert len(memory.search(USER, filter=wanted, limit=1)) == min(1, len(found))


def test_namespaces_are_listed_by_prefix_suffix_and_depth(memory: Any) -> None:
    for space in (("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("z",)):
        memory.put(space, "k", {"n": 1})
    assert memory.list_namespaces() == [("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("z",)]
    assert memory.list_namespaces(prefix=("a", "b")) == [("a", "b", "c"), ("a", "b", "d")]
    assert memory.list_namespaces(suffix=("c",)) == [("a", "b", "c"), ("a", "x", "c")]
    assert memory.list_namespaces(prefix=("a", "*", "c")) == [("a", "b", "c"), ("a", "x", "c")]
    assert memory.list_namespaces(max_depth=2) == [("a", "b"), ("a", "x"), ("z",)]
    assert memory.list_namespaces(limit=2, offset=1) == [("a", "b", "d"), ("a", "x", "c")]


@pytest.mark.parametrize("space", [(), ("",), ("a.b",), ("langgraph", "x"), ("a\x00",), (1,)])
def test_namespaces_that_are_none_are_refused(space: Any, memory: Any) -> None:
    with pytest.raises(InvalidNamespaceError):
        memory.put(space, "k", {"n": 1})


def test_a_batch_answers_in_order_and_the_last_put_counts(memory: Any) -> None:
    memory.put(USER, "old", {"n": 1})
    answers = memory.batch(
        [
            GetOp(USER, "old"),
            PutOp(USER, "new", {"n": 1}),
            PutOp(USER, "new", {"n": 2}),
            SearchOp(USER),
            GetOp(USER, "nothing"),
        ]
    )
    assert [answers[0].value, answers[1], answers[2], answers[4]] == [{"n": 1}, None, None, None]
    assert "old" in keys(answers[3])
    assert memory.get(USER, "new").value == {"n": 2}


def test_values_belong_to_who_gets_them(vault: SessionStore) -> None:
    memory = VaultStore(vault)
    memory.put(USER, "k", {"list": [1]})
    memory.get(USER, "k").value["list"].append(2)
    assert memory.get(USER, "k").value == {"list": [1]}


def test_the_best_match_comes_first(indexed: Any) -> None:
    indexed.put(USER, "a", {"text": "aaaa"})
    indexed.put(USER, "b", {"text": "bbbb"})
    indexed.put(USER, "none", {"other": "cccc"})
    indexed.put(USER, "left out", {"text": "bbbb"}, index=False)
    indexed.put(USER, "by another field", {"other": "bbba"}, index=["other"])
    found = indexed.search(USER, query="bb", limit=3)
    assert [item.key for item in found] == ["b", "by another field", "a"]
    assert found[0].score == pytest.approx(1, abs=0.001)
    assert found[0].score > found[1].score > found[2].score
    assert {item.key for item in indexed.search(USER, query="bb", limit=5)} == {
        "a",
        "b",
        "none",
        "left out",
        "by another field",
    }


def test_asyncio_does_the_same(vault: SessionStore) -> None:
    async def run(memory: Any) -> Any:
        await memory.aput(USER, "k", {"n": 1})
        await asyncio.gather(*[memory.aput(USER, str(number), {"n": number}) for number in range(5)])
        item = await memory.aget(USER, "k")
        found = keys(await memory.asearch(USER, filter={"n": {"$gt": 1}}))
        await memory.adelete(USER, "k")
        return item.value, found, await memory.aget(USER, "k"), await memory.alist_namespaces()

    memory = VaultStore(vault)
    assert asyncio.run(run(memory)) == asyncio.run(run(InMemoryStore()))
    memory.close()


# -- ours --------------------------------------------------------------------------------------------------------------


def test_an_item_lives_so_many_minutes_and_longer_where_it_is_read() -> None:
    clock = ManualClock()
    with open_store("memory://", clock=clock) as vault:
        memory = VaultStore(vault, ttl_config={"default_ttl": 10})
        memory.put(USER, "default", {"n": 1})
        memory.put(USER, "short", {"n": 2}, ttl=2)
        memory.put(USER, "kept", {"n": 3}, ttl=None)
        clock.advance(119)
        assert memory.get(USER, "short", refresh_ttl=False).value == {"n": 2}
        assert keys(memory.search(USER, refresh_ttl=False)) == ["default", "kept", "short"]
        clock.advance(2)
        assert memory.get(USER, "short") is None
        clock.advance(400)
        assert memory.get(USER, "default").value == {"n": 1}  # its life begins anew
        clock.advance(590)
        assert memory.get(USER, "default", refresh_ttl=False) is not None
        clock.advance(20)
        assert keys(memory.search(USER)) == ["kept"]
        assert memory.list_namespaces() == [USER]


@pytest.mark.parametrize(
    "value",
    [{"at": datetime(2026, 1, 2, tzinfo=UTC)}, {"b": b"\xff"}, {"n": float("nan")}, {"i": 2**63}],
    ids=repr,
)
def test_a_value_beyond_json_comes_back_as_it_was(value: Any, vault: SessionStore) -> None:
    memory = VaultStore(vault)
    memory.put(USER, "k", value)
    assert repr(memory.get(USER, "k").value) == repr(value)


def test_long_names_and_threads_of_the_same_vault(vault: SessionStore) -> None:
    memory, saver = VaultStore(vault, user_id="u-1"), VaultSaver(vault)
    space = ("x" * 3000, "ы" * 2000)
    memory.put(space, "k" * 5000, {"n": 1})
    assert memory.get(space, "k" * 5000).value == {"n": 1}
    assert memory.list_namespaces() == [space]
    assert keys(memory.search(space[:1])) == ["k" * 5000]
    assert [*saver.list(None)] == []
    assert vault.count(user_id="u-1") == 1
    vault.create("langgraph.store/a/k")
    with pytest.raises(InvalidDocument, match="no item"):
        memory.get(("a",), "k")


def test_a_wrong_key_and_damage(tmp_path: Path) -> None:
    with VaultStore.from_url(tmp_path / "vault", key=KEY) as memory:
        memory.put(("a",), "k", {"n": 1})
        memory.put(("b",), "k", {"n": 2})
    with pytest.raises(WrongKey):
        VaultStore.from_url(tmp_path / "vault", key=RawKey(bytes(range(32))))
    path = next(each for each in (tmp_path / "vault").rglob("langgraph-store-a-k~*") if each.is_file())
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with VaultStore.from_url(tmp_path / "vault", key=KEY) as memory:
        with pytest.raises(Damaged):
            memory.get(("a",), "k")
        assert [item.value for item in memory.search(())] == [{"n": 2}]  # the other one is logged


# -- the cipher --------------------------------------------------------------------------------------------------------


def test_another_checkpointer_is_sealed_under_the_key_of_a_vault(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "theirs.db", check_same_thread=False)
    config: Any = {"configurable": {"thread_id": "alice", "checkpoint_ns": ""}}
    with VaultCipher.from_url(tmp_path / "vault", key=KEY) as cipher:
        saver = SqliteSaver(connection, serde=EncryptedSerializer(cipher))
        checkpoint: Any = {"v": 1, "id": "1", "ts": "", "channel_values": {"secret": "plain words"}}
        saver.put(config, {**checkpoint, "channel_versions": {}, "versions_seen": {}}, {"source": "loop"}, {})
    data = (tmp_path / "theirs.db").read_bytes()
    assert b"plain words" not in data
    with open_store(tmp_path / "vault", key=KEY) as vault:
        vault.rotate_key()
        saver = SqliteSaver(connection, serde=EncryptedSerializer(VaultCipher(vault)))
        assert saver.get_tuple(config).checkpoint["channel_values"] == {"secret": "plain words"}
    connection.close()


def test_a_cipher_seals_under_the_newest_key_and_opens_what_another_process_sealed(tmp_path: Path) -> None:
    with open_store(tmp_path / "vault", key=KEY) as vault, VaultCipher.from_url(tmp_path / "vault", key=KEY) as theirs:
        cipher = VaultCipher(vault)
        before = cipher.encrypt(b"before")
        vault.rotate_key()
        assert theirs.decrypt(*cipher.encrypt(b"after")) == b"after"
        assert theirs.encrypt(b"")[1][1:9] == cipher.encrypt(b"")[1][1:9] != before[1][1:9]
        assert cipher.decrypt(*before) == theirs.decrypt(*before) == b"before"


def test_what_was_changed_or_is_of_another_vault_does_not_open(vault: SessionStore) -> None:
    cipher = VaultCipher(vault)
    name, sealed = cipher.encrypt(b"a text")
    assert cipher.decrypt(name, sealed) == b"a text"
    assert cipher.encrypt(b"a text")[1] != sealed
    for place in (9, 32, 33, len(sealed) - 1):
        broken = bytearray(sealed)
        broken[place] ^= 1
        with pytest.raises(Damaged):
            cipher.decrypt(name, bytes(broken))
    for cut in (0, 1, 20, 33, len(sealed) - 1):
        with pytest.raises((Damaged, UnsupportedFormat)):
            cipher.decrypt(name, sealed[:cut])
    with pytest.raises(UnsupportedFormat):
        cipher.decrypt("aes", sealed)
    with open_store("memory://") as other, pytest.raises(UnknownKey):
        VaultCipher(other).decrypt(name, sealed)
