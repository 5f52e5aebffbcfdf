"""A process may have no home: no HOME, and no entry in passwd. What needs none works; the rest says what is missing."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from typer.testing import CliRunner

from vaultsession import InvalidSetting, KeyUnavailable, RawKey, open_store
from vaultsession.cli.app import app
from vaultsession.store.configuration import environment
from vaultsession.util.place import expanded, user_directory
from vaultsession.vault.key_sources import KeySources

KEY = RawKey(bytes(range(32)))


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose user is a number: `docker run --user 54321`."""

    def unknown(uid: int) -> Any:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "VAULTSESSION_CONFIG", "VAULTSESSION_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_a_vault_and_a_key_that_are_named_need_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(tmp_path / "vault", key=KEY) as store:
        store.create("a")
    monkeypatch.setenv("VAULTSESSION_KEY", KEY.text())
    with open_store(tmp_path / "vault") as store:
        assert store.exists("a")
    assert environment({}) == {}


@pytest.mark.usefixtures("homeless")
def test_what_needs_a_home_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"no home directory.*VAULTSESSION_PATH"):
        open_store(key=KEY)
    with pytest.raises(InvalidSetting, match="no home directory"):
        open_store("~/vault", key=KEY)
    with pytest.raises(InvalidSetting, match="XDG_CONFIG_HOME"):
        user_directory("config")
    with pytest.raises(KeyUnavailable, match="VAULTSESSION_KEY_FILE"):
        KeySources(environ={}, ask_os_keyring=False).for_creation(None, bytes(16), str(tmp_path / "vault"))
    with pytest.raises(KeyUnavailable, match="no key was found"):
        list(KeySources(environ={}, ask_os_keyring=False).candidates(None, bytes(16), takes_passphrase=lambda: False))
    assert not Path("~").exists()


@pytest.mark.usefixtures("homeless")
def test_commands_without_a_home(tmp_path: Path) -> None:
    with open_store(tmp_path / "vault", key=KEY) as store:
        store.create("a")
    ran = CliRunner().invoke(app, ["ls", "-V", str(tmp_path / "vault")], env={"VAULTSESSION_KEY": KEY.text()})
    assert ran.exit_code == 0
    assert isinstance(CliRunner().invoke(app, ["ls"]).exception, InvalidSetting | SystemExit)


def test_a_home_in_the_place_of_the_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert [expanded(path) for path in ("~", "~/a", "a/~", "~nobody-of-that-name/a")] == [
        "/home/alice",
        "/home/alice/a",
        "a/~",
        "~nobody-of-that-name/a",
    ]


@pytest.mark.parametrize("home", ["/home/alice", "/home/alice/", "/", "not/absolute"])
@pytest.mark.parametrize("chosen", [None, "", "/etc/xdg", "/etc/xdg/", "not/absolute"])
def test_the_directories_of_a_user_are_where_the_platform_has_them(
    home: str, chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
        if chosen is not None:
            monkeypatch.setenv(name, chosen)
    assert user_directory("config") == platformdirs.user_config_dir("vaultsession", appauthor=False)
    assert user_directory("data") == platformdirs.user_data_dir("vaultsession", appauthor=False)


def test_paths_that_name_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidSetting, match="an empty path names no vault"):
        open_store("", key=KEY)
    with pytest.raises(InvalidSetting, match="no path"):
        open_store("a\0b", key=KEY)
    with open_store(os.fsencode(tmp_path / "vault"), key=KEY) as store:  # type: ignore[call-overload]  # as os takes it
        assert store.origin.where == str(tmp_path / "vault")
    assert os.listdir(tmp_path) == ["vault"]
