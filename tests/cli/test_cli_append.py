"""``vaultsession append``."""

from __future__ import annotations

import pytest


def messages(place, name="s"):
    with place.open() as store:
        return store.messages(name)


def test_one_message_makes_the_session_where_it_may(place, spawn):
    assert spawn("append", "s", "--content", "Hello").code == 4
    done = spawn("append", "s", "--content", "Hello", "--create")
    assert done.code == 0
    assert done.rows[0]["message_count"] == "1"
    assert messages(place) == [{"role": "user", "content": "Hello"}]


def test_the_role_is_anything_and_the_content_may_come_from_stdin(place, run):
    run("append", "s", "--create", "--role", "assistant", stdin="several\nlines\n")
    run("append", "s", "--content", "")
    assert messages(place) == [{"role": "assistant", "content": "several\nlines"}, {"role": "user", "content": ""}]


def test_json_lines_are_any_messages(place, run):
    done = run("append", "s", "-", "--create", "--json", stdin='{"a": 1}\n\n{"role": "x", "content": "\\u2028"}\n')
    assert done.json["message_count"] == 2
    assert messages(place) == [{"a": 1}, {"role": "x", "content": "\u2028"}]


@pytest.mark.parametrize(
    ("stdin", "word"),
    [
        ('{"a": 1}\n{"b"', "line 2"),
        ('{"a": 1}\n[1]', "line 2"),
        ('{"a": NaN}', "messages[0].a"),
        ("\n", "no messages"),
        (b'{"a": "\xff"}', "UTF-8"),
    ],
)
def test_where_anything_is_wrong_nothing_is_added(stdin, word, place, run):
    done = run("append", "s", "-", "--create", stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert word in done.err
    assert run("ls").rows == []


@pytest.mark.parametrize(
    "line",
    [
        '{"n": 123456789012345678901234567890}',
        '{"n": 1, "n": 2}',
        '{"a": {"n": 1, "n": 2}}',
        '{"n": Infinity}',
        '{"n": 1e999}',
        '{"s": "\\ud800"}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=lambda line: line[:30],
)
def test_what_would_not_come_back_unchanged_is_refused(line, place, run):
    done = run("append", "s", "-", "--create", stdin='{"good": 1}\n' + line)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert run("ls").rows == []


def test_dedupe_leaves_out_what_is_there(place, run):
    run("append", "s", "-", "--create", stdin='{"id": "1"}\n{"id": "2"}')
    run("append", "s", "-", "--dedupe", stdin='{"id": "2"}\n{"id": "3"}')
    assert [message["id"] for message in messages(place)] == ["1", "2", "3"]


def test_usage(place, run):
    assert run("append", "s", "file.jsonl").code == 2
    assert run("append", "s", "-", "--content", "x").code == 2
    assert run("append", "", "--content", "x", "--create").code == 2


def test_on_a_terminal_it_is_a_sentence(place, terminal):
    done = terminal("append", "s", "--create", "--content", "x")
    assert done.out == "s: 1 message\n"


@pytest.mark.parametrize("stdin", ["", "\n"])
def test_a_stdin_that_held_nothing_is_no_message(stdin, place, run):
    done = run("append", "s", "--create", stdin=stdin)
    assert (done.code, done.out) == (2, "")
    assert "stdin held no message" in done.err
    assert run("ls").rows == []


def test_an_empty_message_can_be_meant(place, run):
    assert run("append", "s", "--create", "--content", "").code == 0
    assert messages(place) == [{"role": "user", "content": ""}]
