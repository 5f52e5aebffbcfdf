"""Removing containers, so that a removal that was cut short shows as one.

A container that is removed gets a name that holds its tombstone: that is the moment of the removal. Then the tombstone
goes into the index, and the file goes, overwritten first where that was asked for. Whoever finds such a name completes
the removal; a name is believed only when the tombstone in it is genuine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import partial

from ...errors import DurabilityUnknown, Unreadable, VaultError
from ...format.ids import locator_of
from ...format.sealed import Current, Delete, ReadHead, Tombstone
from ...util.disk import Disk, shred_file
from .container import open_container, read_range
from .index import Index
from .layout import FULL, FilesLayout, Removal, refusal, removal_in
from .quarantine import Quarantine


class Removals:
    """The removals of one vault. Every method is called under the stripes of the sessions that it is given."""

    def __init__(
        self, disk: Disk, layout: FilesLayout, index: Index, quarantine: Quarantine, read_head: ReadHead
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._index = index
        self._quarantine = quarantine
        self._read_head = read_head

    def begin(self, delete: Delete) -> str:
        """Remove a session: its container gets another name. That name, or "" where there was none. ``OSError``."""
        path = self._layout.session(delete.tombstone.key)
        removed = self._layout.removal(delete.tombstone, shred=delete.shred)
        with contextlib.suppress(FileNotFoundError):
            try:
                self._disk.replace(path, removed)
            except OSError as error:
                if delete.shred or error.errno not in FULL:
                    raise
                self._disk.unlink(path)  # a longer name takes room, and this one is to make some
                return ""
            if delete.shred:  # under its own name a file is never half of anything
                self._disk.sync_directory(self._layout.sessions)
            return removed
        return ""

    def end(
        self, removed: Mapping[str, str], deletes: Mapping[str, Delete], outcomes: dict[str, Current | VaultError]
    ) -> None:
        """Remove the files of what was begun, and copies in quarantine. What fails becomes the outcome of its key."""
        for key, path in removed.items():
            try:
                if deletes[key].shred:
                    if path:
                        shred_file(self._disk, path)
                    self._quarantine.forget(locator_of(key), shred=True)
                elif path:
                    self._disk.unlink(path)
            except OSError as error:
                done = "not all of it could be overwritten" if deletes[key].shred else "its file is still there"
                outcomes[key] = DurabilityUnknown(f"{key}: removed, but {done}: {error}")
        plain = [key for key in removed if not deletes[key].shred]
        try:
            if plain:
                self._quarantine.forget(*map(locator_of, plain))
        except OSError as error:
            outcomes.update({key: refusal(self._layout.quarantine, error) for key in plain})

    def tombstone_of(self, key: str) -> Tombstone | None:
        """The tombstone of a session whose removal was begun by a writer that died, if it is genuine.

        For a session that is missing: it reads the whole directory. ``OSError``.
        """
        locator = locator_of(key)
        with contextlib.closing(self._disk.names(self._layout.sessions)) as names:
            found = [name for name in names if name.startswith(f".{locator}.") and removal_in(name) is not None]
        for name in found:
            removal = removal_in(name)
            if removal is not None and self._is_genuine(name, removal, key):
                return removal.tombstone._replace(key=key)
        return None

    def complete(self, name: str, removal: Removal) -> bool:
        """Complete a removal that was cut short; False for one that nobody with the keys began. ``OSError``."""
        path = os.path.join(self._layout.sessions, name)
        indexed = self._index.lookup(removal.locator)
        known = indexed.tombstone
        if known is None or known.generation < removal.tombstone.generation:
            try:
                if not self._is_genuine(name, removal, removal.locator):
                    return False
            except Unreadable:  # overwritten in part
                if not removal.shred:
                    return False
            else:
                tombstone = removal.tombstone._replace(key=removal.locator)
                self._index.add_tombstone(tombstone)
                self._index.flush(durable=True)
        if removal.shred:
            shred_file(self._disk, path)
        else:
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(path)
        self._quarantine.forget(removal.locator, shred=removal.shred)
        return True

    def _is_genuine(self, name: str, removal: Removal, key: str) -> bool:
        """Whether the tombstone in a name covers the container that has it. ``Unreadable``: that is none any more."""
        path = os.path.join(self._layout.sessions, name)
        found = open_container(self._disk, path, None, removal.tombstone._replace(key=key))
        return found is None or self._read_head(key, partial(read_range, self._disk, *found), thorough=False) is None
