"""A conversation on the page: its windows, its parts, and what comes while it is open."""

from __future__ import annotations

import re
import threading

import pytest
from page_client import Page, page_of
from sample_vault import trip

from vaultsession.errors import BackendUnavailable, Damaged, SessionNotFound, UnknownKey
from vaultsession.web import conversation
from vaultsession.web.words import now


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(conversation, "LOOK", 0.005)


def said(*numbers):
    return [{"role": ("user", "assistant")[number % 2], "content": f"message {number}"} for number in numbers]


def numbers(text):
    """Which messages a page shows."""
    found = []
    for _, attributes in Page(text).elements:
        if "data-first" in attributes and "message" in (attributes.get("class") or "").split():
            found += range(int(attributes["data-first"]), int(attributes["data-end"]))
    return found


@pytest.fixture
def long(store):
    return store.create("a/long one?", messages=said(*range(300)))


def get(page, path="/session", **fields):
    answer = page.get(path, {"id": "a/long one?", **fields})
    assert answer.status == 200, answer.text
    return answer


def test_a_long_one_begins_at_its_end(long, page):
    assert numbers(get(page).text) == list(range(240, 300))
    assert numbers(get(page, n=200).text) == list(range(180, 240))
    assert numbers(get(page, n=3).text) == list(range(60))
    assert numbers(get(page, n=5_000).text) == list(range(279, 300))


def test_windows_lead_through_all_of_it(long, page):
    found, first = [], 0
    while True:
        answer = get(page, "/window", n=first)
        assert (int(answer["x-first"]), int(answer["x-total"])) == (first, 300)
        first = int(answer["x-end"])
        if not answer.body:
            break
        found += numbers(answer.text)
    assert found == list(range(300))


def test_a_short_one_is_there_whole(store, page):
    store.create("s", messages=said(*range(10)))
    text = page.get("/session?id=s").text
    assert numbers(text) == list(range(10))
    assert "Earlier messages" not in text
    store.create("empty")
    assert "Nothing has been said yet" in page.get("/session?id=empty").text


def test_every_kind_of_part_is_there(store, page):
    store.create("s", messages=trip(now()), state={"language": "en"}, user_id="alice", labels={"topic": "travel"})
    text = page.get("/session?id=s").text
    for piece in (
        "<strong>Marrakesh</strong>",
        '<details class="thinking">',
        "<b>search_trains</b>",
        "<dt>from</dt><dd><code>Casablanca</code></dd>",
        '<details class="result error"><summary><b>error</b> <code>timeout after 10 s</code>',
        '<span class="h-k">def</span>',
        "<td>Al Boraq 1</td>",
        'href="https://example.org/trains"',
        '<img loading="lazy"',
        "↗ <a",
        'href="/?user=alice"',
        "topic=travel",
        '<span class="h-nt">',
    ):
        assert piece in text, piece
    (image,) = [each for each in Page(text).all("img") if each.get("loading")]
    assert page.get(image["src"])["content-type"] == "image/png"


def test_a_run_of_notes_is_one_line(store, page):
    notes = [{"type": "progress", "data": {"type": kind}} for kind in ("hook", "hook", "tick")]
    store.create("s", messages=[*said(0), *notes, *said(4)])
    text = page.get("/session?id=s").text
    assert numbers(text) == list(range(5))
    assert "3 notes of the agent: progress: hook 2, progress: tick" in text
    assert 'id="m2"' in text  # each can be linked to


def test_a_message_as_json(store, page):
    store.create("s", messages=[{"role": "user", "content": "x", "n": {"deep": [1, None]}}])
    for address in ("/message?id=s&n=0", "/message?id=s&n=0&piece=1"):
        text = page.get(address).text
        assert '"deep"' in Page(text).text
        assert text.startswith("<pre>") is ("piece" in address)


@pytest.mark.parametrize("path", ["/session", "/window", "/message", "/media", "/container"])
@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (SessionNotFound("gone"), 404, "There is no such session"),
        (Damaged("the tag does not fit"), 500, "repair --recover"),
        (UnknownKey("sealed under 12"), 500, "keyring"),
        (BackendUnavailable("no disk"), 503, "Nothing is lost"),
        (OSError(5, "Input/output error"), 503, "does not answer"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(store, page, monkeypatch, path, error, status, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(store, "info", fail)
    monkeypatch.setattr(store, "messages", fail)
    answer = page.get(f"{path}?id=s&n=0")
    assert answer.status == status
    assert words in answer.text


def test_a_session_that_is_not_there_is_404(page):
    for path in ("/session?id=x", "/session?id=", "/session", "/window?id=x", "/message?id=x&n=1", "/container?id=x"):
        assert page.get(path).status in (400, 404)
    assert page.get("/nothing").status == 404


# -- following ---------------------------------------------------------------------------------------------------------


def followed(page, name, acts):
    """The events while each act is done, one after the event that is due before it."""
    acts = list(acts)

    def until(answer):
        events = answer.events if answer.body.endswith(b"\n\n") else []
        while acts and len(events) >= acts[0][0]:
            threading.Thread(target=acts.pop(0)[1]).start()
        return not acts and len(events) >= last

    last = acts[-1][0] + 1
    return page.get(f"/events?id={name}", until=until).events


def test_what_is_written_is_told(store, page):
    store.create("s", messages=said(0, 1))
    events = followed(
        page,
        "s",
        [
            (1, lambda: store.append("s", *said(2, 3, 4))),
            (2, lambda: store.pop("s", 2)),
            (3, lambda: store.replace_last("s", 1, {"role": "user", "content": "other"})),
            (4, lambda: store.update("s", {"only": "state"}) and store.append("s", *said(3))),
        ],
    )
    assert events == [
        ("count", {"total": 2}),
        ("grown", {"total": 5}),
        ("changed", {"total": 3}),
        ("changed", {"total": 3}),
        ("grown", {"total": 4}),
    ]


def test_one_that_goes_and_comes_back(store, page):
    store.create("s", messages=said(0))
    events = followed(page, "s", [(1, lambda: store.delete("s")), (2, lambda: store.create("s", messages=said(0, 1)))])
    assert [name for name, _ in events] == ["count", "gone", "grown"]
    assert events[1][1]["heading"] == "There is no such session"


def test_following_extends_no_life(store, page):
    store.create("s", ttl="1h", sliding=True, messages=said(0))
    calls = []
    seen = store.messages
    store.messages = lambda *a, **k: calls.append(1) or seen(*a, **k)
    looks = []
    info = store.info
    store.info = lambda name: looks.append(1) or info(name)
    page.get("/events?id=s", until=lambda answer: bool(answer.body) and (threading.Event().wait(0.05) or True))
    assert len(calls) == 1
    assert looks


def test_reading_a_page_twice_gives_the_same(long, page):
    first, second = (re.sub("changed <time.*?</time>", "", get(page).text) for _ in range(2))
    assert first == second


def test_two_pages_of_one_store(store):
    store.create("s", messages=said(0))
    for writable in (False, True):
        assert page_of(store, writable=writable).get("/session?id=s").status == 200
