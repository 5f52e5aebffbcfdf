"""Typed states: dataclasses, TypedDicts and models in and out, checked both ways, over the same JSON as without."""

from __future__ import annotations

import asyncio
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest
import typing_extensions

from vaultsession import Conflict, InvalidDocument, InvalidSetting, SessionStore, open_store, open_store_async

Opening = Callable[..., SessionStore[Any]]


@dataclass
class Place:
    city: str


@dataclass
class Trip:
    step: int = 0
    places: list[Place] = field(default_factory=list)
    begun: datetime | None = None


class Loose(typing_extensions.TypedDict, total=False):
    step: int


class Model(pydantic.BaseModel):
    step: int = 0
    inner: dict[str, float] = {}


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)
    step: int = pydantic.Field(alias="theStep")


@dataclass
class Needs:
    name: str


def test_a_dataclass_goes_in_and_comes_out(open_one: Opening) -> None:
    store = open_one(state_type=Trip)
    begun = datetime(2026, 11, 20, tzinfo=UTC)
    made = store.create("a", state=Trip(1, [Place("Rabat")], begun))
    assert made.state == store.load("a").state == Trip(1, [Place("Rabat")], begun)
    with store.edit("a") as draft:
        draft.state.places.append(Place("Fes"))
        draft.state.step += 1
    assert store.load("a").state == Trip(2, [Place("Rabat"), Place("Fes")], begun)
    session = store.load("a")
    session.state = Trip(9)
    store.save(session)
    store.append("a", {"n": 1})
    assert store.load("a").state == Trip(9)
    assert store.load("a").messages == [{"n": 1}]
    assert store.copy("a").state == Trip(9)
    assert store.load_many(["a"])["a"].state == Trip(9)


@pytest.mark.parametrize(
    ("kind", "value"), [(Loose, {"step": 3}), (Model, Model(step=3, inner={"x": 1.5})), (Aliased, Aliased(step=3))]
)
def test_a_typed_dict_or_a_model_goes_in_and_comes_out(open_one: Opening, kind: Any, value: Any) -> None:
    store = open_one(state_type=kind)
    store.save("a", state=value)
    loaded = store.load("a").state
    assert loaded == value
    assert type(loaded) is type(value)
    store.update("a", lambda draft: None)
    assert store.load("a").state == value


def test_a_state_that_is_not_given_is_what_the_type_begins_with(open_one: Opening) -> None:
    store = open_one(state_type=Trip)
    assert store.create("a").state == Trip()
    store.append("b", {"n": 1}, create=True)
    assert store.load("b").state == Trip()
    store.save_many([{"id": "c"}, {"id": "d", "state": Trip(4)}])
    assert [store.load(name).state.step for name in "cd"] == [0, 4]


def test_a_type_without_a_beginning_needs_a_state(open_one: Opening) -> None:
    store = open_one(state_type=Needs)
    for attempt in (lambda: store.create("a"), lambda: store.append("a", {}, create=True), lambda: store.save("a")):
        with pytest.raises(InvalidDocument, match=r"state\.name"):
            attempt()
    assert not store.exists("a")
    assert store.create("a", state=Needs("x")).state == Needs("x")


def test_a_state_that_does_not_fit_is_refused_on_the_way_in(open_one: Opening) -> None:
    store = open_one(state_type=Trip)
    store.create("a", state=Trip(1))
    for wrong in (Trip("one"), Trip(places=[Place(5)]), Needs("x"), 5, {"colour": 1}):  # type: ignore[arg-type]  # as meant
        with pytest.raises(InvalidDocument, match="state"):
            store.create("b", state=wrong)
    session = store.load("a")
    session.state.step = "two"
    with pytest.raises(InvalidDocument) as raised:
        store.save(session)
    assert raised.value.path == "state.step"
    with pytest.raises(InvalidDocument):
        session.state = Needs("x")
    with pytest.raises(InvalidDocument, match=r"state\.step"):
        store.update("a", {"step": "two"})
    with pytest.raises(InvalidDocument, match=r"state\.colour"):
        store.update("a", {"colour": "red"})
    with pytest.raises(InvalidDocument, match=r"line 1: state\.step"):
        store.import_([b'{"vaultsession":1,"id":"c","state":{"step":"two"}}'])
    assert store.load("a").state == Trip(1)
    assert store.count() == 1


def test_a_mapping_is_merged_and_checked_as_a_whole(open_one: Opening) -> None:
    store = open_one(state_type=Trip)
    store.create("a", state=Trip(1, [Place("Rabat")]))
    store.update("a", {"step": 7})
    assert store.load("a").state == Trip(7, [Place("Rabat")])


def test_what_another_store_wrote_and_does_not_fit_is_refused_on_the_way_out(open_files: Opening) -> None:
    plain, typed = open_files(), open_files(state_type=Trip)
    plain.create("a", state={"step": "seven", "secret": "hunter2"}, messages=[{"n": 1}])
    session = typed.load("a")
    assert session.messages == [{"n": 1}]  # the history can be had in any case
    with pytest.raises(InvalidDocument) as raised:
        session.state  # noqa: B018 - reading it is what fails
    assert "hunter2" not in str(raised.value)
    assert "seven" not in str(raised.value)


def test_a_field_that_the_type_does_not_know_is_not_lost_by_the_next_save(open_files: Opening) -> None:
    """A store without a type added a key. One with an older dataclass must not drop it by loading and saving."""
    plain, typed = open_files(), open_files(state_type=Trip)
    typed.create("a", state=Trip(1))
    plain.update("a", {"added": True})
    with pytest.raises(InvalidDocument, match=r"state\.added"), typed.edit("a") as draft:
        draft.state.step = 2
    assert plain.load("a").state["added"] is True


def test_a_typed_and_a_plain_store_read_each_other(open_files: Opening) -> None:
    plain, typed = open_files(), open_files(state_type=Trip)
    typed.create("a", state=Trip(1, [Place("Rabat")]))
    assert plain.load("a").state == {"step": 1, "places": [{"city": "Rabat"}], "begun": None}
    plain.update("a", {"step": 2})
    assert typed.load("a").state.step == 2


def test_a_conflict_is_a_conflict_as_ever(open_one: Opening) -> None:
    store = open_one(state_type=Trip)
    session = store.create("a")
    store.update("a", {"step": 1})
    session.state.step = 5
    with pytest.raises(Conflict):
        store.save(session)


def test_two_loads_share_no_state(open_one: Opening) -> None:
    store = open_one(state_type=Trip)
    store.create("a", state=Trip(1, [Place("Rabat")]))
    one, other = store.load("a"), store.load("a")
    one.state.places.clear()
    assert other.state.places == [Place("Rabat")]


def test_an_asynchronous_store_is_typed_as_well() -> None:
    async def test() -> None:
        async with await open_store_async("memory://", state_type=Trip) as store:
            await store.create("a", state=Trip(1))
            assert (await store.load("a")).state == Trip(1)
            async with store.edit("a") as draft:
                draft.state.step = 2
            assert (await store.load("a")).state.step == 2

    asyncio.run(test())


@pytest.mark.parametrize("kind", [int, dict, dict[str, int], "Trip", Trip(), object])
def test_a_type_that_is_no_state_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidSetting, match="state_type"):
        open_store("memory://", state_type=kind)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="typing.TypedDict is enough from 3.12 on")
def test_a_typed_dict_that_pydantic_cannot_read_says_which_to_use() -> None:
    kind = typing.TypedDict("kind", {"step": int})  # noqa: UP013 - made here, so that it is of the standard library
    with pytest.raises(InvalidSetting, match="typing_extensions"):
        open_store("memory://", state_type=kind)


def test_without_pydantic_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(InvalidSetting, match=r"vaultsession\[typed\]"):
        open_store("memory://", state_type=Trip)


def test_a_serialiser_that_fails_is_told_by_its_type() -> None:
    class Failing(pydantic.BaseModel):
        step: int = 0

        @pydantic.field_serializer("step")
        def told(self, step: int) -> int:
            raise ZeroDivisionError("hunter2")

    with open_store("memory://", state_type=Failing) as store, pytest.raises(InvalidDocument) as raised:
        store.create("a")
    assert "hunter2" not in str(raised.value)
