"""``vaultsession tail``: the newest messages, and those that come from other processes."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import threading

import pytest
from cli_lab import PATIENCE, plain
from hypothesis import given
from hypothesis import strategies as st

from vaultsession import SessionNotFound, open_store
from vaultsession.store.watch import SessionWatch


def numbered(*numbers):
    return [{"n": number} for number in numbers]


@pytest.fixture
def session(place):
    with place.open() as store:
        store.create("a", messages=[{"role": "user", "content": f"m{number}"} for number in range(20)])
        yield store


def test_the_newest_messages_in_every_form(session, run):
    assert [row["content"] for row in run("tail", "a").rows] == [f"m{number}" for number in range(10, 20)]
    assert [row["content"] for row in run("tail", "a", "-n", "2").rows] == ["m18", "m19"]
    assert run("tail", "a", "-n", "0").rows == []
    assert run("tail", "a", "-n", "1", "--json").json == [{"role": "user", "content": "m19"}]
    assert run("tail", "a", "-n", "1", "--jsonl").out == '{"role": "user", "content": "m19"}\n'
    assert len(run("tail", "a", "-n", "100").rows) == 20
    session.append("a", {"any": "shape"})
    assert run("tail", "a", "-n", "1").rows == [{"role": "event", "content": '{"any": "shape"}'}]


def test_on_a_terminal_it_is_a_transcript(session, terminal):
    done = terminal("tail", "a", "-n", "2")
    assert plain(done.out) == "user\n  m18\n\nuser\n  m19\n\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("b",), 4), (("b", "-f"), 4), (("a", "-f", "--json"), 2), (("a", "-n", "-1"), 2), (("",), 2)],
)
def test_what_is_wrong_is_its_code(arguments, code, session, run):
    done = run("tail", *arguments)
    assert (done.code, done.err.count("\n")) == (code, 1)


@pytest.fixture
def following(executable):
    def start(*arguments):
        line = [*executable, "tail", "a", "-f", "--jsonl", *arguments]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.mark.slow
def test_it_follows_what_another_process_says_and_ends_with_130(following, session, run, spawn):
    with following("-n", "1") as process:
        assert json.loads(process.stdout.readline())["content"] == "m19"
        for number in range(3):
            assert spawn("append", "a", "--content", f"new{number}").code == 0
            assert json.loads(process.stdout.readline())["content"] == f"new{number}"
        session.append("a", *numbered(1, 2, 3))
        assert [json.loads(process.stdout.readline()) for _ in range(3)] == numbered(1, 2, 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stdout.read() == process.stderr.read() == ""


@pytest.mark.slow
def test_it_ends_with_4_when_the_session_goes(following, session):
    with following("-n", "1") as process:
        process.stdout.readline()
        session.delete("a")
        assert process.wait(PATIENCE) == 4
        assert process.stderr.read().count("\n") == 1


def test_it_ends_when_nobody_reads_although_nothing_is_said(following, session):
    with following("-n", "1") as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == ""


# -- what is new -------------------------------------------------------------------------------------------------------


@pytest.fixture
def store():
    with open_store("memory://") as store:
        yield store


def test_nothing_is_new_twice(store):
    store.create("a", messages=numbered(1, 2, 3))
    follow = SessionWatch(store, "a")
    assert follow.begin(2) == numbered(2, 3)
    assert follow.look() == []
    store.append("a", *numbered(4, 5))
    assert follow.look() == numbered(4, 5)
    assert follow.look() == []
    store.touch("a", "1h")
    store.update("a", {"state": "changed"})
    assert follow.look() == []
    store.delete("a")
    with pytest.raises(SessionNotFound):
        follow.look()
    with pytest.raises(SessionNotFound):
        SessionWatch(store, "nobody").begin(1)


def test_messages_that_are_all_the_same_are_told_apart_by_their_number(store):
    store.create("a")
    follow = SessionWatch(store, "a")
    assert follow.begin(5) == []
    for count in (1, 70, 200):
        store.append("a", *[{"ok": True}] * count)
        assert len(follow.look()) == count


def test_a_history_that_drops_its_oldest_is_followed(store):
    store.create("a", messages=numbered(1, 2, 3), max_messages=3)
    follow = SessionWatch(store, "a")
    follow.begin(0)
    store.append("a", *numbered(4))
    assert follow.look() == numbered(4)
    store.append("a", *numbered(5, 6))
    assert follow.look() == numbered(5, 6)
    store.append("a", *numbered(7, 8, 9, 10))
    assert follow.look() == numbered(8, 9, 10)


def test_what_is_removed_is_not_shown_again(store):
    store.create("a", messages=numbered(*range(100)))
    follow = SessionWatch(store, "a")
    follow.begin(0)
    store.pop("a", 2)
    assert follow.look() == []
    store.pop("a")
    store.append("a", *numbered(200))
    assert follow.look() == numbered(200)
    store.clear("a")
    assert follow.look() == []
    store.append("a", *numbered(1))
    assert follow.look() == numbered(1)


@pytest.mark.slow
@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90)), max_size=8))
def test_what_is_appended_is_seen_once_whatever_the_size(steps):
    with open_store("memory://") as store:
        store.create("a")
        follow, seen, numbers = SessionWatch(store, "a"), [], itertools.count()
        follow.begin(0)
        for looks, count in steps:
            store.append("a", *numbered(*itertools.islice(numbers, count)))
            for _ in range(looks):
                seen += follow.look()
        seen += follow.look()
        assert seen == store.messages("a")


def test_a_burst_between_two_readings_of_one_look_is_seen_whole(place, monkeypatch):
    """On a busy machine a look counted 183 messages, and the page it then read began behind those that it knew."""
    with place.open() as store:
        store.create("a")
        follow = SessionWatch(store, "a")
        follow.begin(0)
        store.append("a", *numbered(0, 1))
        bursts = [numbered(*range(2, 90)), numbered(*range(90, 170))]
        read = store.messages

        def messages(*given, **options):
            if bursts:
                store.append("a", *bursts.pop(0))
            return read(*given, **options)

        monkeypatch.setattr(store, "messages", messages)
        assert follow.look() + follow.look() == numbered(*range(170))


def test_what_a_thread_writes_meanwhile_is_seen_once(place):
    with place.open(durability="os") as writer, place.open() as reader:
        writer.create("a")
        follow = SessionWatch(reader, "a")
        follow.begin(0)
        thread = threading.Thread(target=lambda: [writer.append("a", {"n": number}) for number in range(300)])
        thread.start()
        seen = []
        while thread.is_alive():
            seen += follow.look()
        thread.join()
        seen += follow.look()
        assert seen == numbered(*range(300))
