"""Where the mirror of a vault lies, and how it is opened: as every vault, with the metadata of the one it mirrors."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from ..backends.mirror import Follower, MirrorBackend, Replicator, refuse_missing_extra
from ..backends.protocol import Backend
from ..engine.proof import is_proved
from ..engine.reader import Reader
from ..errors import InvalidSetting
from ..format.sealed import ReadHead
from ..util.clock import Clock, to_duration
from ..util.disk import Disk
from ..util.place import shown
from ..vault import UnlockedVault, Vault
from ..vault.location import VaultLocation, connector_of, split
from ..vault.replication import follow_metadata, level_dictionaries
from .settings import Settings


def refuse_unusable(mirror: str, where: str) -> None:
    """``InvalidSetting`` for a mirror that names nothing, that is the vault itself, or whose extra is not installed."""
    refuse_same(mirror, where)
    refuse_missing_extra()
    if split(mirror)[0] != "file":
        connector_of(mirror)


def mirrored(
    primary: Backend,
    vault: Vault,
    opened: UnlockedVault,
    reader: Reader,
    settings: Settings,
    clock: Clock,
    disk: Disk,
) -> MirrorBackend:
    """The primary with its mirror. Nothing of the mirror is opened here: its thread does that, as often as it must.

    See ``refuse_unusable``.
    """
    if settings.mirror is None:
        raise InvalidSetting("no mirror is set")
    mirror = Replicator(
        primary,
        opener(settings.mirror, vault, opened, reader.describe, settings, disk),
        where=shown(settings.mirror),
        clock=clock,
        drain=to_duration(settings.mirror_drain) / 1_000_000,
        accept=partial(is_proved, reader),
    )
    return MirrorBackend(primary, mirror)


def opener(
    place: str, vault: Vault, opened: UnlockedVault, describe: ReadHead, settings: Settings, disk: Disk
) -> Callable[[], Follower]:
    """What opens the follower at a place: the metadata first, since without it a directory is no vault."""

    def follower() -> Follower:
        site = VaultLocation.at(place, disk, durability=settings.durability, allow_network=settings.allow_network)
        try:
            follow_metadata(vault, site.vault, opened)
            level_dictionaries(vault, site.vault, opened)
            return Follower(site.backend(describe), lambda: follow_metadata(vault, site.vault, opened))
        except BaseException:
            site.close()
            raise

    return follower


def refuse_same(mirror: str, where: str) -> None:
    """``InvalidSetting`` for a mirror that names nothing, or that lies in the vault itself, or the vault in it."""
    (scheme, path), (other, home) = split(mirror), split(where)
    if mirror == where and scheme != "file":
        raise InvalidSetting("the mirror is the vault itself: choose another place")
    if scheme == other == "file":
        real, inside = os.path.realpath(path), os.path.realpath(home)
        if os.path.commonpath([real, inside]) in (real, inside):
            raise InvalidSetting(f"the mirror {real} and the vault {inside} lie in one another: choose another place")
