"""``vaultsession show``."""

from __future__ import annotations

import json

import pytest
from cli_lab import plain

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


def test_what_json_does_not_carry_is_shown_all_the_same(place, run):
    deep = "deep"
    for _ in range(1_500):
        deep = [deep]
    said = [b"\x00", float("inf"), 2**70, "\ud800", deep]
    with place.open(lossless=True) as store:
        store.create("s", state={"x": b"\x00"}, messages=[{"role": "user", "content": each} for each in said])
    document = run("show", "s", "--state", "--json").json
    assert document["state"] == {"x": {"$b": "AA=="}}
    shown = [message["content"] for message in document["messages"]]
    assert shown[:4] == [{"$b": "AA=="}, {"$f": "7ff0000000000000"}, {"$i": "400000000000000000"}, "\ud800"]
    assert "AA==" in run("show", "s").out


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
        '"kind": "event"',
        '"language": "en"',
    ):
        assert piece in text
    assert max(map(len, text.splitlines())) <= columns


def test_one_that_is_not_there_is_4(place, run):
    done = run("show", "nobody")
    assert (done.code, done.out) == (4, "")
    assert "'nobody'" in done.err


@pytest.mark.slow
def test_parts_are_shown_as_what_they_are(place, terminal):
    with place.open() as store:
        store.create("s", messages=[
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Where is it warm?", "signature": "x"},
                {"type": "tool_use", "id": "t", "name": "get_weather", "input": {"city": "Rabat"}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "21 °C"}]},
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 5336}},
            ], "timestamp": "2026-06-18T00:57:16Z"},
            *({"type": "progress", "data": {"type": "hook"}} for _ in range(300)),
        ])  # fmt: skip
    text = plain(terminal("show", "s", TZ="UTC").out)
    for piece in (
        'assistant  0\n  Where is it warm?\n  → get_weather(city="Rabat")\n',
        "user  1\n  ← 21 °C\n",
        "user  2  2026-06-18 00:57\n  [image/png, 4 KB]\n",
        "· 300 notes of the agent: progress: hook 300\n",
    ):
        assert piece in text
    assert '"signature": "x"' in terminal("show", "s", "--raw").out


@pytest.mark.slow
def test_it_is_read_in_a_pager(session, terminal, tmp_path):
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\nsed 's/^/| /'\n")
    pager.chmod(0o755)
    text = plain(terminal("show", "s", PAGER=str(pager)).out)
    assert "| user  0\n|   Hello\n" in text
    assert "| " not in terminal("show", "s", PAGER="").out


@pytest.mark.parametrize("pager", ["true", "no such program", "'"])
def test_a_pager_that_reads_nothing_is_no_error(pager, session, terminal):
    done = terminal("show", "s", PAGER=pager)
    assert done.code == 0
    assert "Traceback" not in done.out
    assert ("Hello" in done.out) == (pager != "true")


@pytest.mark.parametrize(("option", "piece"), [("--html", "<p>Hello</p>"), ("--markdown", "\n## 0 · user\n\nHello\n")])
def test_it_is_written_into_one_private_file(option, piece, session, run, tmp_path):
    into = tmp_path / "page"
    done = run("show", "s", option, into)
    assert done.code == 0, done.err
    assert (done.out, into.stat().st_mode & 0o777) == ("", 0o600)
    assert piece in into.read_text()
    assert "in the clear" in done.err
    assert run("show", "s", option, into).code == 5
    assert run("show", "s", option, into, "--replace").code == 0
    assert run("show", "s", "--html", into, "--markdown", into).code == 2
