"""open_store: from a path or URL, settings and keys to a store. The order of keys is told in ``keysources``."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from ..backends.files import FilesBackend
from ..backends.leases import Leases, LocalLeases
from ..backends.protocol import Backend, Engine
from ..engine.reader import Reader
from ..engine.vault_reader import reader_of
from ..engine.writer import Writer
from ..errors import BackendUnavailable, Conflict, InvalidSetting, RollbackDetected, VaultNotFound
from ..format import ids
from ..format.keys import Keyring
from ..util.clock import Clock, SystemClock, to_duration
from ..util.disk import Disk
from ..util.metrics import Tracing
from ..vault import KEYRING_COUNTER, Candidates, OpenVault, Vault, VaultDirectory
from ..vault.key_sources import Key, KeySource, KeySources
from ..vault.keyring_file import FIRST_COUNTER
from ..vault.live_keyring import LiveKeyring, MemoryKeyStore
from ..vault.location import MEMORY, VaultLocation
from ..vault.secret import Secret
from .configuration import environment, vault_path
from .fields import Defaults, StoreInfo
from .settings import Settings
from .store import SessionStore
from .typed_state import Shape, StateT

if TYPE_CHECKING:
    from .aio import AsyncSessionStore

_log = logging.getLogger("vaultsession")


@overload
def open_store(
    path_or_url: str | os.PathLike[str] | Engine | None = None,
    *,
    state_type: type[StateT],
    key: Key = None,
    settings: Settings | None = None,
    create: bool = True,
    clock: Clock | None = None,
    disk: Disk | None = None,
    sources: KeySources | None = None,
    tracing: Tracing | None = None,
    new_id: Callable[[int], str] = ids.new,
    **overrides: Any,  # noqa: ANN401 - the fields of Settings, which checks them
) -> SessionStore[StateT]: ...
@overload
def open_store(
    path_or_url: str | os.PathLike[str] | Engine | None = None,
    *,
    key: Key = None,
    settings: Settings | None = None,
    create: bool = True,
    clock: Clock | None = None,
    disk: Disk | None = None,
    sources: KeySources | None = None,
    tracing: Tracing | None = None,
    new_id: Callable[[int], str] = ids.new,
    **overrides: Any,  # noqa: ANN401 - the fields of Settings, which checks them
) -> SessionStore: ...
def open_store(
    path_or_url: str | os.PathLike[str] | Engine | None = None,
    *,
    key: Key = None,
    settings: Settings | None = None,
    create: bool = True,
    clock: Clock | None = None,
    disk: Disk | None = None,
    sources: KeySources | None = None,
    state_type: type[Any] | None = None,
    tracing: Tracing | None = None,
    new_id: Callable[[int], str] = ids.new,
    **overrides: Any,
) -> SessionStore[Any]:
    """Open the store at a path or URL; a vault is created on first use, its key found or made.

    Which URLs there are is listed in ``sites``. Without any: ``VAULTSESSION_PATH``, else the platform's data directory.
    An ``Engine`` of your own may stand in the place of a URL; the store closes it.
    ``overrides`` are fields of ``Settings``. With a ``state_type`` (a dataclass, a TypedDict or a pydantic model; extra
    "typed") states are of that type, checked on the way in and out. ``tracing`` sees each call; see ``telemetry``.
    ``new_id`` makes the ids of sessions that are made without one, from the time in microseconds: UUIDv7.
    ``VaultNotFound`` where there is no vault and ``create`` is False, or where the path is something else;
    ``KeyUnavailable``, ``WrongKey``; ``RollbackDetected`` for key slots older than this vault has seen.
    """
    environ = environment() if path_or_url is None or settings is None or sources is None else {}
    chosen = _settings(settings, environ, overrides)
    seen = _seen(state_type, tracing, chosen)._replace(new_id=new_id)
    clock = clock or SystemClock()
    disk = disk or Disk()
    if path_or_url is None or isinstance(path_or_url, str | os.PathLike):
        where = os.fspath(path_or_url or vault_path(environ))
        if where.startswith(MEMORY):
            return _in_memory(chosen, clock, seen)
        site = VaultLocation.at(where, disk, durability=chosen.durability, allow_network=chosen.allow_network)
    else:
        where, site = path_or_url.where, VaultLocation.of(path_or_url)
    if chosen.fallback != "none" and isinstance(site.vault, VaultDirectory):
        raise InvalidSetting(f'fallback="{chosen.fallback}" is for a vault on a server; {where} is a directory')
    backend: Backend | None = None
    try:
        stamp = site.vault.stamp()
        vault, source = _unlock(site.vault, key, chosen, clock, sources or KeySources(environ, disk), create=create)
        reader = reader_of(
            site.vault,
            vault,
            stamp=stamp if vault.stamp is None else vault.stamp,
            compressing=chosen.compression == "zstd",
            patient=chosen.fallback != "none",
        )
        backend = site.backend(reader.describe)
        if isinstance(backend, FilesBackend):
            _refuse_older_slots(backend, vault)
        writer, leases = Writer.of(reader, clock, chosen), site.leases()
        if chosen.mirror is not None:
            from .mirror import mirrored  # noqa: PLC0415 - few vaults have one: only those pay

            backend = mirrored(backend, site.vault, reader.describe, where, chosen, clock, disk)
        if chosen.fallback == "memory":
            backend, leases = _with_fallback(backend, leases, site, reader, writer, clock)
        return _assemble(backend, reader, writer, leases, chosen, clock, StoreInfo(site.vault.path, source), seen)
    except BaseException:
        (backend or site).close()
        raise


@overload
async def open_store_async(
    *args: Any,  # noqa: ANN401 - those of open_store
    state_type: type[StateT],
    **settings: Any,  # noqa: ANN401 - as above
) -> AsyncSessionStore[StateT]: ...
@overload
async def open_store_async(*args: Any, **settings: Any) -> AsyncSessionStore: ...  # noqa: ANN401 - as above
async def open_store_async(*args: Any, **settings: Any) -> AsyncSessionStore[Any]:
    """``open_store``, for asyncio: the same parameters."""
    from .aio import AsyncSessionStore  # noqa: PLC0415 - asyncio costs a third of an import: only who asks pays

    return await AsyncSessionStore.opened(functools.partial(open_store, *args, **settings))


class StoreOptions(NamedTuple):
    """How a store is seen: its states, and its calls by whoever traces them; and who makes its ids."""

    shape: Shape[Any] | None
    tracing: Tracing | None
    new_id: Callable[[int], str] = ids.new


def _seen(state_type: type[Any] | None, tracing: Tracing | None, settings: Settings) -> StoreOptions:
    if tracing is None and settings.telemetry:
        from ..util.tracing import Telemetry  # noqa: PLC0415 - an extra: imported when used

        tracing = Telemetry.installed()
    return StoreOptions(None if state_type is None else Shape(state_type), tracing)


def _in_memory(settings: Settings, clock: Clock, seen: StoreOptions) -> SessionStore[Any]:
    keyring = Keyring.generate(created=clock.now(), tenant_keys=settings.tenant_keys)
    reader = Reader(LiveKeyring(keyring, MemoryKeyStore(keyring)))
    from ..backends.memory import MemoryBackend  # noqa: PLC0415 - whoever keeps sessions needs none

    memory = MemoryBackend(max_sessions=settings.max_sessions)
    writer = Writer.of(reader, clock, settings)
    return _assemble(
        memory, reader, writer, LocalLeases(), settings, clock, StoreInfo(MEMORY, "this process only"), seen
    )


def _settings(settings: Settings | None, environ: Mapping[str, str], overrides: dict[str, Any]) -> Settings:
    if settings is None:
        return Settings.from_environment(environ, **overrides)
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

    def candidates(vault_id: bytes) -> Candidates:
        # Only the prompt needs to know, and where a key was given nobody is asked: then the slots are read once less.
        takes_passphrase = key is None and any(slot.takes_passphrase for slot in place.slots())
        return sources.candidates(key, vault_id, takes_passphrase=takes_passphrase)

    vault = place.unlock(candidates)
    for finding in vault.findings:
        _log.warning("vault %s: %s", place.path, finding)
    return vault, vault.source


def _create(place: Vault, key: Key, settings: Settings, clock: Clock, sources: KeySources) -> tuple[OpenVault, str]:
    made: list[KeySource] = []

    def secret(vault_id: bytes) -> Secret:
        source, found = sources.for_creation(key, vault_id, place.path)
        made.append(source)
        return found

    vault = place.create(
        secret, readable_names=settings.names == "readable", now=clock.now(), tenant_keys=settings.tenant_keys
    )
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


def _with_fallback(
    backend: Backend, leases: Leases, site: VaultLocation, reader: Reader, writer: Writer, clock: Clock
) -> tuple[Backend, Leases]:
    from ..backends.fallback import FallbackBackend, FallbackLeases  # noqa: PLC0415 - only who asks for it pays
    from ..engine.merge import Carrying  # noqa: PLC0415 - as above
    from ..vault import EngineVault  # noqa: PLC0415 - as above

    vault = site.vault
    fallback = FallbackBackend(
        backend,
        reader.describe,
        Carrying(reader, writer).merged,
        clock,
        prepare=vault.keeping() if isinstance(vault, EngineVault) else None,
        afresh=functools.partial(site.backend, reader.describe),
    )
    return fallback, FallbackLeases(leases)


def _assemble(
    backend: Backend,
    reader: Reader,
    writer: Writer,
    leases: Leases,
    settings: Settings,
    clock: Clock,
    origin: StoreInfo,
    seen: StoreOptions,
) -> SessionStore[Any]:
    defaults = Defaults(
        ttl=None if settings.ttl is None else to_duration(settings.ttl),
        sliding=settings.sliding,
        max_messages=settings.max_messages,
    )
    store: SessionStore[Any] = SessionStore(
        backend,
        reader,
        writer,
        leases,
        clock,
        origin=origin,
        defaults=defaults,
        cache_bytes=settings.cache_bytes,
        shape=seen.shape,
        tracing=seen.tracing,
        new_id=seen.new_id,
    )
    if settings.sweep_interval is not None:
        store.start_sweeper(settings.sweep_interval)
    return store
