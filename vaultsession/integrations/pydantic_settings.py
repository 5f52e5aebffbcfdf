"""Settings of a store within an application that keeps its own in pydantic-settings. Needs the extra ``config``.

::

    class AssistantSettings(BaseSettings):
        model_config = SettingsConfigDict(env_nested_delimiter="__", toml_file="assistant.toml")
        sessions: StoreSettings = StoreSettings()

    store = AssistantSettings().sessions.open()

``StoreSettings`` has the fields of ``Settings`` with their defaults, reads the variables ``VAULTSESSION_…`` where it
stands alone, and takes whatever source its application has: TOML, YAML, JSON, dotenv, secrets, a command line.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import create_model, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..errors import InvalidSetting
from ..store.open import open_store
from ..store.settings import PREFIX, Settings
from ..store.store import SessionStore
from ..vault.key_sources import Key

_TYPES = get_type_hints(Settings)
_FIELDS: dict[str, Any] = {field.name: (_TYPES[field.name], field.default) for field in dataclasses.fields(Settings)}


class _StoreSettings(BaseSettings):
    """The fields of ``Settings``, and where the vault is."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    path: str | None = None

    @model_validator(mode="after")
    def _allowed(self) -> _StoreSettings:
        try:
            self.settings()
        except InvalidSetting as error:
            raise ValueError(str(error)) from None
        return self

    def settings(self) -> Settings:
        """The same as ``Settings``."""
        return Settings(**{name: getattr(self, name) for name in _FIELDS})

    def open(self, *, key: Key = None) -> SessionStore:
        """Open the store."""
        return open_store(self.path, key=key, settings=self.settings())


if TYPE_CHECKING:
    StoreSettings = _StoreSettings
else:
    StoreSettings = create_model("StoreSettings", __base__=_StoreSettings, __module__=__name__, **_FIELDS)
