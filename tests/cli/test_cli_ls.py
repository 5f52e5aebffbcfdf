"""``vaultsession ls``."""

from __future__ import annotations

import json
import re

import pytest
from cli_lab import plain

from vaultsession import SessionStore
from vaultsession.testing import ManualClock
from vaultsession.util.clock import SystemClock

FIELDS = ["id", "title", "user_id", "tenant_id", "assistant_id", "labels", "message_count", "created_at", "updated_at",
          "expires_at", "ttl", "sliding", "max_messages", "size"]  # fmt: skip


@pytest.fixture
def three(place):
    with place.open() as store:
        store.create("a", user_id="alice", tenant_id="t", labels={"client": "web", "env": "prod"})
        store.create("b", user_id="alice", assistant_id="helper", labels={"client": "web"}, ttl="24h")
        store.create("c", user_id="bob", title="A title", messages=[{"role": "user", "content": "hi"}])
    return place


def test_piped_it_is_tsv_with_a_header_newest_first(three, spawn):
    done = spawn("ls")
    assert done.code == 0
    assert done.out.splitlines()[0] == "id\ttitle\tuser_id\tmessage_count\tupdated_at\texpires_at"
    assert [row["id"] for row in done.rows] == ["c", "b", "a"]
    assert done.rows[0]["title"] == "A title"
    assert done.err == ""


def test_long_has_every_fact(three, run):
    (header, *_) = run("ls", "--long").out.splitlines()
    assert sorted(header.split("\t")) == sorted(FIELDS)


def test_json_is_one_document_with_the_facts(three, run):
    document = run("ls", "--json").json
    assert [list(session) for session in document["sessions"]] == [FIELDS] * 3
    assert document["after"] is None
    assert document["sessions"][1]["ttl"] == 86400


def test_json_lines_are_one_session_each(three, run):
    assert [json.loads(line)["id"] for line in run("ls", "--jsonl").out.splitlines()] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--user", "alice"), ["b", "a"]),
        (("--tenant", "t"), ["a"]),
        (("--assistant", "helper"), ["b"]),
        (("--label", "client=web"), ["b", "a"]),
        (("--label", "client=web", "--label", "env=prod"), ["a"]),
        (("--user", "bob", "--label", "client=web"), []),
        (("--reverse",), ["a", "b", "c"]),
        (("--limit", "2"), ["c", "b"]),
    ],
)
def test_filters_order_and_limit(options, found, three, run):
    assert [row["id"] for row in run("ls", *options).rows] == found


@pytest.mark.parametrize("label", ["client", "=web", ""])
def test_a_label_that_is_none_is_refused(label, three, run):
    assert run("ls", "--label", label).code == 2


def test_a_cursor_goes_on_behind_a_page(three, run):
    first = run("ls", "--limit", "2")
    (cursor,) = re.findall(r"--after (\S+)", first.err)
    rest = run("ls", "--after", cursor)
    assert [row["id"] for row in first.rows + rest.rows] == ["c", "b", "a"]
    assert rest.err == ""
    assert run("ls", "--limit", "2", "--json").json["after"] == cursor
    assert run("ls", "--after", "nonsense").code == 2


def test_piped_it_is_everything_and_on_a_terminal_fifty(place, run, terminal):
    with place.open() as store:
        for number in range(60):
            store.create(f"s{number:02}")
    assert len(run("ls").rows) == 60
    shown = plain(terminal("ls").out)
    assert len(re.findall(r"^s\d\d ", shown, flags=re.MULTILINE)) == 50
    assert "--after" in shown


def test_more_than_one_page_of_the_store_is_all_of_it(place, run, monkeypatch):
    monkeypatch.setattr("vaultsession.store.pages._PAGE", 7)
    with place.open() as store:
        for number in range(20):
            store.create(f"s{number:02}")
    assert [row["id"] for row in run("ls", "--reverse").rows] == [f"s{number:02}" for number in range(20)]
    assert len(run("ls", "--limit", "9").rows) == 9


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_the_table_fits_its_terminal(columns, three, terminal):
    done = terminal("ls", columns=columns)
    lines = plain(done.out).splitlines()
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines] == ["id", "c", "b", "a"]


def test_nothing_is_said_on_stderr(place, run):
    done = run("ls")
    assert (done.code, done.rows) == (0, [])
    assert run("ls", "--json").json == {"sessions": [], "after": None}
    assert run("ls", "--jsonl").out == ""


def test_options_of_the_vault_may_stand_before_the_command_and_behind_it(three, run, monkeypatch):
    monkeypatch.delenv("VAULTSESSION_PATH")
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    key = ("--key-file", three.key_file)
    for line in (("-V", three.path, *key, "ls"), ("ls", "-V", three.path, *key), ("-V", three.path, "ls", *key),
                 ("-V", "/elsewhere", *key, "ls", "-V", three.path)):  # fmt: skip
        assert len(run(*line).rows) == 3, line
    command = f"cat {three.key_file}"
    assert len(run("ls", "-V", three.path, "--key-command", command).rows) == 3


def test_a_key_that_does_not_fit_is_12(three, run, tmp_path):
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_bytes(bytes(range(100, 132)).hex().encode())
    assert run("ls", "--key-file", other).code == 12
    assert run("ls", "--key-file", tmp_path / "missing").code == 12


@pytest.fixture
def lengths(place):
    """Sessions whose orders by each fact differ; two have the same number of messages."""
    said = {"role": "user", "content": "hi"}
    with place.open() as store:
        store.create("one", title="b", messages=[said])
        store.create("large", title="C", messages=[{"role": "user", "content": "x" * 5000}])
        store.create("many", title="a", messages=[said] * 9)
        store.create("none")
        store.append("one", {"role": "assistant", "content": "?"})
    return place


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--sort", "updated"), ["one", "none", "many", "large"]),
        (("--sort", "created"), ["none", "many", "large", "one"]),
        (("--sort", "messages"), ["many", "one", "large", "none"]),
        (("--sort", "size"), ["large", "many", "one", "none"]),
        (("--sort", "title"), ["many", "one", "large", "none"]),
        (("--sort", "messages", "--reverse"), ["none", "large", "one", "many"]),
        (("--sort", "messages", "--limit", "2"), ["many", "one"]),
        (("-r",), ["large", "many", "none", "one"]),
    ],
    ids=str,
)
def test_each_fact_is_one_to_sort_by(options, found, lengths, run):
    assert [row["id"] for row in run("ls", *options).rows] == found


def test_equal_ones_stay_in_the_order_of_their_last_change(place, run):
    with place.open() as store:
        for name in "abc":
            store.create(name)
    assert [row["id"] for row in run("ls", "--sort", "messages").rows] == ["c", "b", "a"]


def test_what_is_left_out_is_told_where_there_is_no_cursor(lengths, run):
    done = run("ls", "--sort", "size", "--limit", "3")
    assert "larger --limit" in done.err
    assert run("ls", "--sort", "size", "--limit", "4").err == ""
    assert run("ls", "--sort", "size", "--json").json["after"] is None
    for options in (("--sort", "size"), ("--since", "1h"), ("--count",)):
        assert run("ls", "--after", "x", *options).code == 2


@pytest.mark.slow
def test_the_size_is_shown_where_it_is_sorted_by(lengths, terminal):
    assert "size" in terminal("ls", "--sort", "size", columns=40).out
    assert "size" not in terminal("ls", columns=40).out
    assert "of JSON" in terminal("ls", "--long").out


@pytest.fixture
def days(place, monkeypatch):
    """One session a day, for five days up to now."""
    clock = ManualClock(SystemClock().now() - 4 * 86_400_000_000 - 3_600_000_000)
    with place.open(clock=clock) as store:
        for number in range(5):
            store.create(f"d{number}", user_id="alice" if number % 2 else "bob")
            clock.advance(86_400)
    return place


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--since", "36h"), ["d4", "d3"]),
        (("--before", "36h"), ["d2", "d1", "d0"]),
        (("--since", "60h", "--before", "12h"), ["d3", "d2"]),
        (("--since", "60h", "--reverse"), ["d2", "d3", "d4"]),
        (("--before", "60h", "-r"), ["d0", "d1"]),
        (("--since", "1s"), []),
        (("--since", "2001-01-01", "--limit", "1"), ["d4"]),
        (("--before", "2001-01-01T00:00+02:00"), []),
        (("--since", "80h", "--user", "alice"), ["d3", "d1"]),
    ],
    ids=str,
)
def test_a_period_is_one_of_the_last_change(options, found, days, run):
    assert [row["id"] for row in run("ls", *options).rows] == found
    assert int(run("ls", *options, "--count").out) == max(len(found), 5 if "--limit" in options else 0)


def test_a_period_ends_the_reading(days, run, monkeypatch):
    monkeypatch.setattr("vaultsession.store.pages._PAGE", 1)
    pages = []
    listed = SessionStore.list
    monkeypatch.setattr(SessionStore, "list", lambda *a, **k: pages.append(1) or listed(*a, **k))
    assert len(run("ls", "--since", "12h").rows) == 1
    assert len(pages) == 2


@pytest.mark.parametrize("when", ["yesterday", "-1d", "0", "", "2026-13-01"])
def test_a_time_that_is_none_is_2_and_says_how_to_write_one(when, place, run):
    done = run("ls", f"--since={when}")
    assert (done.code, done.out) == (2, "")
    assert "--since" in done.err
    assert "7d" in done.err


def test_a_period_that_ends_before_it_begins_is_2(place, run):
    assert run("ls", "--since", "1d", "--before", "2d").code == 2


def test_a_count_is_a_number(lengths, run, terminal):
    assert run("ls", "--count").out == "4\n"
    assert terminal("ls", "--count").out == "4\n"
    assert run("ls", "--count", "--json").json == {"sessions": 4}
    assert run("ls", "--count", "--label", "a=b").out == "0\n"


def test_a_session_is_one_line_however_long_its_title(place, terminal):
    with place.open() as store:
        store.create("a", title="A title that goes on and on " * 20)
        store.create("b", title="Short")
    lines = plain(terminal("ls").out).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["b", "a"]
    assert "…" in lines[2]


@pytest.mark.parametrize("option", ["--user", "--tenant", "--assistant"])
def test_an_empty_owner_is_nobody_and_not_everybody(option, three, run):
    """The variable of a script was empty, and the sessions of all users were listed, and exported."""
    assert run("ls", option, "").rows == []
    assert run("ls", option, "", "--count").out == "0\n"


def test_an_empty_vault_is_not_the_usual_one(three, run):
    """The variable of a script was empty, and a session of another vault was removed."""
    refused = run("rm", "a", "--yes", "--vault", "")
    assert (refused.code, "empty path" in refused.err) == (2, True)
    assert run("ls", "-V", "").code == 2
    assert run("init", "").code == 2
    assert run("mirror", "status", "--mirror", "").code == 2
    assert len(run("ls").rows) == 3


@pytest.mark.parametrize("option", ["--key-file", "--passphrase-file", "--key-command"])
def test_an_empty_place_of_a_key_is_not_the_usual_one(option, three, run):
    refused = run("ls", option, "")
    assert (refused.code in (2, 12), "bug" in refused.err) == (True, False)
