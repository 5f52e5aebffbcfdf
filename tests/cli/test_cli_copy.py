"""``vaultsession copy``."""

from __future__ import annotations

import pytest


@pytest.fixture
def talk(place):
    with place.open() as store:
        messages = [{"role": "user", "content": str(number)} for number in range(4)]
        store.create("a", user_id="alice", title="A trip", state={"step": 1}, messages=messages)
    return place


def test_a_fork_has_the_same_document_and_goes_its_own_way(talk, run):
    done = run("copy", "a", "b", "--title", "Another", "--ttl", "7d")
    assert done.code == 0
    assert [(row["copied"], row["id"], row["message_count"]) for row in done.rows] == [("a", "b", "4")]
    with talk.open() as store:
        fork = store.load("b")
        assert (fork.state, fork.title, fork.user_id, fork.ttl.days) == ({"step": 1}, "Another", "alice", 7)
        store.append("b", {"role": "user", "content": "more"})
        assert store.load("a").message_count == 4


def test_without_an_id_it_gets_a_new_one(talk, run, terminal):
    record = run("copy", "a", "--until", "2", "--json").json
    with talk.open() as store:
        assert [message["content"] for message in store.messages(record["id"])] == ["0", "1"]
    assert "4 messages" in terminal("copy", "a").out


def test_an_id_that_is_taken_is_5(talk, run):
    run("copy", "a", "b")
    done = run("copy", "a", "b")
    assert (done.code, done.out) == (5, "")
    assert run("copy", "a", "c", "--until", "-1").code == 2
