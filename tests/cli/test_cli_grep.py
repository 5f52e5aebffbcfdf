"""``vaultsession grep``."""

from __future__ import annotations

import json

import pytest
from cli_lab import plain


@pytest.fixture
def talks(place):
    with place.open() as store:
        store.create("trip", user_id="alice", state={"city": "Marrakesh"})
        for number in range(9):
            store.append("trip", {"role": "user" if number % 2 == 0 else "assistant", "content": f"line {number}"})
        store.append("trip", {"role": "user", "content": [{"type": "text", "text": "to Marrakesh (by train)"}]})
        store.create("plan", user_id="bob", messages=[{"role": "user", "content": "MARRAKESH or Fès"}])
    return place


def test_piped_it_is_tsv_of_each_match(talks, spawn):
    done = spawn("grep", "Marrakesh")
    assert (done.code, done.err) == (0, "")
    assert done.rows == [
        {
            "id": "trip",
            "index": "9",
            "role": "user",
            "path": "messages[9].content[0].text",
            "excerpt": "to Marrakesh (by train)",
        }
    ]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("-i", "marrakesh"), [("plan", "0"), ("trip", "9")]),
        (("-i", "marr?.kesh"), [("plan", "0"), ("trip", "9")]),
        (("line [37]",), [("trip", "3"), ("trip", "7")]),
        (("-F", "(by"), [("trip", "9")]),
        (("-i", "marrakesh", "--user", "bob"), [("plan", "0")]),
        (("--state", "Marrakesh"), [("trip", ""), ("trip", "9")]),
        (("line", "--limit", "2"), [("trip", "0"), ("trip", "1")]),
    ],
    ids=str,
)
def test_patterns_texts_filters_and_limit(options, found, talks, run):
    assert [(row["id"], row["index"]) for row in run("grep", *options).rows] == found


def test_nothing_that_matches_is_4(talks, run, terminal):
    done = run("grep", "Lisbon")
    assert (done.code, done.rows, done.err) == (4, [], "")
    assert run("grep", "Lisbon", "--json").json == {"matches": []}
    shown = terminal("grep", "Lisbon")
    assert (shown.code, "Nothing matches" in shown.out) == (4, True)


@pytest.mark.parametrize("pattern", ["(", "[", "a{99999999999}", ""])
def test_what_is_no_pattern_is_2_in_one_sentence(pattern, talks, run):
    done = run("grep", pattern)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1


def test_json_has_the_messages_around(talks, run):
    (match,) = run("grep", "line 4", "-C", "1", "--json").json["matches"]
    assert [message["content"] for message in match["before"]] == ["line 3"]
    assert [message["content"] for message in match["behind"]] == ["line 5"]
    assert match["excerpt"][slice(*match["span"])] == "line 4"
    first, last = (json.loads(line) for line in run("grep", "line [08]", "-C", "1", "--jsonl").out.splitlines())
    assert (first["before"], len(first["behind"]), len(last["before"]), len(last["behind"])) == ([], 1, 1, 1)


def test_context_among_tab_separated_values_is_refused(talks, run):
    assert run("grep", "line", "-C", "1").code == 2


def test_ids_alone_are_told_once_each(talks, run):
    assert run("grep", "-l", "line").out == "trip\n"
    assert run("grep", "-l", "-i", "marrakesh").out.split() == ["plan", "trip"]
    assert run("grep", "-l", "-i", "marrakesh", "--limit", "1").out.split() == ["plan"]
    assert run("grep", "-l", "-i", "marrakesh", "--json").json == {"ids": ["plan", "trip"]}
    assert run("grep", "-l", "nothing").code == 4


@pytest.mark.slow
def test_on_a_terminal_each_message_is_told_once_and_gaps_are_shown(talks, terminal):
    shown = plain(terminal("grep", "-C", "1", "line [247]").out)
    assert [line.split()[0] for line in shown.splitlines()] == ["trip", "1", "2", "3", "4", "5", "6", "7", "8"]
    shown = plain(terminal("grep", "-C", "1", "line [27]").out)
    assert [line.split()[0] for line in shown.splitlines()] == ["trip", "1", "2", "3", "…", "6", "7", "8"]


def test_a_match_within_the_context_of_another_is_shown_as_a_match(talks, terminal):
    done = terminal("grep", "-C", "2", "line [45]")
    assert [line.split()[0] for line in plain(done.out).splitlines()] == ["trip", "2", "3", "4", "5", "6", "7"]
    for number in (4, 5):
        assert f"\x1b[1;31mline {number}\x1b[0m" in done.out


@pytest.mark.slow
def test_on_a_terminal_the_match_is_in_colour_unless_nobody_wants_any(talks, terminal):
    assert "\x1b[1;31mline 3\x1b[0m" in terminal("grep", "line 3").out
    assert "\x1b[1;31m" not in terminal("grep", "line 3", NO_COLOR="1").out


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_it_fits_its_terminal(columns, talks, terminal):
    shown = plain(terminal("grep", "-i", "-C", "2", "--state", "marrakesh", columns=columns).out)
    assert max(map(len, shown.splitlines())) <= columns
    assert "state.city" in shown.replace("\n", "").replace(" ", "")


def test_what_a_message_says_cannot_move_the_cursor(place, terminal, run):
    with place.open() as store:
        store.create("\x1b[2Jid", messages=[{"role": "\x1b[1m", "content": "here\x1b[2J\u202etxt"}])
    done = terminal("grep", "here", NO_COLOR="1")
    assert "\x1b[2J" not in done.out
    assert "\u202e" not in done.out
    assert "\x1b" not in run("grep", "-l", "here").out


def test_a_session_that_cannot_be_read_is_3_behind_all_that_was_found(talks, run):
    file = talks.file("plan")
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    done = run("grep", "-i", "marrakesh")
    assert done.code == 3
    assert [row["id"] for row in done.rows] == ["trip"]
    assert "plan" in done.err
    assert done.err.count("\n") == 1


def test_searching_extends_no_life(place, run):
    with place.open() as store:
        store.create("s", messages=[{"role": "user", "content": "word"}], ttl="1h", sliding=True)
        before = store.list()[0].expires_at
    assert run("grep", "word").code == 0
    with place.open() as store:
        assert store.list()[0].expires_at == before
