"""Listings: order, filters, pages, cursors, and rows that are not believed."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vaultsession import InvalidSetting, Page, SessionStore
from vaultsession.engine import listing
from vaultsession.testing.clock import ManualClock

Opening = Callable[..., SessionStore]

NAMES = [f"s{number}" for number in range(10)]


@pytest.fixture
def filled(store: SessionStore, clock: ManualClock) -> SessionStore:
    """Ten sessions, a second apart."""
    for number, name in enumerate(NAMES):
        store.create(
            name,
            user_id=("alice", "bob")[number % 2],
            tenant_id="acme" if number < 5 else None,
            assistant_id="alice",
            labels={"shade": ("red", "green", "blue")[number % 3], "n": str(number)},
            messages=[{}] * number,
            title=f"Title {number}",
        )
        clock.advance("1s")
    return store


def ids(page: Page) -> list[str]:
    return [info.id for info in page]


def test_the_newest_come_first_and_the_oldest_on_request(filled: SessionStore) -> None:
    assert ids(filled.list()) == NAMES[::-1]
    assert ids(filled.list(order="newest")) == NAMES[::-1]
    assert ids(filled.list(order="oldest")) == NAMES


def test_a_row_shows_what_a_load_shows(filled: SessionStore) -> None:
    for info in filled.list():
        assert info.facts() == filled.load(info.id).facts()
        assert info.message_count == int(info.id[1:])
        assert (info.title, info.assistant_id) == (f"Title {info.id[1:]}", "alice")


def test_a_change_of_the_document_moves_a_session_up(filled: SessionStore) -> None:
    filled.append("s3", {})
    assert ids(filled.list(limit=2)) == ["s3", "s9"]
    filled.touch("s1")
    filled.load("s2")
    assert ids(filled.list(limit=2)) == ["s3", "s9"]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, range(10)),
        ({"user_id": "alice"}, [0, 2, 4, 6, 8]),
        ({"user_id": "nobody"}, []),
        ({"assistant_id": "alice"}, range(10)),
        ({"assistant_id": "bob"}, []),
        ({"tenant_id": "alice"}, []),
        ({"tenant_id": "acme"}, range(5)),
        ({"labels": {"shade": "red"}}, [0, 3, 6, 9]),
        ({"labels": {"shade": "red", "n": "3"}}, [3]),
        ({"labels": {"shade": "red", "n": "4"}}, []),
        ({"labels": {"n": "red"}}, []),
        ({"labels": {}}, range(10)),
        ({"user_id": "bob", "labels": {"shade": "red"}}, [3, 9]),
        ({"user_id": "bob", "tenant_id": "acme", "assistant_id": "alice", "labels": {"shade": "red"}}, [3]),
        ({"user_id": None, "labels": None}, range(10)),
    ],
    ids=str,
)
def test_every_filter_that_is_given_must_match(filled: SessionStore, filters: Any, numbers: Any) -> None:
    expected = [f"s{number}" for number in numbers]
    assert ids(filled.list(order="oldest", **filters)) == expected
    assert filled.count(**filters) == len(expected)


def test_filters_follow_a_relabel(filled: SessionStore) -> None:
    session = filled.load("s0")
    session.labels = {"shade": "black"}
    session.user_id = None
    filled.save(session)
    assert ids(filled.list(labels={"shade": "black"})) == ["s0"]
    assert "s0" not in ids(filled.list(labels={"shade": "red"}))
    assert filled.count(user_id="alice") == 4


def test_deleted_sessions_are_listed_no_more(filled: SessionStore) -> None:
    filled.delete("s4")
    assert "s4" not in ids(filled.list())
    assert filled.count() == 9


@pytest.mark.parametrize("limit", [1, 3, 9, 10, 11])
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_follow_one_another_through_a_cursor(filled: SessionStore, limit: int, order: Any) -> None:
    seen, after = [], None
    for _ in range(12):
        page = filled.list(order=order, limit=limit, after=after)
        assert len(page) <= limit
        seen += ids(page)
        after = page.after
        if after is None:
            break
    assert seen == ids(filled.list(order=order))


def test_the_last_page_has_no_cursor(filled: SessionStore) -> None:
    assert filled.list().after is None
    assert filled.list(limit=10).after is None
    assert filled.list(limit=9).after is not None
    assert filled.list(limit=5, offset=5).after is None


@pytest.mark.parametrize(("limit", "offset"), [(3, 0), (3, 4), (3, 9), (3, 10), (None, 7), (99, 2)])
def test_a_page_by_offset(filled: SessionStore, limit: int | None, offset: int) -> None:
    end = None if limit is None else offset + limit
    assert ids(filled.list(limit=limit, offset=offset)) == NAMES[::-1][offset:end]


def test_a_cursor_works_with_filters(filled: SessionStore) -> None:
    first = filled.list(user_id="alice", limit=2)
    second = filled.list(user_id="alice", limit=9, after=first.after)
    assert ids(first) + ids(second) == ["s8", "s6", "s4", "s2", "s0"]


def test_a_cursor_stays_right_while_sessions_change(filled: SessionStore) -> None:
    first = filled.list(limit=4)
    assert ids(first) == ["s9", "s8", "s7", "s6"]
    filled.append("s2", {})  # moves to the front
    filled.delete("s6")  # the row that the cursor names
    filled.delete("s5")
    filled.create("new")
    rest = filled.list(limit=9, after=first.after)
    assert ids(rest) == ["s4", "s3", "s1", "s0"]


def test_sessions_of_one_moment_are_told_apart_by_a_cursor(store: SessionStore) -> None:
    for name in NAMES:
        store.create(name)
    for order in ("newest", "oldest"):
        pages = [store.list(order=order, limit=3)]
        while pages[-1].after:
            pages.append(store.list(order=order, limit=3, after=pages[-1].after))
        assert sorted(itertools.chain.from_iterable(map(ids, pages))) == NAMES


@pytest.mark.parametrize(
    "cursor", ["", "x", "not a cursor", "AAAA", "\u00e9" * 54, "A" * 54, "A" * 53, 5, b"A" * 54], ids=repr
)
def test_what_is_no_cursor_is_refused(filled: SessionStore, cursor: Any) -> None:
    if cursor == "A" * 54:  # well formed, of a row that no listing gave: it merely names a place
        assert ids(filled.list(after=cursor)) == []
        return
    with pytest.raises(InvalidSetting, match="no cursor" if isinstance(cursor, str) else "after is a str"):
        filled.list(after=cursor)


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0},
        {"limit": -1},
        {"offset": -1},
        {"order": "random"},
        {"order": None},
        {"user_id": 5},
        {"labels": {"n": 3}},
        {"labels": ["n"]},
        {"labels": {3: "n"}},
        {"user_id": "\ud800"},
    ],
    ids=str,
)
def test_a_listing_that_cannot_be_is_refused(filled: SessionStore, asked: Any) -> None:
    with pytest.raises(InvalidSetting):
        filled.list(**asked)
    if "user_id" in asked or "labels" in asked:
        with pytest.raises(InvalidSetting):
            filled.count(**asked)


def test_an_unknown_filter_is_a_type_error(filled: SessionStore) -> None:
    with pytest.raises(TypeError):
        filled.list(colour="red")  # type: ignore[call-arg]  # that it is refused is the point
    with pytest.raises(TypeError):
        filled.count(colour="red")  # type: ignore[call-arg]  # as above


def test_a_page_is_a_list_with_a_cursor(filled: SessionStore) -> None:
    page = filled.list(limit=2)
    assert isinstance(page, list)
    assert page[0].id == "s9"
    assert [info.id for info in page[1:]] == ["s8"]
    assert repr(page[0]).startswith("<SessionInfo 's9'")


def test_a_row_cannot_be_changed(filled: SessionStore) -> None:
    info = filled.list(limit=1)[0]
    info.labels["n"] = "changed"
    assert info.labels["n"] == "9"
    with pytest.raises(AttributeError):
        info.title = "changed"  # type: ignore[misc]  # that it is refused is the point
    with pytest.raises(AttributeError):
        info.extra = 1  # type: ignore[attr-defined]  # as above


def test_reindexing_changes_no_listing(filled: SessionStore, clock: ManualClock) -> None:
    filled.delete("s7")
    filled.touch("s1", "1h")
    before = [info.facts() for info in filled.list()]
    filled.reindex()
    assert [info.facts() for info in filled.list()] == before
    clock.advance("1h")
    assert filled.count() == 8
    assert filled.sweep() == 1


def test_a_row_whose_columns_were_changed_is_not_taken_for_the_one_that_was_opened(
    open_files: Opening, tmp_path: Path, clock: ManualClock
) -> None:
    """It has the version that is remembered, and says otherwise what is in the clear: when the session expires."""
    store = open_files()
    store.create("a", user_id="alice", ttl="1h")
    store.create("b", user_id="bob")
    before = [info.facts() for info in store.list()]
    with contextlib.closing(sqlite3.connect(tmp_path / "vault" / "index.sqlite")) as other, other:
        other.execute("UPDATE sessions SET expires = expires + 3600000000, size = size - 1")
        other.execute("UPDATE tags SET expires = expires + 3600000000")
    assert [info.facts() for info in store.list()] == before
    clock.advance("1h")
    assert ids(store.list()) == ["b"]
    assert ids(store.list(user_id="alice")) == []


def test_heads_that_are_remembered_are_bounded(
    open_files: Opening, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_REMEMBERED", 3)
    store = open_files()
    for name in NAMES:
        store.create(name)
        assert ids(store.list(limit=1)) == [name]
        clock.advance("1s")
    assert len(store._listing._met) == 3
    assert sorted(ids(store.list())) == sorted(NAMES)
    assert len(store._listing._met) == 3
