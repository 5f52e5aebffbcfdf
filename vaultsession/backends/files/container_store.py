"""The containers of a vault: reading the newest head of a session, and writing behind it.

What is read without a lock is believed while it is clean. Anything else is read again under the stripe, where no writer
is half-way, before it is reported or acted on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from ...errors import BackendUnavailable, Damaged, DurabilityUnknown, VaultError, without_frames
from ...format.ids import LOCATOR, is_key_of, locator_of
from ...format.sealed import (
    Commit,
    Container,
    Current,
    Delete,
    DeleteUpdate,
    IndexRow,
    LostRow,
    ReadHead,
    Tombstone,
    Write,
)
from ...util.disk import Disk, read_all
from ...util.lazy import log
from ...util.named_tuple import NamedTuple
from .container import OpenContainer, changed, extend, mark_spoiled, open_container, read_range, replace, resized
from .creation import Creations
from .index import Index, IndexedSession
from .layout import SUFFIX, FilesLayout, key_in, refusal, stripe_of
from .locks import PathLock, Stripes
from .open_files import CONTAINERS, DirectoryFlush, FileState, OpenFiles
from .quarantine import Quarantine
from .removal import Removals

BATCH = min(32, CONTAINERS.most)
"""Sessions that are deleted under their stripes together.

With 64 nothing was quicker, and an append beside a sweep waited twice as long at worst.
"""

T = TypeVar("T")

Outcomes = dict[str, Current | VaultError]
"""By key what is newest now, or why that is not known."""

Commits = dict[str, Commit | VaultError]
"""See ``Backend.delete_many``."""


class Unflushed(NamedTuple):
    """A record that was written and is to be flushed, and its container with it."""

    key: str
    state: FileState
    row: IndexRow


class ContainerStore:
    """Safe from any thread. ``OSError`` passes through, except from ``delete`` and ``delete_many``."""

    def __init__(
        self,
        disk: Disk,
        layout: FilesLayout,
        index: Index,
        quarantine: Quarantine,
        read_head: ReadHead,
        *,
        durable: bool,
    ) -> None:
        self.open_files = OpenFiles()
        self.stripes = Stripes(disk, layout)
        self.index_is_behind = False
        """Whether a file may have changed without an entry in the index: the next opening compares them."""
        self.names_unflushed = False
        """Whether a power cut may bring back the name of a removal or of a creation, which is completed then."""
        self._disk = disk
        self._layout = layout
        self._index = index
        self._quarantine = quarantine
        self._read_head = read_head
        self.removals = Removals(disk, layout, index, quarantine, read_head)
        self.creations = Creations(disk, layout, quarantine, read_head)
        self._durable = durable
        self._flush_name = DirectoryFlush(disk, layout.sessions)
        self.unasked: dict[str, str] = {}
        """Why it is not known what was acknowledged of a session: nothing is written of it."""

    def close(self) -> None:
        """Close every file. Readers that are under way keep theirs until they are done."""
        self.stripes.close()
        self.open_files.clear()

    def unavailable(self, key: str, error: OSError) -> VaultError:
        """The error for a session whose container the disk refuses."""
        return refusal(self._layout.session(key), error)

    # -- reading -------------------------------------------------------------------------------------------------------

    def head(self, key: str, *, thorough: bool = False) -> IndexRow | None:
        """The newest head, read without a lock if it is clean, else under the stripe; ``thorough``: bodies as well."""
        try:
            row = self._head(key, thorough=thorough)
            if row is None or not row.torn:
                return row
        except Damaged:
            pass
        stripe = self.stripes.of(locator_of(key))
        with stripe.mutex, stripe:
            return self._head(key, thorough=thorough)

    def read(self, key: str, start: int) -> Container | None:
        """The container from ``start`` on; None: there is none."""
        found = self._current(key)
        if found is None:
            return None
        state, data = found
        self.open_files.put(key, state)
        return read_range(self._disk, state, data, start)

    def newest(self, key: str) -> tuple[FileState | None, Current]:
        """The newest, verified so that a record may follow it, and its container. Under the stripe."""
        state, data = self._known(key, to_write=True), b""
        if state is None or not state.writable:  # it could not be opened for writing: perhaps it can by now
            indexed = self._index.lookup(key[LOCATOR])
            self.unasked.pop(key, None)
            if indexed.problem is not None:
                self.unasked[key] = indexed.problem
            found = self._opened(key, indexed)
            if found is not None and found.state.path == self._layout.creation(key):
                self.creations.complete(key)
                found = self._opened(key, indexed)
            if found is None:
                return None, _named(indexed.tombstone, key) if indexed.witness is None else self._lost(key)
            state, data = found
        if state.is_extensible:
            return state, state.row
        row = self._read_head(key, partial(read_range, self._disk, state, data), thorough=True)
        if row is None:
            return state, state.tombstone
        if state.linked:
            row = row._replace(torn=True)
        state = state._replace(row=row, verified=True)
        if key not in self.unasked:
            self.open_files.put(key, state)
        return state, row

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(self, key: str, state: FileState | None, newest: Current, change: Write | Delete) -> Unflushed | None:
        """Write behind the newest or in place of it, or delete; what ``flush`` has to flush. Under the stripe."""
        if isinstance(change, Delete):
            outcome = self.delete({key: change}, {key: state})[key]
            try:
                if isinstance(outcome, VaultError):
                    raise outcome
            finally:
                del outcome  # raised from here it refers to this frame, and the frames above it hold descriptors
            return None
        if isinstance(newest, LostRow) and change.offset:
            raise gone(newest)
        row = change.head
        if row.size != change.offset + len(change.data):
            raise ValueError(f"the head sealed for {key} does not describe the bytes beside it")
        if row.key != key:
            if locator_of(row.key) != locator_of(key):
                raise ValueError(f"the head sealed for {row.key} is none of {key}")
            change = change._replace(head=row._replace(key=key))
        if change.offset:
            return self._append(key, state, newest, change)
        self._replace(key, state, newest, change)
        return None

    def flush(self, unflushed: Unflushed) -> None:
        """Flush a record, after the stripe was released: others may follow it meanwhile, and a later flush covers it.

        Where the flush fails, the file is marked as spoiled at once, so that nothing is written behind what may be
        lost, and put in place anew on another inode. ``DurabilityUnknown`` if that fails too.
        """
        path = unflushed.state.path
        try:
            unflushed.state.descriptor.flush(unflushed.row.size)
        except OSError as error:
            mark_spoiled(self._disk, unflushed.state)
            if not self._is_rescued(unflushed):
                reason = error.strerror or error
                raise DurabilityUnknown(f"{path}: a flush failed ({reason}), and so did writing it anew") from error
        self._list(unflushed.row, path, flushed=True)

    def delete(self, deletes: Mapping[str, Delete], states: Mapping[str, FileState | None]) -> Outcomes:
        """Remove sessions, which share one transaction of the index. Under their stripes. ``states``: their containers.

        By key: the tombstone, or why the session is not known to be removed.
        """
        for key, delete in deletes.items():
            if locator_of(delete.tombstone.key) != locator_of(key):
                raise ValueError(f"a tombstone of another session than {key}")
        outcomes: Outcomes = {}
        removed: dict[str, str] = {}
        for key, delete in deletes.items():
            try:
                delete.tombstone.check()
                self.open_files.drop(key)
                state = states[key]
                name = key if state is None else _name_at(state.path, key)
                removed[key] = self.removals.begin(delete._replace(tombstone=delete.tombstone._replace(key=name)))
            except OSError as error:
                outcomes[key] = self.unavailable(key, error)
                continue
            except Damaged as error:
                outcomes[key] = without_frames(error)
                continue
            tombstone = delete.tombstone._replace(key=key)
            self._index.add_tombstone(tombstone)
            outcomes[key] = tombstone
        # Written before a stripe is released: the next create of an id must see the tombstone, to be above it even
        # where the clock was set back. If that fails it is written later, as every entry.
        # A flushed one is on the medium before the removal may be: else a power cut would leave a session that was
        # acknowledged, and no reason why its file is gone.
        durable = self._durable and any(delete.flush for delete in deletes.values())
        is_flushed = self._is_index_flushed(durable=durable)
        self.removals.end(removed, deletes, outcomes)
        if not is_flushed:  # on a full medium there is room now
            self._is_index_flushed(durable=durable)
        self.names_unflushed = self.names_unflushed or not all(delete.flush for delete in deletes.values())
        self._flush_names([key for key in removed if deletes[key].flush], outcomes)
        if any(isinstance(outcome, VaultError) for outcome in outcomes.values()):
            self.index_is_behind = True
        return outcomes

    def _is_index_flushed(self, *, durable: bool) -> bool:
        try:
            self._index.flush(durable=durable)
        except VaultError:
            return False
        return True

    def delete_many(self, keys: Sequence[str], update: DeleteUpdate, begin: Callable[[], None]) -> Commits:
        """Remove the sessions of which ``update`` makes a ``Delete``, a batch at a time.

        ``begin`` is called under the stripes before the first name is removed. See
        ``Backend.delete_many``.
        """
        commits: Commits = {}
        for batch in _batches(keys):
            states: list[FileState | None] = []  # freeing a file may wait for the device: not under the stripes
            numbers = sorted({stripe_of(locator_of(key)) for key in batch})
            try:
                stripes = [self.stripes.numbered(number) for number in numbers]
                commits.update(_holding(stripes, partial(self._delete_batch, batch, update, begin, states)))
            except VaultError as error:  # a stripe, or the marker: nothing of the batch was changed
                commits.update(dict.fromkeys(batch, without_frames(error)))
        return commits

    # -- within --------------------------------------------------------------------------------------------------------

    def _head(self, key: str, *, thorough: bool) -> IndexRow | None:
        found = self._current(key)
        if found is None:
            return None
        state = found.state
        if state.row is None or (thorough and not state.verified):
            row = self._read_head(key, partial(read_range, self._disk, *found), thorough=thorough)
            state = state._replace(row=row)
        self.open_files.put(key, state)
        return state.row

    def _current(self, key: str) -> OpenContainer | None:
        """What the path names now, at its present size; None: nothing."""
        state = self._known(key, to_write=False)
        if state is not None:
            return OpenContainer(state)
        indexed = self._index.lookup(key[LOCATOR])
        found = self._opened(key, indexed)
        if found is None and indexed.witness is not None and isinstance(lost := self._lost(key), LostRow):
            raise gone(lost)
        return found

    def _opened(self, key: str, indexed: IndexedSession) -> OpenContainer | None:
        """The container as it is now; None: there is none.

        Of a key the locator counts: where no file has this slug, the one is taken whose name the index has. That of a
        session which came from a server, and with no key, is the bare locator.
        """
        known = indexed.witness, _named(indexed.tombstone, key), indexed.flushed
        found = open_container(self._disk, self._layout.session(key), *known)
        if found is None and (name := indexed.key) is not None and name != key and is_key_of(name, key[LOCATOR]):
            found = open_container(self._disk, self._layout.session(name), *known)
        return self.creations.found(key, *known) if found is None else found

    def _lost(self, key: str) -> LostRow | Tombstone:
        """The row of a session whose container is gone, unless it was being removed.

        ``Damaged`` where the index does not give it.
        """
        if (tombstone := self.removals.tombstone_of(key)) is not None:
            return tombstone
        row = self._index.lost(locator_of(key))
        if row is None or locator_of(row.key) != locator_of(key):
            raise Damaged(f"{key} was acknowledged, and its file is gone; nothing was changed")
        return row

    def _known(self, key: str, *, to_write: bool) -> FileState | None:
        """What the path names now, if that is a container whose descriptor is open.

        Where the inode is known, the index is not asked again what it acknowledged. It might name a record behind the
        last one that was seen here, of the same inode; but then the container is longer than it was, for it only grows,
        and that is the proof on which a cached head rests as well. A replacement shows as another inode.
        """
        state = self.open_files.peek(key)
        if state is not None:
            try:
                now = changed(self._disk, state, to_write=to_write)
            except FileNotFoundError:
                self.open_files.drop(key)
                return None  # opened by its path next: it may be there again
            if now is None:
                return state
            if (now.st_ino, now.st_dev, now.st_nlink) == (state.inode, state.device, 1):
                return resized(self._disk, state, now.st_size, now.st_mode)
        return None

    def _append(self, key: str, state: FileState | None, newest: Current, write: Write) -> Unflushed | None:
        row = write.head
        follows = isinstance(newest, IndexRow) and not newest.torn and newest.size == write.offset
        if state is None or not follows or state.size != write.offset:
            raise ValueError(f"a record of {key} at offset {write.offset} does not follow the newest")
        if not state.writable:
            raise BackendUnavailable(f"{state.path}: we may not write to it")
        flush = write.flush and self._durable
        temporary = lambda: self._layout.temporary(locator_of(key))  # noqa: E731 - seldom asked
        preallocated = extend(self._disk, temporary, state, write.data, flush=flush, durable=self._durable)
        entry_flushed = state.entry_flushed or flush
        after = state._replace(size=row.size, preallocated=preallocated, row=row, entry_flushed=entry_flushed)
        self.open_files.put(key, after)
        if flush:
            return Unflushed(key, after, row)
        self._list(row, state.path, flushed=False)
        return None

    def _is_rescued(self, unflushed: Unflushed) -> bool:
        """Bring a record to the disk whose flush failed, with all that others have written behind it meanwhile."""
        key, path = unflushed.key, unflushed.state.path
        stripe = self.stripes.of(locator_of(key))
        try:
            with stripe.mutex, stripe:
                self.open_files.drop(key)
                found = open_container(self._disk, path, unflushed.state.witness, None)
                if found is None:
                    return True  # removed since, on purpose
                state = found.state
                if (state.inode, state.device) != (unflushed.state.inode, unflushed.state.device):
                    # Replaced since, by a writer that had read this record: what is there now holds it.
                    self._disk.fsync(state.descriptor.fd)
                    self._disk.sync_directory(self._layout.sessions)
                    return True
                row = self._read_head(key, partial(read_range, self._disk, *found), thorough=True)
                if row is None or row.size != state.size:
                    return False
                data = read_all(self._disk, state.descriptor.fd, state.size, 0)
                placed = replace(self._disk, self._layout.temporary(locator_of(key)), path, data, flush=True)
                self.open_files.put(key, placed._replace(row=row._replace(torn=False)))
        except (OSError, VaultError) as failure:
            log.warning("%s could not be written anew: %s", path, str(failure))
            return False
        return True

    def _replace(self, key: str, state: FileState | None, newest: Current, write: Write) -> None:
        row = write.head
        if state is not None and not isinstance(newest, IndexRow):  # it came back after its removal: reads as absent
            self._quarantine.keep(key, state, 0)
        elif state is not None and isinstance(newest, IndexRow) and newest.torn:
            self._quarantine.keep(key, state, newest.size)
        flush = write.flush and self._durable
        path = self._layout.session(key) if state is None else state.path
        if state is None and flush:
            self.names_unflushed = True
            placed = self.creations.put(key, write.data, self._flush_name)
        else:
            temporary = self._layout.temporary(locator_of(key))
            placed = replace(self._disk, temporary, path, write.data, flush=flush, flush_name=self._flush_name)
        self.open_files.put(key, placed._replace(row=row))
        self._list(row, path, flushed=flush)
        if write.erase:
            self._quarantine.forget(locator_of(key))

    def _delete_batch(
        self, batch: Sequence[str], update: DeleteUpdate, begin: Callable[[], None], states: list[FileState | None]
    ) -> Commits:
        commits: Commits = {}
        deletes: dict[str, Delete] = {}
        found: dict[str, FileState | None] = {}
        for key in batch:
            try:
                state, newest = self.newest(key)
                change = update(key, newest)
            except OSError as error:
                commits[key] = self.unavailable(key, error)
            except VaultError as error:
                commits[key] = without_frames(error)
            else:
                states.append(state)
                found[key] = state
                commits[key] = Commit.of(newest, change)
                if isinstance(change, Delete):
                    deletes[key] = change
        if deletes:
            begin()
            failed = {key: each for key, each in self.delete(deletes, found).items() if isinstance(each, VaultError)}
            commits.update(failed)
        return commits

    def _flush_names(self, removed: Sequence[str], outcomes: Outcomes) -> None:
        promised = [key for key in removed if not isinstance(outcomes[key], VaultError)]
        try:
            if promised and self._durable:
                self._disk.sync_directory(self._layout.sessions)
        except OSError as error:
            for key in promised:
                outcomes[key] = DurabilityUnknown(f"{key}: removed, but the flush of the directory failed: {error}")

    def _list(self, row: IndexRow, path: str, *, flushed: bool) -> None:
        """Put a row into the index, under the name of its file."""
        if not path.endswith(f"{os.sep}{row.key}{SUFFIX}"):
            row = row._replace(key=_name_at(path, row.key))
        self._index.add(row, flushed=flushed)


def _named(tombstone: Tombstone | None, key: str) -> Tombstone | None:
    """The tombstone under the key that is asked for."""
    return None if tombstone is None else tombstone._replace(key=key)


def gone(row: LostRow) -> Damaged:
    """The error for a session that was acknowledged, and whose container is not there."""
    return Damaged(
        f"{row.key} was acknowledged, and its file is gone: restore it from a backup, or delete the session; "
        "nothing was changed",
        lost=row,
    )


def _name_at(path: str, key: str) -> str:
    """What the file of a session is called, which may be asked for by another slug."""
    return key_in(os.path.basename(path)) or key


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Batches of sessions that share few stripes: each of them waits for few others, and few wait for it."""
    ordered = sorted(dict.fromkeys(keys), key=lambda key: stripe_of(locator_of(key)))
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


def _holding(stripes: Sequence[PathLock], work: Callable[[], T]) -> T:
    """Call ``work`` while all of the stripes are held, taken in ascending order.

    By recursion and not on an exit stack: there, an interrupt could arrive between the acquisition of a mutex and its
    entry on the stack, and leave it locked for ever.
    """
    if not stripes:
        return work()
    with stripes[0].mutex, stripes[0]:
        return _holding(stripes[1:], work)
