"""The page of sessions: what is listed, in which order, and which of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from page_client import Page

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def sessions(store):
    for number in range(60):
        moment = NOW - timedelta(days=number)
        store.create(
            f"s{number}",
            title=f"Title {60 - number:02}",
            user_id=("alice", "bob")[number % 2],
            assistant_id="helper",
            labels={"client": ("web", "phone")[number % 2], "n": str(number)},
            messages=[{"role": "user", "content": "x" * number}] * (number % 7),
            created_at=moment,
            updated_at=moment,
        )


def listed(page, address="/"):
    answer = page.get(address)
    assert answer.status == 200, answer.text
    found = [each for each in Page(answer.text).all("a") if each.get("class") == "title"]
    return [(each["href"] or "").partition("id=")[2] for each in found]


def test_the_newest_come_first_and_a_cursor_leads_on(sessions, page):
    assert listed(page) == [f"s{number}" for number in range(50)]
    (more,) = [each for each in Page(page.get("/").text).all("a") if each.get("rel") == "next"]
    assert listed(page, f"/{more['href']}") == [f"s{number}" for number in range(50, 60)]
    assert "60 sessions" in page.get("/").text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=oldest", ["s59", "s58", "s57"]),
        ("sort=title", ["s59", "s58", "s57"]),
        ("sort=messages", ["s6", "s13", "s20"]),
        ("sort=size", ["s55", "s48", "s41"]),
        ("sort=created", ["s0", "s1", "s2"]),
        ("user=bob", ["s1", "s3", "s5"]),
        ("user=bob&sort=oldest", ["s59", "s57", "s55"]),
        ("label=client%3Dphone,%20n%3D7", ["s7"]),
        ("assistant=helper&tenant=none", []),
        ("since=2026-11-19&before=2026-11-20", ["s1"]),
        ("before=2026-10-01", ["s51", "s52", "s53"]),
        ("since=2026-11-19&sort=oldest", ["s1", "s0"]),
    ],
)
def test_filters_and_orders(sessions, page, query, expected):
    assert listed(page, f"/?{query}")[: len(expected) or 1] == expected


@pytest.mark.parametrize("query", ["sort=x", "label=x", "since=x", "before=0000-01-01", "after=x"])
def test_what_cannot_be_asked_for_is_a_sentence(sessions, page, query):
    answer = page.get(f"/?{query}")
    assert answer.status == 400
    assert "This cannot be asked for" in answer.text


def test_filters_stay_while_one_goes_on(sessions, page):
    text = page.get("/?assistant=helper").text
    (more,) = [each for each in Page(text).all("a") if each.get("rel") == "next"]
    assert "assistant=helper" in more["href"]
    assert len(listed(page, f"/{more['href']}")) == 10


def test_another_order_shows_more_as_it_is_asked_for(sessions, page):
    assert len(listed(page, "/?sort=title")) == 50
    assert "limit=100" in page.get("/?sort=title").text
    assert len(listed(page, "/?sort=title&limit=100")) == 60


def test_nothing_is_opened_or_extended(store, page, monkeypatch):
    store.create("a", ttl="1h", sliding=True, messages=[{"role": "user", "content": "x"}])
    before = store.stats()["verbs"].keys()
    page.get("/")
    assert store.stats()["verbs"].keys() - before <= {"list", "count", "stats"}


def test_an_empty_vault_says_how_to_begin(page):
    assert "There is no session yet" in page.get("/").text
    assert "No session matches" in page.get("/?user=nobody").text


def test_of_very_many_sessions_those_changed_last_are_sorted_and_the_page_says_so(sessions, page, monkeypatch):
    """Among 100 000 sessions a page by title took nine seconds."""
    assert "were changed last" not in page.get("/?sort=title").text
    monkeypatch.setattr("vaultsession.web.sessions.SORTED", 10)
    assert "In this order are the 10 sessions that were changed last" in page.get("/?sort=title").text
    assert listed(page, "/?sort=title") == [f"s{number}" for number in range(9, -1, -1)]
    assert "were changed last" not in page.get("/?since=2026-11-01").text
