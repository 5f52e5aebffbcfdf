"""Settings: from an argument, else ``VAULTSESSION_…`` in the environment, the configuration file, the default."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, get_args

from ..errors import InvalidSetting
from ..format.payload import LEVELS
from ..format.record import SUITES
from ..util.clock import Duration, to_duration

PREFIX = "VAULTSESSION_"
PATH = PREFIX + "PATH"


Compression = Literal["zstd", "none"]
Durability = Literal["sync", "os"]
Names = Literal["readable", "private"]
Suite = Literal["aes-256-gcm", "chacha20-poly1305", "aes-256-gcm-siv"]
Fallback = Literal["none", "memory"]


class SettingFields(TypedDict, total=False):
    """The fields of ``Settings`` as keywords of ``open_store``; their defaults stand there alone."""

    ttl: Duration | None
    sliding: bool
    max_messages: int | None
    max_sessions: int | None
    cache_bytes: int
    compression: Compression
    level: int
    padding: bool
    lossless: bool
    durability: Durability
    names: Names
    tenant_keys: bool
    suite: Suite
    sweep_interval: Duration | None
    telemetry: bool
    fallback: Fallback
    allow_network: bool
    mirror: str | None
    mirror_drain: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a store behaves. Each field is also ``VAULTSESSION_`` and its name in upper case in the environment.

    ============== ============= ===================================================================================
    ttl            None          life span of new sessions: seconds or "30m", "24h", "7d"; None keeps them for ever
    sliding        False         whether reading and writing extend it
    max_messages   None          how many messages a new session keeps
    max_sessions   None          how many sessions a memory store keeps; the least recently used go
    cache_bytes    64 MiB        documents kept in memory, decrypted
    compression    "zstd"        or "none", where secrets share a document with text that an attacker chooses
    level          3             of zstd: 1 to 3
    padding        False         hide lengths (Padmé): at most 12 % more bytes
    lossless       False         take also what strict JSON does not carry: bytes, NaN and infinities, integers beyond
                                 64 bits, lone surrogates, any depth; any store gives it back as it was
    durability     "sync"        a write returns after its flush; "os": when the system has it, lost in a power cut
    names          "readable"    of a new vault: files carry a slug of the id; "private": they do not
    tenant_keys    False         of a new vault: sessions of a tenant are sealed under keys of that tenant
    suite          "aes-256-gcm" or "chacha20-poly1305", "aes-256-gcm-siv"
    sweep_interval None          sweep in the background, every so often
    telemetry      False         OpenTelemetry spans and metrics of every verb (extra "telemetry")
    fallback       "none"        or "memory": while a vault's server is away, go on in memory with what was used lately,
                                 and carry over what was written when it is back
    allow_network  False         open a vault on a network file system, whose locks may not hold
    mirror         None          where a copy of the vault is kept level: a path or URL, as of a vault
    mirror_drain   "5s"          how long closing waits for the mirror to take what it lacks
    ============== ============= ===================================================================================

    >>> from vaultsession import Settings, open_store
    >>> with open_store("memory://", settings=Settings(ttl="24h", sliding=True)) as store:
    ...     store.create("alice").ttl
    datetime.timedelta(days=1)
    """

    ttl: Duration | None = None
    sliding: bool = False
    max_messages: int | None = None
    max_sessions: int | None = None
    cache_bytes: int = 64 << 20
    compression: Compression = "zstd"
    level: int = 3
    padding: bool = False
    lossless: bool = False
    durability: Durability = "sync"
    names: Names = "readable"
    tenant_keys: bool = False
    suite: Suite = "aes-256-gcm"
    sweep_interval: Duration | None = None
    telemetry: bool = False
    fallback: Fallback = "none"
    allow_network: bool = False
    mirror: str | None = dataclasses.field(default=None, repr=False)  # a URL may hold a password
    mirror_drain: Duration = "5s"

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            chosen = getattr(self, name)
            if (type(chosen), chosen) not in [(type(option), option) for option in allowed]:  # 1 is not True
                raise InvalidSetting(f"{name} is one of {', '.join(map(str, allowed))}, not {chosen!r}")
        for name in ("ttl", "sweep_interval", "mirror_drain"):
            if getattr(self, name) is not None:
                to_duration(getattr(self, name), name)
        if self.mirror is not None and (type(self.mirror) is not str or not self.mirror):
            raise InvalidSetting("mirror is a path or a URL")
        for name in ("max_messages", "max_sessions", "cache_bytes"):
            value = getattr(self, name)
            least = 0 if name == "cache_bytes" else 1
            if (value is not None or name == "cache_bytes") and (type(value) is not int or value < least):
                raise InvalidSetting(f"{name} is a whole number from {least} up, not {value!r}")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, **overrides: Unpack[SettingFields]) -> Settings:
        """The settings of the environment, apart from those that are given."""
        found: SettingFields = {}
        for name, variable in _VARIABLES.items():
            if (text := environ.get(variable)) and name not in overrides:
                try:
                    found[name] = from_text(name, text)  # type: ignore[literal-required]  # a field
                except InvalidSetting as error:
                    raise InvalidSetting(f"{variable}: {error}") from None
        unknown = sorted(overrides.keys() - _VARIABLES.keys())
        if unknown:
            raise InvalidSetting(f"there is no setting {', '.join(unknown)}")
        found.update(overrides)
        return cls(**found)

    def replaced(self, overrides: SettingFields) -> Settings:
        """These settings apart from those that are given. ``InvalidSetting`` for one that there is not."""
        try:
            return dataclasses.replace(self, **overrides)
        except TypeError as error:
            raise InvalidSetting(str(error)) from None


_VARIABLES = {field.name: PREFIX + field.name.upper() for field in dataclasses.fields(Settings)}
_BOOLEANS = (True, False)
_CHOICES: dict[str, tuple[Any, ...]] = {
    "compression": get_args(Compression),
    "level": tuple(LEVELS),
    "durability": get_args(Durability),
    "names": get_args(Names),
    "fallback": get_args(Fallback),
    "suite": tuple(SUITES),
    **{field.name: _BOOLEANS for field in dataclasses.fields(Settings) if isinstance(field.default, bool)},
}
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_NUMBERS = frozenset({"max_messages", "max_sessions", "cache_bytes", "level"})


def from_text(name: str, text: str) -> object:
    """The value of a field, from text. ``InvalidSetting``."""
    try:
        if _CHOICES.get(name) == _BOOLEANS:
            return _WORDS[text.strip().lower()]
        return int(text) if name in _NUMBERS else text
    except (KeyError, ValueError):
        raise InvalidSetting(f"{name} is not understood: {text!r:.40}") from None
