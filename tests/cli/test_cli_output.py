"""What is written, wherever it goes: hostile text, closed pipes, full disks, colours, widths."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from cli_lab import plain
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.cli import output

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\n\ttab \x7f \x9b2K \u202egnirts\u2066 \u200b \ue000 \U000e0041"


@pytest.fixture
def hostile(place):
    with place.open() as store:
        store.create("id" + HOSTILE, title=HOSTILE, user_id=HOSTILE, labels={HOSTILE: HOSTILE}, state={HOSTILE: HOSTILE},
                     messages=[{"role": HOSTILE, "content": HOSTILE}, {HOSTILE: [HOSTILE]}])  # fmt: skip
    return place


def harmless(text: str) -> bool:
    """Whether nothing in it does more than show itself and begin a new line."""
    return all(char.isprintable() or char in "\n\t" or char in "\u200c\u200d" for char in text)


@given(st.text())
def test_what_is_escaped_is_printable_and_printable_text_stays(text):
    assert harmless(output.escaped(text))
    assert "\n" not in output.escaped(text)
    if text.isprintable():
        assert output.escaped(text) == text


@pytest.mark.slow
@given(st.recursive(st.text() | st.integers() | st.none() | st.booleans(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_json_is_printable_and_says_the_same(value):
    for indent in (None, 2):
        text = output.to_json(value, indent=indent)
        assert harmless(text)
        assert json.loads(text) == value


@given(st.text(), st.text())
def test_two_values_never_look_the_same_in_tsv(one, other):
    assert (output.cell(one) == output.cell(other)) is (one == other)
    assert "\t" not in output.cell(one)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", [("ls",), ("ls", "--long"), ("show",), ("show", "--state")], ids=" ".join)
@pytest.mark.parametrize("columns", [80, 40])
def test_a_hostile_session_cannot_reach_the_terminal(command, columns, hostile, terminal):
    name, *options = command
    shown = [*options, "id" + HOSTILE] if name == "show" else options
    done = terminal(name, *shown, columns=columns)
    assert done.code == 0
    assert harmless(plain(done.out))


@pytest.mark.parametrize("form", [(), ("--json",), ("--jsonl",)], ids=str)
def test_a_hostile_session_is_harmless_in_every_form(form, hostile, run):
    others = [] if "--jsonl" in form else [run("verify", *form), run("stats", *form)]
    for done in (run("ls", *form), run("show", "id" + HOSTILE, *form), *others):
        assert done.code == 0
        assert harmless(done.out)
    assert json.loads(run("show", "id" + HOSTILE, "--json").out)["title"] == HOSTILE


def test_a_hostile_id_in_an_error_is_harmless(place, run):
    done = run("show", "nobody" + HOSTILE)
    assert done.code == 4
    assert harmless(done.err)
    assert done.err.count("\n") == 1


@pytest.fixture
def long_session(place):
    with place.open() as store:
        store.create("long", messages=[{"role": "user", "content": f"{number} " + "x" * 100} for number in range(3000)])
    return place


@pytest.mark.sampled(3)
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("form", [(), ("--json",), ("--jsonl",)], ids=str)
def test_a_reader_that_leaves_is_not_an_error_to_talk_about(form, unbuffered, long_session, executable, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    process = subprocess.Popen([*executable, "show", "long", *form], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert os.read(read, 1)
    os.close(read)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 141
    assert err == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", [("ls",), ("ls", "--json"), ("stats",), ("--help",), ("demo",)], ids=" ".join)
def test_a_full_disk_is_1_and_a_sentence(command, place, spawn):
    with open("/dev/full", "w") as full:
        done = spawn(*command, stdout=full.fileno())
    assert done.code == 1
    assert done.err == "vaultsession: there is no space left to write to: make room, or write elsewhere\n"


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("line", ["ls", "ls --json", "stats", "--help"])
def test_a_closed_stdout_is_1_and_a_sentence(line, unbuffered, place, monkeypatch):
    """It was 0, as if what was asked for had been given."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    command = f"exec {sys.executable} -m vaultsession {line}"
    done = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (1, b"vaultsession: the output is closed: nothing can be written to it\n")
    assert subprocess.run(["sh", "-c", f"{command} >&- 2>&-"], check=False).returncode == 1


@pytest.mark.slow
def test_what_prints_nothing_needs_no_stdout(place, tmp_path):
    """Daemons start programs so."""
    with place.open() as store:
        store.create("a")
    command = f"exec {sys.executable} -m vaultsession export a --output {tmp_path}/a.jsonl"
    done = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.jsonl").exists()


@pytest.mark.slow
def test_colours_are_for_terminals_that_want_them(place, run, terminal):
    with place.open() as store:
        store.create("a", messages=[{"role": "user", "content": "hi"}])
    assert "\x1b[" in terminal("show", "a").out
    assert "\x1b[" not in terminal("show", "a", NO_COLOR="1", TERM="dumb").out
    coloured = terminal("show", "a", NO_COLOR="1").out
    assert "\x1b[36m" not in coloured
    assert "\x1b[1;36m" not in coloured
    assert "\x1b[" not in run("show", "a").out


def test_a_locale_without_unicode_gets_escapes(place, spawn):
    with place.open() as store:
        store.create("日本", title="é")
    done = spawn("ls", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert done.code == 0
    assert "\\u65e5\\u672c" in done.out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "now"), (-5, "in 5 s"), (90, "2 min ago"), (7200, "2 h ago"), (200_000, "2 d ago"), (-90_000, "in 1 d")],
)
def test_times_are_told_in_words(seconds, words, monkeypatch):
    class Clock:
        def now(self):
            return 1_700_000_000_000_000 + round(seconds * 1_000_000)

    monkeypatch.setattr(output, "SystemClock", Clock)
    assert output.ago("2023-11-14T22:13:20+00:00") == words
    assert output.ago(None) == "-"


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB")])
def test_sizes_are_told_in_units(count, words):
    assert output.size(count) == words


@pytest.mark.parametrize(("seconds", "words"), [(86400, "1 d"), (5400, "90 min"), (0.05, "0.05 s"), (61, "61 s")])
def test_spans_are_told_in_whole_units(seconds, words):
    assert output.span(seconds) == words


@pytest.mark.slow
@pytest.mark.parametrize("line", ["append a --create", "import -", "chat a", "rm a"])
def test_a_closed_stdin_is_empty_and_no_bug(place, spawn, line):
    """Daemons start programs so; ``append`` called it a bug of its own."""
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m vaultsession {line} <&-"], capture_output=True, check=False
    )
    assert b"bug" not in done.stderr, done.stderr
