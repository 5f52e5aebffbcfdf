"""What all adapters share."""

from __future__ import annotations

import asyncio
import importlib
import threading
import warnings
from pathlib import Path

import pytest
from frameworks import EXTRAS, declared
from hypothesis import given
from hypothesis import strategies as st

from vaultsession import (
    InvalidDocument,
    InvalidSessionId,
    InvalidSetting,
    RawKey,
    SessionStore,
    Settings,
    WrongKey,
    open_store,
    open_store_async,
)
from vaultsession.format import ids
from vaultsession.integrations.adapter import (
    StoreHandle,
    UntriedVersionWarning,
    composed_id,
    framework,
    labelled,
    warn_of_untried,
)
from vaultsession.store.fields import SessionFields

KEY = RawKey(bytes(range(200, 232)))


def test_a_store_that_was_opened_here_is_closed_here(tmp_path: Path) -> None:
    handle = StoreHandle.opened(tmp_path / "vault", {"key": KEY})
    handle.store.create("a")
    handle.close()
    handle.close()
    with pytest.raises(RuntimeError):
        handle.store.load("a")


def test_a_store_that_is_opened_here_is_lossless_unless_it_is_told_otherwise() -> None:
    for fields, is_lossless in (({}, True), ({"lossless": False}, False), ({"settings": Settings()}, False)):
        handle = StoreHandle.opened("memory://", fields)  # type: ignore[arg-type]
        try:
            handle.store.create("a", state={"x": b"bytes"})
        except InvalidDocument:
            assert not is_lossless
        else:
            assert is_lossless
        handle.close()


def test_the_store_of_the_caller_stays_open() -> None:
    with open_store("memory://") as store:
        handle = StoreHandle(store)
        asyncio.run(handle.aio.create("a"))
        handle.close()
        assert store.exists("a")


def test_the_asynchronous_store_of_the_caller_stays_open() -> None:
    async def main() -> bool:
        async with await open_store_async("memory://") as store:
            handle = StoreHandle(store)
            assert handle.aio is store
            handle.store.create("a")
            await handle.aclose()
            return bool(await store.exists("a"))

    assert asyncio.run(main())


def test_closing_awaits_and_leaves_no_threads() -> None:
    async def main() -> SessionStore:
        handle = StoreHandle.opened("memory://", {})
        await handle.aio.create("a")
        await handle.aclose()
        await handle.aclose()
        return handle.store

    with pytest.raises(RuntimeError):
        asyncio.run(main()).load("a")
    for thread in threading.enumerate():
        if thread.name.startswith("vaultsession_"):
            thread.join(60)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vaultsession_")]


def test_a_wrong_key_is_raised_at_once(tmp_path: Path) -> None:
    open_store(tmp_path / "vault", key=KEY).close()
    with pytest.raises(WrongKey):
        StoreHandle.opened(tmp_path / "vault", {"key": RawKey(bytes(range(150, 182)))})


def test_something_else_than_a_store_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="not str"):
        StoreHandle("vault")  # type: ignore[arg-type]


@pytest.mark.parametrize("installed", ["1.62", "1.62.0", "1.62.3rc1", "1.9999"])
def test_a_version_that_was_tried_is_silent(installed: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_untried("some-agents", installed, ("1.62", "2"))


@pytest.mark.parametrize("installed", ["1.61.9", "2", "2.0.0", "0.1", "unknown"])
def test_another_version_warns_with_the_range(installed: str) -> None:
    with pytest.warns(UntriedVersionWarning, match=rf"some-agents {installed}: .* 1\.62 and later, before 2"):
        warn_of_untried("some-agents", installed, ("1.62", "2"))


def test_a_label_of_the_adapter_and_one_of_its_user_stand_side_by_side_or_are_refused() -> None:
    """The user's was replaced without a word, and nothing was found by it."""
    ours = {"framework": "langchain"}
    fields: SessionFields = {"labels": {"team": "red", "framework": "langchain"}, "user_id": "ann"}
    assert labelled(fields, ours) == fields
    assert labelled({}, ours) == {"labels": ours}
    with pytest.raises(InvalidSetting, match=r"'framework'.*name yours otherwise"):
        labelled({"labels": {"framework": "mine"}}, ours)
    with pytest.raises(InvalidDocument, match="labels map str to str"):
        labelled({"labels": "framework"}, ours)  # type: ignore[typeddict-item]


def test_a_missing_framework_says_how_to_install_it() -> None:
    missing = pytest.raises(ModuleNotFoundError, match=r"pip install 'vaultsession\[some\]'")
    with missing as caught, framework("some-agents", extra="some", tried=("1", "2")):
        importlib.import_module("some_agents_that_nobody_has")
    assert caught.value.name == "some_agents_that_nobody_has"


def test_a_framework_without_metadata_is_used() -> None:
    with framework("some-agents-that-nobody-has", extra="some", tried=("1", "2")):
        pass


parts = st.lists(
    st.text(st.sampled_from("a/%2F5é") | st.characters(exclude_categories=["Cs"]), max_size=400), min_size=2, max_size=3
)


@given(parts, parts)
def test_a_composed_id_is_an_id_and_injective(some: list[str], other: list[str]) -> None:
    assert (composed_id(*some) == composed_id(*other)) == (some == other)
    assert ids.parse(composed_id(*some))


@pytest.mark.parametrize("length", [1022, 1023, 1024, 100_000])
def test_a_long_id_ends_with_a_digest(length: int) -> None:
    made = composed_id("a", "x" * length)
    assert len(made) <= ids.LONGEST_ID
    assert ("%%" in made) == (length > 1022)
    assert made != composed_id("a", "x" * (length - 1) + "y")


def test_a_lone_surrogate_is_refused_at_any_length() -> None:
    for length in (1, 2000):
        with pytest.raises(InvalidSessionId):
            ids.parse(composed_id("a", "\ud800" * length))


def test_frameworks_are_extras_of_their_own_and_in_no_other() -> None:
    extras = declared()
    for name in EXTRAS.values():
        if name in extras:
            assert f"vaultsession[{name}]" not in extras["all"]
            assert name in str(extras["frameworks"])
    for ordinary in ("all", "test", "dev"):
        assert "frameworks" not in str(extras[ordinary])
