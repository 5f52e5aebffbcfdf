"""``vaultsession rm``."""

from __future__ import annotations

import pytest


@pytest.fixture
def two(place):
    with place.open() as store:
        store.create("a")
        store.create("b")
    return place


def left(place):
    with place.open() as store:
        return sorted(info.id for info in store.list())


@pytest.mark.slow
def test_elsewhere_than_on_a_terminal_it_needs_to_be_confirmed(two, spawn):
    done = spawn("rm", "a")
    assert done.code == 2
    assert "--yes" in done.err
    assert left(two) == ["a", "b"]
    assert spawn("rm", "a", "--yes").rows == [{"id": "a", "removed": "true"}]
    assert left(two) == ["b"]


@pytest.mark.parametrize(
    ("answer", "code", "kept"), [("y\n", 0, ["b"]), ("n\n", 1, ["a", "b"]), ("\x03", 130, ["a", "b"])]
)
def test_on_a_terminal_it_asks(answer, code, kept, two, terminal):
    done = terminal("rm", "a", typed=(("[y/N]", answer),))
    assert done.code == code
    assert "Traceback" not in done.out
    assert left(two) == kept


def test_a_dry_run_removes_nothing_and_needs_no_confirmation(two, run):
    done = run("rm", "a", "c", "--dry-run", "--json")
    assert done.code == 3
    assert done.json == {
        "dry_run": True,
        "sessions": [{"id": "a", "removed": True}, {"id": "c", "removed": False}],
    }
    assert left(two) == ["a", "b"]


def test_some_that_are_missing_are_3_and_all_of_them_4(two, run):
    assert run("rm", "a", "c", "--yes").code == 3
    assert run("rm", "a", "c", "--yes").code == 4
    assert run("rm", "--yes").code == 2
    assert left(two) == ["b"]


def test_one_that_is_named_twice_is_removed_once(two, run):
    assert run("rm", "a", "a", "--yes").code == 0
