"""The vault on the page: health, a walk over its sessions, a verification, the search, and one container drawn."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta

import pytest
from page_client import Page
from sample_vault import GARDEN, TRIP, fill

from vaultsession.engine.verify import Verdict, Verification
from vaultsession.errors import BackendUnavailable, Damaged, PartialFailure
from vaultsession.store.bulk import Verified
from vaultsession.store.inspection import inspected
from vaultsession.web import search_stream, stream, vault_page


@pytest.fixture
def filled(store):
    fill(store, sessions=20)
    return store


def test_health_and_sizes(filled, page):
    page.get("/")
    text = page.get("/vault").text
    assert "All is well" in text
    assert "Durations in this process" in text
    assert '<th scope="row">list</th>' in text


def test_a_vault_that_is_not_well_says_so(filled, page, monkeypatch):
    health = {"ok": False, "where": "x", "key": "y", "files": "the disk is gone"}
    monkeypatch.setattr(filled, "health", lambda: health)
    answer = page.get("/vault")
    assert answer.status == 200
    assert "Something is wrong" in answer.text
    assert "the disk is gone" in answer.text


def test_a_survey_counts_every_session(filled, page):
    events = page.get("/vault/survey").events
    assert [name for name, _ in events][-2:] == ["survey", "end"]
    html = dict(events)["survey"]
    assert "22 sessions" in html
    assert (
        sum(
            int(text.rsplit(": ")[1].split()[0])
            for text in Page(html).text.split("\n")
            if "session" in text and ": " in text
        )
        <= 22
    )
    assert "What expires next" in html
    assert "seals" in html


def test_those_that_expire_first_come_first(store, page):
    for days in (9, 3, 7, 1, 5, 2, 8, 4, 6, 10, 11):
        store.create(f"s{days}", ttl=f"{days}d")
    html = dict(page.get("/vault/survey").events)["survey"]
    assert [each["href"] for each in Page(html).all("a")] == [f"/session?id=s{days}" for days in range(1, 9)]


def test_days_are_those_of_the_last_change(store, page):
    now = datetime.now(UTC)
    for days in (0, 0, 1, 200):
        store.create(updated_at=now - timedelta(days=days))
    html = dict(page.get("/vault/survey").events)["survey"]
    assert html.count('class="bar"') >= 2
    assert "1 session changed before that" in html


@pytest.mark.parametrize("has_head", [True, False])
def test_a_verification_says_what_it_found_and_the_list_remembers(filled, page, monkeypatch, has_head):
    assert dict(page.get("/vault/verify").events)["verified"]["ok"]
    head = filled._operations.info(filled._key(TRIP), TRIP).head
    problem = Verification(
        filled._key(TRIP), Verdict.DAMAGED, "record 3 does not authenticate", head=head if has_head else None
    )
    monkeypatch.setattr(filled, "verify", lambda progress: progress(2) or Verified(2, 5, 99, (problem,)))
    events = page.get("/vault/verify").events
    assert ("problem", {"id": TRIP, "verdict": "damaged", "problem": "record 3 does not authenticate"}) in events
    assert dict(events)["verified"] == {"sessions": 2, "records": 5, "bytes": "99 B", "ok": False}
    assert '<span class="tag bad">damaged</span>' in page.get("/").text
    assert "record 3 does not authenticate" in page.get("/session", {"id": TRIP}).text


def test_a_container_is_drawn(filled, page):
    found = inspected(filled, GARDEN)
    assert [each.seq for each in found.records] == list(range(len(found.records)))
    assert [each.kind for each in found.records if each.is_dead] == ["FULL"]
    assert (found.problem, found.behind) == (None, 0)
    text = page.get("/container", {"id": GARDEN}).text
    drawn = [each for each in Page(text).all("rect") if each.get("height") == "60"]
    assert len(drawn) == 1 + len(found.records)
    assert sum(float(each["width"]) for each in drawn) == pytest.approx(1000, abs=0.5)
    assert {each["class"] for each in drawn} == {"header", "dead", "full", "delta", "head"}


def test_neighbours_of_very_many_records_are_drawn_as_one(store, page, monkeypatch):
    store.create("many", messages=[{"role": "user", "content": os.urandom(20_000).hex()}])  # so that none are merged
    monkeypatch.setattr(vault_page, "_MOST_DRAWN", 10)
    for number in range(70):
        store.append("many", {"n": number})
    text = page.get("/container?id=many").text
    assert len(inspected(store, "many").records) > 20
    assert 5 < len([each for each in Page(text).all("rect") if each.get("height") == "60"]) < 20


# -- search ------------------------------------------------------------------------------------------------------------


def test_matches_come_with_their_places(filled, page):
    events = page.get("/search/events?q=BORAQ").events
    (match,) = [value for name, value in events if name == "match"]
    assert (match["id"], match["number"], match["found"]) == (TRIP, 4, "Boraq")
    assert match["address"] == "/session?id=alice%2Fmarrakesh&n=4"
    assert match["title"] == "A trip to Marrakesh"
    assert events[-1] == ("end", {})
    assert events[-2] == ("progress", {"done": 22, "total": 22})
    assert not [name for name, _ in page.get("/search/events?q=BORAQ&case=1").events if name == "match"]
    assert not [name for name, _ in page.get("/search/events?q=boraq&user=bob").events if name == "match"]
    assert page.get("/search?q=boraq").status == 200


def test_a_search_ends_after_enough(store, page, monkeypatch):
    monkeypatch.setattr(search_stream, "MOST", 5)
    store.create("a", messages=[{"role": "user", "content": "word"}] * 50)
    events = page.get("/search/events?q=word").events
    assert [name for name, _ in events].count("match") == 5


@pytest.mark.parametrize("query", ["q=", "label=x&q=a"])
def test_a_search_for_nothing_is_refused(page, query):
    answer = page.get(f"/search/events?{query}")
    assert answer.status == 400 or [name for name, _ in answer.events] == ["failed", "end"]


def test_what_could_not_be_read_is_named_behind_the_matches(filled, page, monkeypatch):
    def search(*_, **__):
        yield from ()
        raise PartialFailure.of("searched", {"a\u202eb": Damaged("no")})

    monkeypatch.setattr(filled, "search", search)
    events = page.get("/search/events?q=x").events
    assert dict(events)["unreadable"] == {"a⟦U+202E⟧b": "no"}
    assert events[-1] == ("end", {})


@pytest.mark.parametrize(
    ("error", "words"), [(BackendUnavailable("no disk"), "no disk"), (ValueError("secret words"), "ValueError")]
)
def test_a_work_that_fails_says_so_and_ends(filled, page, monkeypatch, error, words):
    def fail(**_):
        raise error

    for verb, path in (("count", "/search/events?q=x"), ("verify", "/vault/verify"), ("key_usage", "/vault/survey")):
        monkeypatch.setattr(filled, verb, fail)
        events = page.get(path).events
        assert [name for name, _ in events][-2:] == ["failed", "end"]
        assert dict(events)["failed"]["words"] == words
        monkeypatch.undo()


def test_a_reader_who_leaves_ends_the_work(filled, page, monkeypatch):
    begun, ended = threading.Event(), threading.Event()
    monkeypatch.setattr(stream, "_PATIENCE", 0.01)

    def search(*_, progress, **__):
        try:
            while True:
                begun.set()
                progress(1)
                threading.Event().wait(0.001)
                yield from ()
        finally:
            ended.set()

    monkeypatch.setattr(filled, "search", search)
    page.get("/search/events?q=x", until=lambda answer: b"progress" in answer.body)
    assert begun.is_set()
    assert ended.wait(60)
