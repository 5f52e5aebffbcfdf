"""AsyncSessionStore is SessionStore, awaited: the same verbs, parameters, defaults and annotations."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Iterator

import pytest

from vaultsession import (
    AsyncConversation,
    AsyncSessionStore,
    Conversation,
    Session,
    SessionStore,
    open_store,
    open_store_async,
)

WARM = {"load_if_warm"}  # what AsyncSessionStore.load is made of
OPENING = {"opened", "run"}  # how open_store_async makes one, and several verbs in one thread
MANAGERS = {"edit", "lease"}
MAKERS = {"conversation"}  # not awaited itself: what it makes is, and so is its agent
STREAMS = {"search", "export", "load_each"}


def verbs(store: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(store)
        if callable(member) and not name.startswith("_")
    }


BLOCKING = verbs(SessionStore)
AWAITED = {name: inspect.signature(getattr(AsyncSessionStore, name)) for name in verbs(AsyncSessionStore)}


def test_both_have_the_same_verbs() -> None:
    assert BLOCKING.keys() - WARM == AWAITED.keys() - OPENING
    assert len(BLOCKING) > 20


@pytest.mark.parametrize("verb", sorted(BLOCKING.keys() - WARM - MAKERS))
def test_a_verb_takes_the_same_parameters(verb: str) -> None:
    assert list(AWAITED[verb].parameters.values()) == list(BLOCKING[verb].parameters.values())


@pytest.mark.parametrize("verb", sorted(BLOCKING.keys() - WARM - MANAGERS - STREAMS - MAKERS))
def test_a_verb_gives_the_same_result(verb: str) -> None:
    assert AWAITED[verb].return_annotation == BLOCKING[verb].return_annotation
    assert inspect.iscoroutinefunction(getattr(AsyncSessionStore, verb))


@pytest.mark.parametrize("verb", sorted(STREAMS))
def test_an_iterator_becomes_an_asynchronous_one(verb: str) -> None:
    assert AWAITED[verb].return_annotation == f"Async{BLOCKING[verb].return_annotation}"
    assert not inspect.iscoroutinefunction(getattr(AsyncSessionStore, verb))


@pytest.mark.parametrize("verb", sorted(MANAGERS))
def test_a_context_manager_becomes_an_asynchronous_one(verb: str) -> None:
    given = {
        "Iterator[Session[StateT]]": "AsyncIterator[Session[StateT]]",
        "contextlib.AbstractContextManager[None]": "AsyncIterator[None]",
    }
    assert AWAITED[verb].return_annotation == given[str(BLOCKING[verb].return_annotation)]
    assert inspect.isasyncgenfunction(inspect.unwrap(getattr(AsyncSessionStore, verb)))


@pytest.mark.parametrize("verb", sorted(MAKERS))
def test_what_makes_something_takes_the_same_but_for_what_is_awaited(verb: str) -> None:
    assert str(AWAITED[verb]).replace("Async", "") == str(BLOCKING[verb])
    assert "Async" in str(AWAITED[verb].return_annotation)


def test_a_conversation_is_the_same_awaited() -> None:
    blocking, awaited = verbs(Conversation), verbs(AsyncConversation)
    assert {name: str(each) for name, each in blocking.items()} == {name: str(each) for name, each in awaited.items()}
    assert len(blocking) > 5
    assert all(inspect.iscoroutinefunction(getattr(AsyncConversation, name)) for name in awaited)


def test_what_is_opened_takes_anything_that_open_store_takes() -> None:
    kinds = [parameter.kind for parameter in inspect.signature(open_store_async).parameters.values()]
    if kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
        return
    assert inspect.signature(open_store_async).parameters == inspect.signature(open_store).parameters


def test_a_difference_is_seen() -> None:
    class Differs:
        async def load(self, id: str, *, cold: bool = False) -> Session: ...

        @contextlib.asynccontextmanager
        async def edit(self, id: str) -> AsyncIterator[Session]:
            yield Session.__new__(Session)

        def messages(self, id: str) -> Iterator[int]: ...

    found = verbs(Differs)
    assert found["load"].parameters != BLOCKING["load"].parameters
    assert found["edit"].parameters == BLOCKING["edit"].parameters
    assert found.keys() != BLOCKING.keys()
