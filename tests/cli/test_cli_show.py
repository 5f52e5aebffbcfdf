"""``vaultsession show``."""

from __future__ import annotations

import json

import pytest
from cli_lab import plain

from vaultsession.cli.commands.show import spoken

MESSAGES = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "First line\nSecond line"},
    {"role": "tool", "content": [{"type": "text", "text": "42"}], "id": "t1"},
    {"kind": "event", "payload": {"x": 1}},
]


@pytest.fixture
def session(place):
    with place.open() as store:
        store.create("s", title="Title", user_id="alice", state={"language": "en"}, messages=MESSAGES)
    return place


def test_piped_it_is_tsv_of_facts_and_messages(session, spawn):
    done = spawn("show", "s")
    assert done.code == 0
    assert done.err == ""
    facts = {row["name"]: row["value"] for row in done.rows if row["part"] == "fact"}
    assert (facts["id"], facts["title"], facts["message_count"]) == ("s", "Title", "4")
    messages = [(row["name"], row["value"]) for row in done.rows if row["part"] == "message"]
    assert messages[:2] == [("user", "Hello"), ("assistant", "First line\\nSecond line")]
    assert json.loads(messages[3][1]) == MESSAGES[3]


def test_json_has_facts_messages_and_on_request_the_state(session, run):
    document = run("show", "s", "--json").json
    assert document["messages"] == MESSAGES
    assert "state" not in document
    assert len(document["version"]) == 32
    assert run("show", "s", "--json", "--state").json["state"] == {"language": "en"}


def test_json_lines_are_the_messages_alone(session, run):
    assert [json.loads(line) for line in run("show", "s", "--jsonl").out.splitlines()] == MESSAGES
    assert run("show", "s", "--jsonl", "--state").code == 2


def test_the_last_ones_only(session, run):
    assert run("show", "s", "--last", "2", "--json").json["messages"] == MESSAGES[2:]
    assert run("show", "s", "--last", "0", "--json").json["messages"] == []
    assert run("show", "s", "--last", "-1").code == 2


@pytest.mark.parametrize("columns", [80, 40])
def test_a_transcript_for_people(columns, session, terminal):
    done = terminal("show", "s", "--state", "--last", "3", columns=columns)
    text = plain(done.out)
    assert done.code == 0
    assert "Hello" not in text
    for piece in (
        "1 older message",
        "First line\n  Second line",
        "42",
        '"id": "t1"',
        '"kind": "event"',
        '"language": "en"',
    ):
        assert piece in text
    assert max(map(len, text.splitlines())) <= columns


def test_one_that_is_not_there_is_4(place, run):
    done = run("show", "nobody")
    assert (done.code, done.out) == (4, "")
    assert "'nobody'" in done.err


@pytest.mark.parametrize(
    ("message", "role", "content", "rest"),
    [
        ({"role": "user", "content": "x"}, "user", "x", {}),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]}, "user", "a\nb", {}),
        ({"role": "user", "content": [{"type": "image", "text": "a"}, {"url": "b"}]}, "user", None,
         {"content": [{"type": "image", "text": "a"}, {"url": "b"}]}),
        ({"role": 7, "content": None}, "", None, {"role": 7, "content": None}),
        ({"content": []}, "", None, {"content": []}),
        ({}, "", None, {}),
    ],
)  # fmt: skip
def test_messages_of_any_shape_keep_what_they_hold(message, role, content, rest):
    before = json.dumps(message)
    assert spoken(message) == (role, content, rest)
    assert json.dumps(message) == before
