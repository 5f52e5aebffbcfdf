"""A canary password stands in every setting that may hold one: no command, log, error or JSON document shows it."""

from __future__ import annotations

import itertools
import json
import logging
import os
from pathlib import Path

import pytest
from places import private_file
from sampling import sampled

import vaultsession
from vaultsession import RawKey, VaultError, open_store
from vaultsession.cli import run
from vaultsession.cli.app import Commands
from vaultsession.cli.lazy_group import leaves
from vaultsession.store.configuration import Configuration
from vaultsession.util.place import shown

CANARY = "hunter7canary"

SLOW = ("mysql+pymysql", "postgresql+psycopg")

URLS = [
    f"redis://alice:{CANARY}@127.0.0.1:1/0?timeout=0.2",
    f"redis://alice:{CANARY}@127.0.0.1:port/0",
    f"redis://alice:1/{CANARY}@127.0.0.1:1/0",
    f"redis://alice:1?{CANARY}@127.0.0.1:1/0",
    f"redis://alice:1#{CANARY}@127.0.0.1:1/0",
    f"redis://alice:1?{CANARY}=2@127.0.0.1:1/0",
    f"redis://alice:{CANARY}@[127.0.0.1/0",
    f"redis://alice:{CANARY}]@127.0.0.1/0",
    f"rediss://:{CANARY}@127.0.0.1:99999/0",
    f"mysql+pymysql://alice:{CANARY}@127.0.0.1:1/db?timeout=1",
    f"mysql+pymysql://alice:{CANARY}@127.0.0.1:port/db",
    f"mysql+pymysql://alice:a@{CANARY}@127.0.0.1:1/db?timeout=1",
    f"postgresql+psycopg://alice:{CANARY}@127.0.0.1:1/db?timeout=1",
    f"postgresql+psycopg://alice:{CANARY}@[127.0.0.1:1/db",
    f"nothing://alice:{CANARY}@host/db",
    f"file://alice:{CANARY}@host/db",
    f"memory://alice:{CANARY}@[/db",
    f"sqlite://alice:{CANARY}@host:port/x.db",
]
"""As people write them, right and wrong."""

COMMANDS = [
    ("config", "show"),
    ("config", "show", "--json"),
    ("config", "show", "--jsonl"),
    ("config", "path"),
    ("ls", "--json"),
    ("show", "x"),
    ("append", "x"),
    ("export", "x"),
    ("grep", "x"),
    ("tail", "x"),
    ("touch", "x"),
    ("rm", "x", "--yes"),
    ("copy", "x", "y"),
    ("inspect", "x"),
    ("stats",),
    ("sweep",),
    ("verify",),
    ("doctor",),
    ("doctor", "--json"),
    ("repair",),
    ("reindex",),
    ("key", "list"),
    ("key", "rotate"),
    ("mirror", "status"),
    ("mirror", "sync"),
    ("mirror", "verify"),
    ("mirror", "restore"),
    ("train",),
    ("init",),
    ("import", "lines.jsonl"),
    ("migrate", "vault", "elsewhere"),
    ("migrate", "vault", f"redis://alice:{CANARY}@[127.0.0.1:1/0"),
    ("migrate", f"redis://alice:{CANARY}@[127.0.0.1:1/0", "elsewhere"),
    ("migrate", "vault", "elsewhere", "--rekey", "--to-key-command", f"false --password {CANARY}"),
    ("migrate", "vault", "elsewhere", "--rekey", "--from-key-command", f"false --password {CANARY}"),
    ("archive", "lines.jsonl"),
    ("restore", "--all"),
    ("chat", "x"),
    ("key", "add", "--new-key-file", "second"),
    ("key", "remove", "1", "--yes"),
    ("key", "passphrase", "--new-passphrase-file", "words"),
    ("key", "masters"),
    ("key", "prune", "--yes"),
    ("key", "destroy", "--tenant", "acme", "--yes"),
    ("key", "restore", "lines.jsonl"),
    ("completion", "bash"),
]

QUICK = [
    ("config", "show"),
    ("ls", "--json"),
    ("doctor",),
    ("init",),
    ("mirror", "status"),
    ("chat", "x"),
    COMMANDS[-13],
]

ELSEWHERE = {"demo", "web"}
"""One uses no vault of the settings: a vault of its own, in a directory that goes. One goes on until it is ended."""


def test_every_command_is_among_them() -> None:
    typed = {" ".join(words) for words in COMMANDS}
    missing = {
        name for name, _, _ in leaves(Commands.entries) if not any(f"{each} ".startswith(f"{name} ") for each in typed)
    }
    assert missing == ELSEWHERE


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("VAULTSESSION_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.chdir(tmp_path)


def said(words: tuple[str, ...], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.DEBUG):
        run(words)
    out = capsys.readouterr()
    return out.out + out.err + caplog.text


@pytest.mark.parametrize(
    "url", [pytest.param(url, marks=pytest.mark.slow if url.startswith(SLOW) else ()) for url in URLS]
)
def test_a_url_is_shown_without_its_secrets(url, tmp_path, monkeypatch, capsys, caplog):
    assert CANARY not in shown(url)
    monkeypatch.setenv("VAULTSESSION_KEY", RawKey.generate().text())
    key = RawKey.generate()
    for arguments in ({"path_or_url": url}, {"path_or_url": tmp_path / "v", "mirror": url}):
        try:
            with open_store(key=key, **arguments) as store:
                text = repr(store) + json.dumps(store.health(), default=str)
        except VaultError as error:
            text = str(error)
        assert CANARY not in text
    for name in ("VAULTSESSION_PATH", "VAULTSESSION_MIRROR"):
        monkeypatch.setenv(name, url)
        for words in (("config", "show"), ("config", "show", "--json"), ("ls",), ("mirror", "status"), ("init",)):
            text = said(words, capsys, caplog)
            assert CANARY not in text, words
            assert "this is a bug" not in text, words
        monkeypatch.delenv(name)


@pytest.mark.parametrize("words", sampled(COMMANDS, QUICK), ids=lambda words: " ".join(words)[:40])
@pytest.mark.parametrize("debug", [pytest.param("", id="plain"), pytest.param("1", id="debug", marks=pytest.mark.slow)])
def test_no_command_prints_a_secret_of_its_settings(words, debug, tmp_path, monkeypatch, capsys, caplog):
    key = RawKey.generate()
    with open_store(tmp_path / "vault", key=key) as store:
        store.create("x", messages=[{"role": "user", "content": "hello"}])
    del store
    (tmp_path / "lines.jsonl").write_text('{"session_id": "y", "role": "user", "content": "hello"}\n')
    private_file(tmp_path, "correct horse battery", name="words")
    monkeypatch.setenv("VAULTSESSION_DEBUG", debug)
    settings = {
        "VAULTSESSION_MIRROR": f"redis://alice:{CANARY}@[127.0.0.1:1/0",
        "VAULTSESSION_PATH": f"redis://alice:{CANARY}@[127.0.0.1:1/0",
        "VAULTSESSION_KEY": f"{CANARY}{CANARY}",
        "VAULTSESSION_KEY_COMMAND": f"false --password {CANARY}",
    }
    valid = {"VAULTSESSION_PATH": str(tmp_path / "vault"), "VAULTSESSION_KEY": key.text()}
    for name, value in settings.items():
        for each, text in (valid | {name: value}).items():
            monkeypatch.setenv(each, text)
        if name == "VAULTSESSION_KEY_COMMAND":
            monkeypatch.delenv("VAULTSESSION_KEY")
        text = said(words, capsys, caplog)
        assert CANARY not in text, name
        assert key.text() not in text, name
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "command",
    [f"pass --password {CANARY}", f"TOKEN={CANARY} pass show", f"pass 'unclosed {CANARY}", f"'' {CANARY}"],
)
def test_a_key_command_is_shown_as_its_program(command, monkeypatch, tmp_path, capsys, caplog):
    monkeypatch.setenv("VAULTSESSION_KEY_COMMAND", command)
    assert CANARY not in said(("config", "show", "--json"), capsys, caplog)
    assert CANARY not in said(("ls", "-V", str(tmp_path / "vault")), capsys, caplog)
    with pytest.raises(VaultError) as caught:
        open_store(tmp_path / "vault")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("ending", ["toml", "json", "yaml"])
def test_a_configuration_file_that_is_none_is_not_quoted(ending, tmp_path, monkeypatch, capsys, caplog):
    for number, text in enumerate((f'path = "redis://a:{CANARY}@h', f'{{"key": "{CANARY}"}}', f'key = "{CANARY}"')):
        path = tmp_path / f"{number}.{ending}"
        path.write_text(text)
        monkeypatch.setenv("VAULTSESSION_CONFIG", str(path))
        for words in itertools.chain(COMMANDS[:5], [("stats",)]):
            assert CANARY not in said(words, capsys, caplog)
        with pytest.raises(VaultError) as caught:
            Configuration.of()
        assert CANARY not in str(caught.value)


def test_an_unexpected_error_is_told_without_its_words(monkeypatch, capsys, caplog):
    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"redis://alice:{CANARY}@host")

    monkeypatch.setattr(vaultsession.store.configuration.Configuration, "of", broken)
    text = said(("config", "show"), capsys, caplog)
    assert "this is a bug of vaultsession (ValueError)" in text
    assert CANARY not in text
