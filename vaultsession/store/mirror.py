"""Where the mirror of a vault lies, and how it is opened: as every vault, with the metadata of the one it mirrors."""

from __future__ import annotations

import os

from ..backends.mirror import Follower, MirrorBackend, Replicator
from ..backends.protocol import Backend
from ..backends.replication import Outcome
from ..engine.proof import is_proved
from ..engine.reader import Reader
from ..errors import InvalidSetting, UnknownKey
from ..format.sealed import Current, Delete, IndexRow, ReadRange, Write
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
    if split(mirror)[0] != "file":
        connector_of(mirror)


def mirrored(
    place: str,
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
    metadata = MirrorMetadata(vault, opened, reader)

    def follower() -> Follower:
        site = VaultLocation.at(place, disk, durability=settings.durability, allow_network=settings.allow_network)
        try:
            metadata.bring_to(site.vault)
            return Follower(site.backend(metadata.read_head), metadata.level)
        except BaseException:
            site.close()
            raise

    mirror = Replicator(
        primary,
        follower,
        where=shown(place),
        clock=clock,
        drain=to_duration(settings.mirror_drain) / 1_000_000,
        accept=metadata.accept,
    )
    return MirrorBackend(primary, mirror)


class MirrorMetadata:
    """The metadata of a mirror: there before the sessions that need it. Safe from one thread."""

    def __init__(self, vault: Vault, opened: UnlockedVault, reader: Reader) -> None:
        self._vault = vault
        self._opened = opened
        self._reader = reader
        self._target: Vault | None = None
        self._seen: object = None
        self._is_ahead = False

    def bring_to(self, target: Vault) -> Outcome:
        """Make the metadata of a mirror level, all of it: without any a directory is no vault."""
        self._target = target
        outcome = self.level()
        level_dictionaries(self._vault, target, self._opened)
        return outcome

    def level(self) -> Outcome:
        """The same of what has changed since; ``AHEAD`` where the mirror's keyring is newer, and left."""
        if self._target is None:
            raise InvalidSetting("no mirror is open")
        seen, self._opened = self._vault.etag(), self._vault.reload(self._opened)
        outcome = follow_metadata(self._vault, self._target, self._opened)
        self._seen, self._is_ahead = seen, outcome is Outcome.AHEAD
        return outcome

    def accept(self, before: Current, change: Write | Delete) -> bool:
        """Whether a change was made with the keys of the vault. The keyring is level then: it may have changed."""
        if self._vault.etag() != self._seen:
            self.level()
        return is_proved(self._reader, before, change)

    def read_head(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        """The head of a container of the mirror, for its backend.

        One under a key that the vault has deleted reads as absent, so that what the vault has takes its place. It is
        locked, as everywhere, where the mirror has the newer keyring.
        """
        try:
            return self._reader.describe(key, fetch, thorough=thorough)
        except UnknownKey:
            if self._is_ahead:
                raise
            return None


def refuse_same(mirror: str, where: str) -> None:
    """``InvalidSetting`` for a mirror that names nothing, or that lies in the vault itself, or the vault in it."""
    (scheme, path), (other, home) = split(mirror), split(where)
    if mirror == where and scheme != "file":
        raise InvalidSetting("the mirror is the vault itself: choose another place")
    if scheme == other == "file":
        real, inside = os.path.realpath(path), os.path.realpath(home)
        if os.path.commonpath([real, inside]) in (real, inside):
            raise InvalidSetting(f"the mirror {real} and the vault {inside} lie in one another: choose another place")
