"""The public surface as a type checker sees it. Checked by mypy and pyright, never run.

Each ``assert_type`` is a promise to callers; each ``type: ignore`` and ``pyright: ignore`` a mistake that a checker must
find: both are configured to complain where there is nothing to ignore.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict, assert_type

import vaultsession
from vaultsession import (
    AsyncConversation,
    AsyncSessionStore,
    Conversation,
    Imported,
    InvalidDocument,
    KeyUnavailable,
    Match,
    Messages,
    Page,
    PartialFailure,
    Passphrase,
    RawKey,
    Reply,
    Session,
    SessionExpired,
    SessionInfo,
    SessionNotFound,
    SessionStore,
    Settings,
    Step,
    UnsupportedFormat,
    VaultError,
    Verified,
    open_store,
    open_store_async,
)

assert_type(vaultsession.__version__, str)


def opening(path: Path) -> None:
    assert_type(open_store(), SessionStore)
    assert_type(open_store("memory://", ttl="24h", max_sessions=5), SessionStore)
    assert_type(open_store(path, key=RawKey.generate(), create=False), SessionStore)
    assert_type(open_store(path, key=Passphrase("words"), settings=Settings(durability="os")), SessionStore)
    assert_type(Settings.from_environment({}), Settings)
    Settings(durability="never")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Settings().ttl = "1h"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    with open_store("memory://") as store:
        assert_type(store, SessionStore)


def whole_sessions(store: SessionStore) -> None:
    assert_type(store.create(), Session)
    assert_type(
        store.create(
            "a",
            user_id="u",
            tenant_id=None,
            assistant_id="x",
            title="t",
            labels={"k": "v"},
            state={"n": 1},
            messages=[{"role": "user"}],
            ttl=timedelta(hours=1),
            sliding=True,
            max_messages=5,
        ),
        Session,
    )
    session = store.load("a")
    assert_type(session, Session)
    assert_type(store.save(session), Session)
    assert_type(store.save(session, overwrite=True), Session)
    assert_type(store.save("a", state={}, messages=(), ttl=None), Session)
    assert_type(store.load_if_warm("a"), Session | None)
    assert_type(store.delete("a"), bool)
    assert_type(store.delete("a", shred=True), bool)
    assert_type(store.exists("a"), bool)
    store.create("a", colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    store.create("a", ttl=object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.create("a", labels={"k": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    store.load(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_session(session: Session, info: SessionInfo) -> None:
    assert_type(session.id, str)
    assert_type(session.version, str)
    assert_type(session.state, dict[str, Any])
    assert_type(session.messages, list[dict[str, Any]])
    assert_type(session.message_count, int)
    assert_type(session.title, str | None)
    assert_type(session.user_id, str | None)
    assert_type(session.tenant_id, str | None)
    assert_type(session.assistant_id, str | None)
    assert_type(session.labels, dict[str, str])
    assert_type(session.sliding, bool)
    assert_type(session.max_messages, int | None)
    assert_type(session.ttl, timedelta | None)
    assert_type(session.created_at, datetime)
    assert_type(session.updated_at, datetime)
    assert_type(session.expires_at, datetime | None)
    assert_type(session.info(), SessionInfo)
    assert_type(session.facts(), dict[str, Any])
    session.title = "new"
    session.user_id = None
    session.sliding = True
    session.max_messages = 3
    session.state = {"n": 1}
    session.messages = []
    session.title = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    session.id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

    assert_type(info.id, str)
    assert_type(info.title, str | None)
    assert_type(info.labels, dict[str, str])
    assert_type(info.message_count, int)
    assert_type(info.size, int)
    assert_type(info.ttl, timedelta | None)
    assert_type(info.expires_at, datetime | None)
    info.title = "new"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    info.state  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnusedExpression]


def parts(store: SessionStore, message: dict[str, Any], changes: Mapping[str, int]) -> None:
    assert_type(store.append("a", message, message, create=True, dedupe=True), SessionInfo)
    assert_type(
        store.append("a", message, state={"n": 1}, unset=["m"], if_version="v", create=True, ttl="1h"), SessionInfo
    )
    assert_type(store.replace_last("a", 1, message, if_version="v").version, str)
    assert_type(store.info("a"), SessionInfo)
    assert_type(store.delete("a", if_version="v"), bool)
    assert_type(store.messages("a"), Messages)
    assert_type(store.messages("a", last=20)[0], dict[str, Any])
    assert_type(store.messages("a", offset=1, limit=2).info, SessionInfo)
    assert_type(store.snapshot("a", last=2).state, dict[str, Any])
    assert_type(store.snapshot("a").messages, Messages)
    assert_type(store.pop("a", 2), list[dict[str, Any]])
    assert_type(store.clear("a"), SessionInfo)
    assert_type(store.update("a", changes), SessionInfo)
    assert_type(store.update("a", change), SessionInfo)
    assert_type(store.update("a", {}, unset=["n"], create=True, if_version="v", title="t"), SessionInfo)
    assert_type(store.touch("a"), SessionInfo)
    assert_type(store.touch("a", "7d"), SessionInfo)
    with store.edit("a") as draft:
        assert_type(draft, Session)
    with store.lease("a", timeout=5) as nothing:
        assert_type(nothing, None)
    store.update("a", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.append("a", "text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def change(draft: Session) -> None:
    draft.state["n"] = 1


def many(store: SessionStore) -> None:
    page = store.list(user_id="u", labels={"k": "v"}, order="oldest", limit=5)
    assert_type(page, Page)
    assert_type(page.after, str | None)
    assert_type(page[0], SessionInfo)
    for info in page:
        assert_type(info, SessionInfo)
    assert_type(store.list(after=page.after, offset=5), Page)
    assert_type(store.count(tenant_id="t", assistant_id="x"), int)
    assert_type(store.sweep(), int)
    assert_type(store.sweep(dry_run=True, progress=print), int)
    assert_type(store.train(size=8192, dry_run=True, user_id="alice").number, int | None)
    assert_type(store.stats(), dict[str, Any])
    assert_type(store.health(), dict[str, Any])
    store.start_sweeper("5m")
    assert_type(store.rotate_key(progress=print).left, tuple[str, ...])
    assert_type(store.prune_keys(), tuple[str, ...])
    assert_type([use.sessions for use in store.key_usage()], list[int])
    assert_type(store.destroy_tenant("acme").removed, int)
    store.reindex()
    store.close()
    store.list(order="random")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.list(colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def says(messages: list[dict[str, Any]]) -> str:
    return str(len(messages))


def streams(messages: list[dict[str, Any]]) -> Iterator[str]:
    yield str(len(messages))


def steps(messages: list[dict[str, Any]]) -> Step | list[dict[str, Any]]:
    return Step(messages, done=False) if messages else []


async def says_later(messages: list[dict[str, Any]]) -> str:
    return str(len(messages))


async def streams_later(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
    yield str(len(messages))


def conversations(store: SessionStore, message: dict[str, Any]) -> None:
    chat = store.conversation(
        "a", agent=says, window=5, system="s", on_failure="drop", lease=True, user_id="u", ttl="1h"
    )
    assert_type(chat, Conversation)
    reply = chat.send("hello", max_iterations=3, on_text=print)
    assert_type(reply, Reply)
    assert_type(reply.text, str)
    assert_type(reply.done, bool)
    assert_type(reply.messages, tuple[dict[str, Any], ...])
    assert_type(reply.session, SessionInfo)
    assert_type(store.conversation(agent=streams).send(message), Reply)
    assert_type(store.conversation(agent=steps).answer(), Reply)
    assert_type(chat.message_count(), int)
    assert_type(chat.history(last=3), list[dict[str, Any]])
    assert_type(chat.is_answered(), bool)
    assert_type(chat.session_id, str)
    assert_type(chat.unsaved, list[dict[str, Any]])
    store.conversation("a", agent=says_later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.conversation("a", agent=says, on_failure="retry")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.conversation("a", agent=says, colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def awaited_conversations(store: AsyncSessionStore) -> None:
    for agent in (says_later, says):
        chat = store.conversation("a", agent=agent, lease=True, lease_timeout=5)
        assert_type(chat, AsyncConversation)
        assert_type(await chat.send("hello"), Reply)
    assert_type(await store.conversation(agent=streams_later).answer(), Reply)
    assert_type(await store.conversation(agent=streams).message_count(), int)


def searching(store: SessionStore) -> None:
    assert_type(store.search("text", ignore_case=True, state=True, limit=5, progress=print), Iterator[Match])
    for match in store.search(re.compile("t.xt"), user_id="u"):
        assert_type(match.id, str)
        assert_type(match.index, int | None)
        assert_type(match.role, str | None)
        assert_type(match.path, str)
        assert_type(match.excerpt[slice(*match.span)], str)
    store.search(re.compile(b"text"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def moving(store: SessionStore, session: Session, path: Path) -> None:
    assert_type(store.copy("a", "b", until=3, title="fork", ttl=None), Session)
    assert_type(store.export(), Iterator[bytes])
    assert_type(store.export(["a"], progress=print), Iterator[bytes])
    assert_type(store.import_(store.export(), existing="skip"), Imported)
    with path.open("rb") as file:
        assert_type(store.import_(file).made, int)
    assert_type(store.save_many([session, {"id": "b", "state": {}, "user_id": "u"}]), Sequence[Session])
    assert_type(store.load_many(["a", "b"]), Mapping[str, Session])
    assert_type(store.delete_many(["a"]), int)
    assert_type(store.verify(progress=print), Verified)
    assert_type(store.verify().ok, bool)
    store.import_([], existing="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    store.copy("a", colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@dataclass
class Progress:
    step: int = 0


class Loose(TypedDict, total=False):
    step: int


def typed(path: Path) -> None:
    store = open_store(path, state_type=Progress)
    assert_type(store, SessionStore[Progress])
    assert_type(store.create("a", state=Progress(1)), Session[Progress])
    assert_type(store.load("a").state, Progress)
    assert_type(store.load("a").state.step, int)
    with store.edit("a") as draft:
        draft.state.step += 1
        draft.state.step = "one"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    store.update("a", advance)
    store.create("b", state={"step": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(open_store(path, state_type=Loose).load("a").state, Loose)


def advance(draft: Session[Progress]) -> None:
    draft.state.step += 1


def errors(store: SessionStore) -> None:
    try:
        store.load("a")
    except SessionExpired as error:
        found: SessionNotFound = error
        raise found from None
    except InvalidDocument as error:
        assert_type(error.path, str)
    except UnsupportedFormat as error:
        assert_type(error.found, object)
    except KeyUnavailable as error:
        assert_type(error.tried, tuple[str, ...])
    except PartialFailure as error:
        assert_type(error.failures, dict[str, VaultError])


async def awaited(path: Path, message: dict[str, Any]) -> None:
    store = await open_store_async(path, ttl="1h")
    assert_type(store, AsyncSessionStore)
    assert_type(await store.create("a", user_id="u", ttl=None), Session)
    assert_type(await store.load("a"), Session)
    assert_type(await store.save("a", state={}), Session)
    assert_type(await store.append("a", message, create=True), SessionInfo)
    assert_type(await store.replace_last("a", 1, message), SessionInfo)
    assert_type(await store.info("a"), SessionInfo)
    assert_type(await store.messages("a", last=3), Messages)
    assert_type((await store.snapshot("a", last=3)).state, dict[str, Any])
    assert_type(await store.pop("a"), list[dict[str, Any]])
    assert_type(await store.update("a", change), SessionInfo)
    assert_type(await store.touch("a"), SessionInfo)
    assert_type(await store.clear("a"), SessionInfo)
    assert_type(await store.delete("a"), bool)
    assert_type(await store.exists("a"), bool)
    assert_type(await store.list(labels={"k": "v"}), Page)
    assert_type(await store.count(), int)
    assert_type(await store.sweep(), int)
    assert_type((await store.train()).ratio, float)
    assert_type((await store.rotate_key()).key, str)
    assert_type(await store.stats(), dict[str, Any])
    assert_type(store.search("text"), AsyncIterator[Match])
    assert_type(store.export(), AsyncIterator[bytes])
    assert_type(await store.import_([]), Imported)
    assert_type(await store.copy("a"), Session)
    assert_type(await store.load_many(["a"]), Mapping[str, Session])
    assert_type(await store.verify(), Verified)
    typed = await open_store_async(path, state_type=Progress)
    assert_type(typed, AsyncSessionStore[Progress])
    assert_type(await typed.create("a", state=Progress()), Session[Progress])
    assert_type(await typed.load_many(["a"]), Mapping[str, Session[Progress]])
    async with store.edit("a") as draft:
        assert_type(draft, Session)
    async with store.lease("a") as nothing:
        assert_type(nothing, None)
    async with store as again:
        assert_type(again, AsyncSessionStore)
    await store.create("a", colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_subclass_keeps_its_type() -> None:
    class Mine(SessionStore):
        pass

    def use(mine: Mine) -> None:
        with mine as entered:
            assert_type(entered, Mine)
        with contextlib.closing(mine) as closing:
            assert_type(closing, Mine)
