"""Odd configuration files, URLs, commands and rows of databases: each is an error of ours, never one from below.

What meets a caller who expects ``VaultError`` as RecursionError, ValueError or UnicodeEncodeError ends the program, and
the command line calls it a bug.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from places import private_file
from sql_servers import sqlite_file

from vaultsession import InvalidSetting, RawKey, SessionStore, VaultError, open_store
from vaultsession.store.configuration import Configuration
from vaultsession.vault.key_command import KeyCommand

KEY = RawKey(bytes(range(32)))

FILES = {
    "deep TOML": ("toml", "ttl = " + "[" * 20_000),
    "deep YAML": ("yaml", "[" * 400),
    "deep JSON": ("json", "[" * 30_000),
    "a number of 20 000 digits in YAML": ("yaml", "cache_bytes: 0b" + "1" * 20_000),
    "a number of 6 000 digits in TOML": ("toml", "cache_bytes = " + "9" * 6000),
    "a timestamp that is none": ("yaml", "ttl: !!timestamp x"),
    "a surrogate in YAML": ("yaml", 'path: "\\ud800"'),
    "a NUL in JSON": ("json", '{"key_file": "a\\u0000b"}'),
    "a list that holds itself": ("yaml", "ttl: &a [*a]"),
    "a key that is a list": ("yaml", "? [a]\n: b"),
}


@pytest.mark.parametrize("name", FILES)
def test_an_odd_configuration_file(tmp_path: Path, name: str) -> None:
    kind, text = FILES[name]
    path = private_file(tmp_path, text, name=f"config.{kind}")
    with pytest.raises(InvalidSetting, match=r"config|path"):
        Configuration.of({"VAULTSESSION_CONFIG": path})


PLACES = [
    "a\0b", "\ud800", "~/\ud800", "file:///%00", "file:///\ud800", "sqlite:///\0", "sqlite:///\ud800", "://", "a://b",
    "redis://[", "redis://a:b@c:99999999999999999999", "redis://\ud800", "redis://h/" + "9" * 5000,
    "redis://h?pool_size=1e400", "postgresql://\ud800@h/d", "postgresql://h/d?connect_timeout=\ud800",
    "mysql://h/d?charset=\ud800", "postgresql://h/d?prepare_threshold=" + "9" * 5000, "sqlite:///x?timeout=1e400",
]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ascii(place)[:40])
def test_an_odd_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VaultError):
        open_store(place, key=KEY)
    if "://" not in place:
        with pytest.raises(InvalidSetting):
            open_store(tmp_path / "vault", key_file=place)


@pytest.mark.parametrize("command", ["cat \0", "cat \ud800"])
def test_a_key_command_that_no_command_line_can_hold(command: str) -> None:
    with pytest.raises(InvalidSetting, match="no command line"):
        KeyCommand(command).secret()


ROWS = {
    "a schema that is a number": "UPDATE vaultsession_metadata SET data = 7 WHERE name = CAST('schema' AS BLOB)",
    "a size without end": "UPDATE vaultsession_sessions SET size = 9e999",
    "a size that is text": "UPDATE vaultsession_sessions SET size = 'x'",
    "a head that is a number": "UPDATE vaultsession_sessions SET head = 1.5",
    "tags that are text": "UPDATE vaultsession_sessions SET tags = 'é'",
    "a locator that is text": "UPDATE vaultsession_sessions SET locator = 'x'",
    "a time before all": "UPDATE vaultsession_sessions SET updated = -9223372036854775808",
    "a generation that is text": "UPDATE vaultsession_pieces SET generation = 'x'",
}
VERBS: dict[str, Callable[[SessionStore], object]] = {
    "list": lambda store: list(store.list()),
    "load": lambda store: store.load("a"),
    "append": lambda store: store.append("a", {"n": 1}),
    "stats": lambda store: store.stats(),
    "verify": lambda store: store.verify(),
    "search": lambda store: list(store.search("x")),
    "sweep": lambda store: store.sweep(),
    "delete": lambda store: store.delete("a"),
    "reindex": lambda store: store.reindex(),
}


@pytest.mark.slow  # each opens a database nine times
@pytest.mark.parametrize("name", ROWS)
def test_odd_rows_of_a_database(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with open_store(url, key=KEY) as store:
        store.create("a", messages=[{"text": "x" * 5000}], ttl="1d", user_id="alice")
    with sqlite_file(tmp_path / "s.db") as database:
        database.execute(ROWS[name])
    database.close()
    for verb in VERBS.values():
        with contextlib.suppress(VaultError), open_store(url, key=KEY) as store:
            assert "ok" in store.health()
            verb(store)
