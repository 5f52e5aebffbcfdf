"""A cache of cachelib in a vault, and the sessions of a Flask application."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adapter_lab import HOSTILE, KEY, KILLED, LONG, OTHER_KEY, damage, run_program, start_program, vault, wait_for
from foreign_suite import run_suite, source_of
from frameworks import require

from vaultsession import Damaged, InvalidDocument, SessionStore, WrongKey, open_store
from vaultsession.testing.clock import ManualClock

require("cachelib")

from cachelib import SimpleCache  # noqa: E402

from vaultsession.integrations.cachelib import VaultCache  # noqa: E402


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> Iterator[SessionStore]:
    with open_store("memory://", clock=clock, lossless=True) as opened:
        yield opened


@pytest.fixture(params=["ours", "theirs"])
def cache(request: pytest.FixtureRequest, store: SessionStore) -> Any:
    return VaultCache(store) if request.param == "ours" else SimpleCache()


def test_values_are_set_added_and_removed(cache: Any) -> None:
    assert cache.get("k") is None
    assert cache.set("k", {"a": [1, None, 0.5, True]})
    assert cache.get("k") == {"a": [1, None, 0.5, True]}
    assert not cache.add("k", "other")
    assert cache.add("l", "new")
    assert cache.get_many("k", "no", "l") == [{"a": [1, None, 0.5, True]}, None, "new"]
    assert cache.has("k")
    assert cache.delete("k")
    assert not cache.has("k")
    assert not cache.delete("k")
    assert cache.set_many({"m": 1, "n": 2}) == ["m", "n"]
    assert cache.delete_many("m", "no") == ["m", "no"]
    assert cache.clear()
    assert cache.get_dict("l", "n") == {"l": None, "n": None}


@pytest.mark.parametrize("value", [0, False, "", [], {}, *HOSTILE], ids=range(5 + len(HOSTILE)))
def test_values_and_keys_of_every_kind(cache: Any, value: Any) -> None:
    for key in ("k", LONG, "a/b", "%2F", *(text for text in HOSTILE if text)):
        cache.set(key, value)
        found = cache.get(key)
        assert (found, type(found)) == (value, type(value))


def test_numbers_are_counted(cache: Any) -> None:
    assert cache.inc("k") == 1
    assert cache.inc("k", 5) == 6
    assert cache.dec("k", 2) == 4
    assert cache.dec("l", 2) == -2
    assert cache.get_many("k", "l") == [4, -2]


@pytest.mark.parametrize("timeout", [10, dt.timedelta(seconds=9.5)])
def test_a_value_ends_with_its_time(store: SessionStore, clock: ManualClock, timeout: Any) -> None:
    cache = VaultCache(store, default_timeout=20)
    cache.set("k", 1, timeout)
    cache.set("default", 1)
    cache.set("for ever", 1, 0)
    cache.set("over", 1, -1)
    clock.advance(9)
    assert cache.inc("k") == 2  # its life stays as it is
    assert cache.get_many("k", "default", "for ever", "over") == [2, 1, 1, None]
    clock.advance(2)
    assert cache.get_many("k", "default", "for ever") == [None, 1, 1]
    assert cache.add("k", 3)
    clock.advance(10)
    assert cache.get_many("default", "for ever") == [None, 1]


def test_caches_of_one_vault_do_not_see_each_other(store: SessionStore) -> None:
    one, two = VaultCache(store, prefix="a"), VaultCache.from_store(store, prefix="a/b", labels={"team": "red"})
    store.create("of somebody else")
    one.set("b/k", 1)
    two.set("k", 2)
    assert (one.get("b/k"), two.get("k")) == (1, 2)
    one.clear()
    assert (one.get("b/k"), two.get("k")) == (None, 2)
    assert [info.labels["team"] for info in store.list(labels={"framework": "cachelib"})] == ["red"]


def test_what_is_no_json_is_refused_or_pickled(store: SessionStore) -> None:
    values = [(1, 2), {1: "one"}, {"set": {1}}, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]
    for value in values:
        with pytest.raises(InvalidDocument):
            VaultCache(store).set("k", value)
        pickled = VaultCache(store, pickled=True)
        assert pickled.set("k", value)
        assert pickled.get("k") == value
        assert not pickled.add("k", value)
    pickled.set("k", {"json": 1})
    assert "value" in store.load("cache//k").state


def test_a_wrong_key_is_raised_at_once(tmp_path: Path) -> None:
    vault(tmp_path).close()
    with pytest.raises(WrongKey):
        VaultCache.from_url(tmp_path / "vault", key=OTHER_KEY)


def test_damage_is_raised_and_never_a_missing_value(tmp_path: Path) -> None:
    with VaultCache.from_url(tmp_path / "vault", key=KEY, durability="os") as cache:
        cache.set("k", 1)
    damage(tmp_path)
    with VaultCache.from_url(tmp_path / "vault", key=KEY, durability="os") as cache:
        for read in (cache.get, cache.has, cache.inc):
            with pytest.raises(Damaged):
                read("k")


# -- Flask -------------------------------------------------------------------------------------------------------------


def test_sessions_of_flask_are_in_the_vault(store: SessionStore) -> None:
    flask = require("flask")
    extension = require("flask_session")
    app = flask.Flask("app")
    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=VaultCache(store), SECRET_KEY="s")
    extension.Session(app)

    @app.get("/<word>")
    def remember(word: str) -> str:
        flask.session["words"] = [*flask.session.get("words", []), word]
        return ", ".join(flask.session["words"])

    @app.get("/forget/all")
    def forget() -> str:
        flask.session.clear()
        return "gone"

    ann, bob = app.test_client(), app.test_client()
    assert [ann.get(f"/{word}").text for word in ("one", "two")] == ["one", "one, two"]
    assert bob.get("/three").text == "three"
    assert store.count(labels={"framework": "cachelib"}) == 2
    ann.get("/forget/all")
    assert store.count(labels={"framework": "cachelib"}) == 1
    assert ann.get("/new").text == "new"


# -- processes, and their own tests ------------------------------------------------------------------------------------

PROGRAM = """
import os
from vaultsession.integrations.cachelib import VaultCache

cache = VaultCache.from_url(PATH, default_timeout=0)
for number in range(40):
    cache.inc("count")
    if ARGUMENTS == ["killed"] and number == 9:
        os._exit(9)
cache.close()
"""


@pytest.mark.slow
def test_a_count_of_several_processes_one_of_them_killed_is_exact(tmp_path: Path) -> None:
    vault(tmp_path).close()
    assert run_program(tmp_path, PROGRAM, "killed") == KILLED
    assert wait_for([start_program(tmp_path, PROGRAM, name) for name in ("left", "right")]) == [0, 0]
    with VaultCache.from_url(tmp_path / "vault", key=KEY) as cache:
        assert cache.get("count") == 10 + 2 * 40


REAIMED_SUITE = """\
import pytest
from clear import ClearTests
from common import CommonTests
from has import HasTests

from vaultsession import open_store
from vaultsession.integrations.cachelib import VaultCache


@pytest.fixture(autouse=True)
def cache_factory(request):
    with open_store("memory://", lossless=True) as store:
        request.cls.cache_factory = lambda self, *args, **kwargs: VaultCache(store, *args, pickled=True, **kwargs)
        yield


class TestVaultCache(CommonTests, ClearTests, HasTests):
    pass
"""


@pytest.mark.slow
def test_their_tests_pass_over_ours(tmp_path: Path) -> None:
    source = source_of("cachelib", tmp_path)
    conftest = source / "tests" / "conftest.py"
    text = conftest.read_text(encoding="utf-8")
    conftest.write_text(text.replace("from xprocess import ProcessStarter\n", ""), encoding="utf-8")
    (source / "tests" / "test_vault_cache.py").write_text(REAIMED_SUITE, encoding="utf-8")
    reaimed = tmp_path / "nothing.py"
    reaimed.write_text("", encoding="utf-8")
    passed, failed = run_suite(source, ["tests/test_vault_cache.py"], reaimed=reaimed, expected={})
    assert (passed >= 14, failed) == (True, 0)
