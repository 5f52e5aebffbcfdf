"""open_store: from a path or URL, settings and keys to a store. ``key_sources`` says in which order keys are tried."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack, overload

from ..backends.files import FilesBackend
from ..backends.leases import Leases, LocalLeases
from ..backends.protocol import Backend, Engine
from ..engine.reader import Reader
from ..engine.writer import Writer
from ..errors import Conflict, InvalidSetting, VaultNotFound
from ..format import ids
from ..format.keys import Keyring
from ..format.record import SUITES
from ..util.clock import Clock, SystemClock, to_duration
from ..util.disk import Disk
from ..util.lazy import log
from ..util.metrics import Tracing
from ..util.named_tuple import NamedTuple
from ..util.place import expanded
from ..vault import Candidates, UnlockedVault, Vault
from ..vault.key_sources import Key, KeySource, KeySources
from ..vault.key_store import KeyringMemory, MemoryKeyStore
from ..vault.live_keyring import LiveKeyring
from ..vault.location import MEMORY, VaultLocation
from ..vault.secret import Secret
from .configuration import environment, vault_path
from .fields import Defaults, StoreInfo, shows_fields
from .settings import SettingFields, Settings
from .store import SessionStore
from .typed_state import Shape, StateT
from .verb import kinds_of, refuse_unfit

if TYPE_CHECKING:
    from ..vault.engine_metadata import RememberedMetadata


class OpenFields(SettingFields, total=False):
    """The keywords of ``open_store``, but for ``state_type``."""

    key: Key
    key_file: str | os.PathLike[str] | None
    passphrase_file: str | os.PathLike[str] | None
    settings: Settings | None
    create: bool
    clock: Clock | None
    disk: Disk | None
    sources: KeySources | None
    tracing: Tracing | None
    new_id: Callable[[int], str]


Place = str | os.PathLike[str] | Engine | None


@overload
def open_store(
    path_or_url: Place = None, *, state_type: type[StateT], **fields: Unpack[OpenFields]
) -> SessionStore[StateT]: ...
@overload
def open_store(path_or_url: Place = None, **fields: Unpack[OpenFields]) -> SessionStore: ...
@shows_fields(SettingFields, {field.name: field.default for field in dataclasses.fields(Settings)})
def open_store(
    path_or_url: Place = None,
    *,
    key: Key = None,
    key_file: str | os.PathLike[str] | None = None,
    passphrase_file: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    create: bool = True,
    clock: Clock | None = None,
    disk: Disk | None = None,
    sources: KeySources | None = None,
    state_type: type[Any] | None = None,
    tracing: Tracing | None = None,
    new_id: Callable[[int], str] = ids.new,
    **overrides: Unpack[SettingFields],
) -> SessionStore[Any]:
    """Open the store at a path or URL; a vault is created on first use, its key found or made.

    ``path_or_url`` is a directory or a URL: ``memory://``, ``redis://…``, ``rediss://…``, ``sqlite:///…``,
    ``mysql+pymysql://…``, ``postgresql+psycopg://…``. Without one: ``VAULTSESSION_PATH``, else the platform's data
    directory. An ``Engine`` of your own may stand in its place; the store closes it.

    ========== ===================================================================================================
    key        ``RawKey`` or ``Passphrase``; None: the environment, a key file, the keyring of the system
    key_file, passphrase_file  a private file that holds the one or the other, in the place of ``key``
    settings   ``Settings`` in the place of those of the environment; the keywords below change single ones
    create     False: ``VaultNotFound`` where there is no vault
    state_type a dataclass, a TypedDict or a pydantic model (extra "typed"): states are of that type, checked on the
               way in and out
    new_id     makes the ids of sessions that are made without one, from the time in microseconds: UUIDv7
    tracing    sees each call, as ``telemetry`` does for OpenTelemetry
    clock, disk, sources  take the place of the system's, in tests
    ========== ===================================================================================================

    All other keywords are the fields of ``Settings``, which explains each. One that is not given is taken from
    ``settings``, or else from the environment, the configuration file and the default, in this order.

    ``VaultNotFound`` also where the path is something else; ``KeyUnavailable``, ``WrongKey``; ``InvalidSetting``;
    ``RollbackDetected`` for key slots older than this vault has seen.

    >>> with open_store("memory://", ttl="24h") as store:
    ...     store.create("alice").ttl
    datetime.timedelta(days=1)
    """
    refuse_unfit(_TAKES, locals().items())  # so far these are the arguments
    key = _named_key(key, key_file, passphrase_file, disk)
    environ = functools.cache(environment)  # where everything is given nothing is read
    chosen = Settings.from_environment(environ(), **overrides) if settings is None else settings.replaced(overrides)
    if tracing is None and chosen.telemetry:
        from ..util.tracing import Telemetry  # noqa: PLC0415 - an extra: imported when used

        tracing = Telemetry.installed()
    clock = clock or SystemClock()
    shape = None if state_type is None else Shape(state_type)
    options = StoreOptions(chosen, clock, shape, tracing, new_id)
    is_given, disk = disk is not None, disk or Disk()
    if path_or_url is None or isinstance(path_or_url, str | bytes | os.PathLike):
        where = vault_path(environ()) if path_or_url is None else os.fsdecode(path_or_url)
        if where.startswith(MEMORY):
            return _in_memory(options)
        site = VaultLocation.at(where, disk, durability=chosen.durability, allow_network=chosen.allow_network)
    else:
        where, site = path_or_url.where, VaultLocation.of(path_or_url)
    remembered: RememberedMetadata | None = None
    if chosen.fallback != "none":
        site, remembered = site.remembering()
    if chosen.mirror is not None:
        from . import mirror  # noqa: PLC0415 - few vaults have one: only those pay

        mirror.refuse_unusable(chosen.mirror, where)  # before a vault and its key are made
    backend: Backend | None = None
    try:
        etag = site.vault.etag()
        sources = sources or KeySources(environ(), disk)
        vault, source = _unlock(site.vault, key, chosen, clock, sources, create=create)
        memory = KeyringMemory()
        reader = Reader.of_vault(
            site.vault,
            vault,
            etag=etag if vault.etag is None else vault.etag,
            compressing=chosen.compression == "zstd",
            patient=chosen.fallback != "none",
            memory=memory,
        )
        backend = site.backend(reader.describe)
        if isinstance(backend, FilesBackend):
            memory.index = backend
            memory.refuse_older(vault, site.vault.reload)
        # Not over a disk that was given: who counts its calls says when each of them is made.
        pauses = isinstance(backend, FilesBackend) and not is_given
        writer, leases = writer_of(reader, clock, chosen, pauses=pauses), site.leases()
        if chosen.mirror is not None:
            backend = mirror.mirrored(chosen.mirror, backend, site.vault, vault, reader, chosen, clock, disk)
        if remembered is not None:
            remembered.remember_all()
            backend, leases = _with_fallback(backend, leases, site, reader, writer, clock, remembered.put_back)
        return options.assembled(backend, reader, writer, leases, StoreInfo(site.vault.path, source))
    except BaseException:
        (backend or site).close()
        raise


_TAKES = kinds_of(open_store.__annotations__)


def _named_key(
    key: Key, key_file: str | os.PathLike[str] | None, passphrase_file: str | os.PathLike[str] | None, disk: Disk | None
) -> Key:
    """The one key that an argument names. ``InvalidSetting`` for several."""
    named = [each for each in (key, key_file, passphrase_file) if each is not None]
    if len(named) > 1:
        raise InvalidSetting("give one of key, key_file and passphrase_file")
    if key_file is None and passphrase_file is None:
        return key
    from ..vault.key_places import KeyFile, PassphraseFile  # noqa: PLC0415 - few are given one

    path = os.path.abspath(expanded(os.fspath(named[0])))  # type: ignore[arg-type]  # one of the two
    return (PassphraseFile if key_file is None else KeyFile)(path, disk or Disk())


def writer_of(reader: Reader, clock: Clock, settings: Settings, *, pauses: bool = False) -> Writer:
    """Writes as the settings say. ``pauses``: merges wait for a pause."""
    level = settings.level if settings.compression == "zstd" else None
    return Writer(
        reader,
        clock,
        level=level,
        padded=settings.padding,
        suite=SUITES[settings.suite],
        lossless=settings.lossless,
        pauses=pauses,
    )


class StoreOptions(NamedTuple):
    """How a store is assembled, whatever its backend."""

    settings: Settings
    clock: Clock
    shape: Shape[Any] | None
    tracing: Tracing | None
    new_id: Callable[[int], str]

    def assembled(
        self, backend: Backend, reader: Reader, writer: Writer, leases: Leases, origin: StoreInfo
    ) -> SessionStore[Any]:
        """The store, and its sweeper running where one is set."""
        ttl, interval = self.settings.ttl, self.settings.sweep_interval
        reader.keys.has_orphans = functools.partial(_has_orphans, backend, reader)
        store: SessionStore[Any] = SessionStore(
            backend,
            reader,
            writer,
            leases,
            self.clock,
            origin=origin,
            defaults=Defaults(
                None if ttl is None else to_duration(ttl, "ttl"), self.settings.sliding, self.settings.max_messages
            ),
            cache_bytes=self.settings.cache_bytes,
            shape=self.shape,
            tracing=self.tracing,
            new_id=self.new_id,
        )
        if interval is not None:
            store.start_sweeper(interval)
        return store


def _has_orphans(backend: Backend, reader: Reader, tenant_id: str) -> bool:
    from ..engine.erasure import has_orphans  # noqa: PLC0415 - asked once in the life of a tenant

    return has_orphans(backend, reader, tenant_id)


def _in_memory(options: StoreOptions) -> SessionStore[Any]:
    settings, clock = options.settings, options.clock
    keyring = Keyring.generate(created=clock.now(), tenant_keys=settings.tenant_keys)
    reader = Reader(LiveKeyring(keyring, MemoryKeyStore(keyring)))
    from ..backends.memory import MemoryBackend  # noqa: PLC0415 - a store that keeps its sessions needs none

    memory = MemoryBackend(max_sessions=settings.max_sessions)
    writer = writer_of(reader, clock, settings)
    origin = StoreInfo(MEMORY, "this process only")
    return options.assembled(memory, reader, writer, LocalLeases(), origin)


def _unlock(
    place: Vault, key: Key, settings: Settings, clock: Clock, sources: KeySources, *, create: bool
) -> tuple[UnlockedVault, str]:
    """The vault, unlocked or made; and the name of the source of its key."""
    if not place.exists():
        if not create:
            raise VaultNotFound(f"there is no vault at {place.path}: make one with `vaultsession init`")
        try:
            return _create(place, key, settings, clock, sources)
        except Conflict:  # another process made it in this moment
            pass

    def candidates(vault_id: bytes) -> Candidates:
        return sources.candidates(key, vault_id, takes_passphrase=place.takes_passphrase)

    vault = place.unlock(candidates)
    for finding in vault.findings:
        log.warning("vault %s: %s", place.path, finding)
    return vault, vault.source


def _create(place: Vault, key: Key, settings: Settings, clock: Clock, sources: KeySources) -> tuple[UnlockedVault, str]:
    made: list[KeySource] = []

    def secret(vault_id: bytes) -> Secret:
        source, found = sources.for_creation(key, vault_id, place.path)
        made.append(source)
        return found

    vault = place.create(
        secret, readable_names=settings.names == "readable", now=clock.now(), tenant_keys=settings.tenant_keys
    )
    # A key that was named lies where its owner put it; one that was made here is news: without it the vault is lost.
    say = log.info if sources.is_configured(key) else log.warning
    say("made a new vault in %s; keep a copy of its key: %s", place.path, made[0].name)
    return vault, made[0].name


def _with_fallback(
    backend: Backend,
    leases: Leases,
    site: VaultLocation,
    reader: Reader,
    writer: Writer,
    clock: Clock,
    put_back: Callable[[], None],
) -> tuple[Backend, Leases]:
    from ..backends.fallback import FallbackBackend, FallbackLeases  # noqa: PLC0415 - few vaults have one
    from ..engine.merge import three_way_merge  # noqa: PLC0415 - as above

    fallback = FallbackBackend(
        backend,
        reader.describe,
        functools.partial(three_way_merge, reader, writer),
        clock,
        prepare=put_back,
        afresh=functools.partial(site.backend, reader.describe),
    )
    return fallback, FallbackLeases(leases)
