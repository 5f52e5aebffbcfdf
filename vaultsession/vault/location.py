"""Where a vault lies, by path or URL: the one module that names the concrete backends of stores that last.

::

    a path, file:///absolute/path      FilesBackend
    redis://  rediss://                RedisBackend, of the extra "redis"
    sqlite:///  mysql+pymysql://  postgresql+psycopg://
                                       SqlBackend, of the extra "sql"

``memory://`` is no such place: a store in memory has no metadata, and its keys end with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

from ..backends.files import FilesBackend
from ..backends.files.leases import FileLeases
from ..backends.leases import Leases
from ..backends.protocol import Backend, Engine
from ..errors import InvalidSetting
from ..format.sealed import ReadHead
from ..util.disk import Disk
from ..util.named_tuple import NamedTuple
from ..util.place import checked, expanded, parts_of
from .directory import VaultDirectory
from .vault import Vault

if TYPE_CHECKING:
    from .engine_metadata import RememberedMetadata

MEMORY = "memory://"

ENGINES = frozenset({"redis", "rediss", "sqlite", "mysql", "mariadb", "postgresql"})
"""Schemes, up to a ``+``."""


class VaultLocation(NamedTuple):
    """A vault that may or may not exist yet, and how its sessions are reached once there are keys."""

    vault: Vault
    backend: Callable[[ReadHead], Backend]
    leases: Callable[[], Leases]
    close: Callable[[], None]

    @classmethod
    def at(
        cls,
        where: str,
        disk: Disk,
        *,
        durability: Literal["sync", "os"] = "sync",
        allow_network: bool = False,
    ) -> VaultLocation:
        """What a path or URL names. ``InvalidSetting`` for one that names nothing, or whose extra is not installed."""
        scheme, path = split(where)
        if scheme != "file":
            return cls.of(connector_of(where)(where))
        directory = VaultDirectory(path, disk, allow_network=allow_network)

        def backend(describe: ReadHead) -> Backend:
            return FilesBackend(directory.path, disk=disk, describe=describe, durability=durability)

        return cls(Vault(directory), backend, partial(FileLeases, disk, directory.path), lambda: None)

    @classmethod
    def of(cls, engine: Engine) -> VaultLocation:
        from .engine_metadata import EngineMetadata  # noqa: PLC0415 - a vault in a directory needs none

        return cls(Vault(EngineMetadata(engine)), engine.backend, engine.leases, engine.close)

    def remembering(self) -> tuple[VaultLocation, RememberedMetadata]:
        """The same for an engine that may come back empty, and what gives it then the metadata that it had.

        ``InvalidSetting`` for a directory.
        """
        if isinstance(self.vault.storage, VaultDirectory):
            raise InvalidSetting(f'fallback="memory" is for a vault on a server; {self.vault.path} is a directory')
        from .engine_metadata import EngineMetadata, RememberedMetadata  # noqa: PLC0415 - as above

        storage = RememberedMetadata(cast("EngineMetadata", self.vault.storage).engine)
        return self._replace(vault=Vault(storage)), storage


def connector_of(url: str) -> Callable[[str], Engine]:
    """What connects to the engine of a URL; nothing is opened.

    ``InvalidSetting`` for a URL without sense, or where its extra is not installed.
    """
    scheme = split(url)[0]
    extra = "redis" if scheme.startswith("redis") else "sql"
    try:
        if extra == "redis":
            from ..backends import redis as package  # noqa: PLC0415 - an extra: imported when used

            connect: Callable[[str], Engine] = package.connect
        else:
            from ..backends import sql  # noqa: PLC0415 - as above

            sql.url.parse(url)
            connect = sql.connect
    except ImportError as error:
        raise InvalidSetting(f"{scheme}:// needs an extra ({error}): pip install 'vaultsession[{extra}]'") from None
    return connect


def split(where: str) -> tuple[str, str]:
    """``(scheme, path)``: "file" and a path of this machine, or the scheme of an engine and nothing."""
    if "://" not in where:
        if not where:
            raise InvalidSetting("an empty path names no vault")
        return "file", expanded(where)
    parts = parts_of(where)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        from urllib.parse import unquote  # noqa: PLC0415 - a path needs none

        return "file", checked(unquote(parts.path))
    scheme = parts.scheme.partition("+")[0]
    if scheme in ENGINES:
        return scheme, ""
    raise InvalidSetting(
        f"cannot open {parts.scheme}://…: give a path, file:///… with an absolute path, memory://, redis://…, "
        "rediss://…, sqlite:///…, mysql+pymysql://… or postgresql+psycopg://…"
    )
