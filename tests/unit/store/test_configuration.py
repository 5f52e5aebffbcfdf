"""The configuration file: what it may say, what it may not, and what comes before it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vaultsession import Settings, open_store
from vaultsession.errors import BackendUnavailable, InvalidSetting
from vaultsession.store.configuration import CONFIG, Configuration, config_directory, environment
from vaultsession.vault.key_sources import KeySources
from vaultsession.vault.secret import RawKey

FORMS = {
    ".toml": 'ttl = "30d"\nsliding = true\nlevel = 2\ncache_bytes = 1024\n',
    ".yaml": "ttl: 30d\nsliding: true\nlevel: 2\ncache_bytes: 1024\n",
    ".yml": "# nothing but this\nttl: 30d\nsliding: yes\nlevel: 2\ncache_bytes: 1024\n",
    ".json": '{"ttl": "30d", "sliding": true, "level": 2, "cache_bytes": 1024, "max_messages": null}',
}


@pytest.fixture
def wrote(tmp_path: Path):
    def writer(text: str | bytes, suffix: str = ".toml") -> dict[str, str]:
        path = tmp_path / f"config{suffix}"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o600)
        return {CONFIG: str(path)}

    return writer


def settings(environ: Mapping[str, str], **overrides: Any) -> Settings:
    return Settings.from_environment(environment(environ), **overrides)


@pytest.mark.parametrize("suffix", FORMS)
def test_every_form_says_the_same(suffix: str, wrote) -> None:
    if suffix.startswith(".y"):
        pytest.importorskip("yaml")
    assert settings(wrote(FORMS[suffix], suffix)) == Settings(ttl="30d", sliding=True, level=2, cache_bytes=1024)


def test_argument_then_environment_then_file_then_default(wrote) -> None:
    environ = wrote('ttl = "1d"\nlevel = 2\ncompression = "none"\n')
    environ |= {"VAULTSESSION_TTL": "2d", "VAULTSESSION_LEVEL": "1", "VAULTSESSION_COMPRESSION": ""}
    found = settings(environ, ttl="3d")
    assert (found.ttl, found.level, found.compression, found.padding) == ("3d", 1, "none", False)
    origins = {name: (value, origin) for name, value, origin in Configuration.of(environ).origins(environ)}
    assert origins["ttl"] == ("2d", "VAULTSESSION_TTL")
    assert origins["compression"] == ("none", environ[CONFIG])
    assert origins["padding"] == (False, "default")
    assert origins["key_file"] == (None, "default")


def test_places_are_relative_to_the_file(wrote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/someone")
    said = environment(
        wrote('path = "vault"\nkey_file = "~/key"\npassphrase_file = "/etc/words"\nkey_command = "give me"')
    )
    assert said["VAULTSESSION_PATH"] == str(tmp_path / "vault")
    assert said["VAULTSESSION_KEY_FILE"] == "/home/of/someone/key"
    assert said["VAULTSESSION_PASSPHRASE_FILE"] == "/etc/words"
    assert said["VAULTSESSION_KEY_COMMAND"] == "give me"
    assert environment(wrote('path = "redis://localhost/1"'))["VAULTSESSION_PATH"] == "redis://localhost/1"


def test_a_store_opens_with_nothing_but_the_file(wrote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text(RawKey(bytes(range(32))).text())
    for name, value in wrote('path = "vault"\nkey_file = "key"\nttl = "1h"\n').items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("VAULTSESSION_PATH", raising=False)
    with open_store() as store:
        assert store.create("a").expires_at is not None
        assert store.origin.where == str(tmp_path / "vault")
    with open_store(ttl=None) as store:
        assert store.create("b").expires_at is None


def test_the_first_of_the_known_names_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    place = Path(config_directory())
    place.mkdir(parents=True)
    (place / "config.json").write_text('{"level": 1}')
    assert settings({}).level == 1
    (place / "config.toml").write_text("level = 2")
    assert settings({}).level == 2
    assert Configuration.of({}).file == str(place / "config.toml")
    assert settings({CONFIG: ""}).level == 3  # none at all


def test_a_link_to_a_file_is_followed(wrote, tmp_path: Path) -> None:
    environ = wrote("level = 1")
    (tmp_path / "link.toml").symlink_to(environ[CONFIG])
    assert settings({CONFIG: str(tmp_path / "link.toml")}).level == 1


@pytest.mark.parametrize(
    ("text", "suffix", "told"),
    [
        ("levle = 2", ".toml", "no setting 'levle'; did you mean level"),
        ("nonsense = 2", ".toml", "no setting 'nonsense'"),
        ("level = 9", ".toml", "level is one of 1, 2, 3, not 9"),
        ('level = "two"', ".toml", "level is not understood"),
        ('ttl = "soon"', ".toml", "soon"),
        ("level = [1]", ".toml", "level is text, a number"),
        ("[level]\na = 1", ".toml", "level is text, a number"),
        ('key = "AAAA"', ".toml", "a key does not belong"),
        ("level =", ".toml", "this is not TOML"),
        (b"\xff\xfe", ".toml", "this is not TOML"),
        ("{", ".json", "this is not JSON at line 1"),
        ("[]", ".json", "one table"),
        ("a: [", ".yaml", "this is not YAML at line"),
        ("- a", ".yaml", "one table"),
        ("!!python/object/apply:os.system ['true']", ".yaml", "this is not YAML"),
        ("level = 1", ".ini", "ends in .toml"),
        ("x" * 70_000, ".toml", "too large"),
    ],
)
def test_what_cannot_be_used_names_the_file_and_the_field(text: str | bytes, suffix: str, told: str, wrote) -> None:
    if suffix == ".yaml":
        pytest.importorskip("yaml")
    environ = wrote(text, suffix)
    with pytest.raises(InvalidSetting, match="config") as error:
        environment(environ)
    assert told in str(error.value)
    assert "AAAA" not in str(error.value)


def test_a_file_that_was_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"VAULTSESSION_CONFIG: there is no file .*gone.toml"):
        environment({CONFIG: str(tmp_path / "gone.toml")})


def test_a_file_that_others_can_write_is_refused_since_it_may_name_a_command(wrote) -> None:
    environ = wrote('key_command = "steal"')
    os.chmod(environ[CONFIG], 0o666)
    with pytest.raises(BackendUnavailable, match="writable by group or others"):
        environment(environ)


def test_no_value_of_a_file_is_logged(wrote, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        environment(wrote('key_command = "say secretword"'))
    assert "secretword" not in caplog.text


def test_opening_reads_the_file_once_and_not_at_all_where_all_is_given(
    wrote: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG, wrote('ttl = "1h"')[CONFIG])
    reads: list[object] = []
    read = Configuration.of
    monkeypatch.setattr(Configuration, "of", lambda *given: reads.append(given) or read(*given))
    key = RawKey.generate()
    open_store(tmp_path / "vault", key=key).close()
    assert len(reads) == 1
    open_store(tmp_path / "vault", key=key, settings=Settings(), sources=KeySources({})).close()
    assert len(reads) == 1
