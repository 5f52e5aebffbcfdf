"""What people do with the page, in a real browser."""

from __future__ import annotations

import os
import subprocess

import pytest
from hostile_messages import ATTACKS, FACTS, PIECES
from sample_vault import TRIP

pytestmark = pytest.mark.slow


def said(*numbers):
    return [{"role": ("user", "assistant")[number % 2], "content": f"message {number}"} for number in numbers]


def test_list_filter_and_open(sample, browser):
    browser.open()
    assert "token" not in browser.driver.current_url
    assert browser.js("return document.cookie") == ""  # no script reads it
    assert len(browser.all("[data-item]")) == 50
    browser.one('a[rel="next"]').click()
    browser.until(lambda: len(browser.all("[data-item]")) == 12)
    browser.go("/", user="alice", sort="messages")
    assert set(browser.texts(".facts > a:first-of-type")) == {"alice"}
    browser.go("/")
    browser.all("[data-item] .title")[0].click()
    browser.until(lambda: browser.texts("h1") == ["A trip to Marrakesh"])
    assert browser.numbers() == list(range(7))
    assert browser.until(lambda: browser.js("return document.querySelector('.body img')?.naturalWidth")) == 360


def test_parts_fold_out_and_a_message_is_shown_as_json(sample, browser):
    browser.open().go("/session", id=TRIP)
    call = browser.all("#m2 .call")[0]
    assert not call.get_attribute("open")
    call.find_element("css selector", "summary").click()
    assert "Casablanca" in call.text
    browser.one("#m1 .raw").click()
    browser.until(lambda: '"content": "I want to see **Marrakesh**' in "".join(browser.texts("#m1 .shown-raw")))
    browser.one("#m1 .raw").click()
    browser.until(lambda: browser.all("#m1 .shown-raw") == [])
    browser.one("#m4 .number").click()
    browser.until(lambda: browser.js("return document.activeElement.id") == "m4")


def test_search_and_stop(sample, browser):
    browser.open()
    browser.type("/")
    browser.type("boraq\n")
    browser.until(lambda: browser.texts("#found mark") == ["Boraq"])
    browser.until(lambda: browser.texts("#said") == ["1 match · 62 sessions"])
    browser.all("#found .title")[0].click()
    browser.until(lambda: browser.js("return document.activeElement.id") == "m4")
    browser.go("/search", q="no such words")
    browser.until(lambda: browser.texts("#said") == ["Nothing matches · 62 sessions"])


def test_a_search_is_stopped(store, browser):
    for number in range(40):
        store.create(f"s{number}", messages=[{"role": "user", "content": f"{'padding ' * 4000} needle"}] * 30)
    browser.open().go("/search", q="needle")
    browser.until(lambda: browser.all("#found li"))
    browser.js("document.querySelector('#stop').click()")
    browser.until(lambda: browser.texts("#said")[0].startswith(("Stopped", "500 matches")))
    assert not browser.one("#stop").is_displayed()


def test_a_message_written_by_another_process_appears(store, vault, key, executable, browser):
    store.create("s", messages=said(0, 1))
    browser.open().go("/session", id="s")
    line = [*executable, "append", "s", "--vault", str(vault), "--key-file", str(key), "--content", "from elsewhere"]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    browser.until(lambda: browser.texts("#m2 .body") == ["from elsewhere"])
    assert browser.texts("#total") == ["3 messages"]
    store.pop("s", 2)
    browser.until(lambda: browser.numbers() == [0])
    store.append("s", *said(*range(1, 200)))
    browser.until(lambda: browser.texts("#total") == ["200 messages"])


def test_one_reads_on_while_others_write(store, browser):
    store.create("s", messages=said(*range(300)))
    browser.open().go("/session", id="s", n=100)
    place = browser.until(lambda: browser.js("return document.querySelector('#m100')?.getBoundingClientRect().top"))
    store.append("s", *said(*range(300, 320)))
    browser.until(lambda: browser.texts("#total") == ["320 messages"])
    assert browser.js("return document.querySelector('#m100').getBoundingClientRect().top") == pytest.approx(
        place, abs=2
    )


@pytest.fixture
def long(store):
    store.create("s", messages=said(*range(3000)))


def settled(browser):
    """The messages, all of one run."""
    found = browser.numbers()
    assert found == list(range(found[0], found[0] + len(found)))
    assert len(found) <= 600 + 60
    return found


def test_a_long_one_scrolls_both_ways(long, browser):
    browser.open().go("/session", id="s")
    browser.until(lambda: settled(browser)[-1] == 2999)
    seen = set()
    while 0 not in seen:
        before = settled(browser)
        seen.update(before)
        # What is read stays where it is while more comes above it.
        top = f"m{before[len(before) // 4]}"
        browser.js("document.getElementById(arguments[0]).scrollIntoView()", top)
        browser.js("scrollTo({top: 0, behavior: 'instant'})")
        browser.until(lambda before=before: settled(browser)[0] < before[0] or before[0] == 0)
    assert seen == set(range(3000))
    seen = set()
    while 2999 not in seen:
        before = settled(browser)
        seen.update(before)
        browser.js("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
        browser.until(lambda before=before: settled(browser)[-1] > before[-1] or before[-1] == 2999)
    assert seen >= set(range(600, 3000))
    browser.js("document.activeElement.blur()")
    browser.type("g")
    browser.until(lambda: settled(browser)[0] == 0)
    browser.type("G")
    browser.until(lambda: settled(browser)[-1] == 2999)
    number = browser.one(".jump input[name=n]")
    number.send_keys("1234\n")
    browser.until(lambda: browser.js("return document.activeElement.id") == "m1234")


def test_the_way_back_leads_to_where_one_read(long, browser):
    browser.open().go("/session", id="s", n=1500)
    browser.until(lambda: browser.js("return document.activeElement.id") == "m1500")
    browser.js("document.querySelector('#m1510').scrollIntoView({behavior: 'instant'})")
    browser.until(lambda: "n=1510" in browser.driver.current_url or "n=1509" in browser.driver.current_url)
    browser.js("location.href = '/vault'")
    browser.until(lambda: browser.texts("h1") == ["Vault"])
    browser.driver.back()
    browser.until(lambda: browser.js("return document.activeElement.id") in ("m1509", "m1510"))
    browser.type("G")
    browser.until(lambda: "n=" not in browser.driver.current_url)


def test_what_is_in_view_stays_while_more_comes_above(long, browser):
    browser.open().go("/session", id="s", n=1500)
    browser.until(lambda: browser.js("return document.activeElement.id") == "m1500")
    browser.js("document.querySelector('#m1486').scrollIntoView({behavior: 'instant'})")
    top = browser.js("return document.querySelector('#m1486').getBoundingClientRect().top")
    browser.until(lambda: settled(browser)[0] < 1480)
    after = browser.js("return document.querySelector('#m1486').getBoundingClientRect().top")
    assert after == pytest.approx(top, abs=3)


def test_the_keyboard(sample, browser):
    browser.open()
    browser.type("j", "j", "k")
    assert browser.js("return document.activeElement === document.querySelectorAll('[data-item] .title')[0]")
    browser.type("\n")
    browser.until(lambda: browser.texts("h1") == ["A trip to Marrakesh"])
    browser.type("j", "j", "j")
    focused = browser.js("return document.activeElement.id")
    assert focused == "m2"
    browser.type("\n")
    assert browser.js("return [...document.querySelectorAll('#m2 details')].every(e => e.open)")
    browser.type("r")
    browser.until(lambda: browser.all("#m2 .shown-raw"))
    browser.type("o")
    browser.type("i")
    assert browser.js("return document.activeElement.id") == "about"
    browser.type("?")
    browser.until(lambda: browser.js("return document.querySelector('#help').open"))
    browser.type("\ue00c")  # Escape
    browser.until(lambda: not browser.js("return document.querySelector('#help').open"))
    dark = browser.js("return getComputedStyle(document.body).backgroundColor")
    browser.type("t")
    assert browser.js("return getComputedStyle(document.body).backgroundColor") != dark
    browser.type("t")
    browser.js("localStorage.clear()")
    browser.type("/")
    assert browser.js("return document.activeElement.name") == "q"
    browser.type("jk")  # words, in there
    assert browser.js("return document.activeElement.value") == "jk"
    browser.type("\ue00c")
    browser.type("u")
    browser.until(lambda: browser.texts("h1") == ["Sessions"])


@pytest.mark.parametrize("piece", PIECES)
def test_hostile_content_does_nothing(store, browser, piece):
    if piece in FACTS:
        for number, attack in enumerate(ATTACKS):
            store.create(**{"id": f"s{number}", **PIECES[piece](attack)})
    else:
        store.create("s", messages=[each for attack in ATTACKS for each in PIECES[piece](attack)["messages"]])
    name = store.list()[-1].id
    browser.open()
    for path, fields in (
        ("/", {}),
        ("/session", {"id": name}),
        ("/message", {"id": name, "n": 0}),
        ("/search", {"q": "a"}),
    ):
        if path == "/message" and piece in FACTS:
            continue
        browser.go(path, **fields)
        browser.until(lambda: browser.js("return document.readyState") == "complete")
        browser.js("for (const each of document.querySelectorAll('details')) each.open = true")
        for each in browser.js("return performance.getEntriesByType('resource').map(e => e.name)"):
            assert each.startswith(browser.served.home), each
        assert browser.all("main script, main iframe, main style, [onerror], [onload], [onclick]") == []
    # A picture that is none, and one that a policy keeps from being asked for, are all that may be complained of.
    browser.expected = ("/media?",)


def test_a_damaged_session_says_what_to_do(store, vault, browser):
    store.create("s", title="Broken", messages=said(*range(20)))
    store.create("t", messages=said(0))
    (path,) = vault.glob("sessions/s~*.vss")
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    browser.open().go("/session", id="s")
    browser.expected = ("500",)
    browser.until(lambda: "damaged" in browser.texts("h1")[0])
    assert "vaultsession repair --recover" in browser.one(".notice").text
    browser.go("/vault")
    browser.one("#verify-button").click()
    browser.until(lambda: browser.texts(".findings .tag") == ["damaged"])
    browser.until(lambda: browser.texts("#verify [role=status]")[0].startswith("Not all is well: 2 sessions"))
    browser.go("/")
    assert browser.texts(".tag.bad") == ["damaged"]


def test_a_vault_that_goes_away_and_comes_back(store, vault, browser):
    store.create("s", messages=said(0))
    browser.open().go("/session", id="s")
    browser.until(lambda: browser.numbers() == [0])
    os.rename(vault, f"{vault}.away")
    browser.expected = ("503", "404", "500")
    browser.go("/session", id="s")
    browser.until(lambda: browser.all(".notice.bad"))
    os.rename(f"{vault}.away", vault)
    browser.go("/session", id="s")
    browser.until(lambda: browser.numbers() == [0])


def test_a_server_that_goes_away_leaves_what_is_shown(store, browser):
    store.create("s", messages=said(0))
    browser.open().go("/session", id="s")
    browser.until(lambda: browser.js("return !document.querySelector('#live').hidden"))
    browser.served.process.kill()
    browser.expected = ("ERR_",)
    browser.until(lambda: "The server does not answer" in browser.texts("#trouble")[0])
    assert browser.numbers() == [0]


def test_write_mode(sample, browser):
    browser.open("--write").go("/session", id=TRIP)
    assert browser.texts(".mode") == ["can write"]
    browser.one('a[href^="/change/edit"]').click()
    title = browser.one("form.change input[name=title]")
    title.clear()
    title.send_keys("Another title")
    button = browser.one("form.change button:not([type])")
    button.click()  # refused by the form, which was not confirmed
    assert "/change/edit" in browser.driver.current_url
    browser.one("form.change input[name=confirmed]").click()
    button.click()
    browser.until(lambda: browser.texts("h1") == ["Another title"])
    assert sample.info(TRIP).title == "Another title"
    browser.one('a[href^="/change/fork"]').click()
    browser.one("form.change input[name=new]").send_keys("forked")
    browser.one("form.change input[name=confirmed]").click()
    browser.one("form.change button:not([type])").click()
    browser.until(lambda: "id=forked" in browser.driver.current_url)
    browser.one('a[href^="/change/delete"]').click()
    browser.one("form.change input[name=confirmed]").click()
    browser.one("form.change button:not([type])").click()
    browser.until(lambda: browser.texts("h1") == ["Sessions"])
    assert not sample.exists("forked")


def test_the_opening_by_a_file_gets_past_a_strict_cookie(store, browser, serve, tmp_path):
    served = serve()
    path = tmp_path / "open.html"
    path.write_text(f'<meta http-equiv="refresh" content="0;url={served.address}">')
    browser.driver.get(f"file://{path}")
    browser.until(lambda: browser.texts("h1") == ["Sessions"])


def test_another_site_on_this_machine_gets_nothing(store, browser, serve):
    store.create("s", title="The treasure")
    browser.open()
    other = serve()  # the same site to a browser, as every port of 127.0.0.1 is
    home = browser.served.home
    browser.driver.get(other.address)
    browser.expected = ("403", "Content Security Policy", "CORS", "Failed to load", "violates")
    answer = browser.driver.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0], {credentials: 'include', mode: 'no-cors'})"
        ".then(r => r.text()).then(done, e => done(String(e)))",
        home,
    )
    assert "treasure" not in answer
    browser.driver.get("about:blank")
    browser.js("location.href = arguments[0]", f"{home}/session?id=s")
    browser.until(lambda: browser.driver.current_url.startswith(home))
    assert "another address" in browser.js("return document.body.innerText") or "no business" in browser.js(
        "return document.body.innerText"
    )


PAGES = {
    "sessions": ("/", {"user": "alice"}),
    "conversation": ("/session", {"id": TRIP}),
    "message": ("/message", {"id": TRIP, "n": 2}),
    "search": ("/search", {"q": "trains"}),
    "vault": ("/vault", {}),
    "container": ("/container", {"id": TRIP}),
    "change": ("/change/edit", {"id": TRIP}),
    "problem": ("/session", {"id": "nobody"}),
}


def shown(browser, name):
    path, fields = PAGES[name]
    browser.go(path, **fields)
    browser.expected = ("404",)
    browser.js("for (const each of document.querySelectorAll('.body details')) each.open = true")
    if name == "vault":
        browser.until(lambda: browser.all("#survey table"))
    if name == "search":
        browser.until(lambda: "matches" in browser.texts("#said")[0] or "match " in browser.texts("#said")[0])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_serious_is_in_the_way_of_a_screen_reader(sample, browser, theme):
    axe = pytest.importorskip("axe_core_python.base", reason="pip install '.[browser]'")
    browser.theme(theme)
    browser.open("--write")
    found = {}
    for name in PAGES:
        shown(browser, name)
        browser.js(axe.AXE_SCRIPT)
        result = browser.driver.execute_async_script("axe.run().then(arguments[0])")
        assert result["passes"]
        for each in result["violations"]:
            found[name, each["id"], each["impact"]] = [node["html"][:160] for node in each["nodes"]]
    assert found == {}


@pytest.mark.parametrize("width", [360, 820, 1440])
def test_nothing_sticks_out(sample, browser, width):
    sample.create(
        "wide" * 60, title="wide" * 60, labels={"l" * 80: "m" * 80}, messages=[{"role": "user", "content": "w" * 500}]
    )
    browser.open("--write").resize(width)
    for name in PAGES:
        shown(browser, name)
        assert browser.js("return document.documentElement.scrollWidth") <= width, name
    for path, fields in (("/", {}), ("/session", {"id": "wide" * 60}), ("/container", {"id": "wide" * 60})):
        browser.go(path, **fields)
        assert browser.js("return document.documentElement.scrollWidth") <= width, path
