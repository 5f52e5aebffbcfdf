"""Repairs that take the keys: torn containers, dictionaries, and damaged sessions where that is asked for.

The quarantine is bounded and lets the oldest go, which is right for the tails that a write leaves. What is moved there
from here was asked for, so no room is made: where there is none, nothing is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...backends.files import FilesBackend
from ...backends.files.container import open_container, read_range
from ...backends.files.layout import FilesLayout, stripe_of
from ...backends.files.locks import lock_rarely, open_lock, unlock
from ...backends.files.quarantine import MAX_BYTES, MAX_ENTRIES
from ...engine.reader import Reader
from ...engine.verify import Verdict, check, verify_container
from ...engine.writer import Writer
from ...errors import BackendUnavailable, Damaged, SessionNotFound, UnknownDictionary
from ...format import document
from ...format.dictionaries import Dictionaries
from ...format.ids import locator_of
from ...format.record import HEADER_SIZE, PADDED, parse_header, records_from
from ...format.sealed import Container, Current, IndexRow, ReadRange, Tombstone, Witness, Write
from ...util.clock import Clock
from ...util.disk import Disk
from ...vault import UnlockedVault, Vault
from ...vault.directory import COPIES, QUARANTINE, number_in
from ...vault.key_store import KeyringMemory

_BEYOND = 1 << 62
"""A generation counts microseconds since 1970: no index that we wrote remembers one like this."""


class SessionRepair:
    """The sessions of one vault, while it is repaired. Works under the locks of writers, beside any of them.

    Its backend believes the index about every session but those that are being recovered: of them it takes what
    authenticates, whatever the index remembers.
    """

    def __init__(self, disk: Disk, root: str, reader: Reader, clock: Clock) -> None:
        self._disk = disk
        self._layout = FilesLayout(root)
        self.reader = reader
        self._clock = clock
        self._recovering: set[str] = set()
        self.backend = FilesBackend(root, disk=disk, describe=self._describe)

    def close(self) -> None:
        """Close the backend. Idempotent."""
        self.backend.close()

    def replace(self, key: str) -> str:
        """Replace a torn container by what of it authenticates. ``VaultError``."""

        def update(newest: Current) -> Write | None:
            if not isinstance(newest, IndexRow) or not newest.torn:
                return None
            container = self._read(key)
            self._refuse_without_room(container.size - newest.size)
            opened = self.reader.opened(newest)
            return self.writer_like(container).head_record(newest, opened, opened.head, lambda _: container)

        self.backend.commit(key, update)
        return f"replaced by what of it authenticates; what stood behind that lies in {QUARANTINE}/"

    def recover(self, key: str) -> str:
        """Make the last authentic state the newest, whatever the index remembers. ``Damaged`` where nothing is left.

        What does not authenticate goes to quarantine. The generation is above all that was ever acknowledged.
        """

        def update(newest: Current) -> Write | None:
            if not isinstance(newest, IndexRow):
                return None
            container = self._read(key)
            above = _above(newest, self.backend.witness_of(key), container.tombstone)
            bare = unwitnessed(container)
            loaded = self.reader.load(key, lambda _: bare)
            if loaded is None:
                raise Damaged(f"nothing of {key} authenticates")
            behind = container.size - newest.size
            self._refuse_without_room(behind)
            writer = self.writer_like(container)
            packed = [writer.pack(text) for text in document.merged(loaded.bodies)]
            under = newest._replace(generation=above)
            write = writer.new_container(key, under, loaded.head, packed, life="imported")
            return write._replace(note=(loaded.head.messages, behind))

        with self._recovers(key):
            commit = self.backend.commit(key, update)
        if commit.change is None:
            raise SessionNotFound(f"there is no file of {key}")
        kept, behind = commit.note
        aside = f"; {behind} bytes that do not authenticate lie in {QUARANTINE}/" if behind else ""
        return f"recovered to its last authentic record, with {kept} messages{aside}"

    def accept(self, unlocked: UnlockedVault, place: str) -> str:
        """Take what is there as the newest, whatever the index remembers: a session, its loss, or the key slots."""
        if place == COPIES[0]:
            KeyringMemory(self.backend).accept(unlocked)
            return "these key slots are the newest from now on, and nothing proves that no newer ones were there"
        if not self.backend.has_file(place):
            self.backend.forget(place)
            return "it is lost, and is no finding any more; nothing proves what it was"
        return f"{self.recover(place)}; nothing proves that no newer one was there"

    def move_aside(self, name: str) -> str:
        """Move a file of ``sessions/`` to quarantine, whole. Where it went; ``BackendUnavailable`` where no room is."""
        path = os.path.join(self._layout.sessions, name)
        self._refuse_without_room(self._disk.stat(path).st_size)
        return self._put_aside(path)

    def copy_named(self, name: str) -> Container:
        """The bytes of a file of ``sessions/``, of which the index remembers nothing. ``SessionNotFound``."""
        found = open_container(self._disk, os.path.join(self._layout.sessions, name), None, None)
        if found is None:
            raise SessionNotFound(f"{name} is gone")
        return read_range(self._disk, *found, 0)

    def move_to_quarantine(self, key: str) -> str:
        """Move a damaged container to quarantine, whole. ``BackendUnavailable`` where it is not to be moved."""
        path = self._layout.session(key)
        before = self._disk.stat(path)
        if check(self.backend, self.reader, key).verdict not in (Verdict.DAMAGED, Verdict.REMOVED):
            raise BackendUnavailable(f"{key} is not damaged any more; nothing was done")
        if before.st_size > MAX_BYTES:
            raise BackendUnavailable(
                f"{path}: {before.st_size} bytes, more than quarantine holds: move it out yourself"
            )
        if verify_container(self.reader, key, unwitnessed(self._read(key))).verdict is Verdict.OK:
            raise BackendUnavailable(
                f"{key}: every record of it authenticates, and only the index remembers another; nothing was done "
                f"(`vaultsession repair --recover {key}` makes it the newest)"
            )
        self._refuse_without_room(before.st_size)
        guard = self._layout.stripe(stripe_of(locator_of(key)))
        stripe = open_lock(self._disk, guard)
        lock_rarely(self._disk, stripe.fd, guard)
        try:
            now = self._disk.stat(path)
            if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
                raise BackendUnavailable(f"{key} was changed in this moment; nothing was done")
            aside = self._put_aside(path)
            self.backend.forget(key)
        finally:
            unlock(self._disk, stripe.fd)
        return f"moved to {aside}; nothing of it was removed"

    def _put_aside(self, path: str) -> str:
        aside = f"{QUARANTINE}/{os.path.basename(path)}.{os.urandom(8).hex()}"
        self._disk.replace(path, os.path.join(self._layout.root, aside))
        for directory in (self._layout.quarantine, self._layout.sessions):
            self._disk.sync_directory(directory)
        return aside

    def _describe(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        if key not in self._recovering:
            return self.reader.describe(key, fetch, thorough=thorough)

        def bare(start: int) -> Container | None:
            container = fetch(start)
            return None if container is None else unwitnessed(container)

        return self.reader.describe(key, bare, thorough=True)

    @contextmanager
    def _recovers(self, key: str) -> Iterator[None]:
        self._recovering.add(key)
        try:
            yield
        finally:
            self._recovering.discard(key)

    def _read(self, key: str) -> Container:
        container = self.backend.read(key)
        if container is None:
            raise SessionNotFound(f"the file of {key} is gone")
        return container

    def writer_like(self, container: Container) -> Writer:
        """What seals as the container was sealed: a repair is no reason to change suite, padding or compression."""
        header = parse_header(container.header)
        compressed = any(record.codec for record in records_from(container, HEADER_SIZE))
        return Writer(
            self.reader,
            self._clock,
            level=3 if compressed else None,
            padded=bool(header.flags & PADDED),
            suite=header.suite,
        )

    def _refuse_without_room(self, size: int) -> None:
        kept = self.backend.quarantine.entries()
        if size and (len(kept) >= MAX_ENTRIES or sum(entry[1] for entry in kept) + size > MAX_BYTES):
            raise BackendUnavailable(
                f"there is no room for {size} bytes more in {QUARANTINE}/: look at what lies there, move it elsewhere, "
                "and repeat; nothing was done"
            )


def level_dictionary(vault: Vault, dictionaries: Dictionaries, place: str) -> str:
    """Write the copy at ``place`` anew, if the other one authenticates. ``VaultError``."""
    number = number_in(os.path.basename(place)) or 0
    for data in vault.dictionary(number):
        try:
            dictionaries.open(number, data)
        except UnknownDictionary:
            continue
        vault.level_dictionary(number, data)
        return "it was written anew from its other copy"
    raise UnknownDictionary(f"no copy of dictionary {number} authenticates any more: restore one from a backup")


def unwitnessed(container: Container) -> Container:
    """The same bytes, of which the index remembers nothing."""
    return container._replace(witness=None, tombstone=None)


def _above(newest: IndexRow, witness: Witness | None, tombstone: Tombstone | None) -> int:
    """A generation that nothing remembered is above. ``Damaged`` for a number that no index of ours holds."""
    known = [newest.generation, *(each.generation for each in (witness, tombstone) if each is not None)]
    if max(known) >= _BEYOND:
        raise Damaged(
            f"what the index remembers of {newest.key} cannot be: delete index.sqlite, and with it what it remembers "
            "of all sessions, and repeat"
        )
    return max(known)
