"""Sessions of Google's Agent Development Kit in a vault: what a session service does, over ours and its own two."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from frameworks import require

from vaultsession import (
    Damaged,
    InvalidDocument,
    InvalidSetting,
    RawKey,
    SessionStore,
    WrongKey,
    open_store,
)
from vaultsession.admin.importers import ImportedSession, place, read
from vaultsession.testing import ManualClock

require("google.adk")
from google.adk.agents import LlmAgent  # noqa: E402 - behind the test that it is there
from google.adk.errors.already_exists_error import AlreadyExistsError  # noqa: E402 - as above
from google.adk.errors.session_not_found_error import SessionNotFoundError  # noqa: E402 - as above
from google.adk.events.event import Event  # noqa: E402 - as above
from google.adk.events.event_actions import EventActions  # noqa: E402 - as above
from google.adk.models.base_llm import BaseLlm  # noqa: E402 - as above
from google.adk.models.llm_response import LlmResponse  # noqa: E402 - as above
from google.adk.runners import Runner  # noqa: E402 - as above
from google.adk.sessions.base_session_service import GetSessionConfig  # noqa: E402 - as above
from google.adk.sessions.session import Session  # noqa: E402 - as above
from google.adk.sessions.sqlite_session_service import SqliteSessionService  # noqa: E402 - as above
from google.genai import types  # noqa: E402 - as above

from vaultsession.integrations.google_adk import VaultSessionService  # noqa: E402 - as above

KEY = RawKey(bytes(range(200, 232)))
ALICE: Any = {"app_name": "trips", "user_id": "alice"}
KINDS = ["ours", "sqlite", pytest.param("database", marks=pytest.mark.slow)]

Body = Callable[[Any], Awaitable[None]]


@asynccontextmanager
async def service_of(kind: str, tmp_path: Path) -> AsyncIterator[Any]:
    if kind == "ours":
        with open_store("memory://", lossless=True) as store:
            service: Any = VaultSessionService(store)
            yield service
            await service.close()
    elif kind == "sqlite":
        service = SqliteSessionService(str(tmp_path / "theirs.db"))
        yield service
        await service.close()
    else:
        from google.adk.sessions.database_session_service import DatabaseSessionService  # noqa: PLC0415 - slow

        service = DatabaseSessionService(f"sqlite+aiosqlite:///{tmp_path}/database.db")
        yield service
        await service.close()


@pytest.fixture(params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Body], None]:
    """Runs a test's body over a service."""

    def run(body: Body) -> None:
        async def main() -> None:
            async with service_of(request.param, tmp_path) as service:
                await body(service)

        asyncio.run(main())
        if request.param != "ours":
            with warnings.catch_warnings():  # theirs leave connections to the garbage collector
                warnings.simplefilter("ignore")
                gc.collect()

    return run


def event(text: str = "Hi", **fields: Any) -> Event:
    delta = fields.pop("state", None)
    content = types.Content(role="user", parts=[types.Part(text=text)])
    actions = EventActions(state_delta=delta) if delta else EventActions()
    return Event(**{"author": "user", "content": content, "actions": actions, "invocation_id": "i", **fields})


def texts(session: Session) -> list[str]:
    return [each.content.parts[0].text for each in session.events]


# -- what every service does -------------------------------------------------------------------------------------------


def test_a_session_is_made_and_read(run: Any) -> None:
    async def body(service: Any) -> None:
        made = await service.create_session(**ALICE, session_id="s", state={"step": 1})
        assert (made.id, made.app_name, made.user_id, made.state, made.events) == (
            "s",
            "trips",
            "alice",
            {"step": 1},
            [],
        )
        read = await service.get_session(**ALICE, session_id="s")
        assert (read.id, read.state, read.events) == ("s", {"step": 1}, [])
        assert read.last_update_time == pytest.approx(made.last_update_time, abs=0.001)

    run(body)


def test_an_id_that_is_not_given_is_made(run: Any) -> None:
    async def body(service: Any) -> None:
        one, two = await service.create_session(**ALICE), await service.create_session(**ALICE)
        assert one.id
        assert one.id != two.id
        assert (await service.get_session(**ALICE, session_id=one.id)).id == one.id

    run(body)


def test_an_id_is_taken_once(run: Any) -> None:
    async def body(service: Any) -> None:
        await service.create_session(**ALICE, session_id="s")
        with pytest.raises(AlreadyExistsError):
            await service.create_session(**ALICE, session_id="s")
        await service.create_session(app_name="trips", user_id="bob", session_id="s")
        await service.create_session(app_name="other", user_id="alice", session_id="s")

    run(body)


def test_what_is_not_there_is_none(run: Any) -> None:
    async def body(service: Any) -> None:
        assert await service.get_session(**ALICE, session_id="nothing") is None
        assert (await service.list_sessions(**ALICE)).sessions == []
        await service.delete_session(**ALICE, session_id="nothing")
        assert await service.get_user_state(**ALICE) == {}

    run(body)


def test_events_are_kept_in_order_with_all_that_they_hold(run: Any) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s")
        call = types.FunctionCall(id="c", name="weather", args={"city": "Rome", "n": 2.5, "deep": [{"x": None}]})
        blob = types.Blob(data=b"\x00\xff", mime_type="image/png")
        parts = [types.Part(text="größer 文字 🎭"), types.Part(function_call=call), types.Part(inline_data=blob)]
        first = event(
            content=types.Content(role="model", parts=parts), author="agent", branch="a.b", turn_complete=True
        )
        for each in (first, *[event(f"{number}", timestamp=100.0 + number) for number in range(5)]):
            await service.append_event(session, each)
        read = await service.get_session(**ALICE, session_id="s")
        assert sorted(read.events, key=lambda each: each.id) == sorted(session.events, key=lambda each: each.id)
        assert read.events[-1] == session.events[-1] or read.events[-1] == first  # theirs sort by their time
        assert len(read.events) == 6

    run(body)


def test_recent_and_later_events(run: Any) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s")
        for number in range(6):
            await service.append_event(session, event(str(number), timestamp=session.last_update_time + 1))
        times = [each.timestamp for each in session.events]
        for config, found in (
            (GetSessionConfig(num_recent_events=2), ["4", "5"]),
            (GetSessionConfig(num_recent_events=0), []),
            (GetSessionConfig(num_recent_events=99), list("012345")),
            (GetSessionConfig(after_timestamp=times[4]), ["4", "5"]),
            (GetSessionConfig(after_timestamp=times[5] + 1), []),
            (GetSessionConfig(after_timestamp=times[1], num_recent_events=1), ["5"]),
        ):
            read = await service.get_session(**ALICE, session_id="s", config=config)
            assert texts(read) == found
            assert read.last_update_time == pytest.approx(times[-1], abs=0.001)

    run(body)


def test_state_is_the_session_s_the_user_s_and_the_app_s(run: Any) -> None:
    async def body(service: Any) -> None:
        state = {"own": 1, "user:lang": "de", "app:theme": "dark", "temp:x": 9}
        made = await service.create_session(**ALICE, session_id="s", state=state)
        assert made.state == {"own": 1, "user:lang": "de", "app:theme": "dark"}
        other = await service.create_session(**ALICE, session_id="t")
        assert other.state == {"user:lang": "de", "app:theme": "dark"}
        bob = await service.create_session(app_name="trips", user_id="bob", session_id="s")
        assert bob.state == {"app:theme": "dark"}
        assert await service.get_user_state(**ALICE) == {"lang": "de"}

    run(body)


def test_an_event_changes_state_and_temporary_state_stays_in_memory(run: Any) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s", state={"a": 1, "b": {"deep": [1]}})
        change = {"b": None, "c": [1, {"x": 1.5}], "user:u": 1, "app:p": "x", "temp:t": 5}
        kept = await service.append_event(session, event(state=change))
        assert session.state["temp:t"] == 5
        assert "temp:t" not in kept.actions.state_delta
        read = await service.get_session(**ALICE, session_id="s")
        assert read.state == {"a": 1, "b": None, "c": [1, {"x": 1.5}], "user:u": 1, "app:p": "x"}
        assert read.events[0].actions.state_delta == {key: change[key] for key in change if key != "temp:t"}
        await service.append_event(session, event(state={"user:u": 2}))
        assert await service.get_user_state(**ALICE) == {"u": 2}

    run(body)


def test_a_partial_event_is_not_kept(run: Any) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s")
        await service.append_event(session, event(partial=True, state={"a": 1}))
        assert session.events == []
        read = await service.get_session(**ALICE, session_id="s")
        assert (read.events, read.state) == ([], {})

    run(body)


def test_a_session_that_others_changed_is_stale(run: Any) -> None:
    async def body(service: Any) -> None:
        await service.create_session(**ALICE, session_id="s")
        one = await service.get_session(**ALICE, session_id="s")
        two = await service.get_session(**ALICE, session_id="s")
        await service.append_event(one, event("one", timestamp=one.last_update_time + 1))
        with pytest.raises(ValueError, match=r"last_update_time|modified in storage|stale"):
            await service.append_event(two, event("two", timestamp=two.last_update_time + 2))
        again = await service.get_session(**ALICE, session_id="s")
        await service.append_event(again, event("two", timestamp=again.last_update_time + 2))
        assert texts(await service.get_session(**ALICE, session_id="s")) == ["one", "two"]

    run(body)


def test_an_event_for_a_session_that_is_gone(run: Any) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s")
        await service.delete_session(**ALICE, session_id="s")
        with pytest.raises(ValueError, match="not found"):
            await service.append_event(session, event())
        assert await service.get_session(**ALICE, session_id="s") is None

    run(body)


def test_sessions_are_listed_without_events_and_the_newest_last(run: Any) -> None:
    async def body(service: Any) -> None:
        for name in ("a", "b", "c"):
            await service.create_session(**ALICE, session_id=name, state={"name": name, "user:u": 1})
        await service.create_session(app_name="trips", user_id="bob", session_id="d")
        await service.create_session(app_name="other", user_id="alice", session_id="e")
        first = await service.get_session(**ALICE, session_id="a")
        await service.append_event(first, event(timestamp=first.last_update_time + 100))
        listed = (await service.list_sessions(**ALICE)).sessions
        assert [each.id for each in listed] == ["b", "c", "a"]
        assert [each.state for each in listed] == [{"name": name, "user:u": 1} for name in "bca"]
        assert all(each.events == [] for each in listed)
        everyone = (await service.list_sessions(app_name="trips")).sessions
        assert sorted((each.user_id, each.id) for each in everyone) == [
            ("alice", "a"),
            ("alice", "b"),
            ("alice", "c"),
            ("bob", "d"),
        ]

    run(body)


def test_a_deleted_session_leaves_the_state_of_its_user(run: Any) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s", state={"user:u": 1, "own": 2})
        await service.append_event(session, event())
        await service.delete_session(**ALICE, session_id="s")
        again = await service.create_session(**ALICE, session_id="s")
        assert (again.state, (await service.get_session(**ALICE, session_id="s")).events) == ({"user:u": 1}, [])

    run(body)


def test_what_it_gives_out_is_nobody_else_s(run: Any) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s", state={"list": [1]})
        session.state["list"].append(2)
        read = await service.get_session(**ALICE, session_id="s")
        read.state["list"].append(3)
        read.events.append(event())
        again = await service.get_session(**ALICE, session_id="s")
        assert (again.state, again.events) == ({"list": [1]}, [])

    run(body)


@pytest.mark.parametrize("name", [" padded ", "a/b%2F", "ключ", "🎭", "a" * 100])
def test_ids_of_any_script(name: str, run: Any) -> None:
    async def body(service: Any) -> None:
        made = await service.create_session(app_name=name, user_id=name, session_id=name)
        await service.append_event(made, event())
        read = await service.get_session(app_name=name, user_id=name, session_id=made.id)
        assert (read.id, read.app_name, read.user_id) == (made.id, name, name)
        assert len((await service.list_sessions(app_name=name, user_id=name)).sessions) == 1

    run(body)


def test_an_empty_user_is_a_user(run: Any) -> None:
    async def body(service: Any) -> None:
        await service.create_session(app_name="trips", user_id="", session_id="s", state={"user:u": 1})
        await service.create_session(**ALICE, session_id="s")
        read = await service.get_session(app_name="trips", user_id="", session_id="s")
        assert (read.user_id, read.state) == ("", {"user:u": 1})
        assert [each.user_id for each in (await service.list_sessions(app_name="trips", user_id="")).sessions] == [""]

    run(body)


# -- an agent at work --------------------------------------------------------------------------------------------------


class Scripted(BaseLlm):
    """Says what it was asked last."""

    model: str = "scripted"

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        asked = llm_request.contents[-1].parts[0].text
        if asked == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        content = types.Content(role="model", parts=[types.Part(text=f"You said {asked}")])
        yield LlmResponse(content=content)


async def ask(service: Any, text: str) -> list[Any]:
    agent = LlmAgent(name="guide", model=Scripted(), output_key="said")
    runner = Runner(app_name="trips", agent=agent, session_service=service)
    message = types.Content(role="user", parts=[types.Part(text=text)])
    return [each async for each in runner.run_async(user_id="alice", session_id="s", new_message=message)]


def test_an_agent_answers_and_remembers(run: Any) -> None:
    async def body(service: Any) -> None:
        await service.create_session(**ALICE, session_id="s")
        for text in ("Rome", "Oslo"):
            found = await ask(service, text)
            assert found[-1].content.parts[0].text == f"You said {text}"
        read = await service.get_session(**ALICE, session_id="s")
        assert texts(read) == ["Rome", "You said Rome", "Oslo", "You said Oslo"]
        assert read.state == {"said": "You said Oslo"}

    run(body)


PROGRAM = """
import asyncio, sys
sys.path[:0] = sys.argv[3:]
from test_google_adk import ALICE, KEY, VaultSessionService, ask
what, vault = sys.argv[1:3]

async def main():
    async with VaultSessionService.from_url(vault, key=KEY) as service:
        if what == "die":
            await service.create_session(**ALICE, session_id="s")
            await ask(service, "Rome")
            await ask(service, "die")
        for number in range(15):
            async with service.turn(**ALICE, session_id="s"):
                await ask(service, f"{what} {number}")

asyncio.run(main())
"""


def started(what: str, vault: Path) -> subprocess.Popen[bytes]:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, what, str(vault), *paths])


@pytest.mark.slow
def test_an_agent_that_was_killed_in_the_middle_of_a_turn_goes_on(tmp_path: Path) -> None:
    assert started("die", tmp_path / "vault").wait(timeout=120) == -signal.SIGKILL

    async def main() -> None:
        async with VaultSessionService.from_url(tmp_path / "vault", key=KEY) as service:
            assert texts(await service.get_session(**ALICE, session_id="s")) == ["Rome", "You said Rome", "die"]
            await ask(service, "Oslo")
            assert texts(await service.get_session(**ALICE, session_id="s"))[-2:] == ["Oslo", "You said Oslo"]

    asyncio.run(main())


@pytest.mark.slow
def test_two_processes_at_once_lose_no_event(tmp_path: Path) -> None:
    async def made() -> None:
        async with VaultSessionService.from_url(tmp_path / "vault", key=KEY) as service:
            await service.create_session(**ALICE, session_id="s")

    async def read() -> Any:
        async with VaultSessionService.from_url(tmp_path / "vault", key=KEY) as service:
            return await service.get_session(**ALICE, session_id="s")

    asyncio.run(made())
    running = [started(name, tmp_path / "vault") for name in "ab"]
    assert [each.wait(timeout=120) for each in running] == [0, 0]
    found = texts(asyncio.run(read()))
    assert sorted(found[::2]) == sorted(f"{name} {number}" for name in "ab" for number in range(15))
    assert found[1::2] == [f"You said {asked}" for asked in found[::2]]


# -- ours --------------------------------------------------------------------------------------------------------------


def over(store: SessionStore, body: Body, **fields: Any) -> None:
    async def main() -> None:
        async with VaultSessionService.from_store(store, **fields) as service:
            await body(service)

    asyncio.run(main())


def test_an_event_that_is_delivered_again_is_kept_once() -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s")
        other = await service.get_session(**ALICE, session_id="s")
        one = event("one", state={"n": 1})
        await service.append_event(session, one)
        await service.append_event(session, one.model_copy(deep=True))
        await service.append_event(other, one.model_copy(deep=True))  # who sent it never heard that it was kept
        assert texts(await service.get_session(**ALICE, session_id="s")) == ["one"]
        assert len(session.events) == 1
        with pytest.raises(AlreadyExistsError):
            await service.append_event(session, event("another", id=one.id))
        assert texts(await service.get_session(**ALICE, session_id="s")) == ["one"]

    with open_store("memory://") as store:
        over(store, body)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("value", [2**70, "\x00 \uffff", {"deep": [[[1]]]}, -0.0], ids=repr)
def test_hostile_values_in_an_event(value: Any, lossless: bool) -> None:
    async def body(service: Any) -> None:
        session = await service.create_session(**ALICE, session_id="s")
        sent = event(custom_metadata={"value": value})
        await service.append_event(session, sent)
        [read] = (await service.get_session(**ALICE, session_id="s")).events
        assert repr(read.custom_metadata) == repr({"value": value})

    with open_store("memory://", lossless=lossless) as store:
        over(store, body)


def test_the_database_of_a_sqlite_service_is_imported_and_goes_on(tmp_path: Path) -> None:
    async def written() -> Any:
        service = SqliteSessionService(str(tmp_path / "theirs.db"))
        session = await service.create_session(**ALICE, session_id="s", state={"n": 1, "user:u": 2, "app:a": 3})
        await service.append_event(session, event("one", state={"n": 2}, timestamp=session.last_update_time + 1))
        await service.append_event(session, event("two", timestamp=session.last_update_time + 2))
        return await service.get_session(**ALICE, session_id="s")

    async def body(service: Any) -> None:
        session = await service.get_session(**ALICE, session_id="s")
        assert (session.state, session.events) == (before.state, before.events)
        await service.append_event(session, event("three"))
        assert texts(await service.get_session(**ALICE, session_id="s")) == ["one", "two", "three"]
        assert len((await service.list_sessions(**ALICE)).sessions) == 1

    before = asyncio.run(written())
    with open_store("memory://") as store:
        found = [*read(str(tmp_path / "theirs.db"))]
        assert [place(store, each) for each in found if isinstance(each, ImportedSession)] == ["imported"] * 3
        over(store, body)


def test_long_ids_owners_and_the_end_of_a_session() -> None:
    clock = ManualClock()

    async def body(service: Any) -> None:
        long = {"app_name": "a" * 2000, "user_id": "ы" * 900}
        made = await service.create_session(**long, session_id="s" * 1500, state={"user:u": 1})
        assert (await service.get_session(**long, session_id="s" * 1500)).id == made.id
        assert len((await service.list_sessions(**long)).sessions) == 1
        made = await service.create_session(**ALICE, session_id="s", state={"user:u": 1})
        for number in range(5):
            await service.append_event(made, event(str(number)))
        assert store.count(user_id="alice") == 1
        clock.advance(3601)
        assert await service.get_session(**ALICE, session_id="s") is None
        with pytest.raises(SessionNotFoundError):
            await service.append_event(made, event())
        again = await service.create_session(**ALICE, session_id="s")
        assert (again.events, again.state) == ([], {"user:u": 1})

    with open_store("memory://", clock=clock, ttl="1h", max_messages=3) as store:
        over(store, body, labels={"team": "red"})


def test_a_session_made_by_hand_is_compared_by_its_time() -> None:
    async def body(service: Any) -> None:
        made = await service.create_session(**ALICE, session_id="s")
        by_hand = Session(id="s", app_name="trips", user_id="alice", last_update_time=made.last_update_time)
        await service.append_event(by_hand, event("one", timestamp=made.last_update_time + 1))
        old = Session(id="s", app_name="trips", user_id="alice", last_update_time=made.last_update_time)
        with pytest.raises(ValueError, match="last_update_time"):
            await service.append_event(old, event("two"))

    with open_store("memory://") as store:
        over(store, body)


@pytest.fixture
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own, where keys of vaults that name none are made."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_home")
def test_a_wrong_key_damage_and_what_is_not_ours(tmp_path: Path) -> None:
    async def main() -> None:
        async with VaultSessionService(uri=f"vault://{tmp_path}/vault", agents_dir="x") as service:
            for name in ("one", "two"):
                await service.create_session(**ALICE, session_id=name)
            service._handle.store.create("google-adk/trips/alice/three")
            with pytest.raises(InvalidDocument, match="Agent Development Kit"):
                await service.get_session(**ALICE, session_id="three")
        path = next(each for each in (tmp_path / "vault").rglob("google-adk-trips-alice-one~*") if each.is_file())
        data = bytearray(path.read_bytes())
        data[200] ^= 1
        path.write_bytes(data)
        async with VaultSessionService(uri=f"vault://{tmp_path}/vault") as service:
            with pytest.raises(Damaged):
                await service.get_session(**ALICE, session_id="one")
            assert [each.id for each in (await service.list_sessions(**ALICE)).sessions] == ["two"]
        with pytest.raises(WrongKey):
            VaultSessionService.from_url(tmp_path / "vault", key=RawKey(bytes(range(32))))

    asyncio.run(main())
    with pytest.raises(InvalidSetting):
        VaultSessionService()


@pytest.mark.usefixtures("_home")
def test_services_yaml_makes_one(tmp_path: Path) -> None:
    from google.adk.cli import service_registry  # noqa: PLC0415 - slow

    (tmp_path / "services.yaml").write_text(
        "services:\n  - scheme: vault\n    type: session\n"
        "    class: vaultsession.integrations.google_adk.VaultSessionService\n"
    )
    service_registry.load_services_module(str(tmp_path))
    made = service_registry.get_service_registry().create_session_service(
        f"vault://{tmp_path}/vault", agents_dir=str(tmp_path)
    )
    assert isinstance(made, VaultSessionService)
    asyncio.run(made.close())
