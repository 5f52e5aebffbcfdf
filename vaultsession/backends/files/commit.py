"""What is done with one session: finding its newest head, and putting something behind it.

What a lock-free reader finds is believed while it is clean. Anything else is looked at again under the stripe, where no
writer is half-way, before it is reported or acted on.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ...errors import BackendUnavailable, Damaged, DurabilityUnknown, VaultError
from ...format.ids import locator_of
from ...format.sealed import Container, Current, Delete, IndexRow, ReadHead, Write
from ...util.disk import Disk, read_all, shred_file
from .container import (
    extend,
    fetch,
    is_still_empty_behind,
    is_still_settled,
    is_unchanged,
    look,
    open_container,
    place,
    refreshed,
    spoil,
)
from .index import Index
from .index_values import IndexedSession
from .layout import FilesLayout
from .locks import Stripes
from .open_files import FileState, OpenFiles
from .quarantine import Quarantine

_log = logging.getLogger("vaultsession")


class Owed(NamedTuple):
    """A record that was written and is to be flushed: its container as it is with it."""

    key: str
    state: FileState
    row: IndexRow


class SessionCommits:
    """The containers of a vault, one at a time. Safe from any thread. ``OSError`` passes through."""

    def __init__(
        self,
        disk: Disk,
        layout: FilesLayout,
        contents: Index,
        quarantine: Quarantine,
        describe: ReadHead,
        *,
        durable: bool,
    ) -> None:
        self.states = OpenFiles()
        self.stripes = Stripes(disk, layout)
        self._disk = disk
        self._layout = layout
        self._contents = contents
        self._quarantine = quarantine
        self._describe = describe
        self._durable = durable

    def close(self) -> None:
        """Let go of every file. Readers that are under way keep theirs until they are done."""
        self.stripes.close()
        self.states.clear()

    def observe(self, key: str, *, thorough: bool = False) -> IndexRow | None:
        """The newest head, read without a lock if it is clean, else under the stripe; ``thorough``: its bodies too."""
        try:
            row = self._described(key, thorough=thorough)
            if row is None or not row.torn:
                return row
        except Damaged:
            pass
        stripe = self.stripes.of(locator_of(key))
        with stripe.mutex, stripe:
            return self._described(key, thorough=thorough)

    def read(self, key: str, start: int) -> Container | None:
        """The container from ``start`` on; None: there is none."""
        state = self._current(key)
        if state is None:
            return None
        self.states.keep(key, state)
        return fetch(self._disk, state, start)

    def newest(self, key: str) -> tuple[FileState | None, Current]:
        """The newest, proved far enough to be written behind, and the container that says so. Under the stripe."""
        state = self._followed(key, is_still_settled)
        if state is None or not state.writable:  # it could not be opened for writing: perhaps it can by now
            known = self._contents.known(locator_of(key))
            state = self._opened(key, known)
            if state is None:
                self._refuse_second(key, known.key)
                return None, known.tombstone
        if state.is_settled:
            return state, state.row
        row = self._describe(key, partial(fetch, self._disk, state), thorough=True)
        if row is None:
            return state, state.tombstone
        state = state._replace(row=row, proved=True)
        self.states.keep(key, state)
        return state, row

    def put(self, key: str, state: FileState | None, newest: Current, result: Write | Delete) -> Owed | None:
        """Put what was sealed behind the newest: what is to be flushed then. Under the stripe."""
        if isinstance(result, Delete):
            self._bury(key, result)
            return None
        row = result.head
        if row.key != key or row.size != result.offset + len(result.data):
            raise ValueError(f"the head sealed for {key} does not describe the bytes beside it")
        if result.offset:
            return self._append(key, state, newest, result)
        self._replace(key, state, newest, result)
        return None

    def unavailable(self, key: str, error: OSError) -> BackendUnavailable:
        """What is said of a session whose container the disk refuses."""
        return BackendUnavailable(f"{self._layout.session(key)}: {error.strerror or error}")

    def flush(self, owed: Owed) -> None:
        """Flush a record, after the stripe was let go: others may follow it meanwhile, and a later flush covers it.

        Where the flush fails, the file is marked as spoiled at once, so that nobody writes behind what may be lost, and
        put in place anew on another inode. ``DurabilityUnknown`` if that fails too.
        """
        path = owed.state.path
        try:
            owed.state.descriptor.flush(owed.row.size)
        except OSError as error:
            spoil(self._disk, owed.state)
            if not self._is_rescued(owed):
                reason = error.strerror or error
                raise DurabilityUnknown(f"{path}: a flush failed ({reason}), and so did writing it anew") from error
        self._contents.note(owed.row, flushed=True)

    def _described(self, key: str, *, thorough: bool) -> IndexRow | None:
        state = self._current(key)
        if state is None:
            return None
        if state.row is None or (thorough and not state.proved):
            state = state._replace(row=self._describe(key, partial(fetch, self._disk, state), thorough=thorough))
        self.states.keep(key, state)
        return state.row

    def _current(self, key: str) -> FileState | None:
        """What the path names now, at its present size; None: nothing."""
        return self._followed(key, is_still_empty_behind) or self._opened(key, self._contents.known(locator_of(key)))

    def _followed(self, key: str, is_still: Callable[[Disk, FileState], bool]) -> FileState | None:
        """What the path names now, if that is a container whose descriptor is open: as known where it ``is_still`` so.

        Where the inode is one that is known, the index is not asked again what it acknowledged. It might name a record
        behind the last that was seen here, of the same inode; but then the container is longer than it was, for it only
        grows, and that is the proof on which a cached head rests as well. A replacement shows as another inode.
        """
        state = self.states.get(key)
        if state is not None:
            try:
                now = look(self._disk, state)
            except FileNotFoundError:
                self.states.drop(key)
                return None  # looked for once more: it may be there again
            if is_unchanged(state, now) and is_still(self._disk, state):
                return state
            if (now.st_ino, now.st_dev, now.st_nlink) == (state.inode, state.device, 1):
                return refreshed(self._disk, state, now.st_size, now.st_mode)
        return None

    def _opened(self, key: str, known: IndexedSession) -> FileState | None:
        """What the path names now, opened; None: nothing. ``known`` was read before."""
        return open_container(self._disk, self._layout.session(key), known.witness, known.tombstone)

    def _append(self, key: str, state: FileState | None, newest: Current, sealed: Write) -> Owed | None:
        row = sealed.head
        follows = isinstance(newest, IndexRow) and not newest.torn and newest.size == sealed.offset
        if state is None or not follows or state.size != sealed.offset:
            raise ValueError(f"a record of {key} at offset {sealed.offset} does not follow the newest")
        if not state.writable:
            raise BackendUnavailable(f"{state.path}: we may not write to it")
        flush = sealed.flush and self._durable
        temporary = partial(self._layout.temporary, locator_of(key))
        room = extend(self._disk, temporary, state, sealed.data, flush=flush, durable=self._durable)
        after = state._replace(size=row.size, room=room, row=row, entry_flushed=state.entry_flushed or flush)
        self.states.keep(key, after)
        if flush:
            return Owed(key, after, row)
        self._contents.note(row, flushed=False)
        return None

    def _is_rescued(self, owed: Owed) -> bool:
        """Bring a record to the disk whose flush failed, with all that others have written behind it meanwhile."""
        key, path = owed.key, owed.state.path
        stripe = self.stripes.of(locator_of(key))
        try:
            with stripe.mutex, stripe:
                self.states.drop(key)
                state = open_container(self._disk, path, owed.state.witness, None)
                if state is None:
                    return True  # removed since, on purpose
                if (state.inode, state.device) != (owed.state.inode, owed.state.device):
                    # Replaced since, by someone who had read this record: what is there now holds it.
                    self._disk.fsync(state.descriptor.fd)
                    self._disk.sync_directory(self._layout.sessions)
                    return True
                row = self._describe(key, partial(fetch, self._disk, state), thorough=True)
                if row is None or row.size != state.size:
                    return False
                data = read_all(self._disk, state.descriptor.fd, state.size, 0)
                placed = place(self._disk, self._layout.temporary(locator_of(key)), path, data, flush=True)
                self.states.keep(key, placed._replace(row=row._replace(torn=False)))
        except (OSError, VaultError) as failure:
            _log.warning("%s could not be written anew: %s", path, str(failure))
            return False
        return True

    def _replace(self, key: str, state: FileState | None, newest: Current, sealed: Write) -> None:
        row = sealed.head
        if state is not None and not isinstance(newest, IndexRow):  # it came back after its removal: reads as absent
            self._quarantine.keep(key, state, 0)
        elif state is not None and isinstance(newest, IndexRow) and newest.torn:
            self._quarantine.keep(key, state, newest.size)
        flush = sealed.flush and self._durable
        temporary = self._layout.temporary(locator_of(key))
        placed = place(self._disk, temporary, self._layout.session(key), sealed.data, flush=flush)
        self.states.keep(key, placed._replace(row=row))
        self._contents.note(row, flushed=flush)
        if sealed.erase:
            self._quarantine.forget(locator_of(key))

    def _bury(self, key: str, grave: Delete) -> None:
        if grave.tombstone.key != key:
            raise ValueError(f"a tombstone of another session than {key}")
        self.states.drop(key)
        path, aside = self._layout.session(key), ""
        with contextlib.suppress(FileNotFoundError):
            if grave.shred:  # under its own name a file is never half of anything: overwritten by another
                aside = self._layout.temporary(locator_of(key))
                self._disk.replace(path, aside)
                self._disk.sync_directory(self._layout.sessions)
            else:
                self._disk.unlink(path)
        self._contents.note_removed(grave.tombstone)
        # Written before the stripe is let go: whoever creates the id next must see the tombstone, to be above it even
        # where the clock was set back. If that fails it is written later, as every note.
        with contextlib.suppress(VaultError):
            self._contents.flush()
        try:
            if aside:
                shred_file(self._disk, aside)
            self._quarantine.forget(locator_of(key), shred=grave.shred)
        except OSError as error:
            if not grave.shred:
                raise
            raise DurabilityUnknown(f"{key}: removed, but not all of it could be overwritten: {error}") from error
        if grave.flush and self._durable:
            try:
                self._disk.sync_directory(self._layout.sessions)
            except OSError as error:
                raise DurabilityUnknown(f"{key}: removed, but the flush of the directory failed: {error}") from error

    def _refuse_second(self, key: str, name: str | None) -> None:
        """One session, one file: another name for the same locator was put there by someone else."""
        if name is not None and name != key:
            with contextlib.suppress(FileNotFoundError, ValueError):
                self._disk.stat(self._layout.session(name))
                raise Damaged(f"the session of {key} lies there under another name, {name}; nothing was changed")
