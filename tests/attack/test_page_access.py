"""Who gets at the page: other sites in the browser, other names of the machine, other programs on it."""

from __future__ import annotations

import os
import stat
import webbrowser
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the page is not installed: pip install '.[web]'")
pytest.importorskip("nh3", reason="the page is not installed: pip install '.[web]'")

from page_client import HOST, PORT, Page, page_of

from vaultsession import open_store
from vaultsession.web import server
from vaultsession.web.access import HEADERS, LARGEST_FORM

SECRET = "The treasure lies under the oak"
ADDRESSES = (
    *("/", "/session?id=a", "/window?id=a&n=0", "/message?id=a&n=0", "/media?id=a&n=0&m=0", "/events?id=a"),
    *("/search?q=oak", "/search/events?q=oak", "/vault", "/vault/survey", "/vault/verify", "/container?id=a"),
    *("/change/delete?id=a", "/change/export?id=a", "/static/page.css", "/static/../app.py", "/nothing"),
)


@pytest.fixture
def store():
    with open_store("memory://") as made:
        made.create("a", title=SECRET, messages=[{"role": "user", "content": SECRET}])
        yield made


@pytest.fixture
def page(store):
    return page_of(store, writable=True)


def refused(answer, *statuses):
    assert answer.status in statuses, answer.text
    assert "treasure" not in answer.text
    assert "set-cookie" not in dict(answer.headers)


def test_nothing_is_answered_without_the_cookie(page):
    for cookie in ("", f"vaultsession-{PORT}=", f"vaultsession-{PORT}={page.token}", "x=y; \x7f", page.cookie[:-1]):
        for address in ADDRESSES:
            refused(page.get(address, headers={"cookie": cookie}), 401)


@pytest.mark.parametrize("other", ['a={"x":1}', "a=b c", "x[]=1", "alone", "=x", 'a="b', f"vaultsession-{PORT}=x"])
def test_a_cookie_of_another_page_of_this_machine_does_not_keep_the_own_one_out(page, other):
    assert page.get("/", headers={"cookie": f"{other}; {page.cookie}"}).status == 200
    assert page.get("/", headers={"cookie": f"{page.cookie}; {other}"}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"{HOST}.evil.example", "", None],
)
def test_a_name_that_was_bound_anew_is_no_name_of_the_server(page, host):
    for address in ADDRESSES:
        refused(page.get(address, headers={"host": host}), 421)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": f"https://{HOST}"},
        {"origin": f"http://localhost:{PORT}"},  # of another name than the one that was asked
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_site_gets_nothing_though_the_browser_sends_the_cookie(page, headers):
    refused(page.get("/session?id=a", headers=headers), 403)
    token = page.token
    if "origin" in headers:
        refused(page.get(f"/open?token={token}", headers=headers), 403)


def test_the_page_itself_is_answered_under_both_of_its_names(page):
    for host in (HOST, f"localhost:{PORT}"):
        headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
        assert page.get("/", headers=headers).status == 200


@pytest.mark.parametrize("token", ["", "x", "é", "%00", "token"])
def test_a_wrong_token_opens_nothing(page, token):
    page.cookie = ""
    refused(page.get(f"/open?token={token}"), 401)
    refused(page.get("/open"), 401)
    refused(page.get(f"/open?token={page.token}x"), 401)
    refused(page.get(f"/open?x=1&token={page.token}"), 401)


def test_the_cookie_is_of_this_site_alone_and_no_script_reads_it(page):
    answer = page.open(page.token)
    name, *attributes = [each.strip().lower() for each in answer["set-cookie"].split(";")]
    assert {"httponly", "samesite=strict", "path=/"} <= set(attributes)
    assert page.token not in name
    assert not any(each.startswith("domain") for each in attributes)
    # It leads on by the page itself: of a redirect the browser would think that another site had begun it.
    assert 'http-equiv="refresh"' in answer.text
    assert page.token not in answer.text


def test_two_servers_of_one_machine_do_not_share_a_cookie_or_a_token(store):
    first, second = page_of(store), page_of(store)
    assert first.cookie != second.cookie
    assert first.token != second.token
    second.cookie = first.cookie
    refused(second.get("/"), 401)


def test_every_answer_is_marked(page):
    for address in (*ADDRESSES, "/open?token=x", "/change/nothing?id=a"):
        answer = page.get(address, until=lambda answer: answer.body != b"")
        for name, value in HEADERS.items():
            assert answer[name] == value, (address, name)
        assert answer.all("server") == []


def test_the_policy_lets_nothing_in_that_is_not_the_pages_own():
    policy = dict(each.split(" ", 1) for each in HEADERS["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
    assert set(policy.values()) == {"'self'"}
    assert "unsafe" not in str(HEADERS)


def test_an_answer_to_a_bug_is_marked_and_says_nothing_of_its_words(page, store, monkeypatch):
    monkeypatch.setattr(store, "list", lambda **_: (_ for _ in ()).throw(ValueError(SECRET)))
    seen = []
    with pytest.raises(ValueError, match="treasure"):  # the server logs nothing of it
        page.get("/", until=lambda answer: seen.append(answer) or False)
    refused(seen[-1], 500)
    assert seen[-1]["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    assert "ValueError" in seen[-1].text


# -- writes ------------------------------------------------------------------------------------------------------------


def fields_of(page, action, **fields):
    form = Page(page.get(f"/change/{action}", {"id": "a"}).text)
    hidden = {each["name"]: each["value"] for each in form.all("input") if each.get("type") == "hidden"}
    return {**hidden, "confirmed": "yes", **fields}


@pytest.mark.parametrize("action", ["edit", "fork", "touch", "export", "delete"])
def test_a_write_needs_its_own_token_the_origin_and_a_yes(page, store, action):
    before, count = store.info("a"), store.count()
    right = fields_of(page, action, ttl="7d")
    other = fields_of(page, "touch" if action != "touch" else "delete")["token"]
    address = f"/change/{action}?id=a"
    for wrong in ({"token": ""}, {"token": "x" * 64}, {"token": other}):
        refused(page.post(address, {**right, **wrong}), 403)
    refused(page.post(address, {**right, "confirmed": ""}), 400)
    refused(page.post(f"/change/{action}?id=b", right), 403)
    for headers in (
        {"origin": None},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
    ):
        refused(page.post(address, right, headers=headers), 403)
    refused(page.post(address, right, headers={"cookie": ""}), 401)
    refused(page.post(address, right, headers={"host": "evil.example"}), 421)
    assert (store.info("a"), store.count()) == (before, count)


def test_a_change_is_no_address_to_visit(page, store):
    fields = fields_of(page, "delete")
    page.get("/change/delete", {"id": "a", **fields})
    for method in ("PUT", "DELETE", "PATCH"):
        answer = page.ask(method, "/session?id=a", headers={"origin": f"http://{HOST}", "content-length": "0"})
        assert answer.status == 405
    assert store.exists("a")


@pytest.mark.parametrize("length", [str(LARGEST_FORM + 1), "", "-1", "x", "²", None])
def test_a_form_has_a_size(page, length):
    refused(page.post("/change/delete?id=a", {}, headers={"content-length": length}), 413)


@pytest.mark.parametrize("body", [b"\xff", b"&".join(b"a=1" for _ in range(30))])
def test_what_is_no_form_changes_nothing(page, store, body):
    headers = {"origin": f"http://{HOST}", "content-length": str(len(body))}
    refused(page.ask("POST", "/change/delete?id=a", body=body, headers=headers), 400)
    assert store.exists("a")


@pytest.mark.parametrize("action", ["edit", "fork", "touch", "export", "delete"])
def test_without_write_there_is_nothing_to_write_with(store, action):
    page = page_of(store)
    assert page.get(f"/change/{action}?id=a").status == 404
    assert page.post(f"/change/{action}?id=a", {"confirmed": "yes"}).status == 404
    assert "/change/" not in page.get("/session?id=a").text


# -- the server and the browser ----------------------------------------------------------------------------------------


def test_only_loopback_is_listened_on():
    with server.Bound() as bound:
        assert bound.socket.getsockname()[0] == "127.0.0.1"
        assert bound.address.startswith(f"http://127.0.0.1:{bound.port}/open?token=")
        assert len(bound.access.token) >= 43


def test_the_token_is_no_argument_of_the_browser(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    with server.browser("http://127.0.0.1:1/open?token=secret") as show:
        assert show()
        (address,) = opened
        assert "secret" not in address
        path = Path(address.removeprefix("file://"))
        assert "open?token=secret" in path.read_text()
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
    assert not path.exists()
