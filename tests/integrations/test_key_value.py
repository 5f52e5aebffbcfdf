"""Keys and values in a vault, beside the file tree of py-key-value: what is tested on both is a promise of theirs."""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from adapter_lab import HOSTILE, KEY, KILLED, OTHER_KEY, damage, run_program, start_program, vault, wait_for
from frameworks import require

from vaultsession import Damaged, InvalidSessionId, WrongKey, open_store

require("key_value")

from key_value.aio._utils.managed_entry import ManagedEntry  # noqa: E402
from key_value.aio.errors import InvalidTTLError, SerializationError  # noqa: E402
from key_value.aio.protocols.key_value import (  # noqa: E402
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValueProtocol,
)
from key_value.aio.stores.memory import MemoryStore  # noqa: E402

from vaultsession.integrations.key_value import VaultKeyValueStore  # noqa: E402

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
Main = Callable[[Any], Awaitable[None]]
KEYS = ["key", "", "a/b", "../../x", "%2F", "名前🙂", "\0", "x" * 5000, "x" * 4999 + "y", "k" * 255]
KEYS.remove("")


@asynccontextmanager
async def ours(directory: Path) -> AsyncIterator[Any]:
    async with VaultKeyValueStore.from_url(directory / "vault", key=KEY, durability="os") as store:
        yield store


@asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[Any]:
    async with VaultKeyValueStore.from_url("memory://") as store:
        yield store


@asynccontextmanager
async def theirs(_: Path) -> AsyncIterator[Any]:
    yield MemoryStore()


@pytest.fixture(params=[ours, in_memory, theirs], ids=lambda each: each.__name__)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Main], None]:
    def running(main: Main) -> None:
        async def within() -> None:
            async with request.param(tmp_path) as store:
                await main(store)

        asyncio.run(within())

    return running


# -- entries -----------------------------------------------------------------------------------------------------------


def test_it_speaks_every_protocol(run: Callable[[Main], None]) -> None:
    async def main(store: Any) -> None:
        for protocol in (
            AsyncKeyValueProtocol,
            AsyncEnumerateKeysProtocol,
            AsyncEnumerateCollectionsProtocol,
            AsyncDestroyCollectionProtocol,
            AsyncDestroyStoreProtocol,
        ):
            assert isinstance(store, protocol)

    run(main)


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_a_value_comes_back_whatever_its_key(run: Callable[[Main], None], key: str) -> None:
    async def main(store: Any) -> None:
        for collection in (None, "c", key):
            assert await store.get(key, collection=collection) is None
            await store.put(key, {"v": 1}, collection=collection)
            await store.put(key, {"v": collection}, collection=collection)
            assert await store.get(key, collection=collection) == {"v": collection}
            assert await store.keys(collection) == [key]
        assert await store.delete(key, collection="c")
        assert not await store.delete(key, collection="c")
        assert await store.get(key, collection="c") is None
        assert await store.get(key) == {"v": None}

    run(main)


def test_keys_and_collections_that_resemble_each_other_are_two(run: Callable[[Main], None]) -> None:
    pairs = [("a", "b/c"), ("a/b", "c"), ("a%2Fb", "c"), ("", "a/b/c"), ("a", "b%2Fc")]

    async def main(store: Any) -> None:
        for number, (collection, key) in enumerate(pairs):
            await store.put(key, {"n": number}, collection=collection or "none")
        for number, (collection, key) in enumerate(pairs):
            assert await store.get(key, collection=collection or "none") == {"n": number}

    run(main)


@pytest.mark.parametrize(
    "value",
    [{}, {"a": None, "b": True, "c": 0.1, "d": [1, [2, {"e": "f"}]], "g": {}}, {"texts": HOSTILE}, {"n": 1 << 53}],
    ids=range(4),
)
def test_values_come_back_equal(run: Callable[[Main], None], value: dict[str, Any]) -> None:
    async def main(store: Any) -> None:
        await store.put("k", value)
        found = await store.get("k")
        assert found == value
        found["changed"] = True
        assert await store.get("k") == value

    run(main)


def test_of_a_batch_each_comes_back_in_its_place(run: Callable[[Main], None]) -> None:
    async def main(store: Any) -> None:
        await store.put_many(["a", "b", "c"], [{"n": 1}, {"n": 2}, {"n": 3}], collection="x")
        assert await store.get_many(["c", "no", "a", "a"], collection="x") == [{"n": 3}, None, {"n": 1}, {"n": 1}]
        assert await store.get_many([], collection="x") == []
        assert await store.get_many(["a"]) == [None]
        await store.put_many(["a", "a"], [{"n": 7}, {"n": 8}], collection="x")
        assert await store.get("a", collection="x") == {"n": 8}
        with pytest.raises(ValueError, match="different number"):
            await store.put_many(["a", "b"], [{}])
        assert await store.delete_many(["a", "b", "no"], collection="x") == 2
        assert await store.get_many(["a", "b", "c"], collection="x") == [None, None, {"n": 3}]

    run(main)


def test_a_life_is_told_and_ends(run: Callable[[Main], None]) -> None:
    async def main(store: Any) -> None:
        await store.put("for ever", {"v": 1})
        await store.put("long", {"v": 2}, ttl=100)
        await store.put("short", {"v": 3}, ttl=0.05)
        assert await store.ttl("no") == (None, None)
        assert await store.ttl("for ever") == ({"v": 1}, None)
        value, seconds = await store.ttl("long")
        assert value == {"v": 2}
        assert 90 < seconds <= 100
        await asyncio.sleep(0.06)
        assert await store.get("short") is None
        assert await store.ttl_many(["short", "no"]) == [(None, None), (None, None)]
        assert await store.get_many(["short", "long"]) == [None, {"v": 2}]
        await store.put("long", {"v": 4})
        assert await store.ttl("long") == ({"v": 4}, None)

    run(main)


@pytest.mark.parametrize("ttl", [0, -1, True, "soon", [1]])
def test_a_life_that_is_none_is_refused(run: Callable[[Main], None], ttl: Any) -> None:
    async def main(store: Any) -> None:
        with pytest.raises((InvalidTTLError, TypeError)):
            await store.put("k", {"v": 1}, ttl=ttl)
        assert await store.get("k") is None

    run(main)


def test_keys_and_collections_are_listed(run: Callable[[Main], None]) -> None:
    async def main(store: Any) -> None:
        for collection, key in [("x", "a"), ("x", "b"), ("y", "c"), ("y/z", "d"), ("l" * 2000, "k" * 2000)]:
            await store.put(key, {}, collection=collection)
        assert sorted(await store.keys("x")) == ["a", "b"]
        assert await store.keys("y") == ["c"]
        assert await store.keys("l" * 2000) == ["k" * 2000]
        assert len(await store.keys("x", limit=1)) == 1
        assert await store.keys("none") == []
        assert set(await store.collections()) - {"none"} == {"x", "y", "y/z", "l" * 2000}
        assert len(await store.collections(limit=2)) == 2

    run(main)


def test_a_collection_is_destroyed_and_then_all(run: Callable[[Main], None]) -> None:
    async def main(store: Any) -> None:
        await store.put_many(["a", "b"], [{}, {}], collection="x")
        await store.put("c", {}, collection="y")
        assert await store.destroy_collection("x")
        assert not await store.destroy_collection("nobody's")
        if not isinstance(store, MemoryStore):  # whose collection is broken from then on
            assert await store.get_many(["a", "b"], collection="x") == [None, None]
        assert await store.get("c", collection="y") == {}
        assert await store.destroy()
        assert isinstance(store, MemoryStore) or await store.get("c", collection="y") is None

    run(main)


def test_a_store_begins_with_its_seed(run: Callable[[Main], None], tmp_path: Path) -> None:
    del run

    async def main() -> None:
        with vault(tmp_path) as store:
            seeded = VaultKeyValueStore(store, seed={"c": {"k": {"v": 1}}}, default_collection="c")
            assert await seeded.get("k") == {"v": 1}

    asyncio.run(main())


def test_many_at_once_do_not_disturb_each_other(run: Callable[[Main], None]) -> None:
    async def main(store: Any) -> None:
        async def one(number: int) -> None:
            for turn in range(5):
                await store.put(f"k{number}", {"turn": turn})
                assert await store.get(f"k{number}") == {"turn": turn}

        await asyncio.gather(*map(one, range(8)))

    run(main)


# -- ours alone --------------------------------------------------------------------------------------------------------


class Kind(enum.StrEnum):
    ONE = "one"


def test_what_is_no_json_becomes_it_or_is_refused_as_theirs_do(tmp_path: Path) -> None:
    async def main() -> None:
        async with ours(tmp_path) as store:
            assert isinstance(store, AsyncCullProtocol)
            await store.put("k", {"kind": Kind.ONE, "of": (1, 2), "deep": {1: "one"}})
            assert await store.get("k") == {"kind": "one", "of": [1, 2], "deep": {"1": "one"}}
            await store.put_many(["l"], [{"of": (1,)}])
            assert await store.get("l") == {"of": [1]}
            for wrong in (object(), {1, 2}):
                with pytest.raises(SerializationError):
                    await store.put("k", {"v": wrong})
            await store.put("k", {"nan": math.inf, "big": 1 << 99, "lone": "\ud800", "bytes": b"\xff"})
            assert await store.get("k") == {"nan": math.inf, "big": 1 << 99, "lone": "\ud800", "bytes": b"\xff"}
            with pytest.raises(InvalidSessionId):
                await store.get("\ud800")

    asyncio.run(main())


def test_culling_removes_what_is_over_and_an_owner_sees_his(tmp_path: Path) -> None:
    async def main() -> None:
        with vault(tmp_path) as store:
            store.create("of somebody else")
            keys = VaultKeyValueStore.from_store(store, user_id="ann", labels={"team": "red"})
            await keys.put("short", {}, ttl=0.02)
            await keys.put("long", {"v": 1}, ttl=60)
            await asyncio.sleep(0.03)
            await keys.cull()
            assert [info.title for info in store.list(user_id="ann", labels={"team": "red"})] == ["long"]
            await keys.destroy()
            assert [info.id for info in store.list()] == ["of somebody else"]
            await keys.close()
            assert store.exists("of somebody else")

    asyncio.run(main())


def test_a_life_that_ends_before_the_write_leaves_no_value(tmp_path: Path) -> None:
    async def main() -> None:
        async with in_memory(tmp_path) as store:
            await store.put_many(["k", "l"], [{"v": 0}, {"v": 0}])
            over = ManagedEntry(value={"v": 1}, created_at=EPOCH, expires_at=EPOCH)
            await store._put_managed_entry(collection=store.default_collection, key="k", managed_entry=over)
            assert await store.get_many(["k", "l"]) == [None, {"v": 0}]

    asyncio.run(main())


def test_a_wrong_key_is_raised_at_once(tmp_path: Path) -> None:
    vault(tmp_path).close()
    with pytest.raises(WrongKey):
        VaultKeyValueStore.from_url(tmp_path / "vault", key=OTHER_KEY)


def test_damage_is_raised_and_never_a_missing_value(tmp_path: Path) -> None:
    async def put() -> None:
        async with ours(tmp_path) as store:
            await store.put("k", {"v": 1})

    async def look() -> None:
        async with ours(tmp_path) as store:
            await store.put("whole", {"v": 2})
            with pytest.raises(Damaged):
                await store.get("k")
            with pytest.raises(Damaged):
                await store.get_many(["whole", "k"])
            assert await store.get("whole") == {"v": 2}
            with pytest.raises(Damaged):
                await store.put("k", {"v": 3})  # repair is for it: nothing is put in its place unseen

    asyncio.run(put())
    damage(tmp_path)
    asyncio.run(look())


PROGRAM = """
import asyncio, os
from vaultsession.integrations.key_value import VaultKeyValueStore

async def main(name):
    async with VaultKeyValueStore.from_url(PATH) as store:
        for number in range(20):
            await store.put(f"{name} {number}", {"n": number})
            if name == "killed" and number == 9:
                os._exit(9)

asyncio.run(main(ARGUMENTS[0]))
"""


@pytest.mark.slow
def test_what_was_put_before_a_kill_is_there_and_two_processes_lose_nothing(tmp_path: Path) -> None:
    vault(tmp_path).close()
    assert run_program(tmp_path, PROGRAM, "killed") == KILLED
    assert wait_for([start_program(tmp_path, PROGRAM, name) for name in ("left", "right")]) == [0, 0]

    async def main() -> None:
        async with ours(tmp_path) as store:
            assert len(await store.keys()) == 10 + 2 * 20
            assert await store.get("killed 9") == {"n": 9}

    asyncio.run(main())


# -- FastMCP -----------------------------------------------------------------------------------------------------------


def test_a_server_of_fastmcp_keeps_its_state(tmp_path: Path) -> None:
    require("fastmcp")
    from fastmcp import Client, Context, FastMCP  # noqa: PLC0415 - see above

    with open_store("memory://") as store:
        server = FastMCP("tools", session_state_store=VaultKeyValueStore(store))

        async def remember(word: str, ctx: Context) -> str:
            words = await ctx.get_state("words") or []
            await ctx.set_state("words", [*words, word])
            return ", ".join([*words, word])

        remember.__annotations__ = {"word": str, "ctx": Context, "return": str}  # of this function, not of the module
        server.tool(remember)

        async def main() -> list[str]:
            async with Client(server, mode="legacy") as client:  # of the protocol that has sessions
                return [(await client.call_tool("remember", {"word": word})).data for word in ("one", "two")]

        assert asyncio.run(main()) == ["one", "one, two"]
        assert store.count(labels={"framework": "key-value"}) >= 1


def test_an_event_store_of_fastmcp_replays_from_a_vault(tmp_path: Path) -> None:
    require("fastmcp")
    from fastmcp.server.event_store import EventStore  # noqa: PLC0415 - see above
    from mcp.types import JSONRPCRequest  # noqa: PLC0415 - as above

    async def main() -> list[Any]:
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event)

        async with ours(tmp_path) as store:
            events = EventStore(storage=store)
            ids = [
                await events.store_event("stream", JSONRPCRequest(jsonrpc="2.0", id=number, method="ping"))  # type: ignore[arg-type]
                for number in range(3)
            ]
        async with ours(tmp_path) as store:
            assert await EventStore(storage=store).replay_events_after(ids[0], send) == "stream"
        return sent

    assert len(asyncio.run(main())) == 2


def test_tokens_of_an_oauth_client_of_fastmcp_are_sealed(tmp_path: Path) -> None:
    require("fastmcp")
    from fastmcp.client.auth.oauth import TokenStorageAdapter  # noqa: PLC0415 - see above
    from mcp.shared.auth import OAuthToken  # noqa: PLC0415 - as above

    async def main() -> Any:
        async with ours(tmp_path) as store:
            tokens = TokenStorageAdapter(async_key_value=store, server_url="https://example.com/mcp")
            await tokens.set_tokens(OAuthToken(access_token="very-secret", token_type="Bearer", expires_in=60))
        async with ours(tmp_path) as store:
            return await TokenStorageAdapter(async_key_value=store, server_url="https://example.com/mcp").get_tokens()

    assert asyncio.run(main()).access_token == "very-secret"
    assert not any(b"very-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
