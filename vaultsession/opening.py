"""open_store: from a path or URL, settings and keys to a store. The order of keys is told in ``keysources``."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from typing import TYPE_CHECKING, Any

import platformdirs

from .backend import Backend
from .backends.files import FilesBackend
from .backends.memory import MemoryBackend
from .clock import Clock, SystemClock, to_duration
from .disk import Disk
from .errors import BackendUnavailable, Conflict, InvalidSetting, RollbackDetected, VaultNotFound
from .keys import Keyring
from .keysources import Key, KeySource, KeySources
from .leases import Leases, LocalLeases
from .reading import Reading
from .secret import Secret
from .settings import PATH, SUITES, Settings
from .sites import MEMORY, Site
from .slots import FIRST_COUNTER
from .store import Defaults, Origin, SessionStore
from .vault import KEYRING_COUNTER, EngineVault, OpenVault, Vault
from .writing import Writing

if TYPE_CHECKING:
    from .aio import AsyncSessionStore

_log = logging.getLogger("vaultsession")


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
    """Open the store at a path or URL; a vault is created on first use, its key found or made.

    Which URLs there are is listed in ``sites``. Without any: ``VAULTSESSION_PATH``, else the platform's data directory.
    ``overrides`` are fields of ``Settings``.
    ``VaultNotFound`` where there is no vault and ``create`` is False, or where the path is something else;
    ``KeyUnavailable``, ``WrongKey``; ``RollbackDetected`` for key slots older than this vault has seen.
    """
    chosen = _settings(settings, overrides)
    clock = clock or SystemClock()
    where = os.fspath(
        path_or_url or os.environ.get(PATH) or platformdirs.user_data_dir("vaultsession", appauthor=False)
    )
    if where.startswith(MEMORY):
        reading = Reading(Keyring.generate(created=clock.now()))
        memory = MemoryBackend(max_sessions=chosen.max_sessions)
        return _assemble(memory, reading, LocalLeases(), chosen, clock, Origin(MEMORY, "this process only"))
    disk = disk or Disk()
    site = Site.at(where, disk, durability=chosen.durability, allow_network=chosen.allow_network)
    if chosen.fallback != "none" and not isinstance(site.vault, EngineVault):
        raise InvalidSetting(
            f'fallback="{chosen.fallback}" is for a vault on a server; {site.vault.path} is a directory'
        )
    backend: Backend | None = None
    try:
        vault, source = _unlock(site.vault, key, chosen, clock, sources or KeySources(disk=disk), create=create)
        reading = Reading(vault.keyring)
        backend = site.backend(reading.describe)
        if isinstance(backend, FilesBackend):
            _refuse_older_slots(backend, vault)
        return _assemble(backend, reading, site.leases(), chosen, clock, Origin(site.vault.path, source), site)
    except BaseException:
        (backend or site).close()
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
    place: Vault, key: Key, settings: Settings, clock: Clock, sources: KeySources, *, create: bool
) -> tuple[OpenVault, str]:
    """The vault, unlocked or made; and the name of the source of its key."""
    if not place.exists():
        if not create:
            raise VaultNotFound(f"there is no vault at {place.path}: make one with `vaultsession init`")
        try:
            return _create(place, key, settings, clock, sources)
        except Conflict:  # another process made it in this moment
            pass
    identity = place.identity()
    takes_passphrase = any(slot.takes_passphrase for slot in place.slots())
    vault = place.unlock(sources.candidates(key, identity.vault_id, takes_passphrase=takes_passphrase))
    for finding in vault.findings:
        _log.warning("vault %s: %s", place.path, finding)
    return vault, vault.source


def _create(place: Vault, key: Key, settings: Settings, clock: Clock, sources: KeySources) -> tuple[OpenVault, str]:
    made: list[KeySource] = []

    def secret(vault_id: bytes) -> Secret:
        source, found = sources.for_creation(key, vault_id, place.path)
        made.append(source)
        return found

    vault = place.create(secret, readable_names=settings.names == "readable", now=clock.now())
    # Whoever named a key knows where it is; one that was made here is news, and to lose it is to lose the vault.
    level = logging.INFO if sources.is_configured(key) else logging.WARNING
    _log.log(level, "made a new vault in %s; keep a copy of its key: %s", place.path, made[0].name)
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
    backend: Backend,
    reading: Reading,
    leases: Leases,
    settings: Settings,
    clock: Clock,
    origin: Origin,
    site: Site | None = None,
) -> SessionStore:
    writing = Writing(
        reading,
        clock,
        level=settings.level if settings.compression == "zstd" else None,
        padded=settings.padding,
        suite=SUITES[settings.suite],
    )
    if settings.fallback == "memory" and site is not None and isinstance(site.vault, EngineVault):
        from .backends.fallback import Fallback, FallbackLeases  # noqa: PLC0415 - only who asks for it pays
        from .carrying import Carrying  # noqa: PLC0415 - as above

        backend = Fallback(
            backend,
            reading.describe,
            Carrying(reading, writing).merged,
            clock,
            prepare=site.vault.keeping(),
            afresh=functools.partial(site.backend, reading.describe),
        )
        leases = FallbackLeases(leases)
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
