"""Settings and open_store: the one place that knows every part by name.

A setting is what the argument says, else the environment (``VAULTSESSION_…``), else the default. Keys have an order of
their own, told in ``keysources``.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import platformdirs

from .backend import Backend
from .backends.files import FilesBackend
from .backends.memory import MemoryBackend
from .clock import Clock, Duration, SystemClock, to_duration
from .disk import Disk
from .envelope import v1
from .errors import BackendUnavailable, Conflict, InvalidSetting, RollbackDetected, VaultNotFound
from .keys import Keyring
from .keysources import Key, KeySource, KeySources
from .leases import FileLeases, Leases, LocalLeases
from .payload import LEVELS
from .reading import Reading
from .secret import Secret
from .slots import FIRST_COUNTER
from .store import Defaults, Origin, SessionStore
from .vault import KEYRING_COUNTER, OpenVault, VaultDirectory
from .writing import Writing

if TYPE_CHECKING:
    from .aio import AsyncSessionStore

_log = logging.getLogger("vaultsession")

PREFIX = "VAULTSESSION_"
PATH = PREFIX + "PATH"

SUITES = {
    "aes-256-gcm": v1.SUITE_AES_GCM,
    "chacha20-poly1305": v1.SUITE_CHACHA,
    "aes-256-gcm-siv": v1.SUITE_AES_GCM_SIV,
}


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
    durability     "sync"        a write returns after its flush; "os": when the system has it, lost in a power cut
    names          "readable"    of a new vault: files carry a slug of the id; "private": they do not
    suite          "aes-256-gcm" or "chacha20-poly1305", "aes-256-gcm-siv"
    sweep_interval None          sweep in the background, every so often
    allow_network  False         open a vault on a network file system, whose locks may exclude nobody
    ============== ============= ===================================================================================
    """

    ttl: Duration | None = None
    sliding: bool = False
    max_messages: int | None = None
    max_sessions: int | None = None
    cache_bytes: int = 64 << 20
    compression: Literal["zstd", "none"] = "zstd"
    level: int = 3
    padding: bool = False
    durability: Literal["sync", "os"] = "sync"
    names: Literal["readable", "private"] = "readable"
    suite: Literal["aes-256-gcm", "chacha20-poly1305", "aes-256-gcm-siv"] = "aes-256-gcm"
    sweep_interval: Duration | None = None
    allow_network: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            chosen = getattr(self, name)
            if not any(type(chosen) is type(option) and chosen == option for option in allowed):  # 1 is not True
                raise InvalidSetting(f"{name} is one of {', '.join(map(str, allowed))}, not {chosen!r}")
        for name in ("ttl", "sweep_interval"):
            if getattr(self, name) is not None:
                to_duration(getattr(self, name))
        for name in ("max_messages", "max_sessions", "cache_bytes"):
            value = getattr(self, name)
            least = 0 if name == "cache_bytes" else 1
            if (value is not None or name == "cache_bytes") and (type(value) is not int or value < least):
                raise InvalidSetting(f"{name} is a whole number from {least} up, not {value!r}")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:  # noqa: ANN401 - checked below
        """What the environment says, under what the caller says."""
        found: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            text = environ.get(PREFIX + field.name.upper())
            if text and field.name not in overrides:
                found[field.name] = _from_text(field.name, text)
        unknown = sorted(overrides.keys() - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise InvalidSetting(f"there is no setting {', '.join(unknown)}")
        return cls(**found, **overrides)


_BOOLEANS = (True, False)
_CHOICES: dict[str, tuple[Any, ...]] = {
    "compression": ("zstd", "none"),
    "level": tuple(LEVELS),
    "durability": ("sync", "os"),
    "names": ("readable", "private"),
    "suite": tuple(SUITES),
    "sliding": _BOOLEANS,
    "padding": _BOOLEANS,
    "allow_network": _BOOLEANS,
}
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_NUMBERS = frozenset({"max_messages", "max_sessions", "cache_bytes", "level"})


def open_store(
    path_or_url: str | os.PathLike[str] | None = None,
    *,
    key: Key = None,
    settings: Settings | None = None,
    create: bool = True,
    clock: Clock | None = None,
    disk: Disk | None = None,
    sources: KeySources | None = None,
    **overrides: Any,  # noqa: ANN401 - the fields of Settings, which checks them
) -> SessionStore:
    """Open the store at a path, ``file:///…`` or ``memory://``; a vault is created on first use, its key found or made.

    Without a path: ``VAULTSESSION_PATH``, else the platform's data directory. ``overrides`` are fields of ``Settings``.
    ``VaultNotFound`` where there is no vault and ``create`` is False, or where the path is something else;
    ``KeyUnavailable``, ``WrongKey``; ``RollbackDetected`` for key slots older than this vault has seen.
    """
    chosen = _settings(settings, overrides)
    clock = clock or SystemClock()
    where = path_or_url or os.environ.get(PATH) or platformdirs.user_data_dir("vaultsession", appauthor=False)
    scheme, path = _split(os.fspath(where))
    if scheme == "memory":
        reading = Reading(Keyring.generate(created=clock.now()))
        memory = MemoryBackend(max_sessions=chosen.max_sessions)
        return _assemble(memory, reading, LocalLeases(), chosen, clock, Origin("memory://", "this process only"))
    disk = disk or Disk()
    directory = VaultDirectory(path, disk, allow_network=chosen.allow_network)
    vault, source = _unlock(directory, key, chosen, clock, sources or KeySources(disk=disk), create=create)
    reading = Reading(vault.keyring)
    files = FilesBackend(directory.path, disk=disk, describe=reading.describe, durability=chosen.durability)
    try:
        _refuse_older_slots(files, vault)
        leases = FileLeases(os.path.join(directory.path, "locks"))
        return _assemble(files, reading, leases, chosen, clock, Origin(directory.path, source))
    except BaseException:
        files.close()
        raise


async def open_store_async(*args: Any, **settings: Any) -> AsyncSessionStore:  # noqa: ANN401 - those of open_store
    """``open_store``, for asyncio: the same parameters."""
    from .aio import AsyncSessionStore  # noqa: PLC0415 - asyncio costs a third of an import: only who asks pays

    return await AsyncSessionStore.opened(functools.partial(open_store, *args, **settings))


def _settings(settings: Settings | None, overrides: dict[str, Any]) -> Settings:
    if settings is None:
        return Settings.from_environment(**overrides)
    try:
        return dataclasses.replace(settings, **overrides)
    except TypeError as error:
        raise InvalidSetting(str(error)) from None


def _unlock(
    directory: VaultDirectory, key: Key, settings: Settings, clock: Clock, sources: KeySources, *, create: bool
) -> tuple[OpenVault, str]:
    """The vault, unlocked or made; and the name of the source of its key."""
    if not directory.exists():
        if not create:
            raise VaultNotFound(f"there is no vault at {directory.path}: make one with `vaultsession init`")
        try:
            return _create(directory, key, settings, clock, sources)
        except Conflict:  # another process made it in this moment
            pass
    identity = directory.identity()
    takes_passphrase = any(slot.takes_passphrase for slot in directory.slots())
    vault = directory.unlock(sources.candidates(key, identity.vault_id, takes_passphrase=takes_passphrase))
    for finding in vault.findings:
        _log.warning("vault %s: %s", directory.path, finding)
    return vault, vault.source


def _create(
    directory: VaultDirectory, key: Key, settings: Settings, clock: Clock, sources: KeySources
) -> tuple[OpenVault, str]:
    made: list[KeySource] = []

    def secret(vault_id: bytes) -> Secret:
        source, found = sources.for_creation(key, vault_id, directory.path)
        made.append(source)
        return found

    vault = directory.create(secret, readable_names=settings.names == "readable", now=clock.now())
    # Whoever named a key knows where it is; one that was made here is news, and to lose it is to lose the vault.
    level = logging.INFO if sources.is_configured(key) else logging.WARNING
    _log.log(level, "made a new vault in %s; keep a copy of its key: %s", directory.path, made[0].name)
    return vault, made[0].name


def _refuse_older_slots(backend: FilesBackend, vault: OpenVault) -> None:
    """The index remembers how often the key slots were changed: fewer changes than that means an old copy came back.

    An index that says nothing, on a medium that is full say, is no reason not to read sessions: it is as one that was
    removed, which whoever can make it unreadable could have done as well.
    """
    try:
        remembered = backend.remembered(KEYRING_COUNTER)
    except BackendUnavailable as error:
        _log.warning("whether the key slots are the newest copy could not be looked at: %s", error)
        return
    if remembered is not None and vault.counter < remembered:
        raise RollbackDetected(
            f"the key slots are an old copy (change {vault.counter}, while change {remembered} has been seen): restore "
            "the newer keyring file, or delete index.sqlite if the old copy is meant"
        )
    if remembered != vault.counter and vault.counter > FIRST_COUNTER:  # nothing is older than the first
        try:
            backend.remember(KEYRING_COUNTER, vault.counter)
        except BackendUnavailable as error:
            _log.warning("the number of changes of the key slots was not noted, and will be: %s", error)


def _assemble(
    backend: Backend, reading: Reading, leases: Leases, settings: Settings, clock: Clock, origin: Origin
) -> SessionStore:
    writing = Writing(
        reading,
        clock,
        level=settings.level if settings.compression == "zstd" else None,
        padded=settings.padding,
        suite=SUITES[settings.suite],
    )
    defaults = Defaults(
        ttl=None if settings.ttl is None else to_duration(settings.ttl),
        sliding=settings.sliding,
        max_messages=settings.max_messages,
    )
    store = SessionStore(
        backend, reading, writing, leases, clock, origin=origin, defaults=defaults, cache_bytes=settings.cache_bytes
    )
    if settings.sweep_interval is not None:
        store.start_sweeper(settings.sweep_interval)
    return store


def _split(where: str) -> tuple[str, str]:
    """``(scheme, path)`` of a path or URL."""
    if "://" not in where:
        return "file", os.path.expanduser(where)
    parts = urlsplit(where)
    if parts.scheme == "memory":
        return "memory", ""
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return "file", unquote(parts.path)
    raise InvalidSetting(f"cannot open {parts.scheme}://…: give a path, file:///… with an absolute path, or memory://")


def _from_text(name: str, text: str) -> object:
    try:
        if _CHOICES.get(name) == _BOOLEANS:
            return _WORDS[text.strip().lower()]
        return int(text) if name in _NUMBERS else text
    except (KeyError, ValueError):
        raise InvalidSetting(f"{PREFIX}{name.upper()} is not understood: {text!r:.40}") from None
