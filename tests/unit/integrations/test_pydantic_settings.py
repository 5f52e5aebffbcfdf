"""Settings of a store within the settings of an application."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vaultsession import RawKey, Settings

pydantic_settings = pytest.importorskip("pydantic_settings")
from pydantic import ValidationError  # noqa: E402

from vaultsession.integrations.pydantic_settings import StoreSettings  # noqa: E402


def test_the_defaults_are_those_of_settings() -> None:
    assert StoreSettings().settings() == Settings()
    assert set(StoreSettings.model_fields) == {"path", *(field.name for field in dataclasses.fields(Settings))}


def test_an_application_embeds_them_in_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class App(pydantic_settings.BaseSettings):
        model_config = pydantic_settings.SettingsConfigDict(env_prefix="APP_", env_nested_delimiter="__")
        sessions: StoreSettings = StoreSettings()

    monkeypatch.setenv("APP_SESSIONS__TTL", "24h")
    monkeypatch.setenv("APP_SESSIONS__SLIDING", "true")
    monkeypatch.setenv("APP_SESSIONS__PATH", str(tmp_path / "vault"))
    app = App()
    assert (app.sessions.settings().ttl, app.sessions.settings().sliding) == ("24h", True)
    with app.sessions.open(key=RawKey(bytes(range(100, 132)))) as store:
        store.create("a")
        assert store.load("a").expires_at is not None
    assert (tmp_path / "vault" / "vault.json").exists()


def test_standing_alone_they_read_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULTSESSION_LEVEL", "2")
    assert StoreSettings().settings().level == 2


@pytest.mark.parametrize("wrong", [{"level": 9}, {"ttl": "soon"}, {"nothing": 1}, {"durability": "maybe"}])
def test_what_settings_refuse_is_refused_in_the_words_of_pydantic(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StoreSettings(**wrong)
