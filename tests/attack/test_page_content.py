"""What was said is hostile: no message, title, label or id gets to run, load, hide or turn anything on the page."""

from __future__ import annotations

import base64
import re
import time

import pytest

pytest.importorskip("starlette", reason="the page is not installed: pip install '.[web]'")
pytest.importorskip("nh3", reason="the page is not installed: pip install '.[web]'")

from hostile_messages import ATTACKS, FACTS, PIECES, RLO
from page_client import Page, page_of

from vaultsession import open_store
from vaultsession.web import message_html

OWN = {
    *("html", "head", "meta", "title", "link", "script", "body", "a", "header", "img", "span", "nav", "form", "input"),
    *("button", "main", "dialog", "dl", "dt", "dd", "kbd", "div", "h1", "h2", "h3", "p", "time", "article", "small"),
    *("details", "summary", "code", "b", "pre", "aside", "label", "ul", "ol", "li", "section", "strong", "em", "s"),
    *("br", "hr", "table", "thead", "tbody", "tr", "th", "td", "blockquote", "figure", "select", "option", "h4"),
    *("progress", "noscript"),
}
"""Elements that the page has; none of what the attacks would bring."""


def check(text):
    """Nothing runs, nothing is loaded from elsewhere, nothing hides or turns, whatever the text holds."""
    page = Page(text)
    assert {tag for tag, _ in page.elements} <= OWN, text
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcdoc", "srcset")], text
        if tag == "script":
            assert attributes == {"src": "/static/page.js", "defer": None}
        if tag == "meta":
            assert attributes.get("http-equiv") is None
        for name in ("href", "src", "action"):
            target = attributes.get(name)
            if target is not None and not target.startswith(("/", "#", "?")):
                assert tag == "a", text
                assert re.match("(?:https?|mailto):", target), text
                assert "noopener" in (attributes.get("rel") or "")
            if target is not None and target.startswith("/"):
                assert not target.startswith(("//", "/change")), text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff]", page.text), text


@pytest.mark.parametrize("piece", [each for each in PIECES if each not in FACTS])
def test_hostile_content_is_shown_and_does_nothing(piece):
    said = [message for attack in ATTACKS for message in PIECES[piece](attack)["messages"]]
    with open_store("memory://") as store:
        store.create("a", messages=said)
        page = page_of(store)
        check(page.get("/session?id=a").text)
        for number in range(0, len(said), 5):
            check(page.get("/message", {"id": "a", "n": number}).text)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("piece", FACTS)
def test_hostile_facts_are_shown_and_do_nothing(piece):
    with open_store("memory://") as store:
        ids = [
            store.create(**{"id": f"s{number}", **PIECES[piece](attack)}).id for number, attack in enumerate(ATTACKS)
        ]
        page = page_of(store)
        check(page.get("/").text)
        for name in ids[::3]:
            check(page.get("/session", {"id": name}).text)
            check(re.sub("</?(svg|rect|figcaption)", "<b", page.get("/container", {"id": name}).text))


@pytest.mark.parametrize("attack", ATTACKS[::4])
def test_what_is_asked_for_is_hostile_as_well(page, attack):
    for path, name in (("/", "user"), ("/", "label"), ("/", "sort"), ("/", "since"), ("/", "after"), ("/search", "q"),
                       ("/search", "label"), ("/session", "id"), ("/session", "n"), ("/message", "n")):  # fmt: skip
        answer = page.get(path, {"id": "a", name: attack})
        assert answer.status in (200, 400, 404)
        check(answer.text)


@pytest.fixture
def page():
    with open_store("memory://") as store:
        store.create("a", messages=[{"role": "user", "content": "x"}])
        yield page_of(store)


def test_matches_of_a_search_are_text_and_made_visible():
    with open_store("memory://") as store:
        store.create(f"x{RLO}y", title=RLO, messages=[{"role": f"a{RLO}", "content": f"needle {RLO} <b>"}])
        (name, match), *_ = page_of(store).get("/search/events?q=needle").events
    assert name == "match"
    assert RLO not in str(match)
    assert match["behind"] == " ⟦U+202E⟧ <b>"  # a script puts it in as text


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>").decode()
HTML = base64.b64encode(b"<script>alert(1)</script>").decode()


def media(type_, data, name=None):
    source = {"type": "base64", "media_type": type_, "data": data}
    kind = (
        {"type": "image", "source": source} if name is None else {"type": "document", "source": source, "title": name}
    )
    return {"role": "user", "content": [kind]}


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("image/svg+xml", SVG),
        ("text/html", HTML),
        ("application/pdf", PNG),
        ("image/png; x=y", PNG),
        ("IMAGE/SVG+XML", SVG),
    ],
)
def test_what_may_hold_a_script_is_only_to_be_kept(type_, data):
    with open_store("memory://") as store:
        store.create("a", messages=[media(type_, data)])
        page = page_of(store)
        assert "<img" not in page.get("/window?id=a&n=0").text
        answer = page.get("/media?id=a&n=0&m=0")
    assert answer["content-type"] == "application/octet-stream"
    assert answer["content-disposition"].startswith("attachment")
    assert "sandbox" in answer["content-security-policy"]


def test_a_picture_is_what_its_type_says_or_nothing():
    with open_store("memory://") as store:
        store.create(
            "a", messages=[media("image/png", HTML), media("image/png", "no base64!"), media("image/png", PNG)]
        )
        page = page_of(store)
        answer = page.get("/media?id=a&n=0&m=0")  # a script in the name of a picture
        assert answer["content-type"] == "image/png"
        assert answer["x-content-type-options"] == "nosniff"
        assert page.get("/media?id=a&n=1&m=0").status == 404
        assert page.get("/media?id=a&n=2&m=0").body.startswith(b"\x89PNG")
        for wrong in ("n=2&m=1", "n=9&m=0", "m=-1&n=7"):
            assert page.get(f"/media?id=a&{wrong}").status == 404


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", 'a"; filename="b.html', "a\r\nSet-Cookie: x=y", "é" + RLO + "gpj.exe"]
)
def test_a_name_of_a_file_is_no_header(name):
    with open_store("memory://") as store:
        store.create("a", messages=[media("text/plain", HTML, name)])
        answer = page_of(store).get("/media?id=a&n=0&m=0")
    (value,) = answer.all("content-disposition")
    assert re.fullmatch(r"attachment; filename\*=UTF-8''[\w.%~-]+", value), value
    assert answer.all("set-cookie") == []


def test_a_very_large_picture_is_not_shown_by_itself():
    large = "A" * (message_html.LARGEST_PICTURE * 4 // 3 + 8)
    shown = message_html.window("a", 0, [media("image/png", large)])
    assert "<img" not in shown
    assert len(shown) < 2_000  # and no byte of it is in the page
    as_json = message_html.as_json(media("image/png", large))
    assert len(as_json) < 3_000
    assert "characters more" in as_json
    assert len(message_html.as_json([{"n": number} for number in range(200_000)])) < 2_000_000


@pytest.mark.parametrize(
    "text",
    [
        "*" * 200_000,
        "[" * 200_000,
        "> " * 60_000,
        "`" * 99_999,
        "a" * 3_000_000,
        "```python\n" + "'" * 99_000 + "\n```",
        "|a" * 40_000,
    ],
    ids=lambda text: text[:10],
)
def test_a_long_text_is_neither_slow_nor_large(text):
    begun = time.process_time()
    shown = message_html.window("a", 0, [{"role": "user", "content": text}])
    assert time.process_time() - begun < 15  # seconds on a busy machine; hours, if it were quadratic
    assert len(shown) < 3_000_000


def test_of_a_window_of_long_texts_only_the_first_are_markdown(monkeypatch):
    monkeypatch.setattr(message_html, "_MOST_RENDERED", 1_000)
    shown = message_html.window("a", 0, [{"role": "user", "content": "*" * 200}] * 60)
    assert (shown.count("<pre>"), shown.count("<article")) == (55, 60)


def test_either_of_the_two_defences_is_enough_by_itself():
    """Markdown has no HTML of its own; what cleans its result would not let it through either."""
    for attack in ATTACKS:
        for made in (message_html._markdown().render(attack), message_html._clean(attack)):
            page = Page(made)
            assert {tag for tag, _ in page.elements} <= message_html._TAGS, attack
            for _, attributes in page.elements:
                assert not [name for name in attributes if name.startswith("on") or name in ("src", "style")], attack
                assert re.match("https?:|mailto:|None", str(attributes.get("href"))), attack


def test_what_json_does_not_carry_is_shown_as_well():
    deep = []
    for _ in range(3_000):
        deep = [deep]
    half = "half \ud83d of a character"
    said = [
        {"role": "user", "content": half},
        {"role": half, "content": [{"type": "tool_use", "name": half, "input": {half: half}}], "n": float("nan")},
        {"role": "user", "content": b"\xff\x00"},
        {"role": "assistant", "content": 2**200, "deep": deep},
        {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {"deep": deep}}]},
        {"odd": deep},
        media("text/plain", HTML, half),
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"https://x/{half}"}}]},
    ]
    with open_store("memory://", lossless=True) as store:
        store.create("a", messages=said, state={"deep": deep, half: half})
        page = page_of(store)
        check(page.get("/session?id=a").text)
        for number in range(len(said)):
            answer = page.get(f"/message?id=a&n={number}")
            assert answer.status == 200
            check(answer.text)
        assert page.get("/media?id=a&n=6&m=0").status == 200
        assert page.get("/search/events?q=half").events
