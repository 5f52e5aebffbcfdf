"""Verbs mean what they say: deduplication by a field, an update that changes nothing, equality, files of keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from vaultsession import InvalidSetting, RawKey, SessionStore, UnsupportedFormat, open_store
from vaultsession.format import document
from vaultsession.testing.clock import ManualClock

KEY = RawKey(bytes(range(32)))
BOM = "\ufeff"


def test_messages_are_deduplicated_by_the_field_that_is_named(store: SessionStore) -> None:
    store.append("a", {"uuid": "1"}, {"uuid": "2"}, create=True, dedupe="uuid")
    store.append("a", {"uuid": "2"}, {"uuid": "3"}, {"id": "1"}, dedupe="uuid")
    assert store.messages("a") == [{"uuid": "1"}, {"uuid": "2"}, {"uuid": "3"}, {"id": "1"}]


@pytest.mark.parametrize("wrong", ["", 1, None, ["uuid"]])
def test_another_way_to_deduplicate_is_refused(store: SessionStore, wrong: Any) -> None:
    with pytest.raises(InvalidSetting, match="dedupe"):
        store.append("a", {"id": "1"}, create=True, dedupe=wrong)
    assert not store.exists("a")


def test_an_update_that_changes_nothing_makes_nobody_conflict(store: SessionStore, clock: ManualClock) -> None:
    mine = store.create("a", state={"n": 1}, messages=[{"n": 1}])
    clock.advance(60)
    for change in (
        lambda _session: None,
        lambda session: session.state,
        lambda session: session.messages,
        lambda session: session.state.update(n=1),
    ):
        assert store.update("a", change).updated_at == mine.updated_at
    mine.state["n"] = 2
    store.save(mine)
    for change in (
        lambda session: session.state.update(n=True),
        lambda session: session.messages.append({"n": 2}),
        lambda session: setattr(session, "title", "x"),
        lambda session: setattr(session, "ttl", "1h"),
    ):
        version = store.load("a").version
        store.update("a", change)
        assert store.load("a").version != version
    assert store.load("a").state == {"n": True}


def test_sessions_and_infos_are_equal_by_what_they_say(store: SessionStore) -> None:
    store.create("a", state={"n": 1})
    store.create("b")
    one, other = store.load("a"), store.load("a")
    assert one == other
    other.state["n"] = 2
    assert one != other
    assert one != store.load("b")
    assert store.list()[0] == store.list()[0]
    assert len({*store.list(), *store.list()}) == 2
    assert store.list()[0] != "a"
    assert one != "a"


def test_a_store_says_where_it_lies() -> None:
    store = open_store("memory://")
    assert repr(store) == "<SessionStore at 'memory://'>"
    store.close()
    assert "closed" in repr(store)


def test_a_key_file_and_a_passphrase_file_are_arguments(tmp_path: Path) -> None:
    key, phrase = tmp_path / "key", tmp_path / "phrase"
    key.write_text(BOM + KEY.text() + "\r\n", encoding="utf-8")
    phrase.write_text("correct horse battery staple\n")
    for file in (key, phrase):
        os.chmod(file, 0o600)
    with open_store(tmp_path / "one", key_file=key) as store:
        store.create("a")
    with open_store(tmp_path / "one", key=KEY) as store:
        assert store.exists("a")
    with open_store(tmp_path / "two", passphrase_file=str(phrase)) as store:
        store.create("a")
    with pytest.raises(InvalidSetting, match="one of"):
        open_store(tmp_path / "three", key=KEY, key_file=key)
    assert not (tmp_path / "three").exists()


def test_a_configuration_with_a_byte_order_mark_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_bytes(BOM.encode() + b'ttl = "1d"\r\n')
    monkeypatch.setenv("VAULTSESSION_CONFIG", str(tmp_path / "config.toml"))
    with open_store("memory://") as store:
        assert store.create("a").ttl is not None


def test_a_clock_may_be_advanced_by_nothing() -> None:
    clock = ManualClock()
    assert clock.advance(0) == clock.now()
    with pytest.raises(InvalidSetting):
        clock.advance(-1)


def test_operations_of_another_version_are_refused_by_a_page_as_by_a_load(
    store: SessionStore, monkeypatch: Any
) -> None:
    """A page of the newest messages looked at no operation but ``pop``, and showed what it should not have."""
    store.create("a", messages=[{"n": 1}])
    real = document.Change.fields
    monkeypatch.setattr(document.Change, "fields", lambda change: {**real(change), "redact": 1})
    store.update("a", {"n": 1})
    monkeypatch.undo()
    store._cache.clear()
    for read in (lambda: store.messages("a", last=1), lambda: store.messages("a"), lambda: store.load("a").messages):
        with pytest.raises(UnsupportedFormat, match="redact"):
            read()
