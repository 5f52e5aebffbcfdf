"""Whatever a verb is given, it says in a typed error which argument it does not take, and nothing was touched."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from vaultsession import AsyncSessionStore, InvalidDocument, InvalidSessionId, InvalidSetting, VaultError, open_store
from vaultsession.store.store import SessionStore

MESSAGE = {"role": "user", "content": "hi"}


def echo(_: object) -> str:
    return "hi"


class Odd:
    """What no argument is."""


def odd_values() -> list[Any]:
    """What callers pass by mistake: of another type, empty, below nought, huge, and generators that are used up."""
    numbers = [True, False, 0, -1, 1, 10**30, float("nan"), float("inf"), -1.5, 1.5]
    texts = ["", "x", "\ud800", "a\0b", b"x", b""]
    others = [Odd(), iter(()), datetime(2020, 1, 1), timedelta(-1), timedelta(10**6), {"x"}, (1,), lambda *_: None]  # noqa: DTZ001 - as odd
    return [None, *numbers, *texts, [], [1], [[]], {}, {1: 2}, {"a": 1}, *others]


GIVEN: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "create": ([], {}),
    "save": (["a"], {}),
    **{
        verb: (["a"], {})
        for verb in (
            *("load", "get", "copy", "delete", "exists", "info", "messages", "snapshot", "pop", "clear", "edit"),
            *("touch", "lease"),
        )
    },
    "append": (["a", MESSAGE], {"create": True}),
    "replace_last": (["a", 1, MESSAGE], {}),
    "update": (["a", {"k": 1}], {"create": True}),
    "conversation": (["a"], {"agent": echo}),
    "search": (["hi"], {}),
    "save_many": ([[]], {}),
    **{verb: ([["a"]], {}) for verb in ("load_many", "load_each", "delete_many")},
    "import_": ([[]], {}),
    "destroy_tenant": (["t"], {}),
    "train": ([], {"dry_run": True}),
    **{verb: ([], {}) for verb in ("list", "count", "export", "sweep", "verify", "rotate_key", "start_sweeper")},
}
"""What each verb is given beside what is odd."""

ARGUMENTS = [
    (verb, name)
    for verb in GIVEN
    for name in inspect.signature(getattr(SessionStore, verb)).parameters
    if name not in ("self", "default")
]


def with_odd(verb: str, name: str, value: object) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs = [*GIVEN[verb][0]], {**GIVEN[verb][1]}
    parameters = [*inspect.signature(getattr(SessionStore, verb)).parameters.values()][1:]
    names = [each.name for each in parameters if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    if name not in names:
        kwargs[name] = value
    elif names.index(name) < len(args):
        args[names.index(name)] = value
    else:
        args.append(value)
    return args, kwargs


def use(store: SessionStore, verb: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    made = getattr(store, verb)(*args, **kwargs)
    if verb in ("edit", "lease"):
        with made:
            pass
    elif verb == "conversation":
        made.send("hello")
    elif verb in ("search", "load_each", "export"):
        list(made)


@pytest.fixture(scope="module")
def store() -> Iterator[SessionStore]:
    with open_store("memory://") as opened:
        yield opened


@pytest.mark.parametrize(("verb", "name"), ARGUMENTS)
def test_what_a_verb_does_not_take_is_a_typed_error(store: SessionStore, verb: str, name: str) -> None:
    for value in odd_values():
        store.save("a", messages=[MESSAGE] * 3, state={"k": 0})
        args, kwargs = with_odd(verb, name, value)
        if verb == "lease" and name == "id":
            kwargs["timeout"] = 0
        try:
            use(store, verb, args, kwargs)
        except VaultError as error:
            told = str(error)
            if isinstance(value, Odd) and name not in told and not isinstance(error, InvalidSessionId):
                pytest.fail(f"{told!r} does not name {name}")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda store: store.update("a", {}, unset=None), "unset is the name of a key of the state, .*not None"),
        (lambda store: store.snapshot("a", last="x"), "last is a whole number .*not str"),
        (lambda store: store.pop("a", True), "n is a whole number .*not True"),
        (lambda store: store.pop("a", -1), "n is a whole number .*not -1"),
        (lambda store: store.messages("a", last=float("nan")), "last .*not nan"),
        (lambda store: store.delete("a", shred="no"), "shred is True or False, not str"),
        (lambda store: store.append("a", MESSAGE, if_version=7), "if_version is a str, or None, not 7"),
        (lambda store: store.delete_many("abc"), "ids is an iterable of session ids, not str"),
        (lambda store: store.save(None), "session is a Session, or an id, not None"),
        (lambda store: store.save_many([{"state": {}}]), "a mapping with an id"),
        (lambda store: store.touch("a", "soon"), "ttl: 'soon' is no duration"),
        (lambda store: store.start_sweeper(-1), "interval: -1 is no duration"),
        (lambda store: store.verify(progress="bar"), "progress is a function, or None, not str"),
        (lambda store: store.conversation("a", agent=echo, lease="yes"), "lease is True or False"),
    ],
)
def test_the_error_names_the_argument_and_what_it_takes(
    store: SessionStore, call: Callable[[SessionStore], object], words: str
) -> None:
    store.save("a", messages=[MESSAGE])
    before = store.info("a").version
    with pytest.raises(InvalidSetting, match=words):
        call(store)
    assert store.info("a").version == before


def test_an_id_that_is_no_text_is_told_so_even_where_it_cannot_be_hashed(store: SessionStore) -> None:
    with pytest.raises(InvalidSessionId, match="not list"):
        store.load([])  # type: ignore[arg-type]


def test_the_fields_of_a_conversation_are_refused_before_anything_is_said(store: SessionStore) -> None:
    with pytest.raises(InvalidDocument, match="title"):
        store.conversation("a", agent=echo, title=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match="on_text is a function"):
        store.conversation("new", agent=echo).send("hi", on_text="print")  # type: ignore[arg-type]
    assert not store.exists("new")


def test_an_asynchronous_store_says_the_same(store: SessionStore) -> None:
    async def main() -> None:
        awaited = AsyncSessionStore(store)
        with pytest.raises(InvalidSetting, match="last is a whole number"):
            await awaited.snapshot("a", last="x")  # type: ignore[arg-type]
        with pytest.raises(InvalidSessionId):
            await awaited.load([])  # type: ignore[arg-type]

    asyncio.run(main())


@pytest.mark.parametrize(
    "name", ["path_or_url", "key_file", "passphrase_file", "settings", "create", "clock", "ttl", "durability"]
)
def test_opening_says_what_it_does_not_take(name: str) -> None:
    for value in (5, Odd(), [1], ("x",)):
        given: dict[str, Any] = {"path_or_url": "memory://", name: value}
        if name == "ttl" and value == 5:
            continue
        with pytest.raises(InvalidSetting, match=name):
            open_store(**given)


@pytest.mark.parametrize("name", ["title", "sliding", "max_messages", "labels", "ttl", "state", "messages"])
def test_a_session_says_what_a_field_of_it_does_not_take(store: SessionStore, name: str) -> None:
    session = store.save("a")
    with pytest.raises(VaultError, match=name):
        setattr(session, name, Odd())
