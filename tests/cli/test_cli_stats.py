"""``vaultsession stats``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from cli_lab import plain

from vaultsession.cli import output
from vaultsession.cli.histogram import SIZES, counted, days


def test_counts_and_health(place, spawn):
    with place.open() as store:
        store.create("a")
        store.create("b")
        store.delete("b")
    done = spawn("stats")
    assert done.code == 0
    facts = {row["name"]: row["value"] for row in done.rows}
    assert (facts["sessions"], facts["tombstones"], facts["ok"]) == ("1", "1", "true")
    assert facts["where"] == str(place.path)
    assert str(place.key_file) in facts["key"]


def test_json_is_one_document(place, run, terminal):
    document = run("stats", "--json").json
    assert document["sessions"] == 0
    assert document["ok"] is True
    assert "sessions" in terminal("stats").out


def test_what_is_not_well_is_1(place, run, monkeypatch):
    monkeypatch.setattr("vaultsession.store.store.SessionStore.health", lambda _: {"ok": False, "index": "gone"})
    done = run("stats")
    assert done.code == 1
    assert "index\tgone" in done.out


def test_sizes_and_ages_are_drawn_on_a_terminal_and_are_numbers_in_json(place, run, terminal):
    with place.open() as store:
        for number in range(3):
            store.create(f"small{number}", messages=[{"role": "user", "content": "hi"}])
        store.create("large", messages=[{"role": "user", "content": "x" * 100_000}])
    document = run("stats", "--json").json
    assert [bar["sessions"] for bar in document["sizes"]] == [3, 0, 0, 0, 1]
    assert document["sizes"][0] == {"least": None, "below": 1024, "sessions": 3}
    assert document["ages"] == [{"least": None, "below": 3600.0, "sessions": 4}]
    shown = plain(terminal("stats").out)
    assert "< 1 KiB  █" in shown
    assert "< 1 h  █" in shown
    assert document["days"] == [{"days_ago": 0, "sessions": 4}]
    assert re.search(r"last changed, by day\n... \d\d ...  █+ 4\n$", shown)
    assert "█" not in run("stats").out


@pytest.mark.parametrize("columns", [80, 40, 20])
def test_it_fits_its_terminal(columns, place, terminal):
    with place.open() as store:
        for number in range(30):
            store.create(f"s{number}")
    assert max(map(len, plain(terminal("stats", columns=columns).out).splitlines())) <= columns


@pytest.mark.slow
def test_a_terminal_without_unicode_gets_bars_as_well(place, terminal):
    with place.open() as store:
        store.create("a")
    shown = terminal("stats", PYTHONIOENCODING="ascii").out
    assert "######" in shown
    assert "\\u2588" not in shown


def test_an_empty_vault_has_nothing_to_draw(place, terminal):
    assert "last changed" not in terminal("stats").out


@pytest.mark.parametrize(
    ("value", "name"), [(0, "< 1 KiB"), (1023, "< 1 KiB"), (1024, "< 4 KiB"), (1 << 40, "≥ 4 MiB")]
)
def test_a_bound_belongs_to_what_is_above_it(value, name):
    assert [bar.name for bar in counted(SIZES, [value])] == [name]


def test_a_drawing_of_some_says_so(place, run, terminal, monkeypatch):
    with place.open() as store:
        for number in range(5):
            store.create(f"s{number}")
    document = run("stats", "--json").json
    assert (document["sessions"], document["drawn_sessions"]) == (5, 5)
    assert "changed last" not in terminal("stats").out
    monkeypatch.setattr("vaultsession.cli.commands.stats._MOST", 3)
    assert run("stats", "--json").json["drawn_sessions"] == 3
    monkeypatch.setattr("vaultsession.cli.output.Form.chosen", lambda **_: output.Form.TABLE)
    assert "sizes, as JSON, of the 3 that were changed last" in run("stats").out


def test_days_are_those_of_the_calendar_and_the_oldest_comes_first():
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    moments = [
        now,
        now - timedelta(hours=1),
        now - timedelta(days=2),
        now - timedelta(days=40),
        now + timedelta(days=1),
    ]
    bars = days(moments, now)
    assert [(bar.least, bar.sessions) for bar in bars] == [(2, 1), (1, 0), (0, 2)]
    assert days([], now) == []
