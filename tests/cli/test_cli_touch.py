"""``vaultsession touch``."""

from __future__ import annotations

import pytest


def test_a_session_begins_its_life_anew(place, spawn):
    with place.open() as store:
        expires = store.create("s", ttl="1h").expires_at
    done = spawn("touch", "s")
    assert done.code == 0
    assert done.rows[0]["expires_at"] > expires.isoformat()
    assert done.rows[0]["ttl"] == "3600.0"


def test_another_life_span(place, run):
    with place.open() as store:
        store.create("s")
    assert run("touch", "s", "--ttl", "7d", "--json").json["ttl"] == 7 * 86400


@pytest.mark.slow
def test_one_that_is_kept_for_ever_says_so(place, terminal):
    with place.open() as store:
        store.create("s")
    assert "for ever" in terminal("touch", "s").out
    assert "expires in 1 d" in terminal("touch", "s", "--ttl", "25h").out


@pytest.mark.parametrize("ttl", ["soon", "-5", "0", ""])
def test_what_is_no_duration_is_2(ttl, place, run):
    with place.open() as store:
        store.create("s")
    assert run("touch", "s", "--ttl", ttl).code == 2


def test_one_that_is_not_there_is_4(place, run):
    assert run("touch", "nobody", "--ttl", "1h").code == 4
