"""Changes by the page, where it was opened for them: each is confirmed, and does what its verb does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from page_client import Page


@pytest.fixture
def session(store):
    return store.create(
        "a/b",
        title="Old",
        labels={"x": "1"},
        ttl="1h",
        messages=[{"role": "user", "content": str(n)} for n in range(4)],
    )


def change(writer, action, name="a/b", **fields):
    address = f"/change/{action}"
    form = writer.get(address, {"id": name})
    assert form.status == 200, form.text
    given = {each["name"]: each.get("value") or "" for each in Page(form.text).all("input") if "name" in each}
    given.pop("q")
    return writer.post(f"{address}?id={name}", {**given, "confirmed": "yes", **fields})


def test_title_and_labels(session, store, writer):
    answer = change(writer, "edit", title="New ⟦x⟧ \u202ebidi", labels="y=2\r\n\r\n z = a=b \r\n")
    assert (answer.status, answer["location"]) == (303, "/session?id=a%2Fb")
    info = store.info("a/b")
    assert (info.title, info.labels) == ("New ⟦x⟧ \u202ebidi", {"y": "2", "z": "a=b"})
    change(writer, "edit", title=info.title, labels="")  # what the form shows is what is there
    (title,) = [each for each in Page(writer.get("/change/edit?id=a/b").text).all("input") if each["name"] == "title"]
    assert title["value"] == info.title
    assert (store.info("a/b").title, store.info("a/b").labels) == (info.title, {})
    assert change(writer, "edit", title="", labels="x").status == 400
    assert store.info("a/b").title == info.title


def test_a_change_of_what_another_has_changed_is_refused(session, store, writer):
    store.append("a/b", {"role": "user", "content": "new"})
    for action in ("edit", "delete"):
        answer = change(writer, action, version=session.version, title="x", labels="")
        assert answer.status == 409
        assert "Nothing was changed" in answer.text
    assert store.load("a/b").title == "Old"


def test_a_fork(session, store, writer):
    assert change(writer, "fork", new="fork", until="2")["location"] == "/session?id=fork"
    assert store.messages("fork") == store.messages("a/b", offset=0, limit=2)
    assert change(writer, "fork", new="fork").status == 409
    assert change(writer, "fork", new="other", until="x").status == 400
    assert change(writer, "fork", new="").status == 303
    assert store.count() == 3


def test_a_life_that_begins_anew(session, store, writer):
    assert change(writer, "touch", ttl="7d").status == 303
    assert store.info("a/b").ttl == timedelta(days=7)
    before = store.info("a/b").expires_at
    assert change(writer, "touch", ttl="").status == 303
    assert store.info("a/b").expires_at > before
    assert change(writer, "touch", ttl="soon").status == 400


def test_an_export_is_what_export_writes(session, store, writer):
    answer = change(writer, "export")
    assert answer.body == b"".join(store.export(["a/b"]))
    assert answer["content-disposition"] == "attachment; filename*=UTF-8''a%2Fb.jsonl"


def test_a_removal(session, store, writer):
    assert change(writer, "delete")["location"] == "/"
    assert not store.exists("a/b")
    assert writer.get("/change/delete?id=a/b").status == 404


def test_the_page_says_that_it_can_write(session, page, writer):
    assert "can write" in writer.get("/").text
    assert "can write" not in page.get("/").text
