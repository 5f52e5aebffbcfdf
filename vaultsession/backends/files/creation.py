"""Making containers, so that a power cut in between leaves a session that is whole, or none.

A container that is made durably is flushed under a name of its own beside that of its session, with its directory; then
it is renamed, which is not flushed. On a file system with a journal the two flushes wait for one commit, where a flush
behind the rename would wait for a second: on ext4 a new session of 20 KB takes 0.7 of the time, on XFS 0.75.

So a power cut may leave an acknowledged session under the first name. What proves itself whole there is the session, as
long as that has no file under its own; whoever may write completes the rename. What is not whole nobody was promised.
"""

from __future__ import annotations

from functools import partial

from ...errors import Damaged, Unreadable
from ...format.sealed import ReadHead, Tombstone, Witness
from ...util.disk import Disk, is_there
from .container import OpenContainer, open_container, read_range, replace
from .layout import FilesLayout
from .open_files import DirectoryFlush, FileState
from .quarantine import Quarantine


class Creations:
    """The sessions of one vault that are being made. ``OSError`` passes through."""

    def __init__(self, disk: Disk, layout: FilesLayout, quarantine: Quarantine, read_head: ReadHead) -> None:
        self._disk = disk
        self._layout = layout
        self._quarantine = quarantine
        self._read_head = read_head

    def put(self, key: str, data: bytes, flush_name: DirectoryFlush) -> FileState:
        """Make the container of a session that has none, flushed. Under its stripe. See ``container.replace``."""
        begun, path = self._layout.creation(key), self._layout.session(key)
        make = partial(replace, self._disk, begun, path, data, flush=True, flush_name=flush_name, lasting=True)
        try:
            return make()
        except FileExistsError:  # left by a writer that died, and not whole: else the session would be there
            self._quarantine.take(begun)
            return make()

    def found(
        self, key: str, witness: Witness | None, tombstone: Tombstone | None, flushed: Witness | None = None
    ) -> OpenContainer | None:
        """The container that a power cut left under its first name; None: there is none, or it is not whole.

        For a session without a file under its own. Without the stripe one that is being written is not whole yet.
        """
        begun = self._layout.creation(key)
        if not is_there(self._disk, begun):
            return None
        found = None
        try:
            found = open_container(self._disk, begun, witness, tombstone, flushed)
            if found is None:
                return None
            self._read_head(key, partial(read_range, self._disk, *found), thorough=True)
        except Unreadable as why:
            if found is None or isinstance(why, Damaged):
                return None  # else it is locked, which is not absent
        return found._replace(state=found.state._replace(writable=False))  # not under this name

    def complete(self, key: str) -> None:
        """Give a container its last name, or put it into quarantine where it is not whole. Under its stripe."""
        begun, path = self._layout.creation(key), self._layout.session(key)
        if is_there(self._disk, path) or self.found(key, None, None) is None:
            self._quarantine.take(begun)
        else:
            self._disk.replace(begun, path)
        self._disk.sync_directory(self._layout.sessions)
