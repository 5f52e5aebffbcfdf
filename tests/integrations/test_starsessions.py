"""Sessions of Starlette applications in a vault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adapter_lab import KEY, KILLED, LONG, OTHER_KEY, damage, run_program, start_program, vault, wait_for
from frameworks import require

from vaultsession import Damaged, SessionStore, WrongKey, open_store
from vaultsession.testing.clock import ManualClock

require("starsessions")

from starsessions import InMemoryStore, SessionAutoloadMiddleware, SessionMiddleware  # noqa: E402

from vaultsession.integrations.starsessions import VaultStore  # noqa: E402


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> Iterator[SessionStore]:
    with open_store("memory://", clock=clock) as opened:
        yield opened


@pytest.fixture(params=["ours", "theirs"])
def sessions(request: pytest.FixtureRequest, store: SessionStore) -> Any:
    return VaultStore(store) if request.param == "ours" else InMemoryStore()


@pytest.mark.parametrize("name", ["a", "a/b", "%2F", "../x", "名🙂", LONG], ids=range(6))
@pytest.mark.parametrize("data", [b"{}", b"", b"\xff\0", b"\xed\xa0\x80", bytes(range(256)) * 99], ids=range(5))
def test_what_is_written_is_read(sessions: Any, name: str, data: bytes) -> None:
    async def main() -> None:
        assert await sessions.read(name, 60) == b""
        assert await sessions.write(name, b"before", 60, 60) == name
        assert await sessions.write(name, data, 60, 60) == name
        assert await sessions.read(name, 60) == data
        await sessions.remove(name)
        await sessions.remove(name)
        assert await sessions.read(name, 60) == b""

    asyncio.run(main())


def test_a_session_ends_with_its_time(store: SessionStore, clock: ManualClock) -> None:
    async def main() -> None:
        sessions = VaultStore.from_store(store, gc_ttl=1000, assistant_id="shop")
        await sessions.write("timed", b"x", 60, 50)
        await sessions.write("of the browser", b"x", 0, 0)
        await sessions.write("nearly over", b"x", 60, 0)
        assert store.count(assistant_id="shop", labels={"framework": "starsessions"}) == 3
        clock.advance(49)
        found = [await sessions.read(name, 60) for name in ("timed", "of the browser", "nearly over")]
        assert found == [b"x", b"x", b""]
        clock.advance(2)
        assert await sessions.read("timed", 60) == b""
        clock.advance(950)
        assert await sessions.read("of the browser", 0) == b""
        await sessions.write("timed", b"anew", 60, 60)
        assert await sessions.read("timed", 60) == b"anew"

    asyncio.run(main())


def test_a_wrong_key_is_raised_at_once(tmp_path: Path) -> None:
    vault(tmp_path).close()
    with pytest.raises(WrongKey):
        VaultStore.from_url(tmp_path / "vault", key=OTHER_KEY)


def test_damage_is_raised_and_never_an_empty_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with VaultStore.from_url(tmp_path / "vault", key=KEY, durability="os") as sessions:
            await sessions.write("a", b"x" * 100, 60, 60)
        damage(tmp_path)
        async with VaultStore.from_url(tmp_path / "vault", key=KEY, durability="os") as sessions:
            with pytest.raises(Damaged):
                await sessions.read("a", 60)

    asyncio.run(main())


def application(sessions: Any, **options: Any) -> Any:
    from starlette.applications import Starlette  # noqa: PLC0415 - of the framework's extra
    from starlette.middleware import Middleware  # noqa: PLC0415 - as above
    from starlette.responses import PlainTextResponse  # noqa: PLC0415 - as above
    from starlette.routing import Route  # noqa: PLC0415 - as above

    async def remember(request: Any) -> Any:
        request.session["words"] = [*request.session.get("words", []), request.path_params["word"]]
        return PlainTextResponse(", ".join(request.session["words"]))

    async def forget(request: Any) -> Any:
        request.session.clear()
        return PlainTextResponse("gone")

    middleware = [
        Middleware(SessionMiddleware, store=sessions, cookie_https_only=False, **options),
        Middleware(SessionAutoloadMiddleware),
    ]
    return Starlette(routes=[Route("/forget", forget), Route("/{word}", remember)], middleware=middleware)


@pytest.mark.parametrize("lifetime", [0, 3600])
def test_an_application_keeps_its_sessions_in_the_vault(store: SessionStore, lifetime: int) -> None:
    httpx = require("httpx")
    app = application(VaultStore(store), lifetime=lifetime)

    def client() -> Any:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")

    async def main() -> None:
        async with client() as ann, client() as bob:
            assert [(await ann.get(f"/{word}")).text for word in ("one", "two")] == ["one", "one, two"]
            assert (await bob.get("/three")).text == "three"
            assert store.count(labels={"framework": "starsessions"}) == 2
            await ann.get("/forget")
            assert store.count(labels={"framework": "starsessions"}) == 1
            assert (await ann.get("/new")).text == "new"

    asyncio.run(main())


PROGRAM = """
import asyncio, os
from vaultsession.integrations.starsessions import VaultStore

async def main(name):
    async with VaultStore.from_url(PATH) as sessions:
        for number in range(10):
            await sessions.write(name, f"{name} {number}".encode(), 60, 60)
        if name == "killed":
            os._exit(9)

asyncio.run(main(ARGUMENTS[0]))
"""


@pytest.mark.slow
def test_what_was_written_before_a_kill_is_there_and_of_two_processes_as_well(tmp_path: Path) -> None:
    vault(tmp_path).close()
    assert run_program(tmp_path, PROGRAM, "killed") == KILLED
    assert wait_for([start_program(tmp_path, PROGRAM, name) for name in ("left", "right")]) == [0, 0]

    async def main() -> None:
        async with VaultStore.from_url(tmp_path / "vault", key=KEY) as sessions:
            for name in ("killed", "left", "right"):
                assert await sessions.read(name, 60) == f"{name} 9".encode()

    asyncio.run(main())
